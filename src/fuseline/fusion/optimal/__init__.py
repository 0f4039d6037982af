"""The best partition that stated rules allow, with a bound that can be checked without us.

*Optimal* means: no op is computed twice, every group is legal under the rules, and traffic is
counted by whole tensors. Among partitions with the least traffic, one with the fewest launches.
With the objective `seconds`, the least sum of the groups' roofline times on a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuseline.costs.roofline import op_seconds
from fuseline.fusion.chains import Objection, place_transparent
from fuseline.fusion.compute import bits
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import rule_set
from fuseline.fusion.neighbours import Neighbours
from fuseline.fusion.optimal.candidates import Candidate
from fuseline.fusion.optimal.merge import merge
from fuseline.fusion.optimal.search import Found, Limits, search
from fuseline.fusion.optimal.units import Units
from fuseline.fusion.plans import Explain, make_plan
from fuseline.fusion.quotient import Quotient
from fuseline.fusion.settings import Settings
from fuseline.graph import Graph
from fuseline.plan import Plan, Proof, Rule

__all__ = ["optimal"]


def optimal(graph: Graph, settings: Settings | None = None) -> Plan:
    """The partition with the least traffic, then launches, of all that the rules allow.

    Raises `InputError` for unknown rules or an on-chip memory that is not positive.
    """
    settings = settings or Settings()
    kernels = Kernels(graph, rule_set(settings.rules), settings.on_chip)
    by_time = settings.objective == "seconds"
    units = units_of(kernels, chains=not by_time)
    limits = Limits(settings.seconds, settings.most_groups)
    found = search(units, _objective(units, settings), limits, settings.progress,
                   count_launches=not by_time)  # fmt: skip
    quotient = Quotient(graph)
    for group in found.groups:
        ops = kernels.compute.ids(units.ops_of(group))
        quotient.try_join((*ops, *_between(graph, ops)))
    place_transparent(graph, quotient, everywhere=True)
    plan = make_plan(Neighbours(graph), "optimal", quotient, _explain(kernels, quotient))
    return replace(plan, proof=_proof(settings, units, found), rules=settings.rules)


def _between(graph: Graph, ops: tuple[int, ...]) -> list[int]:
    """Views and control ops that lie between `ops`: they depend on one, and one depends on them."""
    inside, found = set(ops), []
    behind: dict[int, bool] = {}  # whether a view or control op depends on one of `ops`
    pending = [earlier for op in ops for earlier in graph.dependences[op]]
    while pending:
        op = pending[-1]
        if op in behind or op in inside or graph.ops[op].is_compute:
            pending.pop()
            continue
        above = graph.dependences[op]
        if waiting := [n for n in above if n not in behind and not graph.ops[n].is_compute]:
            pending += waiting
            continue
        behind[op] = any(n in inside or behind.get(n, False) for n in above)
        if behind[op]:
            found.append(op)
    return found


_PICOSECONDS = 1e12


def _objective(units: Units, settings: Settings) -> Callable[[Candidate], int]:
    """Bytes of a candidate, or its roofline time [ps], launch included."""
    device = settings.device
    if settings.objective == "bytes" or device is None:
        return lambda candidate: candidate.nbytes
    graph, ids = units.kernels.graph, units.kernels.compute.ids
    terms = op_seconds(graph, device, tf32=settings.tf32)
    compute = [sum(terms[op][0] for op in ids(ops)) for ops in units.members]
    vector = [sum(terms[op][1] for op in ids(ops)) for ops in units.members]
    launch, bandwidth = device.launch_seconds(settings.launch), device.bandwidth

    def picoseconds(candidate: Candidate) -> int:
        places = list(bits(candidate.units))
        seconds = max(
            sum(compute[place] for place in places),
            sum(vector[place] for place in places),
            candidate.nbytes / bandwidth,
        )
        return round((seconds + launch) * _PICOSECONDS)

    return picoseconds


def units_of(kernels: Kernels, *, chains: bool = True) -> Units:
    """What the search takes apart. A capacity makes every op count for itself."""
    if kernels.on_chip is None:
        return Units(kernels, merge(kernels, chains=chains))
    return Units(kernels, [1 << op for op in range(len(kernels.ops))])


def _proof(settings: Settings, units: Units, found: Found) -> Proof:
    certificate = found.certificate if found.bound is not None else None
    ids = units.kernels.compute.ids
    return Proof(
        rules=settings.rules,
        on_chip=settings.on_chip,
        objective=settings.objective,
        value=found.objective,
        bound=found.bound,
        is_optimal=found.proven,
        is_complete=found.bound is not None,
        groups=found.candidates,
        cuts=found.cuts,
        units=tuple(ids(ops) for ops in units.members) if certificate else (),
        prices=certificate.prices if certificate else (),
        pairs=tuple(cut.ways for cut in certificate.cuts) if certificate else (),
        penalties=certificate.penalties if certificate else (),
    )


def _explain(kernels: Kernels, quotient: Quotient) -> Explain:
    """Why two neighbours are apart: what is illegal about the one kernel, or that it gains none."""
    number = kernels.compute.number
    known: dict[tuple[int, int], Objection] = {}

    def explain(edge: tuple[int, int]) -> Objection:
        graph = kernels.graph
        p, c = number.get(edge[0]), number.get(edge[1])
        if p is None or c is None:
            name = graph.ops[edge[0] if p is None else edge[1]].name
            sentence = f"{name} moves no bytes: it is a view, or runs on the host"
            return Objection(Rule.NOT_AN_OPERATOR, sentence)
        if (p, c) in kernels.links and (fault := kernels.object_to_link(p, c)) is not None:
            return Objection(fault.rule, fault.reason)
        pair = quotient.group_of[edge[0]], quotient.group_of[edge[1]]
        if pair not in known:
            known[pair] = _object_to_groups(kernels, quotient, pair)
        return known[pair]

    return explain


def _object_to_groups(kernels: Kernels, quotient: Quotient, pair: tuple[int, int]) -> Objection:
    both = [op for group in pair for op in quotient.members[group]]
    fault = kernels.find_fault(kernels.compute.mask_of(both))
    if fault is not None:
        return Objection(fault.rule, fault.reason)
    names = " and ".join(
        kernels.ops[next(bits(kernels.compute.mask_of(quotient.members[group])))].name
        for group in pair
    )
    if quotient.would_cycle(*pair):
        sentence = f"joined, the groups of {names} would depend on each other through a third"
        return Objection(Rule.CYCLE, sentence)
    return Objection(Rule.COST, f"one kernel for the groups of {names} moves no fewer bytes")
