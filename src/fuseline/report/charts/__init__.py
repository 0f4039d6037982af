"""Charts as Vega-Lite specifications with their data inside: one makes SVG, PNG and a page's chart.

A specification sets neither the ground nor the colour of text: a theme does, given to `to_svg` and
`to_png`, or to a page's `vegaEmbed` as `config`. Where marks are groups, a parameter `selected` has
the id of the group to be told apart from the others, or null.
"""

from __future__ import annotations

from fuseline.report.charts.bars import bottlenecks, strategies
from fuseline.report.charts.capacity import capacity
from fuseline.report.charts.icicle import icicle
from fuseline.report.charts.render import Spec, spec_json, to_png, to_svg, vega_bundle
from fuseline.report.charts.roofline import roofline
from fuseline.report.charts.themes import DARK, LIGHT, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "Spec",
    "Theme",
    "bottlenecks",
    "capacity",
    "icicle",
    "roofline",
    "spec_json",
    "strategies",
    "to_png",
    "to_svg",
    "vega_bundle",
]
