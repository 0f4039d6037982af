"""The report as one HTML page that asks for nothing else: figures, picture, charts and tables.

Text and static tables are printed by the template; `scripts` draw the rest from JSON in the page.
Every name comes from a model and may hold anything: the template escapes, scripts set text only.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from fuseline.report.colours import MEANING, SOFT, STRONG
from fuseline.report.html.charts import chart_documents, page_theme
from fuseline.report.html.comparison import comparison
from fuseline.report.html.documents import model_document, plan_document
from fuseline.report.html.pack import script_json
from fuseline.report.html.words import (
    RUNGS,
    chosen_plan,
    facts,
    keys_of,
    ledger_lines,
    on_chip,
    tiles,
)
from fuseline.report.rows.report import ReportRows
from fuseline.report.text import encodable, visible

STYLES = ("page.css", "picture.css", "tables.css", "print.css")
SCRIPTS = (
    "base.js", "figures.js", "data.js", "state.js", "lift.js", "paths.js", "layout.js",
    "tooltip.js", "facts.js", "colour.js", "draw.js", "view.js", "picture.js", "hands.js",
    "search.js", "details.js", "grid.js", "tables.js", "charts.js", "main.js",
)  # fmt: skip
"""In the order in which they stand in the page: a file uses only those before it."""

_FOLDER = files(__name__)


class _Plan(NamedTuple):
    key: str
    label: str
    document: str


def encode_html(rows: ReportRows) -> bytes:
    """The page (UTF-8), the same bytes for the same rows."""
    from jinja2 import Environment, StrictUndefined

    from fuseline.report.charts import vega_bundle

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["visible"] = _shown
    template = environment.from_string(_read("page.html.jinja"))
    keys, chosen = keys_of(rows.partitions), chosen_plan(rows.partitions)
    partition = rows.partitions[chosen]
    page = template.render(
        result=rows.result,
        plans=[
            _Plan(key, found.plan.label, script_json(plan_document(found, rows)))
            for key, found in zip(keys, rows.partitions, strict=True)
        ],
        chosen=chosen,
        headlines=partition.headlines,
        tiles=tiles(partition.plan, rows.result),
        facts=facts(rows),
        comparison=comparison(rows),
        rungs=RUNGS,
        on_chip=on_chip(rows),
        has_time=partition.plan.roofline is not None,
        ledger_lines=ledger_lines(rows),
        assumptions=rows.assumptions,
        device=rows.device,
        has_capacity=rows.capacity is not None,
        model_document=script_json(model_document(rows, keys, chosen)),
        chart_documents=[script_json(found) for found in chart_documents(rows)],
        theme=script_json(page_theme()),
        colours=[(name, SOFT[name], STRONG[name], MEANING[name]) for name in SOFT],
        meanings=script_json(MEANING),
        styles="\n".join(_read(f"styles/{name}") for name in STYLES),
        script="\n".join(_read(f"scripts/{name}") for name in SCRIPTS),
        vega=vega_bundle(),
    )
    return page.encode()


def _shown(text: str) -> str:
    return encodable(visible(text))


def _read(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")
