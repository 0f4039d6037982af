"""Groups priced by measured rates, by hand; and kernel classes."""

from __future__ import annotations

import pytest

from fuseline.costs.kernel_classes import kernel_class
from fuseline.costs.rated import op_amounts
from fuseline.costs.roofline import Bottleneck, roofline
from fuseline.graph import Builder, Graph, Kind, Role, Status, Work
from fuseline.hardware import Basis, Device, Figure, KernelClass, Rate, Source
from fuseline.hardware.rates import Amounts
from tests.strategies import plan_of

_SOURCE = Source("round", "round numbers for tests", "", "2026-11")
_FIGURES = {
    ("matrix_ops_per_second", "float32"): 100.0,
    ("vector_ops_per_second", "float32"): 10.0,
    ("memory", "bandwidth_bytes_per_second"): 20.0,
    ("launch", "eager_seconds"): 3.0,
    ("launch", "graph_seconds"): 0.5,
}
_LINEAR = Rate(
    KernelClass.LINEAR, "float32", 2.0, 50.0, 5.0, None, 40.0, None, 20.0, 10.0, 60, _SOURCE
)
_RELU = Rate(KernelClass.ACTIVATION, "float32", 1.0, None, 2.0, None, 8.0, None, 8.0, None, 0,
             _SOURCE)  # fmt: skip


def device(*rates: Rate) -> Device:
    figures = (Figure(t, k, v, Basis.ASSUMED, _SOURCE) for (t, k), v in _FIGURES.items())
    return Device("round", "Round", "nobody", "cpu", "none", 2026, tuple(figures), rates=rates)


def chain() -> Graph:
    """x (40 bytes) -> fc (1000 FLOPs, 5 others) -> relu (10 others)."""
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("fc", Kind.LINEAR, inputs=[x], shape=(10,), work=Work(1000, 5, Status.COUNTED))
    z = build.op("relu", Kind.RELU, inputs=[y], shape=(10,), work=Work(0, 10, Status.COUNTED))
    return build.finish([z])


def test_terms_add_up_and_no_launch_hides() -> None:
    time = roofline(chain(), plan_of([(0,), (1,)]), device(_LINEAR, _RELU))
    fc, relu = time.groups
    # 1000 / 50; 5 / 5; 40 / 40 read + 40 / 20 written + (80 - 60) far bytes / 10
    assert (fc.compute_seconds, fc.vector_seconds, fc.bandwidth_seconds) == (20.0, 1.0, 5.0)
    assert (fc.device_seconds, fc.launch_seconds, fc.seconds) == (26.0, 2.0, 28.0)
    # 10 / 2; 40 / 8 + 40 / 8
    assert (relu.vector_seconds, relu.bandwidth_seconds, relu.seconds) == (5.0, 10.0, 16.0)
    assert (fc.bottleneck, relu.bottleneck) == (Bottleneck.COMPUTE, Bottleneck.BANDWIDTH)
    assert fc.is_rated
    assert relu.is_rated
    assert time.summed_seconds == time.pipelined_seconds == 44.0


def test_a_group_moves_its_bytes_as_its_longest_op_does() -> None:
    (both,) = roofline(chain(), plan_of([(0, 1)]), device(_LINEAR, _RELU)).groups
    assert both.compute_seconds == 20.0
    assert both.vector_seconds == 1.0 + 5.0  # each op at the rate of its own row
    assert both.bandwidth_seconds == 5.0  # 40 read, 40 written at the rates of fc: as above
    assert (both.launch_seconds, both.seconds) == (2.0, 33.0)


def test_a_group_with_an_op_of_no_row_is_priced_by_the_peaks() -> None:
    rated = roofline(chain(), plan_of([(0,), (1,)]), device(_LINEAR)).groups
    plain = roofline(chain(), plan_of([(0,), (1,)]), device()).groups
    assert rated[0].is_rated
    assert not rated[1].is_rated
    # 10 others / 10 = 1 s, 80 bytes / 20 = 4 s: the larger, and 3 s to launch
    assert rated[1].seconds == plain[1].seconds == 7.0
    assert (rated[1].exposed_seconds, plain[1].exposed_seconds) == (3.0, 0.0)
    (both,) = roofline(chain(), plan_of([(0, 1)]), device(_LINEAR)).groups
    assert not both.is_rated


