"""The page of a small model, its scripts and styles apart, as it was when somebody looked."""

from __future__ import annotations

import re

from fuseline.fusion import partition
from fuseline.hardware import load_device
from fuseline.report.html import encode_html
from fuseline.report.rows import Target
from fuseline.report.rows.report import report_rows
from tests.golden import check_golden
from tests.report.models import tower

_STYLE = re.compile(r"(<style>).*?(</style>)", re.DOTALL)
_CODE = re.compile(r'(<script(?: type="text/plain" id="vega")?>).*?(</script>)', re.DOTALL)
_CHARTS = re.compile(
    r'(<script type="application/json" id="data-(?:charts-\d+|theme)">).*?(</script>)', re.DOTALL
)
"""Charts have golden files of their own."""


def test_the_page_is_as_it_was() -> None:
    graph = tower(4)
    plans = tuple(partition(graph, strategy) for strategy in ("unfused", "fusion", "optimal"))
    page = encode_html(report_rows(graph, plans, "0", Target(load_device("t4")))).decode()
    for part in (_STYLE, _CHARTS, _CODE):
        page = part.sub(r"\1\2", page)
    check_golden("html/page.html", page)
