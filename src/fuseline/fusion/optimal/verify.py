"""A plan's proof, checked again in integers: no solver, nothing of the search but candidates.

What is trusted: that `candidates.py` meets every legal group, that `merge.py` keeps nothing apart
that would gain, and the prices of groups. What is not: the solver, its duals and their rounding.
"""

from __future__ import annotations

from math import gcd

from fuseline.costs import cost
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import rule_set
from fuseline.fusion.legality import find_violations
from fuseline.fusion.optimal.candidates import enumerate_candidates
from fuseline.fusion.optimal.certificate import Certificate
from fuseline.fusion.optimal.cuts import Cut, is_valid
from fuseline.fusion.optimal.search import Scale
from fuseline.fusion.optimal.units import Units
from fuseline.graph import Graph
from fuseline.plan import Plan, Proof


def object_to_proof(graph: Graph, plan: Plan) -> str | None:
    """What is wrong with the proof of a plan searched for bytes; None where it holds.

    The plan has the value that is claimed; every cut forbids a true cycle; no legal group is worth
    more than it costs; and what all ops are worth together gives the bound.
    """
    proof = plan.proof
    if proof is None or proof.objective != "bytes" or proof.bound is None:
        return f"the plan by '{plan.strategy}' claims no bound on bytes"
    moved = cost(graph, plan).nbytes
    if moved != proof.value:
        return f"the plan moves {moved:,} bytes, not {proof.value:,}"
    if moved < proof.bound:
        return "the plan moves less than its own bound"
    kernels = Kernels(graph, rule_set(proof.rules), proof.on_chip)
    if found := find_violations(graph, plan, kernels):
        return f"the plan is not legal: {found[0].reason}"
    members = [kernels.compute.mask_of(ops) for ops in proof.units]
    return _object_to_units(kernels, members) or _object_to_prices(Units(kernels, members), proof)


def _object_to_units(kernels: Kernels, members: list[int]) -> str | None:
    every = (1 << len(kernels.ops)) - 1
    if sum(members) != every or sum(map(int.bit_count, members)) != len(kernels.ops):
        return "the priced units do not hold each compute op once"
    if Units(kernels, members).members != members:
        return "the priced units are in no order that runs"
    return None


def _object_to_prices(units: Units, proof: Proof) -> str | None:
    cuts = tuple(
        Cut(tuple(1 << entry | 1 << leave for entry, leave in ways), ways) for ways in proof.pairs
    )
    if not all(is_valid(cut, units.descendants) for cut in cuts):
        return "a cut forbids what is no cycle"
    found = enumerate_candidates(units, proof.groups * 1000, lambda _: None)
    if not found.complete:
        return "there are more groups than the proof weighed"
    scale = Scale(gcd(*(group.nbytes for group in found.groups)) or 1, len(units))
    certificate = Certificate(proof.prices, cuts, proof.penalties)
    groups = [group.units for group in found.groups]
    if not certificate.holds(groups, [scale.cost(group.nbytes) for group in found.groups]):
        return "a legal group costs less than its units are worth"
    proven = scale.least(certificate.bound)
    if proof.bound is not None and proven < proof.bound:
        return f"the prices prove {proven:,} bytes, not {proof.bound:,}"
    if proof.is_optimal and proven < proof.value:
        return f"that it is optimal rests on the solver: the prices prove {proven:,} bytes"
    return None
