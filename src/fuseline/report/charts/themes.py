"""How charts look on a light and on a dark ground: configurations of Vega-Lite.

A page gives one of them to `vegaEmbed`; both leave the ground transparent. Marks that no data
colours have a style each, so that one specification reads well on both.
"""

from __future__ import annotations

from typing import Literal

from fuseline.report.colours import SOFT, STRONG

Theme = Literal["light", "dark"]

FONT = "Arial, Helvetica, sans-serif"
"""Measured alike wherever a picture is made: `vl-convert-python` brings a font as wide as Arial."""

_WHITE, _NIGHT = "#ffffff", "#14181d"


def _theme(ink: str, faint: str, grid: str, shade: str, ground: str) -> dict[str, object]:
    """`ink` for text and roofs, `faint` for what matters less, `shade` for areas behind marks,
    `ground` for what is behind all.
    """
    words = {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": None,
        "font": FONT,
        "padding": 6,
        "view": {"stroke": None},
        "title": {
            "color": ink, "subtitleColor": faint, "anchor": "start", "frame": "group",
            "fontSize": 15, "fontWeight": 600, "subtitleFontSize": 12, "subtitlePadding": 4,
            "offset": 10,
        },
        "axis": {
            **words, "titleFontWeight": "normal", "gridColor": grid, "domainColor": faint,
            "tickColor": faint, "titlePadding": 8, "labelLimit": 320,
        },
        "legend": {
            **words, "titleFontWeight": "normal", "orient": "bottom", "symbolSize": 110,
            "symbolStrokeWidth": 0, "labelLimit": 260, "columnPadding": 14,
        },
        "style": {
            "roof": {"color": ink, "strokeWidth": 1.8},
            "dot": {"stroke": ink, "strokeWidth": 0.8, "fillOpacity": 0.6},
            "ridge": {"color": ink, "filled": True, "size": 50, "opacity": 1},
            "halo": {"color": ink, "filled": False, "strokeWidth": 2, "size": 1300, "opacity": 1},
            "bound": {"color": ink, "strokeWidth": 1.6, "strokeDash": [5, 4]},
            "label": {"color": ink, "fontSize": 12},
            "behind": {
                "color": ground, "stroke": ground, "strokeWidth": 4, "strokeJoin": "round",
                "fontSize": 12,
            },
            "note": {"color": faint, "fontSize": 11},
            "shade": {"color": shade, "opacity": 1},
            "module": {"color": shade, "stroke": faint, "strokeWidth": 0.6, "opacity": 1},
            "kernel": {"stroke": ground, "strokeWidth": 0.6, "opacity": 1},
            "chosen": {"stroke": ink, "strokeWidth": 2.5, "opacity": 1},
            "printed": {"color": "#1f2328", "fontSize": 11},
            "edge": {"color": faint, "strokeWidth": 1.2, "strokeDash": [2, 3]},
            "has": {"color": STRONG["compute"], "strokeWidth": 1.2, "opacity": 0.7},
            "certified": {"color": ink, "strokeWidth": 2, "strokeDash": [1, 3]},
            "bar": {"color": SOFT["bandwidth"], "opacity": 1},
            "hollow": {
                "color": SOFT["bandwidth"], "stroke": STRONG["bandwidth"], "fillOpacity": 0.18,
                "strokeWidth": 1.2, "strokeDash": [4, 2],
            },
            "line": {"color": STRONG["bandwidth"], "strokeWidth": 2},
            "gap": {"color": STRONG["bandwidth"], "opacity": 0.18},
            "proven": {"color": STRONG["bandwidth"], "filled": True, "size": 70, "opacity": 1},
            "unproven": {"color": STRONG["bandwidth"], "strokeWidth": 2, "size": 90, "opacity": 1},
        },
    }  # fmt: skip


LIGHT = _theme(ink="#1f2328", faint="#59636e", grid="#e4e7eb", shade="#f1f3f5", ground=_WHITE)
DARK = _theme(ink="#e6e9ee", faint="#9aa4b0", grid="#2c333c", shade="#1f252d", ground=_NIGHT)
THEMES: dict[Theme, dict[str, object]] = {"light": LIGHT, "dark": DARK}

GROUNDS: dict[Theme, str] = {"light": _WHITE, "dark": _NIGHT}
"""What is behind a picture that stands alone."""
