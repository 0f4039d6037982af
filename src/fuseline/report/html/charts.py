"""The charts of a page: the same specifications as in pictures, drawn by Vega when looked at."""

from __future__ import annotations

from fuseline.report.rows.report import ReportRows

_FONT = "system-ui, sans-serif"
"""The page's own typeface."""


def chart_documents(rows: ReportRows) -> list[dict[str, object]]:
    """Charts of all plans together first, then those of each plan, by the name of their place."""
    from fuseline.report.charts import bottlenecks, capacity, icicle, roofline, strategies

    together: dict[str, object] = {"strategies": strategies(rows.result)}
    if rows.capacity is not None:
        together["capacity"] = capacity(rows.capacity, rows.on_chip, device=rows.device_name)
    model = rows.result.model.name
    return [
        together,
        *(
            {
                "roofline": roofline(found.plan, model=model),
                "icicle": icicle(found.plan, found.outline, model=model),
                "bottlenecks": bottlenecks(found.plan, model=model),
            }
            for found in rows.partitions
        ),
    ]


def page_theme() -> object:
    """The light and the dark theme as one: where they differ, CSS decides which of the two."""
    from fuseline.report.charts import DARK, LIGHT

    return _merged({**LIGHT, "font": _FONT}, {**DARK, "font": _FONT})


def _merged(light: object, dark: object) -> object:
    """Two configurations of one shape as one.

    >>> _merged({"color": "#000", "size": 2}, {"color": "#fff", "size": 2})
    {'color': 'light-dark(#000, #fff)', 'size': 2}
    """
    if isinstance(light, dict) and isinstance(dark, dict):
        return {key: _merged(value, dark[key]) for key, value in light.items()}
    return light if light == dark else f"light-dark({light}, {dark})"
