"""What a worker tells of a task, and that its rows are the figures of the single command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest

from fuseline.cli import run
from fuseline.costs.flops import FORMULAS
from fuseline.errors import InputError
from fuseline.graph import Kind, save
from fuseline.report.captures import Capturing, graph_of
from fuseline.report.compare import Planned, Subject
from fuseline.report.rows import PlanRow
from fuseline.report.rows.table import Value
from fuseline.report.rows.ways import Way
from fuseline.sweep import schema, work
from fuseline.sweep.environment import here
from fuseline.sweep.graphs import GraphCache
from fuseline.sweep.grids import Grid, Planning, Sweep
from fuseline.sweep.schema import COLUMNS, LISTS, failed_row, jobs_of
from fuseline.sweep.tasks import (
    Began,
    Caching,
    Ended,
    Event,
    Limits,
    Made,
    Row,
    Status,
    Task,
    Uncaptured,
    decode_event,
    encode_event,
)

_LIMITS = Limits(seconds=300.0, nbytes=16 << 30)
_PLANNING = Planning(("unfused", "fusion", "optimal"), ("h100-sxm", "orin-agx"), rules=("A", "T"))
_NAMES = [*(column.name for column in COLUMNS), *(each.name for each in LISTS)]
_FACTORIES = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.zeros(2, 4)

def greedy():
    bytearray(200 << 30)

def broken():
    raise KeyError("width")

def gates():
    return nn.LSTM(8, 16, batch_first=True), torch.zeros(2, 3, 8)
"""


