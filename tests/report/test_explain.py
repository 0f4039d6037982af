"""Names, rows and text of explanations. The page's transcripts are those of a run:

.venv/bin/python -m tests.report.test_explain   # writes them anew
"""

from __future__ import annotations

import re
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import fuseline
from fuseline.errors import InputError
from fuseline.fusion import partition
from fuseline.graph import Builder, Graph, Kind, OpClass, Role
from fuseline.report.rows.explain import explanation_row, find_op, missed_pair_rows
from fuseline.report.terminal.explain import print_explanation, print_missed_pairs
from fuseline.report.units import megabytes
from tests.fusion.test_ladder import Net

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
TRANSCRIPT = re.compile(
    r"(```console\n\$ fuseline partition (?P<words>[^\n]+)\n)(?P<text>.*?)(```\n)", re.DOTALL
)


@cache
def captured(model: str) -> Graph:
    return fuseline.capture(model)


def answer(words: str) -> str:
    """What `fuseline partition` says to `words`, the model's own lines left out."""
    model, _, strategy, option, *rest = words.split()
    graph = captured(model)
    plan = partition(graph, strategy)
    console = Console(file=StringIO(), width=132, highlight=False)
    if option == "--explain":
        print_explanation(console, explanation_row(graph, plan, *rest))
    else:
        print_missed_pairs(console, plan.strategy, missed_pair_rows(graph, plan, int(rest[0])))
    assert isinstance(console.file, StringIO)
    lines = (line.rstrip() for line in console.file.getvalue().strip("\n").split("\n"))
    return "\n".join(lines) + "\n"


def test_the_transcripts_of_the_page_are_those_of_a_run() -> None:
    found = list(TRANSCRIPT.finditer(PAGE.read_text()))
    assert len(found) == 4
    for transcript in found:
        assert transcript["text"] == answer(transcript["words"]), transcript["words"]


def named(*ops: tuple[str, str]) -> Graph:
    """A chain of ops, each with a name and a module path; those called view* are views."""
    build = Builder()
    last = build.tensor("x", (4,), role=Role.INPUT)
    for name, path in ops:
        if name.startswith("view"):
            made = build.tensor(name, (4,), storage=build.tensors[last].storage)
            build.op(
                name, Kind.RESHAPE, inputs=[last], outputs=[made], op_class=OpClass.VIEW,
                module_path=path,
            )  # fmt: skip
            last = made
        else:
            last = build.op(name, Kind.RELU, inputs=[last], shape=(4,), module_path=path)
    return build.finish([last])


NAMES = named(
    ("relu", "layer.0.act"), ("view", "layer.0.act"), ("gelu", "layer.0.mlp.act"),
    ("relu_1", "layer.1.act"), ("view_1", "layer.2"), ("layer", ""),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "op"),
    [
        ("relu", 0),  # a name
        ("layer.0.act", 0),  # the last compute op of a module, not its last view
        ("layer.0", 2),  # modules inside count
        ("layer.2", 4),  # all there is are views
        ("layer", 5),  # a name before a path
        ("mlp", 2),  # the end of a path, where it is clear
        ("mlp.act", 2),
        ("1.act", 3),
    ],
)
def test_an_op_is_found_by_name_or_module(text: str, op: int) -> None:
    assert find_op(NAMES, text) == op


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rela", "no op or module 'rela': did you mean 'relu'?"),
        ("layer.0.acts", "no op or module 'layer.0.acts': did you mean 'layer.0.act'?"),
        ("", "no op or module ''"),
        ("act", "'act' is any of 3 modules: layer.0.act, layer.0.mlp.act, layer.1.act"),
    ],
)
def test_a_name_that_finds_none_or_several_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        find_op(NAMES, text)
    assert str(caught.value) == said


def test_ambiguous_names_list_five() -> None:
    graph = named(*((f"op{n}", f"layer.{n}.act") for n in range(7)))
    with pytest.raises(InputError) as caught:
        find_op(graph, "act")
    five = ", ".join(f"layer.{n}.act" for n in range(5))
    assert str(caught.value) == f"'act' is any of 7 modules: {five}, ..."
    with pytest.raises(InputError, match="'same' is the name of 2 ops: numbers 0, 1"):
        find_op(named(("same", ""), ("same", "")), "same")


def two_readers() -> Graph:
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    z = net.op("fc", Kind.LINEAR, y, weight=True)
    return net.done(z, net.op("other", Kind.SIGMOID, y))


def test_rows_speak_in_names_and_exact_bytes() -> None:
    graph = two_readers()
    row = explanation_row(graph, partition(graph, "unfused"), "fc", "act")
    assert (row.first, row.second, row.together) == ("act", "fc", False)
    assert [home.ops for home in row.groups] == [("act",), ("fc",)]
    assert [(r.from_, r.to, r.bytes) for r in row.refusals] == [("act", "fc", 256)]
    reader = row.remedies[0]
    assert (reader.change, reader.rules, reader.without) == (
        "one reader less",
        "B",
        ("act", "other"),
    )
    assert reader.saved_bytes == 512
    missed = missed_pair_rows(graph, partition(graph, "unfused"), 5)
    assert [(m.from_, m.to, m.saved_bytes, m.legal) for m in missed] == [
        ("act", "fc", 256, False),
        ("act", "other", 256, True),
    ]
    assert missed[0].remedy == reader


def test_text_says_what_the_rows_say() -> None:
    graph = two_readers()
    plan = partition(graph, "unfused")
    console = Console(file=StringIO(), width=40)  # lines are not broken, however narrow
    row = explanation_row(graph, plan, "fc", "act")
    print_explanation(console, row)
    missed = missed_pair_rows(graph, plan, 5)
    print_missed_pairs(console, "unfused", missed)
    print_missed_pairs(console, "unfused", ())
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert "act and fc: apart under 'unfused'" in said
    assert f"{row.remedies[0].sentence} (saves {megabytes(512)} MB)" in said
    assert "2. act -> other" in said
    assert said.count(f"one kernel would save    {megabytes(256)} MB") == 3
    assert "one kernel for any two groups saves nothing" in said
    for refusal in row.refusals:
        assert refusal.reason in said


if __name__ == "__main__":
    PAGE.write_text(TRANSCRIPT.sub(lambda m: m[1] + answer(m["words"]) + m[4], PAGE.read_text()))
