"""`fuseline.compare`, from names to ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES
from fuseline.report.compare import Planned, Subject, check_against, compare, find_ways
from tests.report.chains import chain


def test_compare_takes_one_or_several_of_everything() -> None:
    one = compare(chain(), "tvm")
    assert [way.label for way in one.ways] == ["net, tvm"]
    several = compare(
        [chain(), chain("big", 4)], ["unfused", "optimal"], rules=["A", "T"], devices="t4"
    )
    assert [way.label for way in several.ways] == [
        f"{model}, {plan}, t4"
        for model in ("net", "big")
        for plan in ("unfused", "optimal (A)", "optimal (T)")
    ]
    assert {way.plan.strategy for way in compare(chain(), "all").ways} == set(STRATEGIES)


def test_compare_refuses_what_makes_no_sense() -> None:
    with pytest.raises(InputError, match="unknown strategy 'tmv': did you mean 'tvm'"):
        compare(chain(), "tmv")
    with pytest.raises(InputError, match="'net' is a saved graph: how it was captured is fixed"):
        compare(chain(), batches=8)
    with pytest.raises(InputError, match="matches 121 models, and at most 40"):
        compare("*")
    with pytest.raises(InputError, match="no torchvision model matches 'zz\\*'"):
        compare("zz*")


def test_rules_that_need_a_size_say_so() -> None:
    with pytest.raises(InputError, match="rules M allow what fits on chip: add on_chip"):
        compare(chain(), "optimal", rules=["T", "M"])
    [way] = compare(chain(), "optimal", rules="M", on_chip=1 << 20).ways
    assert way.plan.proof is not None
    assert way.plan.proof.on_chip_bytes == 1 << 20


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("7", "no way has the number 7: there are 4"),
        ("0", "no way has the number 0: there are 4"),
        ("9" * 5_000, "no way has the number"),
        ("unfussed", "no way has 'unfussed': did you mean 'unfused'?"),
        ("strategy=optimal", "no way has 'strategy=optimal': one of unfused, tvm, t4"),
        ("h100-sxm", "no way has 'h100-sxm': one of unfused, tvm, t4"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_before_any_capture(
    against: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        compare(
            ["no-such-model", "nor-this-one"], ["unfused", "tvm"], devices="t4", against=against
        )
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("against", [None, "4", "tvm", "float16", "nor-this-one", "batch=8"])
def test_a_baseline_that_may_be_is_left_to_the_captures(against: str | None) -> None:
    subjects = [Subject("no-such-model"), Subject("nor-this-one")]
    check_against(against, subjects, Planned(("unfused", "tvm")))


def test_a_model_that_fails_is_left_out_where_somebody_hears_of_it(tmp_path: Path) -> None:
    subjects = [Subject(str(tmp_path / "none.json")), Subject(chain())]
    failed: list[str] = []
    ways = tuple(find_ways(subjects, Planned(("tvm",)), lambda _: None, failed.append))
    assert len(ways) == 1
    [said] = failed
    assert "none.json" in said
    with pytest.raises(InputError, match="cannot read"):
        list(find_ways(subjects, Planned(("tvm",)), lambda _: None))
