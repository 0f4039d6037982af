from __future__ import annotations

import errno
import os
import resource
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fuseline.sweep import shards
from fuseline.sweep.grids import Planning
from fuseline.sweep.schema import COLUMNS, LISTS, SCHEMA
from fuseline.sweep.shards import Layout
from fuseline.sweep.tasks import Row
from tests.sweep.made_rows import made, made_sweep

SWEEP = made_sweep(models=6, batches=100)  # more rows than are in Python's hands at a time
SCHEMA_HERE = shards.results_schema({"torch": "2.13.0"})


def rows_of(numbers: range | list[int]) -> list[tuple[int, tuple[Row, ...]]]:
    return [(number, made(SWEEP.capture(number)).rows) for number in numbers]


def jobs(number: int) -> int:
    return SWEEP.capture(number).planning.jobs


def test_every_capture_is_in_one_shard_in_order() -> None:
    planning = Planning(("unfused",), devices=tuple(map(str, range(1000))))
    layout = Layout.of(made_sweep(models=5, batches=2, planning=planning))
    assert (layout.captures_a_shard, layout.shards) == (4, 3)
    assert [list(layout.numbers(shard)) for shard in range(3)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
    ]  # fmt: skip


def test_a_capture_of_more_jobs_than_a_file_has_a_file() -> None:
    planning = Planning(("unfused",), devices=tuple(map(str, range(5000))))
    assert Layout.of(made_sweep(planning=planning)).captures_a_shard == 1


def test_rows_come_back_as_they_were() -> None:
    content = shards.encoded(shards.filed(rows_of(range(600)), SCHEMA_HERE))
    before = shards.read_filed(content)
    assert before.captures == tuple(range(600))
    names = [*(column.name for column in COLUMNS), *(column.name for column in LISTS)]
    expected = [row for _, rows in rows_of(range(600)) for row in rows]
    assert [tuple(row[name] for name in names) for row in before.table.to_pylist()] == expected


def test_the_file_says_what_it_is() -> None:
    content = shards.encoded(shards.filed(rows_of([0, 1, 5]), SCHEMA_HERE))
    schema = pq.read_schema(BytesIO(content))
    assert {name: value for name, value in schema.metadata.items() if b"ARROW" not in name} == {
        b"fuseline.schema": SCHEMA.encode(),
        b"fuseline.environment": b'{"torch":"2.13.0"}',
        b"fuseline.captures": b"[[0,2],[5,6]]",
    }
    assert schema.field("flops").metadata[b"measure"] == b"FLOP"
    assert schema.field("patterns").metadata[b"meaning"] == LISTS[0].meaning.encode()
    assert pq.read_metadata(BytesIO(content)).row_group(0).column(0).compression == "ZSTD"


def test_the_bytes_do_not_tell_in_what_order_rows_came() -> None:
    at_once = shards.encoded(shards.filed(rows_of(range(600)), SCHEMA_HERE))
    content = shards.encoded(shards.filed(rows_of(list(range(1, 600, 2))), SCHEMA_HERE))
    for fresh in (range(400, 600, 2), range(0, 400, 2)):
        before = shards.read_filed(content)
        done = sorted({*before.captures, *fresh})
        after = shards.filed(rows_of(fresh), SCHEMA_HERE)
        content = shards.encoded(shards.merged(before, after, done, jobs, SCHEMA_HERE))
    assert content == at_once


def test_fresh_rows_take_the_place_of_old_ones_and_what_is_not_done_goes() -> None:
    before = shards.filed(rows_of([0, 1, 2]), SCHEMA_HERE)
    fresh = shards.filed([(1, made(SWEEP.capture(7)).rows)], SCHEMA_HERE)
    after = shards.merged(before, fresh, [1, 2], jobs, SCHEMA_HERE)
    assert after.captures == (1, 2)
    ids = [row[0] for number in (7, 2) for row in made(SWEEP.capture(number)).rows]
    assert after.table.column("job").to_pylist() == ids
    with pytest.raises(KeyError):
        shards.merged(before, fresh, [3], jobs, SCHEMA_HERE)


def test_no_rows_make_a_file_of_none() -> None:
    before = shards.read_filed(shards.encoded(shards.filed([], SCHEMA_HERE)))
    assert (before.captures, before.table.num_rows) == ((), 0)


def test_a_file_takes_its_place_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "00000.parquet"
    path.write_bytes(b"old")
    shards.write_scratch(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.glob("*.parquet")) == [path]
    shards.place(path)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208 - names are what is asked


def test_where_there_is_no_room_nothing_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "00000.parquet"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as told:
            shards.write_scratch(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []
