"""A task's events on their way from a worker to the driver: a file that only grows, so that what a
worker told before it died is there.

The worker's process id in 8 bytes, then each event as MessagePack, its length in 4 bytes before it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from fuseline.sweep.tasks import Event, decode_event, encode_event

_PROCESS = 8
_LENGTH = 4


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Write each event as it comes. Raises `OSError` where one cannot be written, and whatever
    making the events raises.
    """
    with path.open("xb", buffering=0) as file:
        for record in _records(events):
            if file.write(record) != len(record):  # the rest did not fit
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _records(events: Iterable[Event]) -> Iterable[bytes]:
    yield os.getpid().to_bytes(_PROCESS)
    for event in events:
        content = encode_event(event)
        yield len(content).to_bytes(_LENGTH) + content


def read_events(path: Path) -> tuple[Event, ...]:
    """Every event that was told, but one that was cut short; none where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    events = list[Event]()
    place = _PROCESS
    while place + _LENGTH <= len(content):
        begin = place + _LENGTH
        place = begin + int.from_bytes(content[place:begin])
        if place <= len(content):
            events.append(decode_event(content[begin:place]))
    return tuple(events)


def writer_of(path: Path) -> int | None:
    """The process that writes a spool; None where none has begun to."""
    try:
        with path.open("rb") as file:
            process = file.read(_PROCESS)
    except FileNotFoundError:
        return None
    return int.from_bytes(process) if len(process) == _PROCESS else None
