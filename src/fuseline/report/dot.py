r"""A picture as DOT, the language of Graphviz.

Modules are clusters, kernels boxes in the colour of what bounds them, framed the thicker the more
bytes they move; arrows are as wide as the bytes they hand on. Labels are HTML-like: text from the
model has its `<` and `&` escaped in them, and its backslashes, as Graphviz would replace `\N`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from math import sqrt

from fuseline.report.colours import MEANING, SOFT
from fuseline.report.quantities import duration, scaled
from fuseline.report.rows.data import PlanRow
from fuseline.report.rows.doubts import doubts
from fuseline.report.rows.edges import INPUT, OUTPUT
from fuseline.report.rows.picture import Box, Frame, Picture, Port, Totals
from fuseline.report.text import shortened, visible
from fuseline.report.units import at_least, count_of

_NAME = 48  # characters of a name
_CLAUSE = 200  # characters of what the figures leave out
_TOLD = 200  # characters of a line that a box says when it is pointed at
_LINE = 30  # characters of a line of ops
_LINES = 3  # lines of ops in a box; the rest is counted
_ALL_LINES = 60  # the same where every op is asked for
_TENSORS = 3  # inputs or outputs spelled out
_LABELLED = 0.1  # of the widest arrow: narrower ones say their bytes only when pointed at
_FEW = 40  # arrows: so few all say their bytes

_GAP = "\u00a0 \u00a0"  # spaces that a browser keeps
_INK, _FAINT, _EDGE = "#1f2328", "#57606a", "#8c959f"
_GROUNDS = ("#f6f8fa", "#eaeef2", "#dde3e9", "#d0d7de")  # of clusters, by depth
_FONT = "Helvetica,Arial,sans-serif"
_HEAD = f"""\
  graph [rankdir=TB newrank=true ranksep=0.26 nodesep=0.24 pad=0.15 bgcolor="#ffffff" labelloc=t]
  graph [fontname="{_FONT}" fontsize=10 fontcolor="{_INK}"]
  node [shape=box style=filled height=0.2 margin="0.08,0.03" color="#3d444d" fontcolor="{_INK}"]
  node [fontname="{_FONT}" fontsize=10]
  edge [color="{_EDGE}" arrowsize=0.6 fontname="{_FONT}" fontsize=8.5 fontcolor="{_FAINT}"]"""


def encode_dot(drawn: Picture, plan: PlanRow, model: str, *, ops: bool = False) -> str:
    """The picture of one plan of `model`; with `ops`, every op of a kernel has a line."""
    return "\n".join(_document(drawn, plan, model, ops=ops)) + "\n"


def markup(text: str, most: int = _NAME) -> str:
    r"""Text for an HTML-like label, which shows it as it is, in at most `most` characters.

    >>> print(markup('<b> & "\\N"'))
    &lt;b&gt; &amp; &quot;\\N&quot;
    """
    return escape(shortened(visible(text), most).replace("\\", r"\\"))


def quoted(*lines: str) -> str:
    r"""Lines of text as a string of DOT, which Graphviz shows as they are.

    >>> print(quoted('"a" \\N', "&lt;"))
    "\"a\" \\N\n&amp;lt;"
    """
    shown = (shortened(visible(line), _TOLD) for line in lines)
    escaped = (
        line.replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;") for line in shown
    )
    return '"' + r"\n".join(escaped) + '"'


def _document(drawn: Picture, plan: PlanRow, model: str, *, ops: bool) -> Iterator[str]:
    yield "digraph fuseline {"
    yield _HEAD
    yield f"  label=<{_title(drawn, plan, model)}>"
    if drawn.inputs.count:
        yield f"  inputs [{_port(drawn.inputs, 'input')}]"
    most = max((box.totals.traffic_bytes for box in drawn.boxes), default=0)
    for child in drawn.root.children:
        yield from _place(child, most, 0, ops=ops)
    if drawn.outputs.count:
        yield f"  outputs [{_port(drawn.outputs, 'output')}]"
    yield from _arrows(drawn)
    yield "}"


def _title(drawn: Picture, plan: PlanRow, model: str) -> str:
    """What is drawn, the totals, and what the colours mean: each only said where it is used."""
    where = f" on {markup(plan.device)}" if plan.device else ""
    lines = [
        f'<FONT POINT-SIZE="13"><B>{markup(model)}: {markup(plan.label)}{where}</B></FONT>',
        _faint(", ".join((count_of(plan.launches, "kernel"), *_figures(_plan_totals(plan))))),
    ]
    if drawn.closed:
        boxes, held = count_of(drawn.closed, "box", "es"), count_of(drawn.hidden, "kernel")
        lines.append(_faint(f"{boxes} with a double frame: closed modules that hold {held}"))
    if plan.extra_launches:
        extra = count_of(plan.extra_launches, "kernel")
        moved = scaled(plan.extra_traffic_bytes, "B")
        lines.append(_faint(f"{extra} of no op, {moved}: not drawn"))
    lines += [_faint(markup(clause, _CLAUSE)) for clause in doubts(plan)]
    legend = [
        f'<FONT POINT-SIZE="13" COLOR="{SOFT[name]}">■</FONT> '
        + _faint(f"{name}: {MEANING[name]} ({count})")
        for name, count in plan.bottlenecks.counts.items()
    ]
    lines += [_GAP.join(legend[start : start + 2]) for start in range(0, len(legend), 2)]
    return _table(lines)


def _table(lines: Sequence[str], align: str = "CENTER") -> str:
    """Lines of markup one below the other."""
    rows = "".join(f'<TR><TD ALIGN="{align}">{line}</TD></TR>' for line in lines)
    return f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>'


def _plan_totals(plan: PlanRow) -> Totals:
    return Totals(
        plan.launches, plan.flops, plan.other_flops, plan.traffic_bytes, plan.seconds,
        plan.unknown_ops, (),
    )  # fmt: skip


def _place(part: Frame | Box, most: int, depth: int, *, ops: bool) -> Iterator[str]:
    """A box, or a cluster with what is inside."""
    tab = "  " * (depth + 1)
    if isinstance(part, Box):
        yield f"{tab}b{part.id} [{_box(part, most, ops=ops)}]"
        return
    first = _first(part)
    yield f"{tab}subgraph cluster_{depth}_{first.id} {{"
    yield f"{tab}  {_cluster(part, depth)}"
    for child in part.children:
        yield from _place(child, most, depth + 1, ops=ops)
    yield f"{tab}}}"


def _first(frame: Frame) -> Box:
    """The first box inside: with the depth it tells one cluster from another."""
    child = frame.children[0]
    return child if isinstance(child, Box) else _first(child)


def _cluster(frame: Frame, depth: int) -> str:
    """How a module, or a repeat, is framed and called."""
    names = [f"<B>{markup(frame.name)}</B>"] if frame.name else []
    each = ""
    if frame.count > 1:
        names.append(f'<FONT POINT-SIZE="12"><B>x{frame.count}</B></FONT>')
        each = " each"
    figures = [count_of(frame.totals.launches, "kernel"), *_figures(frame.totals)]
    figures[-1] += each
    lines = [_GAP.join(names)]  # narrow: arrows to the middle leave it alone
    lines += [_faint(", ".join(figures[at : at + 2])) for at in range(0, len(figures), 2)]
    if frame.handed_bytes:
        lines.append(_faint(f"hands {scaled(frame.handed_bytes, 'B')} to the next"))
    ground = _GROUNDS[min(depth, len(_GROUNDS) - 1)]
    label = _table(lines, "LEFT")
    width = 1.8 if frame.count > 1 else 0.8
    return (
        f"graph [label=<{label}> tooltip={quoted(frame.name)} labeljust=l margin=9 "
        f'style=filled fillcolor="{ground}" color="{_FAINT}" penwidth={width}]'
    )


def _box(box: Box, most: int, *, ops: bool) -> str:
    """How a kernel, or a closed module, is drawn and called."""
    lines = [f"<B>{markup(box.name)}</B>"] if box.name else []
    lines += [markup(line, _NAME) for line in _op_lines(box.ops, every=ops)]
    if box.kind == "closed":
        lines.append(count_of(box.totals.launches, "kernel"))
    lines.append(f'<FONT POINT-SIZE="8.5">{", ".join(_figures(box.totals))}</FONT>')
    width = 0.7 + 2.5 * sqrt(box.totals.traffic_bytes / most) if most else 1.0
    closed = " peripheries=2" if box.kind == "closed" else ""
    drawn = f"label=<{_table(lines)}> penwidth={width:.2f}{closed} {_fill(box.totals)}"
    return f"{drawn} tooltip={quoted(*_details(box))}"


def _details(box: Box) -> tuple[str, ...]:
    """What a box says when it is pointed at: figures in full."""
    totals = box.totals
    bounds = ", ".join(f"{name} ({nbytes:,} bytes)" for name, nbytes in totals.bottlenecks)
    said = (
        box.name or "kernel",
        ", ".join(dict.fromkeys(box.ops)),
        f"copies: {len(box.copies)}" if len(box.copies) > 1 else "",
        f"{totals.traffic_bytes:,} bytes moved",
        f"{totals.flops:,} FLOPs, {totals.other_flops:,} other FLOPs",
        f"{totals.unknown_ops} ops that no formula knows" if totals.unknown_ops else "",
        f"bound by: {bounds}",
    )
    return tuple(filter(None, said))


def _fill(totals: Totals) -> str:
    """The colour of what bounds it; of several, stripes as wide as their share of the bytes."""
    whole = sum(nbytes for _, nbytes in totals.bottlenecks)
    names = [name for name, nbytes in totals.bottlenecks if nbytes / (whole or 1) >= 0.01]  # noqa: PLR2004
    if len(names) < 2:  # noqa: PLR2004
        return f'fillcolor="{SOFT[totals.bottlenecks[0][0]]}"'
    kept = dict(totals.bottlenecks)
    part = sum(kept[name] for name in names)
    stripes = ":".join(f"{SOFT[name]};{kept[name] / part:.4f}" for name in names[:-1])
    return f'style=striped fillcolor="{stripes}:{SOFT[names[-1]]}"'


def _op_lines(ops: Sequence[str], *, every: bool) -> list[str]:
    """Ops as lines: those that follow themselves once, with a count."""
    runs = [(target, len(list(alike))) for target, alike in groupby(ops)]
    words = [
        shortened(target, _LINE) + (f" x{count}" if count > 1 else "") for target, count in runs
    ]
    most = _ALL_LINES if every else _LINES
    lines: list[str] = []
    for number, word in enumerate(words):
        if lines and not every and len(lines[-1]) + len(word) + 2 <= _LINE:
            lines[-1] += f", {word}"
        elif len(lines) < most:
            lines.append(word)
        else:
            left = sum(count for _, count in runs[number:])
            return [*lines, f"… {left} more"]
    return lines


def _figures(totals: Totals) -> list[str]:
    """Bytes, FLOPs and time in words; what is nothing is left out, what is unknown is said."""
    figures = [scaled(totals.traffic_bytes, "B")]
    if totals.flops or totals.unknown_ops:
        figures.append(at_least(scaled(totals.flops, "FLOP"), totals.unknown_ops))
    if totals.seconds is not None:
        least = ">= " if totals.unknown_ops else ""
        figures.append(f"{least}{duration(totals.seconds)}")
    return [markup(figure) for figure in figures]


def _faint(text: str) -> str:
    """Smaller and paler; `text` is markup."""
    return f'<FONT POINT-SIZE="8.5" COLOR="{_FAINT}">{text}</FONT>'


def _port(port: Port, what: str) -> str:
    """The model's inputs or outputs."""
    lines = [f"<B>{count_of(port.count, what)}</B>" if port.count > 1 else f"<B>{what}</B>"]
    lines += [markup(tensor) for tensor in port.tensors[:_TENSORS]]
    if port.count > _TENSORS:
        lines.append(f"… {port.count - _TENSORS} more, {scaled(port.bytes, 'B')} in all")
    return f'label=<{_table(lines)}> style="filled,rounded" fillcolor="#ffffff" color="{_EDGE}"'


def _arrows(drawn: Picture) -> Iterator[str]:
    most = max((arrow.bytes for arrow in drawn.arrows), default=0)
    for arrow in drawn.arrows:
        source = "inputs" if arrow.source == INPUT else f"b{arrow.source}"
        target = "outputs" if arrow.target == OUTPUT else f"b{arrow.target}"
        share = arrow.bytes / most if most else 0.0
        text = scaled(arrow.bytes, "B")
        label = f' label=" {text}"' if len(drawn.arrows) <= _FEW or share >= _LABELLED else ""
        width = 0.6 + 3.4 * sqrt(share)
        yield f'  {source} -> {target} [penwidth={width:.2f} tooltip="{text}"{label}]'
