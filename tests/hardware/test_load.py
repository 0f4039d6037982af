"""Device files: what is read, and what is refused in one line that names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.hardware import Basis, load_device
from fuseline.hardware.load import parse_device

MINE = """\
name = "my-chip"
title = "My Chip"
vendor = "Me"
kind = "npu"
architecture = "First"
year = 2026
notes = ["Taped out on a Monday."]

[sources.bench]
title = "My bench"
url = "https://example.org/bench"
date = "2026-10-31"

[matrix_ops_per_second]
int8 = { value = 4e12, source = "bench", where = "page 1" }
bfloat16 = { value = 1e12, source = "bench", basis = "computed", note = "a quarter of int8" }

[memory]
bandwidth_bytes_per_second = { value = 64_000_000_000, source = "bench", basis = "measured" }

[launch]
eager_seconds = { value = 1e-5, source = "bench", basis = "assumed", note = "a guess" }
graph_seconds = { value = 0, source = "bench" }

[stands_in.float32]
runs_as = "bfloat16"
source = "bench"
note = "the compiler rounds"
"""


def refusal(before: str, after: str) -> str:
    """What is said of the file with `before` replaced."""
    assert before in MINE
    with pytest.raises(InputError) as error:
        parse_device(MINE.replace(before, after, 1).encode(), "my.toml")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_users_own_file_loads_by_path(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(MINE)
    for given in (path, str(path)):
        mine = load_device(given)
        assert (mine.name, mine.kind, mine.year) == ("my-chip", "npu", 2026)
        assert mine.bandwidth == 64e9
        assert mine.matrix_peak("float32").how == "bfloat16 on matrix units: the compiler rounds"
        assert mine.launch_seconds("graph") == 0
        assert mine.notes == ("Taped out on a Monday.",)
    figure = mine.find("matrix_ops_per_second", "int8")
    assert figure is not None
    assert (figure.value, figure.where, figure.basis) == (4e12, "page 1", Basis.PUBLISHED)
    assert (figure.source.title, figure.source.date) == ("My bench", "2026-10-31")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot read '.*nowhere.toml': No such file"):
        load_device(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("h100-sxn", "unknown device 'h100-sxn': did you mean 'h100-sxm'?"),
        ("MI300X", "unknown device 'MI300X': did you mean 'mi300x'?"),
        ("h100", "unknown device 'h100': did you mean 'h100-pcie' or 'h100-sxm'?"),
        ("zzzz", "unknown device 'zzzz': 'fuseline devices' lists them"),
        ("", "unknown device '': 'fuseline devices' lists them"),
    ],
)
def test_an_unknown_device_names_the_nearest(name: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        load_device(name)
    assert str(error.value) == said


def test_what_is_not_toml_names_the_line() -> None:
    said = refusal("year = 2026", "year =")
    assert said.startswith("'my.toml' is not TOML:")
    assert "line 6" in said


def test_what_is_not_text_is_no_toml() -> None:
    with pytest.raises(InputError, match=r"^'my.toml' is not TOML: 'utf-8' codec"):
        parse_device(b"\xff\xfe", "my.toml")


UNIT = "? The unit is part of the key"
OTHER = "is that another unit?"
WORD = "has a value that is not a number"
INT8 = "matrix_ops_per_second.int8"
BASES = "published, computed, measured, assumed"
MEMORY = 'bandwidth_bytes_per_second = { value = 64_000_000_000, source = "bench", basis'


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        # unknown keys, units left out
        ("[memory]", "[memry]", "memry is unknown: did you mean 'memory'?"),
        (
            "bandwidth_bytes_per_second",
            "bandwidth",
            f"memory.bandwidth is unknown: did you mean 'bandwidth_bytes_per_second'{UNIT}",
        ),
        (
            "eager_seconds",
            "eager_us",
            f"launch.eager_us is unknown: did you mean 'eager_seconds'{UNIT}",
        ),
        ("int8 =", "int9 =", "matrix_ops_per_second.int9 is unknown: did you mean 'int8'?"),
        (
            'where = "page 1"',
            'were = "page 1"',
            "matrix_ops_per_second.int8.were is unknown: did you mean 'where'?",
        ),
        # wrong types
        ("year = 2026", "year = true", "year is not a whole number"),
        ('notes = ["Taped out on a Monday."]', 'notes = "x"', "notes is not a list of sentences"),
        ('vendor = "Me"', "vendor = 3", "vendor is not a string"),
        ('vendor = "Me"', 'vendor = " "', "vendor is empty"),
        ('vendor = "Me"', "", "vendor is missing"),
        ('name = "my-chip"', 'name = "My Chip"', "name is not lower-case words joined by '-'"),
        ('kind = "npu"', 'kind = "fpga"', "kind is 'fpga': one of gpu, tpu, cpu, npu"),
        (
            'graph_seconds = { value = 0, source = "bench" }',
            "graph_seconds = 0",
            'launch.graph_seconds is not { value = ..., source = "..." }',
        ),
        ("value = 0,", 'value = "0",', f"launch.graph_seconds {WORD}: '0'"),
        ("value = 0,", "value = true,", f"launch.graph_seconds {WORD}: True"),
        ("value = 0,", "", "launch.graph_seconds has no value"),
        # values that cannot be in that unit
        (
            "value = 4e12",
            "value = -4e12",
            f"{INT8} is -4e+12, outside 1e+08 to 1e+18: {OTHER}",
        ),
        (
            "value = 4e12",
            "value = 4",
            f"{INT8} is 4, outside 1e+08 to 1e+18: {OTHER}",
        ),
        (
            "value = 4e12",
            "value = nan",
            f"{INT8} is nan, outside 1e+08 to 1e+18: {OTHER}",
        ),
        (
            "value = 64_000_000_000",
            "value = 64",
            f"memory.bandwidth_bytes_per_second is 64, outside 1e+06 to 1e+15: {OTHER}",
        ),
        (
            "value = 1e-5",
            "value = 10",
            "launch.eager_seconds is 10, outside 0 to 1: is that another unit?",
        ),
        (
            MEMORY,
            f'capacity_nbytes = {{ value = 8.5, source = "bench" }}\n{MEMORY}',
            "memory.capacity_nbytes is 8.5: not a whole number",
        ),
        # sources and reasons
        (
            'source = "bench", where',
            'source = "bensch", where',
            f"{INT8}.source is 'bensch', not in [sources]: did you mean 'bench'?",
        ),
        (
            'source = "bench", where',
            "where",
            "matrix_ops_per_second.int8.source is missing",
        ),
        (
            'date = "2026-10-31"',
            'date = "last week"',
            "sources.bench.date is 'last week': not YYYY, YYYY-MM or YYYY-MM-DD",
        ),
        ('date = "2026-10-31"', "", "sources.bench.date is missing"),
        (
            ', note = "a quarter of int8"',
            "",
            "matrix_ops_per_second.bfloat16 is computed and has no note that says how or why",
        ),
        (
            ', note = "a guess"',
            "",
            "launch.eager_seconds is assumed and has no note that says how or why",
        ),
        (
            'basis = "measured"',
            'basis = "felt"',
            f"memory.bandwidth_bytes_per_second.basis is 'felt': one of {BASES}",
        ),
        # what every device needs
        (
            'graph_seconds = { value = 0, source = "bench" }',
            "",
            "launch.graph_seconds is missing",
        ),
        (
            'runs_as = "bfloat16"',
            'runs_as = "float16"',
            "stands_in.float32.runs_as is 'float16', not in [matrix_ops_per_second]",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_key(before: str, after: str, said: str) -> None:
    assert refusal(before, after) == f"'my.toml': {said}"


def test_a_device_without_any_peak_is_refused() -> None:
    start, end = MINE.index("[matrix"), MINE.index("[memory]")
    bare = (MINE[:start] + MINE[end : MINE.index("[stands_in")]).encode()
    with pytest.raises(InputError, match="matrix_ops_per_second is missing, and so is every"):
        parse_device(bare, "my.toml")
