from __future__ import annotations

import pytest

from fuseline.report.rows.table import Value
from fuseline.sweep.schema import COLUMNS, jobs_of
from fuseline.sweep.storable import fitting, storable
from fuseline.sweep.tasks import Row
from tests.sweep.made_rows import made_row, made_sweep

PLACES = {column.name: place for place, column in enumerate(COLUMNS)}
JOB = jobs_of(made_sweep().capture(1))[1]


def with_cell(name: str, value: object) -> Row:
    row = list(made_row(JOB))
    row[PLACES[name]] = value  # pyrefly: ignore[unsupported-operation]  # what is wrong is the point
    return tuple(row)


def test_a_row_that_fits_is_as_it_was() -> None:
    row = made_row(JOB)
    assert storable(JOB, row) == row


def test_a_figure_beyond_64_bits_makes_a_failed_row() -> None:
    row = storable(JOB, with_cell("flops", 2**63))
    assert row[PLACES["status"]] == "refused"
    assert row[PLACES["reason"]] == (
        "flops: 9,223,372,036,854,775,808 is beyond the 64 bits of Parquet's numbers"
    )
    assert (row[PLACES["job"]], row[PLACES["flops"]]) == (JOB.id, None)


def test_so_does_one_in_a_list_and_a_ratio_beyond_floats() -> None:
    record: dict[str, Value] = {"rule": "made", "pairs": 1, "bytes": -(2**64)}
    _, beyond = fitting((*made_row(JOB)[:-1], [record]))
    assert beyond.startswith("bytes: -18,446,744,073,709,551,616 is beyond")
    _, beyond = fitting(with_cell("fusion_efficiency", 10**400))
    assert beyond.startswith("fusion_efficiency: 10,000,")


def test_halves_of_characters_are_written_out() -> None:
    cells, beyond = fitting(with_cell("notes", "a\ud800b"))
    assert (cells[PLACES["notes"]], beyond) == ("a\\ud800b", "")


@pytest.mark.parametrize(
    ("name", "value"), [("flops", 1.5), ("flops", "1"), ("model", 7), ("tf32", 1), ("seconds", "1")]
)
def test_a_value_of_another_kind_is_our_own_fault(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{name} is "):
        fitting(with_cell(name, value))


def test_a_whole_number_may_stand_for_a_ratio() -> None:
    cells, _ = fitting(with_cell("fusion_efficiency", 2))
    assert isinstance(cells[PLACES["fusion_efficiency"]], float)
