"""Text in a model that tries to break out of a format shows as text: in all of them."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from io import BytesIO, StringIO

import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt

from fuseline.fusion import partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Source
from fuseline.hardware import load_device
from fuseline.report.formats import CHARTS, FORMATS, TABLE_NAMES, Asked
from fuseline.report.rows import Target

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "<!--<script>",
    "\"quotes' and `ticks`",
    "line\nbreak\r\nand\ttab",
    "x" * 10_000,
    "right \u202e to left \u2067 marks \u200f",
    "=HYPERLINK(1)",
    "+1-2",
    "@SUM(1)",
    "a|b||c",
    "\\N \\L \\G",
    "%s {0} {{x}} ${y}",
    "nul \x00 and bell \x07",
    "[link](javascript:alert(3)) ![i](x)",
    "\ud800 lone",
)
TARGET = Target(load_device("h100-sxm"))


def model(names: tuple[str, ...]) -> Graph:
    """x -> (linear -> relu) for each name; every text of an op is that name."""
    build = Builder()
    x = build.tensor(names[0], (4, 4), role=Role.INPUT)
    for name in names:
        weight = build.tensor(name, (4, 4), role=Role.PARAMETER)
        for kind, held in ((Kind.LINEAR, [weight]), (Kind.RELU, [])):
            x = build.op(
                name, kind, inputs=[x], parameters=held, shape=(4, 4), target=name,
                module_path=f"net.{name}", module_class=name, origin=Origin.ATEN,
            )  # fmt: skip
    source = Source(names[0], names[1], "record", "eval", 1, "float32", ((4, 4),), notes=names)
    return build.finish([x], source)


def asked(graph: Graph, strategies: tuple[str, ...], **more: object) -> Asked:
    plans = tuple(partition(graph, strategy) for strategy in strategies)
    return Asked(graph, plans, "0", TARGET, capacity_seconds=5.0, **more)  # type: ignore[arg-type]


TAME = tuple(f"name{place}" for place in range(len(HOSTILE)))


@pytest.fixture(scope="module")
def graphs() -> tuple[Graph, Graph]:
    return model(HOSTILE), model(TAME)


def written(kind: str, graph: Graph, **more: object) -> bytes:
    single = FORMATS[kind].is_of_one_plan
    made = FORMATS[kind].write(asked(graph, ("tvm",) if single else ("tvm", "optimal"), **more))
    return made if isinstance(made, bytes) else made[""]


class Tags(HTMLParser):
    """How often each tag stands in a page, with the names of its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(sorted(name for name, _ in attrs))] += 1


def html_shape(content: bytes) -> object:
    tags = Tags()
    tags.feed(content.decode())
    return tags.found


def xml_shape(content: bytes) -> object:
    names = Counter(element.tag.rsplit("}", 1)[-1] for element in ET.fromstring(content).iter())  # noqa: S314 - our own
    assert "script" not in names
    assert "foreignObject" not in names
    return names["svg"]


def dot_shape(content: bytes) -> object:
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    made = subprocess.run(["dot", "-Tjson"], input=content, capture_output=True, check=True)  # noqa: S607
    graph = json.loads(made.stdout)
    return len(graph["objects"]), len(graph["edges"])


def markdown_shape(content: bytes) -> object:
    def kinds() -> Iterator[str]:
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(content.decode()):
            yield token.type
            for child in token.children or ():
                if child.type == "html_inline":  # text stands as code where it might mean something
                    assert child.content in {"<code>", "</code>"}
                elif child.type not in {"text", "code_inline", "softbreak"}:
                    yield child.type

    found = Counter(kinds())
    assert not {"html_block", "link_open", "image"} & set(found)
    return found["tr_open"], found["td_open"]


def csv_shape(content: bytes) -> object:
    rows = list(csv.reader(StringIO(content.decode(), newline="")))
    assert not [cell for row in rows for cell in row if cell[:1] in "=+@\t\r" and cell]
    assert not [
        cell for row in rows for cell in row if cell.startswith("-") and not is_number(cell)
    ]
    return [len(row) for row in rows]


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def terminal_shape(content: bytes) -> object:
    text = content.decode()
    assert not [c for c in text if ord(c) < 32 and c != "\n"]
    assert not [c for c in text if c in "\u202e\u2067\u200f"]
    return bool(text.strip())  # its lines break by the width of the text


def json_shape(content: bytes) -> object:
    return len(json.loads(content)["rows"])


def trace_shape(content: bytes) -> object:
    return Counter(event["ph"] for event in json.loads(content)["traceEvents"])


def explorer_shape(content: bytes) -> object:
    graphs = json.loads(content)
    for graph in graphs:
        ids = {node["id"] for node in graph["nodes"]}
        assert len(ids) == len(graph["nodes"])
    return [len(graph["nodes"]) for graph in graphs]


def parquet_shape(content: bytes) -> object:
    table = pq.read_table(BytesIO(content))  # type: ignore[no-untyped-call]
    return table.num_rows, table.schema.names


def png_shape(content: bytes) -> object:
    return content[:8] == b"\x89PNG\r\n\x1a\n"


SHAPES: dict[str, Callable[[bytes], object]] = {
    "html": html_shape,
    "dot": dot_shape,
    "svg": xml_shape,
    "png": png_shape,
    "trace": trace_shape,
    "explorer": explorer_shape,
    "terminal": terminal_shape,
    "markdown": markdown_shape,
    "csv": csv_shape,
    "json": json_shape,
    "parquet": parquet_shape,
}
"""What a document is made of, its text apart."""


def test_every_format_is_tried() -> None:
    assert set(SHAPES) == set(FORMATS)


@pytest.mark.parametrize("kind", [kind for kind, made in FORMATS.items() if not made.is_table])
def test_a_hostile_model_makes_the_document_that_a_tame_one_makes(
    kind: str, graphs: tuple[Graph, Graph]
) -> None:
    if kind in {"svg", "png"} and shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    hostile, tame = (SHAPES[kind](written(kind, graph)) for graph in graphs)
    assert hostile == tame


@pytest.mark.parametrize("table", TABLE_NAMES)
@pytest.mark.parametrize("kind", [kind for kind, made in FORMATS.items() if made.is_table])
def test_a_hostile_model_makes_the_tables_that_a_tame_one_makes(
    kind: str, table: str, graphs: tuple[Graph, Graph]
) -> None:
    hostile, tame = (SHAPES[kind](written(kind, graph, tables=(table,))) for graph in graphs)
    assert hostile == tame


@pytest.mark.parametrize("chart", CHARTS)
def test_a_hostile_model_makes_the_charts_that_a_tame_one_makes(
    chart: str, graphs: tuple[Graph, Graph]
) -> None:
    hostile, tame = (xml_shape(written("svg", graph, chart=chart)) for graph in graphs)
    assert hostile == tame
