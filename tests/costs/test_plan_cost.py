from __future__ import annotations

import pytest

from fuseline import InputError
from fuseline.costs import cost
from fuseline.costs.plan_cost import Band, band_of, intensity_of
from fuseline.graph import Builder, Graph, Kind, OpClass, Role, Status, Work
from tests.strategies import plan_of


def chain() -> Graph:
    """linear (100 FLOPs, 40 -> 40 bytes), a view, relu (10 other), an unknown op."""
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("fc", Kind.LINEAR, inputs=[x], shape=(10,), work=Work(100, 1, Status.COUNTED))
    same = build.tensor("same", (10,), storage=build.tensors[y].storage)
    build.op("view", Kind.RESHAPE, inputs=[y], outputs=[same], op_class=OpClass.VIEW)
    z = build.op("relu", Kind.RELU, inputs=[same], shape=(10,), work=Work(0, 10, Status.COUNTED))
    unknown = Work(0, 0, Status.UNKNOWN, "no formula")
    return build.finish([build.op("odd", Kind.UNKNOWN, inputs=[z], shape=(10,), work=unknown)])


def test_totals_are_sums_over_groups() -> None:
    price = cost(chain(), plan_of([(0, 1, 2), (3,)]))
    first, second = price.groups
    assert (first.flops, first.other_flops, first.nbytes) == (100, 11, 80)
    assert (first.unfused_nbytes, first.saved_nbytes) == (160, 80)
    assert (first.compute_ops, first.unknown_ops, second.unknown_ops) == (2, 0, 1)
    assert (price.flops, price.other_flops) == (100, 11)
    assert (price.nbytes, price.unfused_nbytes, price.launches) == (160, 240, 2)
    assert price.intensity == 100 / 160
    assert first.intensity == 100 / 80
    assert (first.band, second.band) == (Band.MEMORY, Band.UNKNOWN)
    assert price.unknown_ops == 1


def test_a_plan_of_another_graph_is_refused() -> None:
    with pytest.raises(InputError, match="the plan is not of this graph"):
        cost(chain(), plan_of([(0,), (1,)]))


def test_a_group_of_views_is_no_launch() -> None:
    price = cost(chain(), plan_of([(0,), (1,), (2,), (3,)]))
    assert [group.is_launch for group in price.groups] == [True, False, True, True]
    assert price.groups[1].intensity == 0.0
    assert price.launches == 3


@pytest.mark.parametrize(
    ("intensity", "band"),
    [
        (50.1, Band.COMPUTE),
        (50.0, Band.BALANCED),
        (10.1, Band.BALANCED),
        (10.0, Band.MEMORY),
        (1.1, Band.MEMORY),
        (1.0, Band.BANDWIDTH),
        (0.0, Band.BANDWIDTH),
    ],
)
def test_bands(intensity: float, band: Band) -> None:
    assert band_of(intensity) is band


def test_intensity_without_traffic() -> None:
    assert intensity_of(8, 4) == 2.0
    assert intensity_of(8, 0) == float("inf")
    assert intensity_of(0, 0) == 0.0
