"""The exact search against every other way of finding the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fuseline import capture, partition
from fuseline.costs import cost, group_traffic
from fuseline.costs.roofline import op_seconds
from fuseline.fusion import STRATEGIES, find_violations
from fuseline.fusion.compute import bits, is_convex
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.fusion.optimal.candidates import enumerate_candidates
from fuseline.fusion.optimal.certificate import Certificate
from fuseline.fusion.optimal.cuts import Cut, is_valid
from fuseline.fusion.optimal.ideals import least_by_ideals
from fuseline.fusion.optimal.merge import merge
from fuseline.fusion.optimal.prices import Prices
from fuseline.fusion.optimal.search import Found, Limits, search
from fuseline.fusion.optimal.units import Units
from fuseline.fusion.optimal.verify import object_to_proof
from fuseline.graph import Builder, Graph, Kind, Role
from fuseline.hardware import load_device
from tests.small_graphs import small_graph
from tests.strategies import graphs

LADDER = ("R0", "A", "B", "T")


def every_partition(places: list[int]) -> Iterator[list[int]]:
    """All set partitions, as bitsets."""
    if not places:
        yield []
        return
    first = 1 << places[0]
    for groups in every_partition(places[1:]):
        yield [first, *groups]
        for n, group in enumerate(groups):
            yield [*groups[:n], group | first, *groups[n + 1 :]]


def is_acyclic(groups: list[int], before: list[int]) -> bool:
    done, left = 0, groups
    while left:
        ready = [
            group for group in left if not any(before[op] & ~group & ~done for op in bits(group))
        ]
        if not ready:
            return False
        done |= sum(ready)
        left = [group for group in left if group not in ready]
    return True


def is_connected(kernels: Kernels, group: int) -> bool:
    part = pending = group & -group
    while pending:
        near = 0
        for op in bits(pending):
            near |= kernels.linked[op]
        pending = near & group & ~part
        part |= pending
    return part == group


def least_by_force(graph: Graph, kernels: Kernels) -> tuple[int, int]:
    """(bytes, groups) of the best of all partitions: nothing of the search is used."""
    price: dict[int, int | None] = {}

    def nbytes(group: int) -> int | None:
        if group not in price:
            alone = group & (group - 1) == 0
            legal = alone or (is_connected(kernels, group) and kernels.find_fault(group) is None)
            ids = kernels.compute.ids(group)
            price[group] = group_traffic(graph, ids).nbytes if legal else None
        return price[group]

    best: tuple[int, int] | None = None
    for groups in every_partition(list(range(len(kernels.ops)))):
        costs = [nbytes(group) for group in groups]
        if None in costs:
            continue
        found = sum(filter(None, costs)), len(groups)
        if (best is None or found < best) and is_acyclic(groups, kernels.compute.before):
            best = found
    assert best is not None
    return best


def find(kernels: Kernels, members: list[int]) -> Found:
    units = Units(kernels, members)
    return search(units, lambda group: group.nbytes, Limits(), lambda _, __: None)


def singles(kernels: Kernels) -> list[int]:
    return [1 << op for op in range(len(kernels.ops))]


@pytest.mark.parametrize("rules", LADDER)
@pytest.mark.parametrize("part", range(8))
def test_the_optimum_is_that_of_all_set_partitions(rules: str, part: int) -> None:
    """560 random graphs of up to 8 ops, under every rule set, with and without merging first."""
    for seed in range(part * 70, part * 70 + 70):
        graph = small_graph(seed)
        kernels = Kernels(graph, RULE_SETS[rules])
        least = least_by_force(graph, kernels)
        for members in (
            singles(kernels),
            merge(kernels, chains=False),
            merge(kernels, chains=True),
        ):
            found = find(kernels, members)
            assert (found.objective, len(found.groups)) == least, seed
            assert found.bound is not None
            assert found.bound <= least[0], seed
            assert found.proven


@given(graph=graphs(recorded=True, most_ops=7))
@settings(max_examples=150)
def test_the_optimum_is_that_of_all_set_partitions_on_any_graph(graph: Graph) -> None:
    kernels = Kernels(graph, RULE_SETS["T"])
    if len(kernels.ops) <= 8:
        found = find(kernels, merge(kernels, chains=True))
        assert (found.objective, len(found.groups)) == least_by_force(graph, kernels)


@given(graph=st.one_of(graphs(), graphs(recorded=True, most_ops=8)), data=st.data())
def test_prices_are_those_of_group_traffic(graph: Graph, data: st.DataObject) -> None:
    """Of convex sets: others read one storage before and after somebody else's write."""
    kernels = Kernels(graph, RULE_SETS["A"])
    if not kernels.ops:
        return
    members = singles(kernels)
    prices = Prices(kernels.compute, members)
    units = Units(kernels, members)
    group = 0
    for op in data.draw(st.lists(st.sampled_from(range(len(members))), min_size=1, max_size=4)):
        group |= 1 << op
    below = above = 0
    for op in bits(group):
        place = units.members.index(1 << op)
        below |= units.descendants[place]
        above |= units.ancestors[place]
    group |= units.ops_of(below & above)
    ids = kernels.compute.ids(group)
    assert prices.nbytes(group) == group_traffic(graph, ids).nbytes


