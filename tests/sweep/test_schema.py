"""The schema of a sweep's rows: nothing of a result is forgotten, and names stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from fuseline.costs import FORMULAS, cost
from fuseline.fusion import STRATEGIES, Settings
from fuseline.graph import Kind
from fuseline.hardware import load_device
from fuseline.report.captures import Capturing
from fuseline.report.rows import Target, plan_row, rows
from fuseline.report.rows.data import GraphRow, ModelRow, PlanRow
from fuseline.report.rows.device import CacheRow, MemoryRow, ProofRow, RooflineRow
from fuseline.report.rows.table import Measure, Value
from fuseline.report.rows.ways import DIMENSIONS, FIGURES, Way
from fuseline.sweep import schema
from fuseline.sweep.captured import CAPTURES
from fuseline.sweep.grids import Capture, Planning
from fuseline.sweep.overview import schema_table
from fuseline.sweep.schema import COLUMNS, LISTS, failed_row, failed_rows, jobs_of, row_of
from fuseline.sweep.tasks import Row, Status
from tests.golden import check_golden
from tests.report.chains import chain

NAMES = [column.name for column in COLUMNS]
PLANNING = Planning(("optimal", "pairs"), ("h100-sxm", "t4"), rules=("A", "T"))
CAPTURE = Capture(0, 0, "net.json", Capturing(), PLANNING)
GRAPH = chain()


def the_way(strategy: str = "optimal", device: str | None = "h100-sxm") -> Way:
    target = Target(load_device(device)) if device else None
    plan = STRATEGIES[strategy](GRAPH, Settings())
    row = plan_row(GRAPH, plan, cost(GRAPH, plan), target)
    known = rows(GRAPH, (), "")
    room = target.device.memory_nbytes if target else None
    return Way("net.json", known.model, known.graph, row, row.memory, room)


def as_dict(row: Row) -> dict[str, Value | list[dict[str, Value]]]:
    return dict(zip([*NAMES, *(each.name for each in LISTS)], row, strict=True))


# --- nothing is forgotten -------------------------------------------------------------------

COLUMN_OF = {
    "roofline.summed_seconds": "seconds",
    "memory.total_bytes": "memory_bytes",
    "proof.bound": "lower_bound_bytes",
    "cache.hit_bytes": "cache_hit_bytes",
    "cache.memory_bytes": "cache_memory_bytes",
    "cache.seconds": "cache_seconds",
}
"""Fields whose column bears another name."""

LEFT_OUT = {
    "roofline.overlapped": "seconds and pipelined_seconds differ where it is so",
    "roofline.unknown_ops": "unknown_ops",
    "memory.input_bytes": "memory_bytes less parameters and activations_peak_bytes",
    "memory.capacity_bytes": "the device's, not the plan's",
    "proof.value": "traffic_bytes, or seconds in picoseconds",
    "proof.candidates": "tells of the search, not of the plan",
    "proof.cuts": "tells of the search, not of the plan",
    "cache.capacity_bytes": "the device's, not the plan's",
}
"""Figures of a result that no row has, and why."""


def figures_of(way: Way) -> Iterator[tuple[str, Value]]:
    """Every number of the rows that a way holds, by the place it stands at."""
    time = way.plan.roofline
    for place, kind, row in (
        ("model", ModelRow, way.model), ("graph", GraphRow, way.graph),
        ("plan", PlanRow, way.plan), ("roofline", RooflineRow, time),
        ("memory", MemoryRow, way.memory), ("proof", ProofRow, way.plan.proof),
        ("cache", CacheRow, time.cache if time else None),
    ):  # fmt: skip
        for field in fields(kind):
            if {"int", "float", "bool"} & set(str(field.type).replace("|", " ").split()):
                yield f"{place}.{field.name}", getattr(row, field.name)


def test_every_figure_of_a_result_is_in_the_row_or_left_out_for_a_reason() -> None:
    way = the_way()
    row = as_dict(row_of(jobs_of(CAPTURE)[2], way, GRAPH))
    found = dict(figures_of(way))
    assert len(found) > 45
    for place, value in found.items():
        if place in LEFT_OUT:
            continue
        name = COLUMN_OF.get(place, place.partition(".")[2])
        assert name in NAMES, f"{place}: give it a column, or a reason in LEFT_OUT"
        assert row[name] == value, place
    assert {*COLUMN_OF, *LEFT_OUT} <= set(found)  # no reason outlives its figure


def test_every_figure_and_dimension_of_a_comparison_is_in_the_row() -> None:
    way = the_way()
    row = as_dict(row_of(jobs_of(CAPTURE)[2], way, GRAPH))
    for figure in FIGURES:
        assert row[figure.name] == figure.of(way), figure.name
    for dimension in DIMENSIONS:
        if dimension.name not in ("model", "device", "asked"):  # as the sweep asked
            assert row[dimension.name] == dimension.of(way), dimension.name


def test_the_flops_of_a_row_are_those_of_its_kinds() -> None:
    sets = (
        schema.CONVOLUTIONS, schema.DEPTHWISE, schema.MATMULS, schema.RECURRENT, schema.ATTENTIONS,
    )  # fmt: skip
    kinds = [kind for each in sets for kind in each]
    assert len(set(kinds)) == len(kinds)
    where = ("fuseline.costs.attention", "fuseline.costs.contractions")
    assert set(kinds) == {kind for kind, of in FORMULAS.items() if of.__module__ in where}
    row = as_dict(row_of(jobs_of(CAPTURE)[2], the_way(), GRAPH))
    assert row["matmul_flops"] == row["flops"] == 2 * 4 * 4 * 4
    assert all(not op.work.flops for op in GRAPH.ops if op.kind not in kinds)
    assert Kind.LINEAR in schema.MATMULS


# --- names stay -----------------------------------------------------------------------------


def test_names_differ_and_stay() -> None:
    names = [*NAMES, *(each.name for each in LISTS)]
    assert len(set(names)) == len(names)
    assert names[:8] == [
        "job", "model", "strategy", "batch", "dtype", "device", "status", "reason",
    ]  # fmt: skip
    for each in LISTS:
        assert len({field.name for field in each.fields}) == len(each.fields)
    table = schema_table()
    places = [table.column(name) for name in ("table", "column", "type", "measure")]
    lines = [" ".join(map(str, row)) for row in zip(*places, strict=True)]
    check_golden("sweep-columns.txt", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    "column", [*COLUMNS, *(field for each in LISTS for field in each.fields), *CAPTURES],
    ids=lambda column: column.name,
)  # fmt: skip
def test_a_name_bears_its_unit_and_a_meaning(column: schema.Column) -> None:
    assert column.meaning
    endings = {
        "bytes": Measure.BYTES, "flops": Measure.FLOPS, "seconds": Measure.SECONDS,
        "fraction": Measure.FRACTION,
    }  # fmt: skip
    unit = endings.get(column.name.rpartition("_")[2])
    assert unit is None or column.measure is unit
    assert unit is not None or column.measure not in (
        Measure.BYTES, Measure.FLOPS, Measure.SECONDS,
    ) or column.name == "seconds_per_sample"  # fmt: skip


# --- rows -----------------------------------------------------------------------------------


def test_a_row_says_what_the_job_was_and_what_it_came_to() -> None:
    job = jobs_of(CAPTURE)[2]
    row = as_dict(row_of(job, the_way(), GRAPH))
    assert (row["job"], row["model"], row["strategy"]) == (job.id, "net.json", "optimal")
    assert (row["rules"], row["device"]) == ("T", "h100-sxm")
    assert (row["status"], row["reason"], row["zoo"]) == ("ok", None, "file")
    assert (row["batch"], row["dtype"], row["mode"]) == (4, "float32", "eval")
    # Linear, ReLU, Tanh as one kernel: x, the weight and y cross its boundary, 4 x 4 floats each
    assert row["traffic_bytes"] == 3 * 4 * 4 * 4
    assert row["gap"] == 0
    assert row["is_optimal"] is True
    [pattern] = _list(row["patterns"])
    assert (pattern["count"], pattern["operators"]) == (1, 3)
    assert pattern["saved_bytes"] == row["saved_bytes"]
    [share] = _list(row["bottlenecks"])
    assert (share["bottleneck"], share["launches"]) == ("launch", 1)
    assert row["refusals"] == []


def _list(value: Value | list[dict[str, Value]]) -> list[dict[str, Value]]:
    assert isinstance(value, list)
    return value


def test_without_a_device_nothing_is_timed() -> None:
    row = as_dict(row_of(jobs_of(CAPTURE)[2], the_way(device=None), GRAPH))
    timed = [column.name for column in COLUMNS if column.measure is Measure.SECONDS]
    assert {row[name] for name in timed} == {None}
    assert [share["seconds"] for share in _list(row["bottlenecks"])] == [None]
    assert row["rated"] is row["cache_hit_bytes"] is row["fits"] is None


def test_refusals_are_counted_by_rule() -> None:
    way = the_way("unfused")
    row = as_dict(row_of(jobs_of(CAPTURE)[2], way, GRAPH))
    found = _list(row["refusals"])
    assert sum(_number(each["pairs"]) for each in found) == len(way.plan.refusals) > 0
    saved = sum(refusal.bytes for refusal in way.plan.refusals)
    assert sum(_number(each["bytes"]) for each in found) == saved


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def test_a_failed_row_has_what_was_asked_and_no_figures() -> None:
    jobs = jobs_of(CAPTURE)
    assert len(jobs) == PLANNING.jobs == 6
    row = failed_row(jobs[5], Status.DIED, "signal 11")
    assert len(row) == len(COLUMNS) + len(LISTS) == len(row_of(jobs[0], the_way(), GRAPH))
    found = as_dict(row)
    asked = {name for name, value in found.items() if value not in (None, [])}
    assert asked == {
        "job", "model", "strategy", "device", "status", "reason", "zoo", "attention", "via", "mode",
        "pair_rules", "launch", "tf32",
    }  # fmt: skip
    assert (found["status"], found["reason"]) == ("died", "signal 11")
    assert (found["strategy"], found["device"], found["pair_rules"]) == (
        "pairs",
        "t4",
        "tflite-cpu",
    )


@pytest.mark.parametrize("device", ["h100-sxm", None])
def test_a_failed_row_says_how_it_was_to_be_planned(device: str | None) -> None:
    devices = (device,) if device else ()
    planning = replace(
        PLANNING, devices=devices, on_chip=2**20, objective="seconds", launch="graph", tf32=True
    )
    optimal, _, pairs = (
        as_dict(failed_row(job, Status.DIED, "signal 11"))
        for job in jobs_of(replace(CAPTURE, planning=planning))
    )
    timed = ("graph", True) if device else (None, None)
    names = ("launch", "tf32", "objective", "on_chip_bytes")
    assert tuple(optimal[name] for name in names) == (*timed, "seconds", 2**20)
    assert tuple(pairs[name] for name in names) == (*timed, None, None)


def test_nothing_is_said_of_tfloat32_where_no_op_is_of_float32() -> None:
    capture = replace(CAPTURE, how=Capturing(dtype="bfloat16"))
    assert as_dict(failed_row(jobs_of(capture)[0], Status.DIED, "signal 11"))["tf32"] is None


def test_operators_are_counted_over_all_groups_of_a_pattern() -> None:
    row = as_dict(row_of(jobs_of(CAPTURE)[2], the_way("unfused"), GRAPH))
    [pattern] = _list(row["patterns"])
    assert (pattern["pattern"], pattern["count"], pattern["operators"]) == ("Unfused", 3, 3)


def test_what_decides_a_search_is_in_its_id_alone() -> None:
    longer = replace(CAPTURE, planning=replace(PLANNING, search_seconds=5.0))
    same = [
        one.id == other.id for one, other in zip(jobs_of(CAPTURE), jobs_of(longer), strict=True)
    ]
    assert same == [False] * 4 + [True] * 2  # `optimal` under two rungs on two devices, then pairs


def test_a_unit_that_fails_fails_on_every_device() -> None:
    found = [as_dict(row) for row in failed_rows(CAPTURE, 1, Status.REFUSED, "no")]
    assert [(row["strategy"], row["rules"], row["device"]) for row in found] == [
        ("optimal", "T", "h100-sxm"), ("optimal", "T", "t4"),
    ]  # fmt: skip
    assert [row["job"] for row in found] == [job.id for job in jobs_of(CAPTURE)[2:4]]


def test_how_a_saved_graph_was_captured_is_what_it_says() -> None:
    way = the_way()
    way = replace(way, model=replace(way.model, via="module"))
    assert as_dict(row_of(jobs_of(CAPTURE)[2], way, GRAPH))["via"] == "module"