@pytest.fixture
def factories(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(_FACTORIES)
    return str(path)


def _task(
    model: str,
    how: Capturing | None = None,
    planning: Planning = _PLANNING,
    cache: Path | None = None,
    units: Sequence[int] | None = None,
) -> Task:
    capture = Sweep((Grid((model,), (how or Capturing(),), planning),)).capture(0)
    every = range(len(planning.unit_names))
    folder = str(cache) if cache else None
    return Task(capture, tuple(every if units is None else units), _LIMITS, Caching(folder), here())


def _rows(events: Sequence[Event]) -> list[Row]:
    return [row for event in events if isinstance(event, Made) for row in event.rows]


def _named(row: Row) -> dict[str, object]:
    return dict(zip(_NAMES, row, strict=True))


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


# --- events ---------------------------------------------------------------------------------


def test_every_step_is_told_as_it_comes(factories: str) -> None:
    task = _task(f"{factories}:small")
    events = list(work.work(task))
    assert [event.unit for event in events if isinstance(event, Began)] == [None, 0, 1, 2, 3]
    assert [type(event) for event in events] == [Began, *[Began, Made] * 4, Ended]
    jobs = jobs_of(task.capture)
    told = [(row["job"], row["strategy"], row["rules"], row["device"], row["status"])
            for row in map(_named, _rows(events))]  # fmt: skip
    assert [each[0] for each in told] == [job.id for job in jobs]
    assert [each[1] for each in told] == [job.strategy for job in jobs]
    assert [each[2] for each in told] == [None] * 4 + ["A", "A", "T", "T"]
    assert [each[3] for each in told] == ["h100-sxm", "orin-agx"] * 4
    assert {each[4] for each in told} == {"ok"}


def test_events_go_through_their_encoding(factories: str) -> None:
    events = list(work.work(_task(f"{factories}:small")))
    assert [decode_event(encode_event(event)) for event in events] == events


def test_only_the_units_asked_for_are_done(factories: str) -> None:
    every = list(work.work(_task(f"{factories}:small")))
    some = list(work.work(_task(f"{factories}:small", units=(3, 1))))
    assert [event.unit for event in some if isinstance(event, Made)] == [3, 1]
    assert _rows(some) == [*_rows(every)[6:8], *_rows(every)[2:4]]


def test_what_it_took_is_told(factories: str) -> None:
    *_, ended = work.work(_task(f"{factories}:small"))
    assert isinstance(ended, Ended)
    assert ended.cpu_seconds > 0
    assert ended.seconds > 0
    assert ended.peak_nbytes > 10 << 20
    assert not ended.cached


# --- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "status", "reason"), [
    ("no_such_model_anywhere", Status.REFUSED, "unknown model 'no_such_model_anywhere'"),
    ("{}:broken", Status.REFUSED, "KeyError: 'width'"),
    ("{}:greedy", Status.OUT_OF_MEMORY, "it needs more than the 16.0 GiB that a job may take"),
    ("nowhere.json", Status.REFUSED, "cannot read 'nowhere.json': No such file or directory"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:torchvision does not match")
def test_what_cannot_be_captured_says_why(
    model: str, status: Status, reason: str, factories: str
) -> None:
    began, uncaptured, ended = work.work(_task(model.format(factories)))
    assert began == Began(None)
    assert isinstance(uncaptured, Uncaptured)
    assert uncaptured.status is status
    assert uncaptured.reason.endswith(reason)
    assert isinstance(ended, Ended)


@pytest.mark.parametrize(("error", "status", "reason"), [
    (InputError("not this graph"), Status.REFUSED, "not this graph"),
    (ZeroDivisionError("by nothing"), Status.REFUSED,
     "optimal failed: ZeroDivisionError: by nothing"),
    (MemoryError(), Status.OUT_OF_MEMORY, "it needs more than the 16.0 GiB that a job may take"),
])  # fmt: skip
def test_a_unit_that_fails_has_a_row_a_device_and_the_others_go_on(
    error: Exception, status: Status, reason: str, factories: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = work.find_ways

    def some_ways(
        subjects: Sequence[Subject],
        planned: Planned,
        tell: Callable[[str], None],
        kept: Callable[[PlanRow], PlanRow],
    ) -> Iterator[Way]:
        if planned.strategies == ("optimal",) and planned.settings[0].rules == "A":
            raise error
        return real(subjects, planned, tell, kept=kept)

    task = _task(f"{factories}:small")
    whole = [event for event in work.work(task) if isinstance(event, Made)]
    monkeypatch.setattr(work, "find_ways", some_ways)
    made = [event for event in work.work(task) if isinstance(event, Made)]
    assert [event.status for event in made] == [Status.OK, Status.OK, status, Status.OK]
    failed = [failed_row(job, status, reason) for job in jobs_of(task.capture)[4:6]]
    assert made[2].rows == failed
    assert [made[place] for place in (0, 1, 3)] == [whole[place] for place in (0, 1, 3)]


def test_a_worker_of_another_version_refuses() -> None:
    task = _task("resnet18")
    other = Task(task.capture, task.units, task.limits, task.caching, {**here(), "torch": "1.0"})
    with pytest.raises(InputError, match=r"other versions than the driver: torch 1\.0 here"):
        next(work.work(other))


# --- rows -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:torchvision does not match")
def test_a_row_is_the_same_from_the_cache(tmp_path: Path) -> None:
    task = _task("resnet18", Capturing(batch=2, dtype="bfloat16"), cache=tmp_path)
    events = [list(work.work(task)) for _ in range(2)]
    assert [told[-1].cached for told in events if isinstance(told[-1], Ended)] == [False, True]
    assert _rows(events[0]) == _rows(events[1])
    assert len(_rows(events[0])) == 8
    [entry] = GraphCache(tmp_path, 1 << 30).entries()
    assert entry.about is not None
    assert (entry.about.model, entry.about.how.batch) == ("resnet18", 2)


def test_a_model_of_a_file_is_captured_anew(factories: str, tmp_path: Path) -> None:
    task = _task(f"{factories}:small", cache=tmp_path / "graphs")
    for _ in range(2):
        *_, ended = work.work(task)
        assert isinstance(ended, Ended)
        assert not ended.cached
    assert not (tmp_path / "graphs").exists()


def test_of_a_saved_graph_batch_and_dtype_are_its_own(factories: str, tmp_path: Path) -> None:
    path = tmp_path / "net.json.zst"
    save(graph_of(f"{factories}:small", Capturing(batch=2, dtype="float16")), path)
    row = _named(_rows(list(work.work(_task(str(path)))))[0])
    assert (row["model"], row["batch"], row["dtype"]) == (str(path), 2, "float16")


@pytest.mark.filterwarnings("ignore:torchvision does not match")
@pytest.mark.parametrize(("model", "how", "words"), [
    ("resnet18", Capturing(batch=2, dtype="bfloat16"), ["--batch", "2", "--dtype", "bfloat16"]),
    ("mobilenet_v2", Capturing(via="module"), ["--via", "module"]),
    pytest.param("hf/albert", Capturing(seq_len=8), ["--seq-len", "8"], marks=pytest.mark.slow),
], ids=["resnet18", "module", "hf"])  # fmt: skip
def test_rows_are_the_figures_of_the_single_command(
    model: str, how: Capturing, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from fuseline.cli.partition import command

    planning = Planning(("unfused", "fusion", "inductor"), ("h100-sxm",))
    rows = [_named(row) for row in _rows(list(work.work(_task(model, how, planning))))]
    capsys.readouterr()
    for row in rows:
        asked = ["--strategy", str(row["strategy"]), "--device", "h100-sxm", "--json", "-"]
        assert run(command, [model, *words, *asked]) == 0
        _check_row(row, json.loads(capsys.readouterr().out))


def _check_row(row: dict[str, object], result: dict) -> None:
    """Every figure of the command's JSON that a row has is the row's, and lists add up likewise."""
    [plan] = result["plans"]
    graph, timed = result["graph"], plan["roofline"]
    told = {**graph, **timed, **plan}
    skipped = {name for name, value in told.items() if isinstance(value, list | dict)}
    names = [name for name in row if name in told and name not in skipped]
    assert len(names) > 25
    assert {name: row[name] for name in names} == {name: told[name] for name in names}
    illegal = {each["group"] for each in plan["illegal_groups"]}
    assert row["illegal_groups"] == (None if plan["kind"] == "cover" else len(illegal))
    of_model = ("batch", "dtype", "mode", "via")
    assert [row[name] for name in of_model] == [result["model"][name] for name in of_model]
    assert row["patterns"] == [
        {"pattern": each["name"]}
        | {
            name: each[name]
            for name in ("count", "operators", "flops", "traffic_bytes", "saved_bytes")
        }
        for each in plan["patterns"]
    ]
    assert row["bottlenecks"] == [
        {name: each[name] for name in ("bottleneck", "launches", "seconds")}
        for each in timed["shares"]
    ]
    refusals = {each["rule"]: each for each in _dicts(row["refusals"])}
    for rule, each in refusals.items():
        of_rule = [one for one in plan["refusals"] if one["rule"] == rule]
        assert each["pairs"] == len(of_rule)
        assert each["bytes"] == sum(one["bytes"] for one in of_rule)
    assert refusals.keys() == {one["rule"] for one in plan["refusals"]}


def _dicts(value: object) -> list[dict[str, Value]]:
    assert isinstance(value, list)
    return value


@pytest.mark.filterwarnings("ignore:torchvision does not match")
@pytest.mark.parametrize("devices", [(), ("h100-sxm",)], ids=["untimed", "timed"])
def test_every_launch_is_in_a_pattern_and_has_a_bottleneck(devices: tuple[str, ...]) -> None:
    planning = Planning(("unfused", "fusion"), devices)
    for row in map(_named, _rows(list(work.work(_task("squeezenet1_0", planning=planning))))):
        bottlenecks, patterns = _dicts(row["bottlenecks"]), _dicts(row["patterns"])
        assert sum(_number(each["launches"]) for each in bottlenecks) == row["launches"]
        assert sum(_number(each["flops"]) for each in patterns) == row["flops"]
        assert sum(_number(each["traffic_bytes"]) for each in patterns) == row["traffic_bytes"]
        assert all((each["seconds"] is not None) == bool(devices) for each in bottlenecks)
        assert _dicts(row["refusals"])


# --- FLOPs by kind --------------------------------------------------------------------------

_PARTS = ("convolution", "depthwise", "matmul", "attention", "recurrent")


@pytest.mark.filterwarnings("ignore:torchvision does not match")
@pytest.mark.parametrize(("model", "how", "parts"), [
    ("resnet18", Capturing(), {"convolution", "matmul"}),
    ("mobilenet_v2", Capturing(), {"convolution", "depthwise", "matmul"}),
    ("vit_b_16", Capturing(), {"convolution", "matmul", "attention"}),
    ("vit_b_16", Capturing(via="module"), {"convolution", "matmul", "attention"}),
    ("swin_t", Capturing(via="module"), {"convolution", "matmul", "attention"}),
    ("swin_v2_t", Capturing(), {"convolution", "matmul"}),
    ("hf/albert", Capturing(seq_len=8), {"matmul", "attention"}),
    ("hf/albert", Capturing(seq_len=8, attention="decomposed"), {"matmul"}),
    ("{}:gates", Capturing(), {"recurrent"}),
    ("{}:gates", Capturing(via="module"), {"recurrent"}),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_flops_of_kinds_add_up(model: str, how: Capturing, parts: set[str], factories: str) -> None:
    planning = Planning(("fusion",))
    [row] = _rows(list(work.work(_task(model.format(factories), how, planning))))
    named = _named(row)
    of_parts = {part: _number(named[f"{part}_flops"]) for part in _PARTS}
    assert sum(of_parts.values()) == named["flops"] != 0
    assert {part for part, flops in of_parts.items() if flops} == parts
    assert (_number(named["folded_flops"]) > 0) == (model == "swin_v2_t")  # and in none of them


def test_every_kind_of_contraction_and_attention_is_in_one_set() -> None:
    sets = (
        schema.CONVOLUTIONS, schema.DEPTHWISE, schema.MATMULS, schema.RECURRENT, schema.ATTENTIONS,
    )  # fmt: skip
    assert not any(one & other for one, other in combinations(sets, 2))
    counted = {f"fuseline.costs.{name}" for name in ("contractions", "attention")}
    known = {kind for kind, formula in FORMULAS.items() if formula.__module__ in counted}
    assert frozenset[Kind]().union(*sets) == known
