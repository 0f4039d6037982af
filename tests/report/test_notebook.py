"""What plans show in a notebook, and the example notebook run from top to bottom."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.notebooknode import NotebookNode

from fuseline import Plan, partition
from fuseline.plan import DISPLAYS, Group
from fuseline.report.notebook import ROWS, mimebundle, table_html, tables_html
from fuseline.report.rows.table import Column, Measure, Table
from fuseline.report.text import visible
from tests.golden import check_golden
from tests.report.examples import HOSTILE, example_graph, example_plan, hostile_table

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


class _Reader(HTMLParser):
    """The tags of a piece of HTML, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


TAGS = {"div", "style", "p", "strong", "table", "caption", "thead", "tr", "th", "tbody", "td",
        "ul", "li"}  # fmt: skip


def shown_plan() -> Plan:
    return replace(example_plan(), graph=example_graph())


def test_a_plan_shows_its_figures() -> None:
    bundle = shown_plan()._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/markdown", "text/plain"}
    assert shown_plan()._repr_html_() == bundle["text/html"]
    check_golden("notebook/plan.html", bundle["text/html"])
    check_golden("notebook/plan.md", bundle["text/markdown"])
    check_golden("notebook/plan.txt", bundle["text/plain"])
    words = read(bundle["text/html"]).text
    for said in ("832", "1,024", "linear_gelu", "(kernels besides the groups)"):
        assert said in words
    assert any("FLOPs leave out 1 unknown op" in text for text in words)


def test_only_what_is_asked_for_is_given() -> None:
    plan = shown_plan()
    assert set(plan._repr_mimebundle_(include={"text/html"})) == {"text/html"}
    assert set(plan._repr_mimebundle_(exclude=["text/html"])) == {"text/markdown", "text/plain"}


def test_a_plan_without_its_graph_shows_its_groups_and_says_so() -> None:
    bundle = example_plan()._repr_mimebundle_()
    assert "figures need its graph" in bundle["text/plain"]
    assert "linear_gelu" in bundle["text/plain"]
    assert "traffic_bytes" not in bundle["text/plain"]
    assert read(bundle["text/html"]).tags.count("table") == 2


def test_a_plan_of_another_graph_shows_no_figures() -> None:
    plan = Plan("mine", (Group(0, (0,), "Unfused"),), (), graph=example_graph())
    assert "no figures: the plan is not of this graph" in plan._repr_mimebundle_()["text/plain"]


def test_a_plan_that_nobody_shows_is_its_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DISPLAYS, Plan)
    plan = example_plan()
    assert plan._repr_mimebundle_() == {"text/plain": repr(plan)}
    assert plan._repr_html_() is None


def test_the_graph_is_no_part_of_what_a_plan_says() -> None:
    graph = example_graph()
    plan = partition(graph, "tvm")
    assert plan.graph is graph
    bare = replace(plan, graph=None)
    assert plan == bare
    assert hash(plan) == hash(bare)
    assert repr(plan) == repr(bare)


def test_the_colours_are_the_notebook_s_own() -> None:
    html = tables_html((hostile_table(),), heading="Hostile")
    assert "background" not in html
    assert "color:" not in html
    assert "http" not in html
    assert "src=" not in html


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_wherever_it_stands(name: str) -> None:
    graph = example_graph(name, name)
    plan = replace(example_plan(name, name), graph=graph, rules=name)
    for shown in (plan, replace(plan, graph=None)):
        reader = read(shown._repr_mimebundle_()["text/html"])
        assert set(reader.tags) <= TAGS
        assert reader.attributes <= {"class", "style", "scope", "title"}
        assert any(visible(name)[:50] in text for text in reader.text)


def test_a_hostile_table_is_text() -> None:
    table = replace(hostile_table(), columns=(
        Column('" onmouseover="alert(1)', Measure.COUNT, '"><img src=x onerror=alert(1)>'),
        *hostile_table().columns[1:],
    ))  # fmt: skip
    reader = read(tables_html((table,), heading="<b>\n"))
    assert set(reader.tags) <= TAGS
    assert reader.attributes <= {"class", "style", "scope", "title"}
    assert "<b>\\n" in reader.text


def test_a_long_table_shows_its_first_rows_and_counts_the_rest() -> None:
    column = (Column("op", Measure.TEXT),)
    table = Table("ops", "Ops", column, tuple((str(number),) for number in range(ROWS + 7)))
    assert read(table_html(table)).tags.count("tr") == 1 + ROWS
    for content in mimebundle((table,)).values():
        assert "7 more rows are not shown" in content
    full = replace(table, rows=table.rows[:ROWS])
    assert all("more rows" not in content for content in mimebundle((full,)).values())


def example_notebook() -> NotebookNode:
    found = nbformat.read(NOTEBOOK, as_version=4)
    assert isinstance(found, NotebookNode)
    return found


def shown_by(notebook: NotebookNode, cell: str) -> dict[str, str]:
    """What the last line of a cell came to, by MIME type."""
    [found] = [each for each in notebook.cells if each.id == cell]
    [result] = [each for each in found.outputs if each.output_type == "execute_result"]
    return result.data


def printed_by(notebook: NotebookNode, cell: str) -> str:
    [found] = [each for each in notebook.cells if each.id == cell]
    return "".join(each.text for each in found.outputs if each.output_type == "stream")


def test_the_example_notebook_is_kept_without_outputs() -> None:
    notebook = example_notebook()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = example_notebook()
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    for cell in ("fusion", "optimal", "compare", "module"):
        shown = shown_by(notebook, cell)
        assert set(shown) == {"text/html", "text/markdown", "text/plain"}, cell
        assert "table" in read(shown["text/html"]).tags
    # README's figures of ViT-B/16
    assert "35,127,656,448 FLOPs" in printed_by(notebook, "capture")
    assert "524,794,688" in read(shown_by(notebook, "fusion")["text/html"]).text
    assert "optimal: no partition legal" in shown_by(notebook, "optimal")["text/plain"]