def crossing() -> Graph:
    """Two groups, each convex, that would depend on each other.

        left  -> left_a  ---> left_c  = left_a + right_pool
        right -> right_a ---> right_c = right_a + left_pool

    A pool takes its own side's a, and no kernel holds a pooling and what feeds it.
    """
    build = Builder()
    made = {}
    for side in ("left", "right"):
        x = build.tensor(side, (4, 4), role=Role.INPUT)
        made[side] = build.op(f"{side}_a", Kind.RELU, inputs=[x], shape=(4, 4))
        made[f"{side} pooled"] = build.op(
            f"{side}_pool", Kind.MAXPOOL, inputs=[made[side]], shape=(4, 4)
        )
    ends = []
    for side, other in (("left", "right"), ("right", "left")):
        operands = [made[side], made[f"{other} pooled"]]
        ends.append(build.op(f"{side}_c", Kind.ADD, inputs=operands, shape=(4, 4)))
    return build.finish(ends)


def test_two_convex_groups_may_depend_on_each_other() -> None:
    """Each of {left_a, left_c} and {right_a, right_c} is convex; together they are a cycle.

    The best that runs has one of the two, with the pool that its sum reads: left_a alone (read x,
    write a: 2 tensors), {left_pool, right_a, right_c} (read left_a and x, write right_a for the
    other pool, and the sum: 4), {right_pool, left_c} (read right_a and left_a, write: 3): 9 in all.
    """
    graph = crossing()
    kernels = Kernels(graph, RULE_SETS["A"])
    pairs = [kernels.compute.mask_of((0, 4)), kernels.compute.mask_of((2, 5))]
    assert all(kernels.find_fault(pair) is None for pair in pairs)
    before, ancestors = kernels.compute.before, kernels.compute.ancestors
    assert all(is_convex(pair, ancestors, before) for pair in pairs)
    assert not is_acyclic([*pairs, 0b000010, 0b001000], before)
    plan = partition(graph, "optimal", rules="A")
    assert cost(graph, plan).nbytes == 9 * 64


CYCLIC_SEEDS = (1665,)
"""Random graphs whose cheapest choice of groups is cyclic: seeds below 2,500, found by a run."""


@pytest.mark.parametrize("seed", CYCLIC_SEEDS)
def test_cycles_are_cut(seed: int) -> None:
    kernels = Kernels(small_graph(seed), RULE_SETS["T"])
    units = Units(kernels, merge(kernels, chains=True))
    found = search(units, lambda group: group.nbytes, Limits(), lambda _, __: None)
    assert found.cuts
    assert found.certificate is not None
    assert all(is_valid(cut, units.descendants) for cut in found.certificate.cuts)
    groups = [units.ops_of(group) for group in found.groups]
    assert is_acyclic(groups, kernels.compute.before)
    assert (found.objective, len(groups)) == least_by_force(kernels.graph, kernels)


def test_a_cut_forbids_the_cycle_it_was_made_from() -> None:
    """Groups {0, 3} and {1, 2} with 0 -> 1 and 2 -> 3 depend on each other."""
    cut = Cut((0b1001, 0b0110), ((3, 0), (1, 2)))
    assert [cut.weight(group) for group in (0b1001, 0b0110, 0b0001, 0b1111)] == [1, 1, 0, 1]
    assert cut.most == 1  # both at once weigh 2; one group of all four weighs 1
    assert is_valid(cut, [0b0010, 0b0000, 0b1000, 0b0000])
    assert not is_valid(cut, [0b0000, 0b0000, 0b1000, 0b0000])  # 0 does not lead to 1


MODELS = {
    "resnet18": lambda: capture("resnet18"),
    "vit_b_16": lambda: capture("vit_b_16"),
    "vit_b_16 at module level": lambda: capture("vit_b_16", via="module"),
    "mobilenet_v3_small": lambda: capture("mobilenet_v3_small"),
    "gpt2 in steps": lambda: capture("hf/gpt2", attention="decomposed"),
}


