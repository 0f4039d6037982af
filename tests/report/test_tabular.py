"""Formats of a table: golden files, values read back, and text that tries to break out."""

from __future__ import annotations

import csv
import html
import json
import re
import sys
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from fuseline import InputError
from fuseline.report.cells import cell_text, shown, upright
from fuseline.report.markdown import escape, markdown_document, markdown_table
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.rows.tables import TABLES, groups_table
from fuseline.report.tabular import FORMATS, format_of, write_table, write_tables
from fuseline.report.tabular.csv_text import csv_text
from fuseline.report.tabular.json_text import json_text
from fuseline.report.tabular.parquet_file import parquet_bytes
from fuseline.report.terminal.table import print_named_table, table_text
from fuseline.report.text import encodable, visible
from tests.golden import check_golden
from tests.report.examples import HOSTILE, example_result, hostile_table

ENDINGS = {"terminal": "txt", "markdown": "md", "csv": "csv", "json": "json"}
NAME = (Column("name", Measure.TEXT),)


def named(text: str) -> Table:
    return Table("names", "Names", NAME, ((text,),))


# Golden files


@pytest.mark.parametrize("format_", ENDINGS)
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_a_result_as_they_are_printed(name: str, format_: str) -> None:
    table = TABLES[name](example_result(on_device=True))
    check_golden(f"tables/{name}.{ENDINGS[format_]}", write_table(table, format_).decode())


@pytest.mark.parametrize("format_", ENDINGS)
def test_hostile_text_as_it_is_printed(format_: str) -> None:
    check_golden(f"tables/hostile.{ENDINGS[format_]}", write_table(hostile_table(), format_))


def test_a_document_of_several_tables() -> None:
    result = example_result(on_device=True)
    tables = [make(result) for make in TABLES.values()]
    document = markdown_document(tables, title="A report of hand-made")
    check_golden("tables/document.md", document)
    assert write_tables(tables, "markdown").decode().count("\n## ") == len(tables) - 1


# Formats for programs: exact values


def parsed_csv(table: Table) -> list[list[str]]:
    return list(csv.reader(StringIO(csv_text(table), newline="")))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\uff1d1", "\uff0b1", "\uff0d", "\uff20a"]
)
def test_no_cell_of_csv_is_a_formula(text: str) -> None:
    assert parsed_csv(named(text)) == [["name"], [f"'{text}"]]
    as_name = Table("names", "Names", (Column(text, Measure.TEXT),), ())
    assert parsed_csv(as_name) == [[f"'{text}"]]


def test_a_row_of_csv_is_a_line_whatever_a_name_holds() -> None:
    for text in ("\t=1", "\r=1", "\n=1", "a\u2028b"):
        assert parsed_csv(named(text)) == [["name"], [visible(text)]]
    assert len(csv_text(hostile_table()).splitlines()) == 1 + len(HOSTILE)


@given(st.text(st.characters(codec=None), max_size=40) | st.text("=+-@\t\r\n\"', a", max_size=9))
def test_any_text_is_read_back_from_csv(text: str) -> None:
    [_, cells] = parsed_csv(named(text)) if text else [[], [""]]
    assert cells[0].removeprefix("'") == visible(text).removeprefix("'")
    assert not cells[0].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_numbers_of_csv_are_exact_and_never_quoted() -> None:
    columns = (
        Column("saved_bytes", Measure.BYTES),
        Column("seconds", Measure.SECONDS),
        Column("launched", Measure.YES),
    )
    table = Table("t", "T", columns, ((-(2**70), 1 / 3, True), (None, float("inf"), False)))
    assert csv_text(table).splitlines() == [
        "saved_bytes,seconds,launched",
        f"{-(2**70)},0.3333333333333333,true",
        ",inf,false",
    ]


def test_json_has_every_value_and_says_what_is_infinite() -> None:
    table = hostile_table()
    document = json.loads(json_text(table))
    assert document["schema"] == "fuseline.table/1"
    assert document["table"] == "hostile"
    assert document["columns"][3] == {
        "name": "arithmetic_intensity", "measure": "ratio", "meaning": "",
    }  # fmt: skip
    for row, values in zip(document["rows"], table.rows, strict=True):
        exact = dict(zip((column.name for column in table.columns), values, strict=True))
        exact["name"] = encodable(str(exact["name"]))
        exact["arithmetic_intensity"] = None  # infinite where it is known
        assert row == exact
    assert document["notes"][-1] == (
        "arithmetic_intensity: 6 of the nulls are infinite, or no number"
    )


