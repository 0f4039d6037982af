"""Pictures as DOT, and what Graphviz makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from fuseline.errors import InputError
from fuseline.fusion import partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role
from fuseline.report.colours import SOFT
from fuseline.report.dot import encode_dot, markup
from fuseline.report.graphviz import draw
from fuseline.report.rows import Target, rows
from fuseline.report.rows.picture import picture
from fuseline.report.text import shortened, visible
from tests.costs.test_roofline import ROUND
from tests.golden import check_golden
from tests.report.examples import HOSTILE, example_graph, example_plan
from tests.report.models import tower

needs_graphviz = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz's `dot` is not installed"
)


def dot_of(
    graph: Graph, strategy: str = "fusion", most: int | None = None, *, ops: bool = False
) -> str:
    plan = partition(graph, strategy)
    row = rows(graph, (plan,), "0", Target(ROUND)).plans[0]
    return encode_dot(picture(graph, plan, row, most), row, graph.source.name, ops=ops)


def read_back(dot: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Objects (clusters and boxes) and arrows, as Graphviz reads them."""
    made = subprocess.run(["dot", "-Tjson"], input=dot.encode(), capture_output=True, check=True)  # noqa: S607
    found = json.loads(made.stdout)
    assert not made.stderr
    return found["objects"], found.get("edges", [])


def texts(dot: str) -> list[str]:
    """Every line of text in the drawing."""
    space = "{http://www.w3.org/2000/svg}"
    return [
        "".join(found.itertext())
        for found in ET.fromstring(draw(dot)).iter(f"{space}text")  # noqa: S314 - our own
    ]


def test_dot_is_as_it_was() -> None:
    check_golden("picture/tower.dot", dot_of(tower(12)))
    check_golden("picture/tower-closed.dot", dot_of(tower(12), most=3))


def test_the_same_picture_is_the_same_text() -> None:
    assert dot_of(tower(5)) == dot_of(tower(5))


def test_a_kernel_says_what_it_does_and_costs() -> None:
    dot = dot_of(example_graph(), "unfused")
    # fc reads 128 + 256 and writes 128 bytes: 25.6 s at 20 bytes/s, and 3 s to launch
    assert "<B>net.fc</B>" not in dot  # the frame is `net`
    assert "<B>fc</B>" in dot
    assert "512 B, 512 FLOP, 28.6 s" in dot
    assert "&gt;= 0 FLOP + 1 unknown" in dot  # what no formula knows is no zero
    assert "&gt;= 15.8 s" in dot  # mystery: 256 bytes and a launch, whatever it computes
    assert f'fillcolor="{SOFT["bandwidth"]}"' in dot


def test_a_repeat_says_what_no_arrow_shows() -> None:
    assert "hands 64 B to the next" in dot_of(tower(12))
    assert "hands" not in dot_of(tower(1))


def test_kernels_besides_the_groups_are_said() -> None:
    graph, plan = example_graph(), example_plan()
    row = rows(graph, (plan,), "0", Target(ROUND)).plans[0]
    dot = encode_dot(picture(graph, plan, row), row, "model")
    assert "1 kernel of no op, 64 B: not drawn" in dot


def test_ops_are_listed_where_they_are_asked_for() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    kinds = (Kind.RELU, Kind.RELU, Kind.GELU, Kind.SILU, Kind.TANH, Kind.SIGMOID, Kind.ELU,
             Kind.SELU, Kind.MISH, Kind.HARDSWISH, Kind.HARDSIGMOID, Kind.LEAKY_RELU)  # fmt: skip
    for place, kind in enumerate(kinds):
        x = build.op(f"op_{place}", kind, inputs=[x], shape=(4,), origin=Origin.ATEN)
    graph = build.finish([x])
    brief = dot_of(graph, "optimal")
    assert "relu x2, gelu, silu, tanh" in brief
    assert "… 1 more" in brief
    assert ">leaky_relu<" not in brief
    every = dot_of(graph, "optimal", ops=True)
    assert all(f">{kind.value}<" in every for kind in kinds[2:])


@needs_graphviz
def test_graphviz_reads_what_was_meant() -> None:
    graph = tower(12)
    plan = partition(graph, "fusion")
    row = rows(graph, (plan,), "0", Target(ROUND)).plans[0]
    found = picture(graph, plan, row)
    objects, edges = read_back(encode_dot(found, row, "tower"))
    names = [str(thing["name"]) for thing in objects]
    frames = [name for name in names if name.startswith("cluster_")]
    assert len(frames) == 2  # blocks, and what repeats in it
    assert len(names) - len(frames) == len(found.boxes) + 2  # the input and the output
    assert len(edges) == len(found.arrows)


@needs_graphviz
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_show_as_text(name: str) -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    for place in range(3):
        x = build.op(
            f"op_{place}", Kind.GELU, inputs=[x], shape=(4 + place,), target=name,
            module_path=f"{name.replace('.', '_')}.{place}", origin=Origin.ATEN,
        )  # fmt: skip
    dot = dot_of(build.finish([x]), "unfused")
    objects, edges = read_back(dot)
    assert (len(objects), len(edges)) == (3 + 2, 4)
    drawn = texts(dot)
    assert sum(text.split() == shortened(visible(name), 30).split() for text in drawn) == 3


def test_markup_hides_nothing_and_means_nothing() -> None:
    assert markup("a\\Nb<i>&amp;\u202e") == "a\\\\Nb&lt;i&gt;&amp;amp;\\\\u202e"
    assert len(markup("x" * 10_000)) == 48


@needs_graphviz
def test_a_drawing_is_svg() -> None:
    drawing = draw(dot_of(tower(3)))
    root = ET.fromstring(drawing)  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawing == draw(dot_of(tower(3)))


@needs_graphviz
def test_a_drawing_as_png_has_two_pixels_a_unit() -> None:
    root = ET.fromstring(draw(dot_of(tower(3))))  # noqa: S314 - our own
    points = int(root.get("width", "0").removesuffix("pt"))  # 72 an inch; a unit is 96th of it
    made = draw(dot_of(tower(3)), "png")
    assert int.from_bytes(made[16:20], "big") == pytest.approx(2 * points * 96 / 72, abs=3)


@needs_graphviz
def test_what_graphviz_cannot_read_is_said() -> None:
    with pytest.raises(InputError, match=r"Graphviz failed: .*syntax error"):
        draw("digraph {")


def test_without_graphviz_the_cure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(InputError, match=r"not on the path: install graphviz, or write DOT"):
        draw("digraph {}")


def test_what_takes_graphviz_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", forever)
    with pytest.raises(InputError, match=r"Graphviz took over 60 s: draw fewer boxes"):
        draw("digraph {}")