def test_another_dtype_has_no_row() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT, dtype="float64")
    graph = build.finish([build.op("relu", Kind.RELU, inputs=[x], shape=(10,))])
    (group,) = roofline(graph, plan_of([(0,)]), device(_RELU)).groups
    assert not group.is_rated


def convolution(image: tuple[int, ...], weight: tuple[int, ...], kind: Kind = Kind.CONV2D) -> Graph:
    build = Builder()
    x = build.tensor("x", image, role=Role.INPUT)
    w = build.tensor("w", weight, role=Role.PARAMETER)
    shape = (1, weight[0], 4, 4)
    return build.finish([build.op("conv", kind, inputs=[x], parameters=[w], shape=shape)])


@pytest.mark.parametrize(
    ("image", "weight", "kind", "found"),
    [
        ((1, 16, 6, 6), (8, 16, 3, 3), Kind.CONV2D, KernelClass.CONVOLUTION),
        ((1, 3, 6, 6), (8, 3, 3, 3), Kind.CONV2D, KernelClass.THIN_CONVOLUTION),
        ((1, 16, 6, 6), (8, 4, 3, 3), Kind.CONV2D, KernelClass.GROUPED_CONVOLUTION),
        ((16, 6, 6), (8, 16, 3, 3), Kind.CONV2D, KernelClass.CONVOLUTION),  # no batch dimension
        ((1, 3, 4, 4), (8, 3, 1, 1), Kind.CONV2D_POINTWISE, KernelClass.POINTWISE_CONVOLUTION),
        ((1, 8, 6, 6), (8, 1, 3, 3), Kind.CONV2D_DEPTHWISE, KernelClass.DEPTHWISE_CONVOLUTION),
    ],
)
def test_convolutions_go_by_their_channels(
    image: tuple[int, ...], weight: tuple[int, ...], kind: Kind, found: KernelClass
) -> None:
    graph = convolution(image, weight, kind)
    assert kernel_class(graph, graph.ops[0]) is found


def test_in_place_and_transposed_are_classes_of_their_own() -> None:
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    turned = build.tensor("turned", (8, 4), storage=0, strides=(1, 8))
    build.op("add_", Kind.ADD, inputs=[x], outputs=[x], writes=[x])
    build.op("gelu_", Kind.GELU, inputs=[x], outputs=[x], writes=[x])
    build.op("copy", Kind.CONTIGUOUS, inputs=[x], shape=(4, 8))
    build.op("turn", Kind.CONTIGUOUS, inputs=[turned], shape=(8, 4))
    build.op("sort", Kind.SORT, inputs=[x], shape=(4, 8))
    graph = build.finish([x])
    assert [kernel_class(graph, op) for op in graph.ops] == [
        KernelClass.ARITHMETIC_IN_PLACE,
        KernelClass.GELU,
        KernelClass.COPY,
        KernelClass.TRANSPOSITION,
        None,
    ]


def test_amounts_of_a_reduction_count_its_rows() -> None:
    build = Builder()
    x = build.tensor("x", (6, 8), role=Role.INPUT)
    w = build.tensor("w", (8,), role=Role.PARAMETER)
    y = build.op("norm", Kind.LAYERNORM, inputs=[x], parameters=[w], shape=(6, 8), axes=(1,),
                 row_numel=8, work=Work(0, 288, Status.COUNTED))  # fmt: skip
    graph = build.finish([y])
    # 48 elements in rows of 8; 4 bytes each: 192 read, 32 of the weight, 192 written
    assert op_amounts(graph, graph.ops[0]) == Amounts(0, 288, 6, 192, 32, 192)
