"""How charts look on a light and on a dark ground: configurations of Vega-Lite.

A page gives one of them to `vegaEmbed`; both leave the ground transparent. Marks that no data
colours have a style each, so that one specification reads well on both.
"""

from __future__ import annotations

from typing import Literal

Theme = Literal["light", "dark"]

FONT = "system-ui, Helvetica Neue, Helvetica, Arial, sans-serif"


def _theme(ink: str, faint: str, grid: str, shade: str) -> dict[str, object]:
    """`ink` for text and roofs, `faint` for what matters less, `shade` for areas behind marks."""
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
            "ridge": {"color": ink, "filled": True, "size": 50, "opacity": 1},
            "halo": {"color": ink, "filled": False, "strokeWidth": 2, "size": 1300, "opacity": 1},
            "bound": {"color": ink, "strokeWidth": 1.6, "strokeDash": [5, 4]},
            "label": {"color": ink, "fontSize": 12},
            "note": {"color": faint, "fontSize": 11},
            "shade": {"color": shade, "opacity": 1},
            "line": {"color": "#2F7FC1", "strokeWidth": 2},
        },
    }  # fmt: skip


LIGHT = _theme(ink="#1f2328", faint="#59636e", grid="#e4e7eb", shade="#f1f3f5")
DARK = _theme(ink="#e6e9ee", faint="#9aa4b0", grid="#2c333c", shade="#1f252d")
THEMES: dict[Theme, dict[str, object]] = {"light": LIGHT, "dark": DARK}

GROUNDS: dict[Theme, str] = {"light": "#ffffff", "dark": "#14181d"}
"""What is behind a picture that stands alone."""
