"""Explanations by hand: one small graph a remedy, its sentence, and bytes counted in comments.

A [2, 4, 8] float32 activation has 256 bytes, and so has an 8 x 8 weight.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

import fuseline
from fuseline.costs import group_traffic
from fuseline.costs.cover import cover_traffic
from fuseline.costs.working_set import WorkingSets
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, Quotient, partition
from fuseline.fusion.explain import Change, Explanation, explain, top_missed
from fuseline.fusion.explain.case import Case
from fuseline.fusion.explain.excerpt import Excerpt
from fuseline.fusion.explain.remedies import find_remedies
from fuseline.fusion.explain.rungs import judge
from fuseline.fusion.explain.web import Web
from fuseline.fusion.inductor import inductor
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.fusion.tables import onnxruntime, tensorrt
from fuseline.fusion.tvm import tvm
from fuseline.graph import OUTSIDE, Graph, Kind
from fuseline.plan import Group, Plan, Proof, Refusal, Rule
from tests.fusion.test_ladder import Net
from tests.small_graphs import small_graph

STEPS = "rung A (loops and epilogues over one domain)"
PROLOGUES = "rung B (prologues and whole rows)"


def number(graph: Graph, name: str) -> int:
    (found,) = [op.id for op in graph.ops if op.name == name]
    return found


def asked(graph: Graph, a: str, b: str, plan: Plan | None = None) -> Explanation:
    plan = plan or partition(graph, "unfused")
    return explain(graph, plan, number(graph, a), number(graph, b))


def told(said: Explanation) -> list[tuple[Change, str, int]]:
    return [(found.change, found.sentence, found.saved_nbytes) for found in said.remedies]


def plan_of(graph: Graph, *groups: str, proof: Proof | None = None) -> Plan:
    """Groups as words of op names; what is not named is alone. In program order of their ends."""
    named = [tuple(number(graph, name) for name in group.split()) for group in groups]
    placed = {op for group in named for op in group}
    every = [*named, *((op.id,) for op in graph.ops if op.id not in placed)]
    every.sort(key=max)
    return Plan("hand", tuple(Group(n, ops, "") for n, ops in enumerate(every)), (), proof=proof)


def test_an_epilogue_needs_a() -> None:
    net = Net()
    y = net.op("fc", Kind.LINEAR, net.x, weight=True)
    said = asked(net.done(net.op("act", Kind.GELU, y)), "act", "fc")
    assert (said.first, said.second, said.groups) == (0, 1, (0, 1))
    assert said.are_neighbours
    assert [(found.rule, found.reason) for found in said.refusals] == [
        (Rule.STRATEGY, "the strategy gives fc and act a kernel each")
    ]
    assert said.saved_nbytes == 512  # one store of 256 bytes, one load
    assert said.rung == "A"
    assert told(said) == [(Change.RUNG, f"{STEPS} joins them as they are", 512)]


def test_a_prologue_needs_b() -> None:
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    said = asked(net.done(net.op("fc", Kind.LINEAR, y, weight=True)), "act", "fc")
    assert told(said) == [(Change.RUNG, f"{PROLOGUES} joins them as they are", 512)]


def test_attention_in_steps_needs_t() -> None:
    net = Net()
    keys = net.view(net.x, (2, 8, 4), (32, 1, 8))
    a = net.op("scores", Kind.MATMUL, net.x, keys, shape=(2, 4, 4))
    b = net.op("weights", Kind.SOFTMAX, a, shape=(2, 4, 4), axes=(2,))
    graph = net.done(net.op("values", Kind.MATMUL, b, net.x))
    said = asked(graph, "scores", "values", plan_of(graph, "scores weights"))
    # weights are 2 x 4 x 4 floats, stored and loaded: 256 bytes; x (256 bytes) is read once less
    sentence = "rung T (attention in steps) joins them as they are"
    assert told(said) == [(Change.RUNG, sentence, 512)]
    assert said.shared == ("x",)


def test_a_join_that_gains_nothing_says_so() -> None:
    net = Net()
    y = net.op("mean", Kind.MEAN, net.x, shape=(2, 0, 1), axes=(2,))  # no element: no byte
    said = asked(net.done(net.op("act", Kind.RELU, y, shape=(2, 0, 1))), "mean", "act")
    assert told(said) == [(Change.RUNG, f"{STEPS} joins them as they are, and saves no byte", 0)]


def test_two_contractions_need_m() -> None:
    net = Net()
    y = net.op("fc1", Kind.LINEAR, net.x, weight=True)
    said = asked(net.done(net.op("fc2", Kind.LINEAR, y, weight=True)), "fc1", "fc2")
    sentence = (
        "2 contractions in one kernel (fc1, fc2): no rung short of M joins them, and M needs "
        "576 bytes on chip"  # two weights of 256 bytes, a row of 8 floats before each
    )
    assert told(said) == [(Change.ON_CHIP, sentence, 512)]
    assert said.remedies[0].on_chip_nbytes == said.on_chip_nbytes == 2 * 256 + 2 * 32
    assert said.objection == "2 contractions in one kernel (fc1, fc2)"


def two_readers(*, apart: bool = False, writes: bool = False) -> Graph:
    """Act into fc and into other; with `apart`, other reads a tensor of its own instead."""
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    z = net.op("fc", Kind.LINEAR, y, weight=True)
    if writes:
        net.build.op("other", Kind.RELU, inputs=[y], outputs=[], writes=[y])
        return net.done(z)
    more = net.build.tensor("more", (2, 4, 8)) if apart else y
    return net.done(z, net.op("other", Kind.SIGMOID, more))


def test_one_reader_less_lets_a_prologue_in() -> None:
    said = asked(two_readers(), "act", "fc")
    assert said.objection == "act goes into a contraction, and is used elsewhere too"
    assert said.saved_nbytes == 256  # the load alone: act is stored for other
    reader, memory = said.remedies
    assert reader.change is Change.READER
    assert reader.sentence == f"if act were not read by other as well, {PROLOGUES} would join them"
    assert reader.reader == (0, 2)
    assert reader.rung == "B"
    assert reader.saved_nbytes == 512  # then the store too
    assert memory.change is Change.ON_CHIP
    # the same graph made by hand without that reader agrees
    instead = asked(two_readers(apart=True), "act", "fc")
    assert told(instead) == [(Change.RUNG, f"{PROLOGUES} joins them as they are", 512)]


def test_a_result_of_the_model_is_a_reader_too() -> None:
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    said = asked(net.done(net.op("fc", Kind.LINEAR, y, weight=True), y), "act", "fc")
    remedy = said.remedies[0]
    sentence = f"if act were not a result of the model as well, {PROLOGUES} would join them"
    assert (remedy.sentence, remedy.saved_nbytes) == (sentence, 512)
    assert remedy.reader == (0, OUTSIDE)


def test_a_reader_that_also_writes_cannot_be_taken_away() -> None:
    assert Change.READER not in [
        c for c, _, _ in told(asked(two_readers(writes=True), "act", "fc"))
    ]


def test_two_other_readers_are_one_too_many() -> None:
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    z = net.op("fc", Kind.LINEAR, y, weight=True)
    graph = net.done(z, net.op("one", Kind.SIGMOID, y), net.op("two", Kind.RELU, y))
    assert [found.change for found in asked(graph, "act", "fc").remedies] == [Change.ON_CHIP]


def diamond(kind: Kind) -> Graph:
    """First into middle and last, middle into last."""
    net = Net()
    a = net.op("first", Kind.GELU, net.x)
    b = net.op("middle", kind, a)
    return net.done(net.op("last", Kind.ADD, a, b))


def test_a_cycle_is_named_and_broken_or_taken_in() -> None:
    said = asked(diamond(Kind.RELU), "first", "last")
    assert said.cycle == (0, 1, 2)
    assert said.are_neighbours
    assert said.saved_nbytes == 256  # last would not load first; middle still does
    reader = f"if first were not read by middle as well, {STEPS} would join them"
    third = f"with the group of middle as well, {STEPS} joins them all"
    # middle taken in, no store and load of either is left: 2 x 512 bytes, and a load of first
    assert told(said) == [(Change.READER, reader, 512), (Change.THIRD, third, 1280)]
    assert said.remedies[0].reader == (0, 1)
    assert said.remedies[1].third == (1,)


def test_a_cycle_through_an_unknown_op_can_only_be_broken() -> None:
    said = asked(diamond(Kind.UNKNOWN), "first", "last")
    assert [found.change for found in said.remedies] == [Change.READER]


def test_a_cycle_through_a_contraction_needs_m_for_three() -> None:
    net = Net()
    a = net.op("fc1", Kind.LINEAR, net.x, weight=True)
    b = net.op("fc2", Kind.LINEAR, a, weight=True)
    said = asked(net.done(net.op("add", Kind.ADD, a, b)), "fc1", "add")
    third = said.remedies[-1]
    assert third.change is Change.THIRD
    assert third.rung is None
    # two weights of 256 bytes, a row of x, and one of fc1, out of which add takes its elements too
    assert third.on_chip_nbytes == 2 * 256 + 2 * 32
    assert third.sentence == (
        "with the group of fc2 as well, M joins them all, and needs 576 bytes on chip"
    )
    # fc1 is not stored, and loaded by neither; fc2 is neither stored nor loaded: 5 x 256 bytes
    assert third.saved_nbytes == 1280


def test_a_cycle_that_nothing_breaks_is_said() -> None:
    net = Net()
    a = net.op("one", Kind.GELU, net.x)
    b = net.op("two", Kind.RELU, a)
    c = net.build.op("middle", Kind.UNKNOWN, inputs=[a, b], shape=(2, 4, 8))  # takes both
    graph = net.done(net.op("last", Kind.ADD, b, c))
    said = asked(graph, "one", "last", plan_of(graph, "one two"))
    why = (
        "they depend on each other through the group of middle, and with it middle is unknown, "
        "and an unknown op never fuses"
    )
    assert told(said) == [(Change.NONE, why, 0)]


def test_an_unknown_op_is_joined_by_nothing() -> None:
    net = Net()
    y = net.op("odd", Kind.UNKNOWN, net.x)
    said = asked(net.done(net.op("act", Kind.RELU, y)), "odd", "act")
    why = "nothing joins them: odd is unknown, and an unknown op never fuses"
    assert told(said) == [(Change.NONE, why, 0)]
    assert said.on_chip_nbytes is None


def test_ops_that_only_read_the_same_are_no_neighbours() -> None:
    net = Net()
    graph = net.done(net.op("one", Kind.RELU, net.x), net.op("two", Kind.GELU, net.x))
    said = asked(graph, "one", "two")
    assert not said.are_neighbours
    assert (said.path, said.refusals, said.shared) == ((), (), ("x",))
    assert said.saved_nbytes == 256
    why = "they pass nothing to each other: one kernel would only read x once for both"
    assert told(said) == [(Change.NONE, why, 0)]
    horizontal = replace(partition(graph, "unfused"), horizontal=True)
    said = asked(graph, "one", "two", horizontal)
    assert told(said) == [(Change.RUNG, f"{STEPS} joins them as they are", 256)]


def test_ops_with_nothing_in_common() -> None:
    net = Net()
    other = net.build.tensor("other", (2, 4, 8))
    graph = net.done(net.op("one", Kind.RELU, net.x), net.op("two", Kind.GELU, other))
    why = "they pass nothing to each other and read nothing in common"
    assert told(asked(graph, "one", "two")) == [(Change.NONE, why, 0)]


def test_distant_ops_have_a_path() -> None:
    net = Net()
    y = net.op("one", Kind.RELU, net.x)
    y = net.op("two", Kind.GELU, net.view(y, (2, 8, 4), (32, 4, 1)), shape=(2, 8, 4))
    graph = net.done(net.op("three", Kind.RELU, y, shape=(2, 8, 4)))
    said = asked(graph, "one", "three")
    assert not said.are_neighbours
    assert [graph.ops[op].name for op in said.path] == ["one", "two", "three"]  # without the view
    third = said.remedies[-1]
    assert third.sentence == f"with the group of two as well, {STEPS} joins them all"
    assert third.saved_nbytes == 1024  # two results stored and loaded


def test_one_kernel_says_what_it_saves_and_under_which_rung() -> None:
    net = Net()
    y = net.op("fc", Kind.LINEAR, net.x, weight=True)
    z = net.op("act", Kind.GELU, y)
    graph = net.done(net.op("fc2", Kind.LINEAR, z, weight=True))
    said = asked(graph, "act", "fc", plan_of(graph, "fc act"))
    assert said.are_together
    assert (said.saved_nbytes, said.rung, said.objection) == (512, "A", "")
    said = asked(graph, "act", "fc", plan_of(graph, "fc act fc2"))
    assert (said.saved_nbytes, said.rung) == (1024, None)
    assert said.objection == "2 contractions in one kernel (fc, fc2)"
    assert said.remedies == ()


def test_a_view_takes_no_kernel() -> None:
    net = Net()
    y = net.op("act", Kind.RELU, net.x)
    seen = net.view(y, (2, 8, 4), (32, 4, 1))
    said = asked(net.done(seen), "act", f"view{seen}")
    assert told(said) == [
        (Change.RUNG, "one of them is a view or runs on the host, and needs no kernel", 0)
    ]


def test_a_capacity_says_how_much_it_lacks() -> None:
    net = Net()
    y = net.op("norm", Kind.LAYERNORM, net.x, axes=(2,))
    graph = net.done(net.op("fc", Kind.LINEAR, y, weight=True))
    proof = Proof("B", 16, "bytes", 0, None, False, False, 0, 0)  # noqa: FBT003 - not looked at
    said = asked(graph, "norm", "fc", plan_of(graph, proof=proof))
    # a row of x, 8 floats, is read twice: for its statistics, and to be normalised
    sentence = "the rules allow one kernel, which needs 32 bytes on chip"
    assert told(said) == [(Change.ON_CHIP, sentence, 512)]
    enough = plan_of(graph, proof=replace(proof, on_chip=32))
    assert asked(graph, "norm", "fc", enough).rung == "B"


def cover() -> tuple[Graph, Plan]:
    """Shared, computed in the kernels of a and of b and stored nowhere."""
    net = Net()
    y = net.op("shared", Kind.RELU, net.x)
    graph = net.done(net.op("a", Kind.GELU, y), net.op("b", Kind.SIGMOID, y))
    groups = (Group(0, (0, 1), "", recomputed=(0,)), Group(1, (0, 2), "", recomputed=(0,)))
    refusal = Refusal(0, 2, Rule.STRATEGY, "by hand", 0)
    return graph, Plan("cover", groups, (refusal,), is_cover=True)


def test_ops_of_a_cover_may_share_one_of_several_kernels() -> None:
    graph, plan = cover()
    said = asked(graph, "shared", "b", plan)
    assert (said.groups, said.elsewhere) == ((1,), (0,))
    assert said.saved_nbytes == 512  # shared is neither stored nor loaded
    said = asked(graph, "a", "b", plan)
    assert said.groups == (0, 1)
    assert said.saved_nbytes == 256  # x is read once, not twice
    assert said.rung == "A"
    assert told(said) == [(Change.RUNG, f"{STEPS} joins them as they are", 256)]
    both = (Group(0, (0, 1, 2), "", recomputed=(0,)),)
    moved = [sum(t.nbytes for t in cover_traffic(graph, groups)) for groups in (plan.groups, both)]
    assert moved[0] - moved[1] == 256


def test_one_op_is_no_pair() -> None:
    with pytest.raises(InputError, match="'first' is one op: name two"):
        asked(diamond(Kind.RELU), "first", "first")


def test_a_plan_of_another_graph_is_refused() -> None:
    plan = partition(two_readers(), "unfused")
    net = Net()
    graph = net.done(*(net.op(name, Kind.RELU, net.x) for name in ("a", "b", "c", "extra")))
    with pytest.raises(InputError, match="it has no group for 'extra'"):
        top_missed(graph, plan, 1)


def test_missed_pairs_come_largest_first_and_once() -> None:
    graph = diamond(Kind.RELU)
    found = top_missed(graph, partition(graph, "unfused"), 10)
    names = [(graph.ops[m.producer].name, graph.ops[m.consumer].name) for m in found]
    assert names == [("middle", "last"), ("first", "middle"), ("first", "last")]
    # middle and last: a store, a load, and one of two loads of first
    assert [m.saved_nbytes for m in found] == [768, 256, 256]
    assert [(m.is_legal, m.is_cyclic) for m in found] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert [m.remedy.change for m in found] == [Change.RUNG, Change.RUNG, Change.READER]
    assert found[0].reason == "the strategy gives middle and last a kernel each"
    assert top_missed(graph, partition(graph, "unfused"), 1) == found[:1]


def test_a_pair_that_saves_nothing_is_not_missed() -> None:
    net = Net()
    y = net.op("act", Kind.RELU, net.x)
    assert top_missed(net.done(net.view(y, (2, 8, 4), (32, 4, 1))), Plan("hand", (
        Group(0, (0,), ""), Group(1, (1,), "")), ()), 5) == ()  # fmt: skip


def random_plan(graph: Graph, seed: int) -> Plan:
    """Ops joined at random along dependences, the graph of groups kept acyclic."""
    random, quotient = Random(seed), Quotient(graph)  # noqa: S311 - to be the same every time
    edges = [(earlier, op.id) for op in graph.ops for earlier in graph.dependences[op.id]]
    for pair in random.sample(edges, len(edges) // 3):
        quotient.try_join(pair)
    groups = tuple(Group(n, ops, "") for n, ops in enumerate(quotient.ordered()))
    return Plan("random", groups, ())


@pytest.mark.parametrize("seed", range(40))
def test_an_excerpt_is_judged_as_the_whole_and_cycles_as_by_the_quotient(seed: int) -> None:
    graph = small_graph(seed, most=10)
    plan = random_plan(graph, seed)
    web = Web(graph, plan)
    ladder = [Kernels(graph, RULE_SETS[name]) for name in ("R0", "A", "B", "T")]
    for one, other in combinations(range(len(plan.groups)), 2):
        ops = web.ops_of((one, other))
        excerpt = Excerpt(web, ops)
        rung, found = judge(excerpt.graph, excerpt.inside)
        faults = [kernels.find_fault(kernels.compute.mask_of(ops)) for kernels in ladder]
        allowed = [k.rules.name for k, fault in zip(ladder, faults, strict=True) if fault is None]
        assert rung == (allowed[0] if allowed else None)
        assert found == faults[-1]
        assert WorkingSets(excerpt.graph).nbytes(excerpt.inside) == web.sets.nbytes(ops)
        joins = Quotient.of(graph, plan).try_join((ops[0], *web.held[one], *web.held[other]))
        assert joins is (not web.between(frozenset((one, other))))


@pytest.mark.parametrize("seed", range(40))
def test_what_joining_the_groups_between_promises_holds(seed: int) -> None:
    graph = small_graph(seed, most=10)
    plan = random_plan(graph, seed)
    web = Web(graph, plan)
    for pair in combinations(range(len(plan.groups)), 2):
        for remedy in find_remedies(Case(web, frozenset(pair))):
            if remedy.change is Change.THIRD:
                groups = (*pair, *remedy.third)
                ops = web.ops_of(groups)
                assert Quotient.of(graph, plan).try_join(ops)
                apart = sum(group_traffic(graph, web.held[group]).nbytes for group in groups)
                assert remedy.saved_nbytes == apart - group_traffic(graph, ops).nbytes
                if remedy.rung is not None:
                    kernels = Kernels(graph, RULE_SETS[remedy.rung])
                    assert kernels.find_fault(kernels.compute.mask_of(ops)) is None


def test_vit_lacks_the_weights_of_its_feed_forward_on_chip() -> None:
    graph = fuseline.capture("vit_b_16")
    missed = top_missed(graph, partition(graph, "optimal"), 3)
    first = missed[0]
    # 197 tokens: gelu's 3072 floats each, stored and loaded, and the residual's 768 read once less
    assert first.saved_nbytes == 197 * 4 * (2 * 3072 + 768)
    assert first.rule is Rule.SECOND_CONTRACTION
    assert not first.is_legal
    assert first.remedy.change is Change.ON_CHIP
    weights = 4 * (2 * 768 * 3072 + 3072 + 768 + 2 * 768)  # both linears, biases, the norm's
    assert first.remedy.on_chip_nbytes is not None
    assert weights < first.remedy.on_chip_nbytes < weights + 100_000  # and rows on the way
    assert first.remedy.sentence == (
        "2 contractions in one kernel (linear_2, linear_3): no rung short of M joins them, and M "
        "needs 18.1 MiB on chip"
    )


@pytest.mark.parametrize("name", ["efficientnet_b0", "hf/gpt2"])
def test_every_strategy_is_explained(name: str) -> None:
    graph = fuseline.capture(name)
    made = {name: strategy(graph) for name, strategy in STRATEGIES.items()}
    plans = [*made.values(), *(make(graph) for make in (tvm, onnxruntime, tensorrt, inductor))]
    for plan in plans:
        missed = top_missed(graph, plan, 4)
        assert missed
        saved = [found.saved_nbytes for found in missed]
        assert saved == sorted(saved, reverse=True)
        for found in missed:
            said = explain(graph, plan, found.consumer, found.producer)
            assert said.groups == tuple(found.groups)
            assert said.saved_nbytes == found.saved_nbytes
            assert said.remedies[0] == found.remedy
            assert any((r.rule, r.reason) == (found.rule, found.reason) for r in said.refusals)
            assert found.is_cyclic == bool(said.cycle) or plan.is_cover
