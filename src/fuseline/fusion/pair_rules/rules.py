"""What a rule file says: blocks, verdicts on pairs, and what happens at a fork."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.fusion.tables.rows import Row


class Consumers(Enum):
    """Which consumers of a result that several ops take may join its kernel."""

    NONE = "none"
    FIRST = "first"  # one of them: the first in program order that a rule allows
    ALL = "all"  # all that a rule allows, in one kernel


class Before(Enum):
    """Which op of a kernel `before` names when another op is to join it."""

    FIRST = "first"  # the one the kernel began with
    LAST = "last"  # the one whose result the other takes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pair fuses, where the file says so (`pairs[3]`) and what it was measured by."""

    fuses: bool
    place: str
    measured: str


@dataclass(frozen=True, slots=True)
class PairRules:
    """A backend's rules. `pairs` are by name of a kind or block, before and after."""

    name: str
    backend: str
    source: str
    date: str
    consumers: Consumers
    before: Before
    blocks: tuple[Row, ...]
    pairs: dict[tuple[str, str], Verdict]