def read_parquet(content: bytes) -> pa.Table:
    return pq.read_table(BytesIO(content))


@pytest.mark.parametrize("name", TABLES)
def test_parquet_holds_the_same_rows_under_the_same_names(name: str) -> None:
    table = TABLES[name](example_result(on_device=True))
    read = read_parquet(parquet_bytes(table))
    assert tuple(read.column_names) == tuple(column.name for column in table.columns)
    rows = tuple(tuple(row.values()) for row in read.to_pylist())
    assert rows == table.rows


def test_parquet_is_typed_by_measure_and_described() -> None:
    table = hostile_table()
    content = parquet_bytes(table)
    assert parquet_bytes(table) == content
    read = read_parquet(content)
    assert [str(field.type) for field in read.schema] == [
        "int64", "string", "int64", "double", "double", "double", "bool",
    ]  # fmt: skip
    assert read.schema.field("name").metadata[b"meaning"] == b"what a model <named> it"
    assert read.schema.field("seconds").metadata[b"measure"] == b"s"
    assert read.schema.metadata[b"fuseline.schema"] == b"fuseline.table/1"
    assert json.loads(read.schema.metadata[b"fuseline.notes"])[0] == table.notes[0]
    assert read.column("name").to_pylist() == [encodable(text) for text in HOSTILE]
    assert read.column("arithmetic_intensity").to_pylist()[:2] == [float("inf"), None]
    file = pq.ParquetFile(BytesIO(content))
    assert file.metadata.row_group(0).column(1).compression == "ZSTD"


def test_what_parquet_cannot_hold_is_refused() -> None:
    table = Table("t", "T", (Column("flops", Measure.FLOPS),), ((2**63,),))
    with pytest.raises(InputError, match=r"flops: 9,223,372,036,854,775,808 is beyond"):
        parquet_bytes(table)


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'fuseline\[parquet\]'"):
        parquet_bytes(named("x"))


# Formats for people


def read_inline(markdown: str) -> str:
    """What a reader sees of rendered inline Markdown: text and code, tags taken off."""
    [block] = MarkdownIt("commonmark").parseInline(markdown)
    seen = []
    for token in block.children or ():
        assert token.type in ("text", "code_inline", "html_inline", "text_special"), token.type
        if token.type == "html_inline":
            assert token.content in ("<code>", "</code>")
        else:
            seen.append(token.content)
    return "".join(seen)


