"""Comparisons: what may be put as better, in which order, and beside what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuseline.errors import InputError
from fuseline.report.rows import IllegalRow
from fuseline.report.rows.comparing import baselines, best, ordered
from fuseline.report.rows.comparison import Comparison
from fuseline.report.rows.ways import FIGURES, Way
from tests.report.chains import chain, figure, marks, timed_ways, ways_of

# --- better and worse -------------------------------------------------------------------------


def test_equal_ways_are_all_the_best_and_none_where_all_are_equal() -> None:
    ways = ways_of(chain(), strategies=("unfused", "tvm", "tensorrt", "optimal"))
    launches = [way.plan.launches for way in ways]
    found = best(ways, figure("launches"))
    assert found == {place for place, count in enumerate(launches) if count == min(launches)}
    assert best(ways[1:2] * 2, figure("launches")) == frozenset()


def test_sizes_are_compared_within_a_model_and_ratios_across_models() -> None:
    # small moves less than big, and is not better for it; big fuses more of what it has
    ways = ways_of(chain("small", 2), chain("big", 4), strategies=("tvm",))
    # (128 FLOPs over 192 bytes in both: no mark for the intensity)
    assert marks(Comparison(ways)) == {1: "", 2: "fusion_efficiency, memory_reduction"}
    assert best(ways, figure("traffic_bytes")) == frozenset()
    changes = Comparison(ways).differences()
    assert [column.name for column in changes.columns][3:] == [
        "fusion_efficiency_change", "fusion_efficiency_change_fraction",
        "memory_reduction_change", "memory_reduction_change_fraction",
    ]  # fmt: skip


def test_other_batches_are_no_better_and_other_dtypes_are() -> None:
    batches = ways_of(chain(), chain(batch=8), strategies=("tvm",))
    assert best(batches, figure("traffic_bytes")) == frozenset()
    dtypes = ways_of(chain(), chain(dtype="float16"), strategies=("tvm",))
    assert best(dtypes, figure("traffic_bytes")) == {1}
    [change] = Comparison(dtypes).differences().column("traffic_bytes_change_fraction")
    assert change == -0.5


def of_shapes(way: Way, batch: int, *shapes: tuple[int, ...]) -> Way:
    return replace(way, model=replace(way.model, batch=batch, input_shapes=shapes))


def test_seconds_of_a_sample_are_compared_at_any_batch_and_of_one_size_alone() -> None:
    one, eight = timed_ways(chain(batch=1), chain(batch=8))
    per_sample = figure("seconds_per_sample")
    assert one.plan.roofline is not None
    assert eight.plan.roofline is not None
    assert per_sample.of(eight) == eight.plan.roofline.pipelined_seconds / 8
    assert best((one, eight), per_sample) == {1}
    assert "seconds_per_sample" in str(marks(Comparison((one, eight)))[2])
    for shapes, others in (
        ([(1, 128)], [(8, 512)]),  # longer sequences
        ([(1, 3, 224, 224)], [(8, 3, 64, 64)]),  # smaller images
        ([(1, 1), (1, 12, 513, 64), ()], [(8, 1), (8, 12, 901, 64), ()]),  # more cached tokens
        ([(1, 128)], [(8, 1), (8, 12, 513, 64)]),  # a prefill and a decode step
    ):
        ways = (of_shapes(one, 1, *shapes), of_shapes(eight, 8, *others))
        assert best(ways, per_sample) == frozenset()
        assert per_sample.change(*ways) is None
    decode = [(1, 1), (1, 12, 513, 64), ()]
    steps = (of_shapes(one, 1, *decode), of_shapes(eight, 8, (8, 1), (8, 12, 513, 64), ()))
    assert best(steps, per_sample) == {1}
    images = (of_shapes(one, 1, (3, 320, 320)), of_shapes(eight, 2, (3, 320, 320), (3, 320, 320)))
    assert best(images, per_sample) == frozenset()  # lists of images: another shape of input


def test_what_floats_round_makes_nothing_better() -> None:
    first, second = timed_ways(chain(), strategies=("tvm", "tensorrt"))
    assert first.plan.seconds is not None
    near = replace(second, plan=replace(second.plan, seconds=first.plan.seconds * (1 + 1e-15)))
    assert near.plan.seconds != first.plan.seconds
    seconds = figure("seconds")
    assert best((first, near), seconds) == frozenset()
    assert seconds.change(near, first) == 0.0
    slow = replace(second, plan=replace(second.plan, seconds=first.plan.seconds * 2))
    assert best((first, near, slow), seconds) == {0, 1}
    assert seconds.change(slow, first) == first.plan.seconds


def test_nothing_is_compared_across_frontends() -> None:
    one, other = ways_of(chain())
    across = (one, replace(other, model=replace(other.model, via="module")))
    assert all(not best(across, each) for each in FIGURES)
    assert Comparison(across, against="1").differences().rows == ()


def test_illegal_plans_and_those_that_do_not_fit_are_never_the_best() -> None:
    slow, quick = ways_of(chain())
    illegal = replace(quick.plan, illegal_groups=(IllegalRow(0, "all", "T", "no such kernel"),))
    assert best((slow, replace(quick, plan=illegal)), figure("launches")) == {0}
    assert quick.memory is not None
    large = replace(quick, memory=replace(quick.memory, fits=False))
    assert best((slow, large), figure("launches")) == {0}
    notes = Comparison((slow, large)).table().notes
    assert any(note.endswith("ways with illegal groups, or that do not fit, are left out")
               for note in notes)  # fmt: skip


def test_a_cover_of_more_parameters_than_memory_is_not_the_best() -> None:
    unfused, cover = timed_ways(chain(), strategies=("unfused", "inductor"))
    assert (cover.plan.kind, cover.memory, cover.fits) == ("cover", None, None)
    assert unfused.memory is not None
    assert cover.capacity_bytes == unfused.memory.capacity_bytes
    assert best((unfused, cover), figure("launches")) == {1}
    small = replace(cover, capacity_bytes=cover.graph.parameter_bytes - 1)
    assert small.fits is False
    assert best((unfused, small), figure("launches")) == {0}
    assert replace(cover, capacity_bytes=cover.graph.parameter_bytes).fits is None
    notes = Comparison((unfused, cover)).table().notes
    assert any(note.endswith("neither its groups nor its memory are judged") for note in notes)


def test_traffic_over_the_optimum_is_told_of_legal_partitions_alone() -> None:
    ways = ways_of(chain(), strategies=("unfused", "tvm", "inductor", "optimal"))
    over = dict(zip((way.plan.strategy for way in ways),
                    Comparison(ways, sort="none").wide().column("over_optimal"),
                    strict=True))  # fmt: skip
    assert over == {"unfused": 448 / 192 - 1, "tvm": 0.0, "inductor": None, "optimal": 0.0}


def test_a_plan_of_the_least_seconds_is_no_yardstick_of_bytes() -> None:
    unfused, optimal = ways_of(chain(), strategies=("unfused", "optimal"))
    proof = optimal.plan.proof
    assert proof is not None
    fastest = replace(
        optimal, plan=replace(optimal.plan, proof=replace(proof, objective="seconds"))
    )
    table = Comparison((unfused, fastest)).wide()
    assert "over_optimal" not in [column.name for column in table.columns]
    both = Comparison((unfused, fastest, optimal), sort="none").wide()
    assert both.column("over_optimal") == (448 / 192 - 1, 0.0, 0.0)


def test_infinite_intensity_is_not_compared() -> None:
    one, other = ways_of(chain())
    endless = replace(other, plan=replace(other.plan, arithmetic_intensity=float("inf")))
    comparison = Comparison((one, endless))
    assert comparison.wide().column("arithmetic_intensity_change") == (None, 0.0)


# --- order and baselines ----------------------------------------------------------------------


def test_models_stay_together_and_ratios_sort_all_of_them() -> None:
    ways = ways_of(chain("small", 2), chain("big", 4))
    assert [way.plan.traffic_bytes for way in ways] == [320, 192, 576, 192]
    assert ordered(ways, "traffic_bytes") == (1, 0, 3, 2)
    assert ordered(ways, "memory_reduction") == (3, 1, 0, 2)
    assert ordered(ways, "none") == (0, 1, 2, 3)
    assert Comparison(ways).order == "traffic_bytes"
    assert Comparison(ways[:1]).order == "none"


@pytest.mark.parametrize(
    ("sort", "message"),
    [
        ("launchs", "unknown figure to sort by 'launchs': did you mean 'launches'?"),
        ("bottleneck", "cannot sort by 'bottleneck': it is no number"),
    ],
)
def test_what_cannot_be_sorted_by_is_refused(sort: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Comparison(ways_of(chain()), sort=sort)
    assert str(caught.value) == message


def test_baselines() -> None:
    ways = ways_of(chain("small", 2), chain("big", 4), chain("big", 4, "float16"))
    # small unfused, small tvm, big unfused, big tvm, half unfused, half tvm
    assert baselines(ways, None) == (0, 0, 2, 2, 2, 2)
    assert baselines(ways, "4") == (3, 3, 3, 3, 3, 3)
    assert baselines(ways, "unfused") == (0, 0, 2, 2, 4, 4)
    assert baselines(ways, "tvm") == (1, 1, 3, 3, 5, 5)
    assert baselines(ways, "strategy=tvm") == (1, 1, 3, 3, 5, 5)
    assert baselines(ways, "float32") == (0, 1, 2, 3, 2, 3)
    assert baselines(ways, "small") == (0, 1, 0, 1, 0, 1)
    assert baselines(ways[::2], None) == (0, 1, 1)
    assert baselines(ways[:4:2], None) == (0, 0)  # a way a model: all beside the first
    batches = ways_of(chain(), chain(batch=8))
    assert baselines(batches, "batch=8") == (2, 3, 2, 3)


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("0", "no way has the number 0: there are 2"),
        ("3", "no way has the number 3: there are 2"),
        ("unfussed", "no way has 'unfussed': did you mean 'unfused'?"),
        ("batch=9", "no way has 'batch=9'; name a number, or a value such as 'unfused'"),
    ],
)
def test_a_baseline_that_is_not_there_is_refused(against: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Comparison(ways_of(chain()), against)
    assert str(caught.value) == message


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to compare"):
        Comparison(())
