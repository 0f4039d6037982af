"""Timelines as a Chrome trace, which Perfetto opens: a process a plan, a thread for the device's
kernels and one for launches, and live memory as a counter.

Times are whole nanoseconds, written in microseconds. Names go through the JSON encoder and no
further: a viewer shows them as text. The same rows give the same bytes.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import fields
from math import inf, isfinite, nextafter

import msgspec

from fuseline.report.rows import MemberRow
from fuseline.report.rows.timeline import KernelRow, LiveRow, TimelineRows
from fuseline.report.text import encodable

SCHEMA = "fuseline.timeline/1"

_LAUNCHES, _KERNELS = 1, 2  # threads of each process
_LEFT_OUT = frozenset({"pattern", "launched", "alone", "seconds"})
"""Fields of a group's row that the event says otherwise, or that are sentences."""

_Event = dict[str, object]


def encode_trace(rows: tuple[TimelineRows, ...], *, gzipped: bool = False) -> bytes:
    """One trace of all timelines, each its own process (UTF-8 JSON), an event a line. `gzipped` is
    for files whose name ends in `.gz`, which viewers open as well.
    """
    events = (
        _encoded(event)
        for number, row in enumerate(rows, start=1)
        for event in _process(number, row)
    )
    other = _encoded({"schema": SCHEMA, "plans": [_summary(row) for row in rows]})
    content = (
        b'{"traceEvents":[\n'
        + b",\n".join(events)
        + b'\n],\n"displayTimeUnit":"ns",\n"otherData":'
        + other
        + b"}\n"
    )
    return gzip.compress(content, mtime=0) if gzipped else content  # no clock in it


def _encoded(value: object) -> bytes:
    r"""JSON in which a backslash is spelled as a code point. Perfetto takes the end of a string
    that ends in one for an escaped quote otherwise, and opens nothing.

    >>> _encoded("ends in a \\ ").decode()
    '"ends in a \\u005c "'
    """
    return msgspec.json.encode(value).replace(rb"\\", rb"\u005c")


def _summary(row: TimelineRows) -> dict[str, object]:
    """What the trace shows, for a reader who has only the trace."""
    time = row.plan.roofline
    return {
        "model": encodable(row.model),
        "strategy": encodable(row.plan.label),
        "device": encodable(row.device),
        "launch": row.launch,
        "schedule": row.schedule,
        "pipelined_seconds": row.seconds,
        "summed_seconds": time.summed_seconds if time else None,
        "device_seconds": time.device_seconds if time else None,
        "launches": row.plan.launches,
        "flops": row.plan.flops,
        "other_flops": row.plan.other_flops,
        "traffic_bytes": row.plan.traffic_bytes,
        "notes": row.notes,
    }


def _process(number: int, row: TimelineRows) -> Iterator[_Event]:
    """All events of one plan."""
    yield _named(number, 0, "process_name", f"{row.model}: {row.plan.label} on {row.device}")
    yield _named(number, _LAUNCHES, "thread_name", row.launches)
    yield _named(number, _KERNELS, "thread_name", f"kernels on {row.title}")
    yield _sorted(number, 0, "process_sort_index", number)
    for thread in (_LAUNCHES, _KERNELS):
        yield _sorted(number, thread, "thread_sort_index", thread)
    for kernel in row.kernels:
        if kernel.launch_seconds:
            yield _launch(number, kernel)
        yield _kernel(number, kernel)
    for live in row.live:
        yield _counter(number, live, row.held_bytes)


def _named(number: int, thread: int, what: str, name: str) -> _Event:
    return {
        "ph": "M",
        "pid": number,
        "tid": thread,
        "name": what,
        "args": {"name": encodable(name)},
    }


def _sorted(number: int, thread: int, what: str, place: int) -> _Event:
    return {"ph": "M", "pid": number, "tid": thread, "name": what, "args": {"sort_index": place}}


def _launch(number: int, kernel: KernelRow) -> _Event:
    start = kernel.launch_start_seconds
    return {
        **_slice(number, _LAUNCHES, kernel.name, start, kernel.launch_seconds),
        "cat": "launch",
        "args": {} if kernel.member is None else {"group": kernel.member.group},
    }


def _kernel(number: int, kernel: KernelRow) -> _Event:
    figures: dict[str, object] = {
        "dtype": kernel.dtype,
        "purpose": kernel.purpose or None,
        "traffic_bytes": kernel.traffic_bytes,
        "bottleneck": kernel.bottleneck,
        "launch_seconds": kernel.launch_seconds,
        "exposed_seconds": kernel.exposed_seconds,
    }
    if kernel.member is not None:
        figures |= _fields(kernel.member)
    return {
        **_slice(number, _KERNELS, kernel.name, kernel.start_seconds, kernel.device_seconds),
        "cat": "kernel",
        "args": _figures(figures),
    }


def _fields(member: MemberRow) -> dict[str, object]:
    values = {field.name: getattr(member, field.name) for field in fields(member)}
    return {name: value for name, value in values.items() if name not in _LEFT_OUT}


def _slice(number: int, thread: int, name: str, start: float, seconds: float) -> _Event:
    """Both ends are rounded, not the length: neighbours then never overlap."""
    begin, end = _nanoseconds(start), _nanoseconds(start + seconds)
    return {
        "ph": "X",
        "pid": number,
        "tid": thread,
        "name": encodable(name),
        "ts": _microseconds(begin),
        "dur": _microseconds(end - begin),
    }


def _counter(number: int, live: LiveRow, held: int | None) -> _Event:
    return {
        "ph": "C",
        "pid": number,
        "name": "memory [bytes]",
        "ts": _microseconds(_nanoseconds(live.start_seconds)),
        "args": {"activations": live.activation_bytes, "parameters and inputs": held},
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _microseconds(nanoseconds: int) -> float:
    """A number that gives the nanoseconds back to a reader who takes it times 1,000 and cuts, as
    Perfetto does. Cut too short, a start lies inside the kernel before.

    >>> int(1.001 * 1000), int(_microseconds(1001) * 1000)
    (1000, 1001)
    """
    found = nanoseconds / 1000
    return found if int(found * 1000) == nanoseconds else nextafter(found, inf)


def _figures(values: dict[str, object]) -> dict[str, object]:
    """What there is of them; seconds to the picosecond and ratios to four decimals."""
    shown: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, float):
            if isfinite(value):
                shown[name] = round(value, 12 if name.endswith("_seconds") else 4)
        elif isinstance(value, str):
            shown[name] = encodable(value)
        elif isinstance(value, tuple):
            shown[name] = [encodable(str(part)) for part in value]
        elif value is not None:
            shown[name] = value
    return shown
