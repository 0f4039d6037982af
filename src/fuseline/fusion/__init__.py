"""A `Graph` -> a `Plan`: which ops share a kernel, and why neighbours do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from fuseline.errors import InputError, did_you_mean
from fuseline.fusion.chains import Chains, Object, Objection, object_to_pair, object_to_shape
from fuseline.fusion.extended import EXTENSIONS, extended
from fuseline.fusion.inductor import inductor, limits_of
from fuseline.fusion.legality import Violation, find_violations, kernels_of
from fuseline.fusion.neighbours import Neighbours, neighbours
from fuseline.fusion.optimal import optimal
from fuseline.fusion.pair_rules import load_pair_rules, pair_rules
from fuseline.fusion.plans import make_plan
from fuseline.fusion.quotient import Quotient
from fuseline.fusion.settings import Settings
from fuseline.fusion.tables import onnxruntime, tensorrt
from fuseline.fusion.tvm import tvm
from fuseline.graph import Graph
from fuseline.hardware import Device
from fuseline.plan import Plan, Rule

__all__ = [
    "EXTENSIONS",
    "READS_RULES",
    "STRATEGIES",
    "Neighbours",
    "Quotient",
    "Settings",
    "Strategy",
    "Violation",
    "extended",
    "find_violations",
    "kernels_of",
    "limits_of",
    "neighbours",
    "partition",
    "sequential",
    "tvm",
]


def unfused(graph: Graph, _: Settings | None = None) -> Plan:
    """Every op a kernel of its own."""

    def explain(edge: tuple[int, int]) -> Objection:
        names = f"{graph.ops[edge[0]].name} and {graph.ops[edge[1]].name}"
        return Objection(Rule.STRATEGY, f"the strategy gives {names} a kernel each")

    return make_plan(Neighbours(graph), "unfused", Quotient(graph), explain)


def fusion(graph: Graph, _: Settings | None = None) -> Plan:
    """The seed document's pattern chains."""
    return _chains(graph, "fusion", object_to_pair)


def sequential(graph: Graph) -> Plan:
    """A yardstick, not a strategy: chains of any ops at all, as long as none forks or joins.

    No kernel could run most of its groups; it is what chains alone could save.
    """
    return _chains(graph, "sequential", object_to_shape)


def _chains(graph: Graph, strategy: str, object_to: Object) -> Plan:
    chains = Chains(Neighbours(graph))
    chains.grow(object_to)
    return make_plan(
        chains.near, strategy, chains.quotient, lambda edge: chains.explain(edge, object_to)
    )


def pairs(graph: Graph, settings: Settings | None = None) -> Plan:
    """A backend's measured pair rules, from a rule file: `Settings.pair_rules`."""
    rules = load_pair_rules((settings or Settings()).pair_rules)
    return replace(pair_rules(graph, rules), strategy="pairs", rules=rules.name)


class Strategy(Protocol):
    """A graph, and options of which each strategy reads those that concern it -> a plan."""

    def __call__(self, graph: Graph, settings: Settings | None = None, /) -> Plan:
        """The plan. Raises `InputError` for options that make no sense."""
        ...


STRATEGIES: dict[str, Strategy] = {
    "unfused": unfused,
    "fusion": fusion,
    "extended": lambda graph, _=None: extended(graph),
    "onnxruntime": lambda graph, _=None: onnxruntime(graph),
    "tensorrt": lambda graph, _=None: tensorrt(graph),
    "tvm": lambda graph, _=None: tvm(graph),
    "inductor": lambda graph, settings=None: inductor(
        graph, limits=limits_of(settings.device if settings else None)
    ),
    "pairs": pairs,
    "optimal": optimal,
}
"""Name -> strategy, in the order `--strategy all` shows them."""

READS_RULES = frozenset({"optimal"})
"""Strategies that read the rules, the on-chip memory, the objective and the seconds of `Settings`:
there is a plan for each rung of the ladder. Others make the same plan under all of them.
"""


def choose_strategies(names: Iterable[str]) -> tuple[str, ...]:
    """The strategies named, each once, `all` being every one. Raises `InputError` for an unknown
    one, with the nearest.

    >>> choose_strategies(["tvm", "unfused", "tvm"])
    ('tvm', 'unfused')
    """
    chosen = tuple(dict.fromkeys(names))
    if "all" in chosen:
        return tuple(STRATEGIES)
    for name in chosen:
        if name not in STRATEGIES:
            known = (*STRATEGIES, "all")
            hint = did_you_mean(name, known) or f": one of {', '.join(known)}"
            raise InputError(f"unknown strategy '{name}'{hint}")
    return chosen


def partition(
    graph: Graph,
    strategy: str = "fusion",
    *,
    rules: str = "T",
    on_chip: int | None = None,
    objective: str = "bytes",
    device: Device | None = None,
    seconds: float = 60.0,
) -> Plan:
    """Partition `graph` into groups that each are one kernel, with a refusal for every pair of
    neighbours that are not.

    The strategy `optimal` searches all partitions legal under `rules` (R0, A, B, T, M) and, where
    given, within `on_chip` bytes, for at most `seconds`; what is least is the traffic, or with the
    objective `seconds` the time on `device`. Other strategies read none of these; `Settings` has
    more. The plan keeps `graph`, so that a notebook can show its figures. Raises `InputError` for
    an unknown strategy, rules or objective.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> y = build.op("act", Kind.RELU, inputs=[x], shape=(4, 4), target="ReLU")
    >>> z = build.op("drop", Kind.DROPOUT, inputs=[y], shape=(4, 4), target="Dropout")
    >>> [group.pattern for group in partition(build.finish([z])).groups]
    ['ReLU_Dropout']
    """
    if strategy not in STRATEGIES:
        hint = did_you_mean(strategy, STRATEGIES) or f": one of {', '.join(STRATEGIES)}"
        raise InputError(f"unknown strategy '{strategy}'{hint}")
    settings = Settings(rules, on_chip, objective, device, seconds=seconds)
    return replace(STRATEGIES[strategy](graph, settings), graph=graph)
