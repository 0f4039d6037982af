"""The capacity curve against the search it shares its work with, and against brute force."""

from __future__ import annotations

from itertools import pairwise
from time import monotonic

import pytest

from fuseline import capture, partition
from fuseline.costs import group_traffic
from fuseline.errors import InputError
from fuseline.fusion import Settings
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.fusion.optimal import columns as module
from fuseline.fusion.optimal.columns import Columns
from fuseline.fusion.optimal.curve import (
    DEFAULT_CAPACITIES,
    KB,
    Point,
    capacity_curve,
    find_knee,
    least_without_capacity,
)
from fuseline.fusion.optimal.levels import Growth, Sizes, chains, ops_alone
from fuseline.graph import Builder, Graph, Kind, Role
from fuseline.hardware import load_device
from tests.fusion.test_optimal import is_acyclic, least_by_force
from tests.small_graphs import small_graph

MODELS = {
    "resnet18": lambda: capture("resnet18"),
    "vit_b_16 at module level": lambda: capture("vit_b_16", via="module"),
    "mobilenet_v3_small": lambda: capture("mobilenet_v3_small"),
}
CAPACITIES = (64 * KB, 256 * KB, 1024 * KB, 4096 * KB)


@pytest.fixture(scope="module", params=MODELS)
def graph(request: pytest.FixtureRequest) -> Graph:
    name: str = request.param
    return MODELS[name]()


@pytest.fixture(scope="module")
def points(graph: Graph) -> tuple[Point, ...]:
    return capacity_curve(graph, CAPACITIES)


def test_each_point_is_the_optimum_of_its_own_search(
    graph: Graph, points: tuple[Point, ...]
) -> None:
    for point in points:
        proof = partition(graph, "optimal", rules="M", on_chip=point.on_chip).proof
        assert proof is not None
        assert proof.is_optimal
        assert point.is_optimal
        assert point.nbytes == point.bound == proof.value


def test_the_curve_falls_from_t_to_the_compulsory(graph: Graph, points: tuple[Point, ...]) -> None:
    assert [point.on_chip for point in points] == list(CAPACITIES)
    falling = [least_without_capacity(graph)[0], *(point.nbytes for point in points)]
    assert falling == sorted(falling, reverse=True)
    assert points[-1].bound >= graph.compulsory_bytes


def test_plans_of_the_curve_are_legal_at_their_capacity(
    graph: Graph, points: tuple[Point, ...]
) -> None:
    """Its groups cover all compute ops, each fits, and together they move what is claimed."""
    for point in points:
        kernels = Kernels(graph, RULE_SETS["M"], point.on_chip)
        assert sorted(op for ops in point.groups for op in ops) == list(kernels.compute.ops)
        assert all(kernels.find_fault(kernels.compute.mask_of(ops)) is None for ops in point.groups)
        masks = [kernels.compute.mask_of(ops) for ops in point.groups]
        assert is_acyclic(masks, kernels.compute.before)
        assert sum(group_traffic(graph, ops).nbytes for ops in point.groups) == point.nbytes
        assert point.launches == len(point.groups)


def test_ever_tighter_limits_are_labelled_and_stay_monotone() -> None:
    """With room for few groups nothing is proven, and nothing is claimed."""
    graph = capture("mobilenet_v3_small")
    exact = capacity_curve(graph, CAPACITIES)
    for most in (1, 300, 1000):
        rough = capacity_curve(graph, CAPACITIES, Settings("M", most_groups=most))
        for point, best in zip(rough, exact, strict=True):
            assert graph.compulsory_bytes <= point.bound <= best.nbytes <= point.nbytes
            assert point.is_optimal == (point.nbytes == point.bound)
        assert all(one.nbytes >= other.nbytes for one, other in pairwise(rough))
        assert all(one.bound >= other.bound for one, other in pairwise(rough))
    assert not all(point.is_optimal for point in rough)


@pytest.mark.parametrize("part", range(4))
def test_every_point_is_that_of_all_set_partitions(part: int) -> None:
    """80 random graphs of up to 7 ops whose tensors have 64 bytes, at capacities around that."""
    capacities = (1, 40, 72, 150, 300, 10_000)
    for seed in range(part * 20, part * 20 + 20):
        graph = small_graph(seed, most=7)
        for point in capacity_curve(graph, capacities):
            kernels = Kernels(graph, RULE_SETS["M"], point.on_chip)
            least = least_by_force(graph, kernels)
            assert (point.nbytes, point.launches) == least, (seed, point.on_chip)
            assert point.is_optimal, (seed, point.on_chip)


@pytest.mark.parametrize("part", range(4))
def test_the_relaxed_rules_bound_chains(part: int) -> None:
    """The least over chains under the relaxed rules is at most that of all set partitions."""
    for seed in range(200 + part * 20, 220 + part * 20):
        graph = small_graph(seed, most=7)
        for on_chip in (40, 72, 150):
            grain = chains(Sizes(graph, RULE_SETS["M"], on_chip))
            growth = Growth(grain, [on_chip], 10**6, lambda _: None)
            assert growth.reach(0, float("inf"))
            groups = [group.units for group in growth.found if group.least <= on_chip]
            prices = [group.nbytes for group in growth.found if group.least <= on_chip]
            chosen = Columns(grain.units, groups, prices).choose((), 1e18, lambda _, __: None)
            kernels = Kernels(graph, RULE_SETS["M"], on_chip)
            assert chosen.is_best
            assert (chosen.nbytes, len(chosen.groups)) <= least_by_force(graph, kernels), seed


