"""The rungs of the ladder short of M: what each is for, and the lowest that allows a kernel."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.fusion.ladder.kernel import Fault, Kernels
from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.graph import Graph

M = "M"
"""The rung that allows whatever fits the on-chip memory."""

SHORT_OF_M = tuple(name for name in RULE_SETS if name != M)
"""The other rungs: each allows all that those before it do."""

_RUNGS = {
    "R0": "every op alone",
    "A": "loops and epilogues over one domain",
    "B": "prologues and whole rows",
    "T": "attention in steps",
}
"""What each rung is for, in a few words."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ladder says of one kernel: the lowest rung short of M that allows it, what T has
    against it, and the working set under M [bytes] (None where even M has no such kernel).
    """

    rung: str | None
    fault: Fault | None
    on_chip_nbytes: int | None


def judge(graph: Graph, ops: tuple[int, ...]) -> tuple[str | None, Fault | None]:
    """The lowest rung short of M that allows `ops` as one kernel, or what T has against it."""
    rung: str | None = None
    for name in reversed(SHORT_OF_M):  # nested: what one refuses, none below it allows
        kernels = Kernels(graph, RULE_SETS[name])
        fault = kernels.find_fault(kernels.compute.mask_of(ops))
        if fault is not None:
            return rung, fault if rung is None else None
        rung = name
    return rung, None


def words_for(name: str) -> str:
    """A rung for a sentence.

    >>> words_for("B")
    'rung B (prologues and whole rows)'
    """
    return f"rung {name} ({_RUNGS[name]})"
