"""A specification as SVG or PNG, by Vega without a browser; and Vega itself for a page.

Nothing is fetched: Vega, its fonts and what runs it are in `vl-convert-python`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from xml.sax.saxutils import quoteattr

from fuseline.report.charts.themes import GROUNDS, THEMES, Theme

Spec = dict[str, object]
"""A Vega-Lite specification, as JSON has it."""

VEGA_LITE = "6.4"
"""The version of Vega-Lite that the specifications are written in."""

_WIDTH = 760  # pixels of a picture whose chart fills what it is given
_TAG = re.compile(r"<[^<>]*>")
_COUNTED = re.compile(r'( id="|="url\(#)(clip|gradient_)(\d+)(?=\)?")')


def to_svg(spec: Spec, theme: Theme = "light") -> bytes:
    """The chart as SVG (UTF-8), named by its description; the same bytes every time."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(_sized(spec), VEGA_LITE, config=_standing_alone(theme))
    named = f"<svg aria-label={quoteattr(str(spec['description']))} "
    return _renumbered(svg).replace("<svg ", named, 1).encode()


def to_png(spec: Spec, theme: Theme = "light", scale: float = 2.0) -> bytes:
    """The chart as PNG, `scale` pixels a unit."""
    import vl_convert

    return vl_convert.vegalite_to_png(
        _sized(spec), VEGA_LITE, scale=scale, config=_standing_alone(theme)
    )


@cache
def vega_bundle() -> str:
    """JavaScript that sets `window.vegaEmbed` (0.9 MB: Vega, Vega-Lite and Vega-Embed).

    It may stand inside a `<script>` element of a page in UTF-8, sets no other name there, and asks
    for no other file.
    """
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", VEGA_LITE)
    return within_script(f'(()=>{{"use strict";{bundle}\n}})();')


def within_script(text: str) -> str:
    r"""JavaScript that cannot end the `<script>` element around it, nor open a comment: inside a
    string neither backslash means anything.

    >>> print(within_script('"</Script>" + "<!--"'))
    "<\/Script>" + "<\u0021--"
    """
    return re.sub(r"</(?=script)", r"<\\/", text, flags=re.IGNORECASE).replace("<!--", r"<\u0021--")


def spec_json(spec: Spec) -> str:
    """The specification as JSON for a page: short, and harmless inside a `<script>` element."""
    text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _sized(spec: Spec) -> Spec:
    """A picture has a width of its own, where a page's chart fills its place."""
    return {**spec, "width": _WIDTH} if spec.get("width") == "container" else spec


def _standing_alone(theme: Theme) -> dict[str, object]:
    return {**THEMES[theme], "background": GROUNDS[theme]}


def _renumbered(svg: str) -> str:
    """Ids counted from 0 in this picture: Vega counts on through all it has drawn. Text stays.

    >>> _renumbered('<clipPath id="clip7"/><clipPath id="clip9"/><g clip-path="url(#clip7)"/>clip7')
    '<clipPath id="clip0"/><clipPath id="clip1"/><g clip-path="url(#clip0)"/>clip7'
    """
    numbers: dict[str, int] = {}

    def renumber(found: re.Match[str]) -> str:
        number = numbers.setdefault(found[2] + found[3], len(numbers))
        return f"{found[1]}{found[2]}{number}"

    return _TAG.sub(lambda tag: _COUNTED.sub(renumber, tag[0]), svg)