@pytest.fixture(scope="module", params=MODELS)
def graph(request: pytest.FixtureRequest) -> Graph:
    name: str = request.param
    return MODELS[name]()


@pytest.mark.parametrize("rules", LADDER)
def test_the_lattice_of_ideals_agrees_on_real_models(graph: Graph, rules: str) -> None:
    kernels = Kernels(graph, RULE_SETS[rules])
    units = Units(kernels, singles(kernels))
    candidates = enumerate_candidates(units, 10**6, lambda _: None)
    found = find(kernels, merge(kernels, chains=True))
    assert least_by_ideals(units, candidates.groups) == (found.objective, len(found.groups))


@pytest.mark.parametrize("rules", LADDER)
def test_the_chain_of_bounds(graph: Graph, rules: str) -> None:
    """Compulsory <= certificate <= optimal <= every plan legal under the same rules."""
    plan = partition(graph, "optimal", rules=rules)
    proof = plan.proof
    assert proof is not None
    assert proof.bound is not None
    assert find_violations(graph, plan) == ()
    assert cost(graph, plan).nbytes == proof.value
    assert max(graph.compulsory_bytes, proof.bound) <= proof.value
    kernels = Kernels(graph, RULE_SETS[rules])
    for name in STRATEGIES:
        other = partition(graph, name)
        if not find_violations(graph, other, kernels) and not other.is_cover:
            assert proof.value <= cost(graph, other).nbytes


