"""Real plans kept on disk, by what they were read from: a compilation takes seconds, a file none.

A file is data, read as `RealPlan` and nothing else; one that cannot be read is compiled again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.files import write_bytes
from fuseline.graph import Graph
from fuseline.graph.files import encode
from fuseline.validate.inductor.plan import RealPlan
from fuseline.validate.inductor.read import Schedule

_FORMAT = "2"
"""Changes with what is read of a kernel, and with who owns it."""


def cached_plan(
    graph: Graph, schedule: Schedule, torch_version: str, read: Callable[[], RealPlan]
) -> RealPlan:
    """The plan kept for this graph, schedule and torch, or what `read` gives, kept from then on."""
    path = cache_folder() / f"{_key(graph, schedule, torch_version)}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=RealPlan)
    except (OSError, msgspec.DecodeError):
        plan = read()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, msgspec.json.encode(plan))
    except (OSError, InputError):
        pass  # a cache that cannot be written is no cache
    return plan


def cache_folder() -> Path:
    """Where plans are kept: under the user's cache folder, as the XDG specification has it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fuseline" / "inductor"


def _key(graph: Graph, schedule: Schedule, torch_version: str) -> str:
    asked = msgspec.json.encode((_FORMAT, torch_version, schedule))
    return blake2b(asked + encode(graph), digest_size=16).hexdigest()
