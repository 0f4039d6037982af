"""What a report can be written as: a table of formats, each with the renderer behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from fuseline.errors import InputError, did_you_mean
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows import PlanRow, Result, Target, rows
from fuseline.report.rows.missed import missed_rows
from fuseline.report.rows.report import ReportRows, report_rows
from fuseline.report.rows.table import Table
from fuseline.report.rows.tables import TABLES, missed_table, stacked

CHARTS = ("roofline", "icicle", "strategies", "capacity", "bottlenecks")
OF_ONE_PLAN = ("roofline", "icicle", "bottlenecks")
"""Charts that show one plan."""


TABLE_NAMES = (*TABLES, "missed")


@dataclass(frozen=True, slots=True)
class Asked:
    """A model with its plans, and what of them is to be shown. `tables` and `chart` are for formats
    that hold such; a picture has at most `max_nodes` boxes, the capacity curve `capacity_seconds`.
    """

    graph: Graph
    plans: tuple[Plan, ...]
    version: str
    target: Target | None = None
    tables: tuple[str, ...] = ("plans",)
    chart: str | None = None
    max_nodes: int = 80
    capacity_seconds: float = 0.0
    gzipped: bool = False
    width: int | None = None
    progress: Callable[[str, int], None] = lambda _step, _count: None

    @property
    def result(self) -> Result:
        """The plans, priced."""
        return rows(self.graph, self.plans, self.version, self.target)

    @property
    def one(self) -> tuple[Plan, PlanRow]:
        """The one plan of a picture, and its figures."""
        return self.plans[0], self.result.plans[0]

    def report(self) -> ReportRows:
        """All rows of a report."""
        return report_rows(
            self.graph,
            self.plans,
            self.version,
            self.target,
            capacity_seconds=self.capacity_seconds,
            progress=self.progress,
        )


Files = dict[str, bytes]
"""What is written: by the ending that each file's name has; the first is the one asked for."""


def _page(asked: Asked) -> bytes:
    from fuseline.report.html import encode_html

    return encode_html(asked.report())


def _dot_text(asked: Asked) -> str:
    from fuseline.report.dot import encode_dot
    from fuseline.report.rows.picture import picture

    plan, row = asked.one
    drawn = picture(asked.graph, plan, row, asked.max_nodes)
    return encode_dot(drawn, row, asked.graph.source.name)


def _dot(asked: Asked) -> bytes:
    return _dot_text(asked).encode()


def _drawing(form: str) -> Callable[[Asked], bytes]:
    """A picture by Graphviz, or a chart without it."""

    def drawing(asked: Asked) -> bytes:
        if asked.chart is not None:
            from fuseline.report.charts import to_png, to_svg

            spec = _chart(asked, asked.chart)
            return to_svg(spec) if form == "svg" else to_png(spec)
        from fuseline.report.graphviz import draw

        return draw(_dot_text(asked), form)

    return drawing


def _chart(asked: Asked, name: str) -> dict[str, object]:
    from fuseline.report import charts

    if name == "capacity":
        found = asked.report()
        if found.capacity is None:
            raise InputError("a capacity curve takes time: --capacity-seconds must not be 0")
        return charts.capacity(found.capacity, found.on_chip, device=found.device_name)
    if name == "strategies":
        return charts.strategies(asked.result)
    _, row = asked.one
    made = {
        "roofline": charts.roofline,
        "icicle": charts.icicle,
        "bottlenecks": charts.bottlenecks,
    }
    return made[name](row, model=asked.graph.source.name)


def _trace(asked: Asked) -> bytes:
    from fuseline.report.rows.timeline import timeline_rows
    from fuseline.report.timeline import encode_trace

    timelines = tuple(timeline_rows(asked.graph, plan, asked.target) for plan in asked.plans)
    return encode_trace(timelines, gzipped=asked.gzipped)


def _explorer(asked: Asked) -> Files:
    from fuseline.report.explorer import encode_explorer, encode_overlays
    from fuseline.report.rows.explorer import explorer_rows

    made = tuple(
        explorer_rows(asked.graph, plan, row)
        for plan, row in zip(asked.plans, asked.result.plans, strict=True)
    )
    overlays = encode_overlays(made)
    return {"": encode_explorer(made)} | {f".{name}": data for name, data in overlays.items()}


def _missed(asked: Asked, result: Result) -> Table:
    """Missed fusions of all plans: what they would take is searched for, in the graph."""
    made = [
        (row, missed_table(row, missed_rows(asked.graph, plan)))
        for plan, row in zip(asked.plans, result.plans, strict=True)
    ]
    return stacked(f"{result.model.name}: missed fusions", made)


def _tabular(name: str) -> Callable[[Asked], bytes]:
    def tabular(asked: Asked) -> bytes:
        from fuseline.report.tabular import write_tables

        result = asked.result
        tables = [
            TABLES[table](result) if table in TABLES else _missed(asked, result)
            for table in asked.tables
        ]
        return write_tables(tables, name, width=asked.width)

    return tabular


@dataclass(frozen=True, slots=True)
class Format:
    """How a format is written, the endings of its files' names, what it may hold."""

    write: Callable[[Asked], bytes | Files]
    endings: tuple[str, ...]
    is_text: bool = False  # goes to stdout where no file is named
    is_table: bool = False
    holds_tables: bool = False  # several of them
    is_drawing: bool = False
    is_of_one_plan: bool = False


FORMATS: dict[str, Format] = {
    "html": Format(_page, (".html", ".htm")),
    "dot": Format(_dot, (".dot", ".gv"), is_text=True, is_of_one_plan=True),
    "svg": Format(_drawing("svg"), (".svg",), is_drawing=True, is_of_one_plan=True),
    "png": Format(_drawing("png"), (".png",), is_drawing=True, is_of_one_plan=True),
    "trace": Format(_trace, (".trace.json", ".trace.json.gz")),
    "explorer": Format(_explorer, (".explorer.json",)),
    "terminal": Format(
        _tabular("terminal"), (".txt",), is_text=True, is_table=True, holds_tables=True
    ),
    "markdown": Format(
        _tabular("markdown"), (".md",), is_text=True, is_table=True, holds_tables=True
    ),
    "csv": Format(_tabular("csv"), (".csv",), is_text=True, is_table=True),
    "json": Format(_tabular("json"), (".json",), is_text=True, is_table=True),
    "parquet": Format(_tabular("parquet"), (".parquet",), is_table=True),
}
"""Name -> format. Longer endings stand before the shorter ones that they end in."""


def format_named(name: str) -> Format:
    """The format of that name. Raises `InputError` where there is none, with the nearest."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) or f": one of {', '.join(FORMATS)}"
        raise InputError(f"unknown format '{name}'{hint}")
    return FORMATS[name]


def format_of(path: str) -> str:
    """The name of the format that a file's name asks for.

    >>> format_of("zoo/vit.trace.json"), format_of("vit.json")
    ('trace', 'json')
    """
    name = PurePath(path).name.lower()
    for found, made in FORMATS.items():
        if name.endswith(made.endings):
            return found
    known = ", ".join(ending for made in FORMATS.values() for ending in made.endings)
    raise InputError(f"cannot tell a format from '{name}': it ends in none of {known}")