class Gated(nn.Module):
    """The view of one kernel's result takes its shape from another's."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(32, 32)
        self.bias = nn.Parameter(torch.zeros(4, 8))

    def forward(self, x: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        heads = nn.functional.scaled_dot_product_attention(q, q, q).transpose(1, 2)
        return heads * torch.sigmoid(self.gate(x).view_as(heads) + self.bias)


def test_a_view_between_two_kernels_does_not_make_them_one() -> None:
    graph = capture(Gated().eval(), (torch.zeros(1, 64, 32), torch.zeros(1, 4, 64, 8)))
    plan = partition(graph, "optimal")
    kernels = [
        [graph.ops[op].name for op in group.ops if graph.ops[op].is_compute]
        for group in plan.groups
    ]
    assert kernels == [["linear"], ["scaled_dot_product_attention", "add", "sigmoid", "mul"]]
    assert find_violations(graph, plan) == ()
    # linear: x, weight, bias in, gate out; the rest: q, gate, bias in, result out
    nbytes = 4 * (64 * 32 + 32 * 32 + 32 + 64 * 32) + 4 * (4 * 64 * 8 + 64 * 32 + 4 * 8 + 64 * 32)
    assert plan.proof is not None
    assert cost(graph, plan).nbytes == plan.proof.value == nbytes


def test_the_ladder_only_descends(graph: Graph) -> None:
    values = []
    for rules in LADDER:
        proof = partition(graph, "optimal", rules=rules).proof
        assert proof is not None
        values.append(proof.value)
    assert values == sorted(values, reverse=True)
    assert values[0] == cost(graph, partition(graph, "unfused")).nbytes


def test_certificates_hold_in_integers(graph: Graph) -> None:
    kernels = Kernels(graph, RULE_SETS["T"])
    units = Units(kernels, merge(kernels, chains=True))
    found = search(units, lambda group: group.nbytes, Limits(), lambda _, __: None)
    certificate = found.certificate
    assert certificate is not None
    assert found.bound == found.objective  # the relaxation is integral on these five
    candidates = enumerate_candidates(units, 10**6, lambda _: None).groups
    scale = found.scale
    costs = [scale.cost(candidate.nbytes) for candidate in candidates]
    groups = [candidate.units for candidate in candidates]
    assert certificate.holds(groups, costs)
    assert scale.least(certificate.bound) == found.bound
    dearer = Certificate((certificate.prices[0] + 1 + 1024 * costs[0], *certificate.prices[1:]))
    assert not dearer.holds(groups, costs)


@pytest.mark.parametrize("rules", LADDER)
def test_proofs_are_checked_again_without_the_solver(graph: Graph, rules: str) -> None:
    plan = partition(graph, "optimal", rules=rules)
    assert object_to_proof(graph, plan) is None
    proof = plan.proof
    assert proof is not None
    assert proof.bound is not None
    raised = replace(plan, proof=replace(proof, bound=proof.value + 1))
    assert object_to_proof(graph, raised) == "the plan moves less than its own bound"
    cheap = replace(proof, prices=(proof.prices[0] - 10**15, *proof.prices[1:]))
    assert "the prices prove" in (object_to_proof(graph, replace(plan, proof=cheap)) or "")
    idle = replace(proof, bound=0, prices=(0,) * len(proof.prices))
    assert "rests on the solver" in (object_to_proof(graph, replace(plan, proof=idle)) or "")
    prices = (proof.prices[0] + 10**12, *proof.prices[1:])
    forged = replace(plan, proof=replace(proof, prices=prices))
    assert object_to_proof(graph, forged) == "a legal group costs less than its units are worth"


def test_a_proof_with_cuts_is_checked_again() -> None:
    graph = small_graph(CYCLIC_SEEDS[0])
    plan = partition(graph, "optimal")
    assert plan.proof is not None
    assert plan.proof.cuts
    assert object_to_proof(graph, plan) is None
    turned = tuple(tuple(reversed(ways)) for ways in plan.proof.pairs)
    swapped = tuple(tuple((leave, entry) for entry, leave in ways) for ways in turned)
    forged = replace(plan, proof=replace(plan.proof, pairs=swapped))
    assert object_to_proof(graph, forged) == "a cut forbids what is no cycle"


@pytest.mark.parametrize("on_chip", [64, 200, 400])
def test_with_a_capacity_too(on_chip: int) -> None:
    """Rung M, and T within a capacity, against all set partitions of 60 random graphs."""
    for seed in range(900, 960):
        graph = small_graph(seed, most=7)
        for rules in ("T", "M"):
            kernels = Kernels(graph, RULE_SETS[rules], on_chip)
            found = find(kernels, singles(kernels))
            assert (found.objective, len(found.groups)) == least_by_force(graph, kernels), seed


def test_more_on_chip_memory_never_costs_bytes(graph: Graph) -> None:
    """1 KB, 64 KB, 256 KB: the optimum under M only falls, and is never above that of T."""
    values = []
    for on_chip in (1 << 10, 1 << 16, 1 << 18):
        proof = partition(graph, "optimal", rules="M", on_chip=on_chip).proof
        assert proof is not None
        assert proof.bound is not None
        values.append(proof.value)
    assert values == sorted(values, reverse=True)
    without = partition(graph, "optimal", rules="T").proof
    assert without is not None
    assert values[0] <= without.value


def test_by_seconds_the_optimum_is_that_of_all_set_partitions() -> None:
    """The sum of the groups' roofline times, in picoseconds: on tensors of 1 MB a T4 needs about
    as long for bytes and work as for launches.
    """
    device = load_device("t4")
    for seed in range(40):
        graph = small_graph(seed, most=6, side=512)
        kernels = Kernels(graph, RULE_SETS["T"])
        terms = op_seconds(graph, device)
        launch = device.launch_seconds("eager")

        seconds = {}
        for group in range(1, 1 << len(kernels.ops)):
            if group & (group - 1) and not is_connected(kernels, group):
                continue
            if kernels.find_fault(group) is None:
                ids = kernels.compute.ids(group)
                work = (sum(terms[op][place] for op in ids) for place in (0, 1))
                moved = group_traffic(graph, ids).nbytes / device.bandwidth
                seconds[group] = launch + max(*work, moved)
        least = min(
            sum(seconds[group] for group in groups)
            for groups in every_partition(list(range(len(kernels.ops))))
            if all(group in seconds for group in groups)
            and is_acyclic(groups, kernels.compute.before)
        )
        proof = partition(graph, "optimal", objective="seconds", device=device).proof
        assert proof is not None
        assert abs(proof.value - least * 1e12) <= len(kernels.ops), seed
        assert proof.bound is not None
        assert proof.bound <= proof.value


def test_figures_by_hand() -> None:
    """Module level: ViT-B/16 under A has 5 kernels a block (norm, attention + add, norm,
    fc1 + gelu, fc2 + add), and conv, cat + add + norm, norm, head: 63. Under B the two norms go
    into what reads them, and the last into the head: 3 a block, conv, cat + add, head: 39.
    """
    graph = capture("vit_b_16", via="module")
    plans = [partition(graph, "optimal", rules=rules) for rules in ("A", "B")]
    assert [cost(graph, plan).launches for plan in plans] == [63, 39]
    graph = capture("efficientnet_b0", via="module")
    plans = [partition(graph, "optimal", rules=rules) for rules in ("A", "B")]
    assert [cost(graph, plan).launches for plan in plans] == [115, 99]


def test_one_search_gives_one_answer() -> None:
    graph = small_graph(7)
    assert partition(graph, "optimal") == partition(graph, "optimal")