def read_cell(table: Table) -> str:
    """The same of the one cell of a table of one column."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(markdown_table(table))
    cells = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "td_open"]
    assert len(cells) == 1
    return read_inline(cells[0].content)


@given(st.text(st.characters(codec=None), max_size=60))
def test_any_text_is_read_back_from_a_markdown_cell(text: str) -> None:
    assert read_cell(named(text)) == visible(text)


@given(st.text(st.sampled_from("a_*`|\\<>&[]()!~#@$: \n-+.:1"), max_size=30))
def test_markdown_out_of_its_own_punctuation_is_read_back(text: str) -> None:
    assert read_cell(named(text)) == visible(text)


@pytest.mark.parametrize(
    "text",
    ["@someone", "#12", "GH-12", ":smile:", "https://a.b", "www.a.b", "$x$", "a@b.c", "deadbeef01"],
)
def test_what_github_would_make_something_of_is_code(text: str) -> None:
    assert escape(text) == f"`{text}`"


def test_plain_words_stay_plain() -> None:
    for text in ("blocks.0.attn.qkv", "aten::add.Tensor", "conv2d_batch_norm", "1x197x768 float32"):
        assert escape(text) == text


def test_markdown_breaks_no_line_and_opens_no_tag() -> None:
    printed = markdown_table(hostile_table())
    lines = printed.splitlines()
    assert sum(line.startswith("|") for line in lines) == 2 + len(HOSTILE)
    assert all(not line or line.startswith(("| ", "### ", "- ")) for line in lines)
    rendered = MarkdownIt("commonmark").enable("table").render(printed)
    assert set(re.findall(r"<(\w+)", rendered)) == {
        "h3", "code", "table", "thead", "tr", "th", "tbody", "td", "ul", "li",
    }  # fmt: skip


def test_a_long_cell_is_cut_and_that_is_said() -> None:
    said = shown(named("x" * 201))
    assert said.rows == ((f"{'x' * 199}…",),)
    assert said.notes == (
        "1 cell is cut at 200 characters; CSV, JSON and Parquet hold all of them",
    )
    assert shown(named("x" * 200)).notes == ()
    assert len(csv_text(named("x" * 10_000))) > 10_000


@pytest.mark.parametrize(
    ("value", "measure", "text"),
    [
        (524_788_224, Measure.BYTES, "524,788,224"),
        (-64, Measure.BYTES, "-64"),
        (0.000_012_345_67, Measure.SECONDS, "1.23457e-05"),
        (12.5, Measure.SECONDS, "12.5"),
        (66.9377, Measure.RATIO, "66.94"),
        (0.0004, Measure.RATIO, "0.0004"),
        (0.0, Measure.RATIO, "0.00"),
        (-0.25, Measure.FRACTION, "-25.00%"),
        (0.000_001, Measure.FRACTION, "0.0001%"),
        (1, Measure.FRACTION, "100.00%"),
        (float("inf"), Measure.RATIO, "inf"),
        (False, Measure.YES, "no"),
        ("a\nb", Measure.TEXT, "a\\nb"),
        (None, Measure.TEXT, "-"),
    ],
)
def test_figures_as_people_read_them(value: Value, measure: Measure, text: str) -> None:
    assert cell_text(value, measure) == text


def test_a_row_upright_has_a_line_for_each_figure() -> None:
    columns = (Column("launches", Measure.COUNT, "kernels"), Column("seconds", Measure.SECONDS))
    table = upright(Table("plans", "Plans", columns, ((1234, None),), ("a note",)))
    assert table.rows == (("launches", "1,234", "kernels"), ("seconds", "-", ""))
    assert table.notes == ("a note",)


def test_a_table_too_wide_for_a_terminal_is_printed_in_blocks() -> None:
    table = groups_table(example_result(on_device=True).plans[0])
    wide = table_text(table)
    narrow = table_text(table, width=80)
    check_golden("tables/groups-80-columns.txt", narrow)
    lines = [line for line in narrow.splitlines() if not line.startswith("  note: ")]
    assert max(map(len, lines)) <= 80 < max(map(len, wide.splitlines()))
    heads = [lines[at - 1].split() for at, line in enumerate(lines) if line.startswith("─")]
    assert len(heads) > 1
    assert all(head[0] == "group" for head in heads)  # what names a row is in every block
    assert ["group", *(name for head in heads for name in head[1:])] == [
        column.name for column in table.columns
    ]


def test_a_terminal_and_a_pipe_show_the_same_cells() -> None:
    table = groups_table(example_result().plans[0])

    def shown_on(*, terminal: bool) -> str:
        file = StringIO()
        console = Console(
            file=file, force_terminal=terminal, width=60, color_system=None, legacy_windows=False
        )
        print_named_table(console, table)
        return file.getvalue()

    assert shown_on(terminal=False) == f"\n{table_text(table)}"
    assert [line.rstrip() for line in shown_on(terminal=True).splitlines()] == (
        f"\n{table_text(table, width=60)}".splitlines()
    )


def test_no_control_character_reaches_a_terminal() -> None:
    for text in (table_text(hostile_table()), table_text(hostile_table(), width=60)):
        assert all(character.isprintable() or character == "\n" for character in text)


def test_text_made_visible_has_nothing_hidden() -> None:
    assert visible("a\u200bb\u00a0c\u202ed\x00\ud800") == "a\\u200bb\\xa0c\\u202ed\\x00\\ud800"
    assert visible("Größe 宽 🙂") == "Größe 宽 🙂"


# The one entry


def test_every_format_is_written_and_known_by_its_ending() -> None:
    for format_ in FORMATS:
        assert write_table(named("relu"), format_)
    endings = {"a.txt": "terminal", "b.MD": "markdown", "c.csv": "csv", "d.json": "json"}
    for name, format_ in (*endings.items(), ("e.parquet", "parquet")):
        assert format_of(Path(name)) == format_


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: write_table(named("x"), "cvs"), "unknown table format 'cvs': did you mean 'csv'?"),
        (lambda: format_of(Path("a.xlsx")), "no table format goes with 'a.xlsx': a name ends in"),
        (
            lambda: write_tables((named("x"), named("y")), "csv"),
            "csv holds one table, not names, names: ask for one, or for terminal or markdown",
        ),
    ],
)
def test_what_cannot_be_written_is_one_line(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        ask()


def test_a_reader_of_html_sees_the_same_text() -> None:
    rendered = MarkdownIt("commonmark").enable("table").render(markdown_table(hostile_table()))
    text = html.unescape(re.sub(r"</?\w+[^>]*>", "", rendered))
    for name in HOSTILE[:-1]:
        assert visible(name) in text
