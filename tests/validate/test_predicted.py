"""Predicted against measured: figures by hand, the page's sentences, one small model for real."""

from __future__ import annotations

import pytest

from fuseline.costs.plan_cost import cost
from fuseline.costs.roofline import roofline
from fuseline.errors import InputError
from fuseline.fusion import partition
from fuseline.graph import Builder, Kind, Role
from fuseline.hardware import load_device
from fuseline.validate.predicted import (
    DEVELOPED_ON,
    HELD_OUT,
    GroupSample,
    PredictedRow,
    check_models,
    compare,
    correlations,
    predict_all,
    spearman,
)
from fuseline.validate.predicted_page import lines, summary, worse


def sample(
    predicted: float, measured: float, nbytes: int = 1, *, rated: bool = True
) -> GroupSample:
    return GroupSample(predicted, measured, 0, 0, nbytes, rated)


GOOD = PredictedRow(
    "good", held_out=False, model_seconds=0.0, groups=(sample(1, 1), sample(2, 2), sample(3.3, 3))
)
POOR = PredictedRow(
    "poor",
    held_out=True,
    model_seconds=0.0,
    groups=(sample(2, 1, 10), sample(1, 2, 20), sample(3, 1, 5, rated=False)),
)


def test_spearman_by_hand() -> None:
    # ranks 1 2 3 4 5 and 2 1 4 3 5: squared differences 1 + 1 + 1 + 1; 1 - 6 * 4 / (5 * 24)
    assert spearman([10, 20, 30, 40, 50], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    # equals share a rank: 1.5 1.5 3 against 1 2 3: covariance 1.5, deviations sqrt(1.5 * 2)
    assert spearman([7, 7, 9], [1, 2, 3]) == pytest.approx(1.5 / (1.5 * 2) ** 0.5)
    assert spearman([5, 5, 5], [1, 2, 3]) == 0.0


def test_a_row_by_hand() -> None:
    assert (GOOD.measured_seconds, GOOD.predicted_seconds) == (6, 6.3)
    assert GOOD.error == pytest.approx(0.05)
    assert GOOD.group_error == 0.0  # of 0, 0 and 10 %
    assert POOR.error == pytest.approx(0.5)  # 6 / 4
    assert POOR.group_error == 1.0  # of 100, 50 and 200 %
    assert POOR.unrated_share == 0.25
    # measured ranks 1.5 3 1.5; predicted 2 1 3; bytes 2 3 1
    assert correlations(POOR.groups).predicted == pytest.approx(-1.5 / 3**0.5)
    assert correlations(POOR.groups).nbytes == pytest.approx(1.5 / 3**0.5)
    assert correlations(POOR.groups).flops == 0.0


def test_only_launched_groups_are_compared() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    same = build.tensor("same", (10,), storage=0)
    build.op("view", Kind.RESHAPE, inputs=[x], outputs=[same], op_class=None)
    graph = build.finish([build.op("relu", Kind.RELU, inputs=[same], shape=(10,))])
    plan = partition(graph, "unfused")
    time = roofline(graph, plan, load_device("xeon-8480"))
    row = compare("alexnet", cost(graph, plan), time, [5.0] * len(plan.groups), 1.0)
    launched = [group for group in time.groups if group.is_launch]
    assert len(row.groups) == len(launched)
    assert row.groups[-1].predicted_seconds == launched[-1].seconds
    assert row.groups[-1].nbytes == 80  # 40 read, 40 written
    assert row.held_out


def test_the_page_says_where_it_is_worse() -> None:
    assert worse([GOOD]) == []
    assert worse([GOOD, POOR]) == [
        "poor: the error is +50.0% (25% of its time is in kernels of no calibrated class).",
        "poor: Spearman is -0.866 (25% of its time is in kernels of no calibrated class).",
        "poor: FLOPs alone ranks its groups better: 0.000, and -0.866.",
        "poor: all work ranks its groups better: 0.000, and -0.866.",
        "poor: bytes alone ranks its groups better: 0.866, and -0.866.",
    ]


def test_lines_and_summary() -> None:
    assert lines([GOOD])[0][:6] == ("good", "3", "6,000.00", "6,300.00", "+5.0%", "0.0%")
    both, seen, held_out = summary([GOOD, POOR])
    # median of 5 and 50 %; one within 25 %; median of 1 and -0.866
    assert both[:7] == ("all", "2", "27.5%", "50.0%", "1 of 2", "0.067", "1 of 2")
    assert (seen[0], seen[1], held_out[0], held_out[2]) == ("seen", "1", "held out", "50.0%")


def test_the_lists_are_apart_and_long_enough() -> None:
    assert not set(DEVELOPED_ON) & set(HELD_OUT)
    assert len(DEVELOPED_ON) + len(HELD_OUT) >= 20
    assert len(HELD_OUT) >= 8


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="'resnet5' is not on the page: did you mean 'resnet50'"):
        check_models(["resnet5"])
    with pytest.raises(InputError, match="'xeon-8480' has no measured rates"):
        next(predict_all(load_device("xeon-8480"), 1))