def test_levels_hold_what_a_fresh_growth_of_each_capacity_meets() -> None:
    sizes = Sizes(capture("mobilenet_v3_small"), RULE_SETS["M"], CAPACITIES[-1])
    grain = ops_alone(sizes)
    shared = Growth(grain, CAPACITIES, 10**6, lambda _: None)
    counts = []
    for level, on_chip in enumerate(CAPACITIES):
        assert shared.reach(level, float("inf"))
        alone = Growth(grain, [on_chip], 10**6, lambda _: None)
        assert alone.reach(0, float("inf"))
        fit = {group for group in shared.found if group.least <= on_chip}
        assert fit == {group for group in alone.found if group.least <= on_chip}
        counts.append(len(fit))
    assert counts == sorted(set(counts))  # each level adds some


def test_few_groups_and_prices_choose_as_all_groups_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solved on ten groups at first and five more a round, and on all at once."""
    grain = ops_alone(Sizes(capture("resnet18", via="module"), RULE_SETS["M"], CAPACITIES[-1]))
    growth = Growth(grain, CAPACITIES[-1:], 10**6, lambda _: None)
    assert growth.reach(0, float("inf"))
    fit = [group for group in growth.found if (grain.need(group.units) or 0) <= CAPACITIES[-1]]
    columns = Columns(grain.units, [g.units for g in fit], [g.nbytes for g in fit])
    every = columns.choose((), 1e18, lambda _, __: None)
    monkeypatch.setattr(module, "_FEW", 10)
    monkeypatch.setattr(module, "_ADDED", 5)
    few = columns.choose((), 1e18, lambda _, __: None)
    assert every.is_best
    assert few.is_best
    assert few.bound is not None
    assert (few.nbytes, len(few.groups)) == (every.nbytes, len(every.groups))
    assert few.bound <= every.nbytes

    hasty = columns.choose((), monotonic() + 0.05, lambda _, __: None)  # prices of some groups
    assert hasty.nbytes >= every.nbytes
    assert hasty.bound is None or hasty.bound <= every.nbytes


def mlp() -> Graph:
    """Three linears on 8 tokens of 4: tensors of 128 bytes, weights of 64."""
    build = Builder()
    x = build.tensor("x", (8, 4), role=Role.INPUT)
    for name in ("one", "two", "three"):
        weight = build.tensor(f"w_{name}", (4, 4), role=Role.PARAMETER)
        x = build.op(name, Kind.LINEAR, inputs=[x], parameters=[weight], shape=(8, 4))
    return build.finish([x])


def test_a_curve_by_hand() -> None:
    """A linear holds its weight (64) and a row of what it reads (16): two take 160, three 240.

    Three kernels move 3 * (128 + 64 + 128) = 960 bytes; each that is saved spares a write and a
    read, 256; one kernel moves what is compulsory, 128 + 3 * 64 + 128 = 448.
    """
    graph = mlp()
    curve = capacity_curve(graph, (1, 159, 160, 239, 240, 10**9))
    assert [point.nbytes for point in curve] == [960, 960, 704, 704, 448, 448]
    assert [point.launches for point in curve] == [3, 3, 2, 2, 1, 1]
    assert graph.compulsory_bytes == 448
    assert least_without_capacity(graph) == (960, 3)


def test_the_knee_by_hand() -> None:
    """Of 512 bytes saved, 90% are 461: only 240 bytes on chip have them. 1 -> 160 saves 256 over
    log2(160) doublings, 160 -> 240 saves 256 over log2(1.5).
    """
    knee = find_knee(capacity_curve(mlp(), (1, 160, 240, 480)))
    assert knee is not None
    assert knee.knee.on_chip == 240
    assert [point.on_chip for point in knee.steepest] == [160, 240]
    assert find_knee(capacity_curve(mlp(), (1, 2))) is None


def test_other_rules_tile_within_the_capacity() -> None:
    """Under T a capacity bounds tiles: with one byte a row reduction shares no kernel."""
    graph = capture("vit_b_16", via="module")
    curve = capacity_curve(graph, (1, 64 * KB), Settings("T"))
    for point in curve:
        proof = partition(graph, "optimal", rules="T", on_chip=point.on_chip).proof
        assert proof is not None
        assert (point.nbytes, point.is_optimal) == (proof.value, True)
    assert curve[0].nbytes > curve[1].nbytes == least_without_capacity(graph)[0]


def test_an_empty_graph_has_a_curve() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    points = capacity_curve(build.finish([x]), (64,))
    assert [(point.nbytes, point.launches, point.gap) for point in points] == [(0, 0, 0.0)]


def test_the_default_capacities_are_doublings() -> None:
    assert (DEFAULT_CAPACITIES[0], DEFAULT_CAPACITIES[-1]) == (65_536, 67_108_864)
    assert all(other == 2 * one for one, other in pairwise(DEFAULT_CAPACITIES))


@pytest.mark.parametrize(
    ("capacities", "settings", "said"),
    [
        ((0,), Settings("M"), "on-chip memory must be positive, not 0 bytes"),
        ((), Settings("M"), "a capacity curve needs a capacity at least"),
        ((1,), Settings("N"), "unknown rules 'N'"),
        (
            (1,),
            Settings("M", objective="seconds", device=load_device("t4")),
            "a capacity curve is of bytes, not of seconds",
        ),
    ],
)
def test_bad_input_is_one_line(capacities: tuple[int, ...], settings: Settings, said: str) -> None:
    with pytest.raises(InputError, match=said):
        capacity_curve(mlp(), capacities, settings)
