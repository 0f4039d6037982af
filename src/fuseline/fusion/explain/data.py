"""What is said of two ops or two groups: an explanation, its remedies, a pair that was missed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.plan import Refusal, Rule


class Change(Enum):
    """What would put two groups into one kernel, from the least to the most."""

    RUNG = "rules"  # a rung short of M joins them as they are
    READER = "one reader less"  # so it does where one op does not read what one of theirs makes
    THIRD = "groups between"  # so it does with the groups through which they form a cycle
    ON_CHIP = "on-chip memory"  # M joins them where the chip holds their working set
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change, tried and found to work (or, with `NONE`, why there is none).

    `rung` is the lowest that then allows the kernel, `saved_nbytes` what it saves over the groups
    as they are. `reader` is the (op read, op that must not read it; `OUTSIDE`: the model's result),
    `third` are the groups to be joined as well, `on_chip_nbytes` is what M needs on the chip.
    """

    change: Change
    sentence: str
    saved_nbytes: int = 0
    rung: str | None = None
    reader: tuple[int, int] | None = None
    third: tuple[int, ...] = ()
    on_chip_nbytes: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a plan does with two ops, `first` and `second` in program order (ids).

    `groups` are the group of each (places in the plan; one where they share it), of a cover the
    first that stores the op, and `elsewhere` the others that hold one of them. `saved_nbytes` is
    what one kernel saves, or would save: over the two groups, or over its ops alone. `rung` is the
    lowest short of M that allows the kernel, `objection` what T has against it, `on_chip_nbytes`
    its working set under M. `path` are ops from one to the other where the groups are no
    neighbours, `shared` the tensors that both groups read, `cycle` a path of ops out of one group
    and back into the other.
    """

    first: int
    second: int
    groups: tuple[int, ...]
    elsewhere: tuple[int, ...]
    saved_nbytes: int
    rung: str | None
    objection: str
    on_chip_nbytes: int | None
    are_neighbours: bool
    refusals: tuple[Refusal, ...] = ()
    path: tuple[int, ...] = ()
    shared: tuple[str, ...] = ()
    cycle: tuple[int, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def are_together(self) -> bool:
        """Whether one kernel holds both."""
        return len(self.groups) == 1


@dataclass(frozen=True, slots=True)
class Missed:
    """Two neighbouring groups (places in the plan) apart, and what one kernel would save.

    `rule` and `reason` are the plan's own. `is_legal`: T allows the kernel as it is, without a
    cycle. `remedy` is the least that holds.
    """

    producer: int
    consumer: int
    groups: tuple[int, int]
    saved_nbytes: int
    rule: Rule
    reason: str
    is_legal: bool
    is_cyclic: bool
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class MissedKind:
    """`count` pairs that are apart in the same way; all else is said of the first of them."""

    first: Missed
    count: int


@dataclass(frozen=True, slots=True)
class MissedRest:
    """Pairs that are not told of, and the most that one of them would save [bytes]."""

    pairs: int
    saved_nbytes: int
