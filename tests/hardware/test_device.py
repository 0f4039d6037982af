"""What follows from a device's figures: which unit runs what, and how fast."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuseline.errors import InputError
from fuseline.hardware import Basis, Device, Figure, Source, StandIn, load_device

SOURCE = Source("sheet", "A data sheet", "https://example.org", "2026-01", "the page itself")


def device(kind: str = "gpu", **figures: float) -> Device:
    """A device of the figures `table__key`."""
    places = [(*name.split("__"), value) for name, value in figures.items()]
    rows = [Figure(table, key, value, Basis.PUBLISHED, SOURCE) for table, key, value in places]
    return Device("d-1", "D 1", "D", kind, "D", 2026, tuple(rows))


def test_float32_takes_vector_units_unless_tf32_is_allowed() -> None:
    a100 = load_device("a100-80gb-sxm")
    plain, tf32 = a100.matrix_peak("float32"), a100.matrix_peak("float32", tf32=True)
    assert plain.flops_per_second == 19.5e12
    assert plain.how == ("float32 on vector units: no float32 matrix unit, and tf32 is not allowed")
    assert tf32.flops_per_second == 156e12
    assert tf32.how == "tfloat32 on matrix units"


def test_allowing_tf32_changes_nothing_where_there_is_none() -> None:
    t4 = load_device("t4")
    assert t4.matrix_peak("float32", tf32=True) == t4.matrix_peak("float32")
    assert t4.matrix_peak("float32").how == "float32 on vector units: no float32 matrix unit"


@pytest.mark.parametrize("name", ["t4", "v100-16gb-sxm"])
def test_bfloat16_without_a_unit_runs_at_the_rate_of_float32_and_says_so(name: str) -> None:
    peak = load_device(name).matrix_peak("bfloat16")
    assert peak.flops_per_second == load_device(name).matrix_peak("float32").flops_per_second
    assert peak.how == "float32 on vector units: no bfloat16 unit, widened to float32"


def test_a_device_of_integers_says_what_it_has() -> None:
    with pytest.raises(InputError) as error:
        load_device("hailo-8").matrix_peak("float32")
    assert str(error.value) == "hailo-8 has no float32 peak: int8 only"
    with pytest.raises(InputError, match=r"^hailo-10h has no float16 peak: int8 and int4 only$"):
        load_device("hailo-10h").matrix_peak("float16")
    assert load_device("hailo-8").find_matrix_peak("float32") is None


def test_an_accelerator_never_contracts_on_vector_units() -> None:
    figures = {"vector_ops_per_second__float32": 1e12}
    assert device("gpu", **figures).find_matrix_peak("float16") is not None
    assert device("tpu", **figures).find_matrix_peak("float16") is None
    assert device("npu", **figures).find_matrix_peak("float32") is None


def test_tpus_round_float32_and_say_so() -> None:
    v5e = load_device("tpu-v5e")
    peak = v5e.matrix_peak("float32")
    assert peak.flops_per_second == v5e.matrix_peak("bfloat16").flops_per_second == 197e12
    assert peak.how == (
        "bfloat16 on matrix units: XLA rounds float32 operands to bfloat16 by default"
    )


@pytest.mark.parametrize(
    ("dtype", "peak"),
    [("float8_e4m3fn", 1978.9e12), ("float8_e5m2", 1978.9e12), ("uint8", 1978.9e12),
     ("qint8", 1978.9e12), ("complex64", 66.9e12), ("float64", 66.9e12)],
)  # fmt: skip
def test_dtypes_go_by_the_format_that_computes_them(dtype: str, peak: float) -> None:
    assert load_device("h100-sxm").matrix_peak(dtype).flops_per_second == peak


def test_an_unknown_dtype_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^unknown dtype 'bfloat61': did you mean 'bfloat16'\?$"):
        load_device("t4").matrix_peak("bfloat61")
    with pytest.raises(InputError, match=r"^unknown dtype 'floaty'"):
        load_device("t4").vector_peak("floaty")


def test_vector_peaks_widen_and_count_integers_as_float32() -> None:
    h100, l4 = load_device("h100-sxm"), load_device("l4")
    assert h100.vector_peak("float16").flops_per_second == 133.8e12
    assert h100.vector_peak("float8_e4m3fn").how == "float16 on vector units, widened to float16"
    assert l4.vector_peak("bfloat16").how == "float32 on vector units, widened to float32"
    assert h100.vector_peak("int64").flops_per_second == 66.9e12
    assert h100.vector_peak("bool").how == "bool counted at the rate of float32 on vector units"
    with pytest.raises(InputError, match=r"^tpu-v6e has no float32 vector peak: no source gives"):
        load_device("tpu-v6e").vector_peak("float32")


def test_every_dtype_of_a_graph_has_a_vector_rate_on_a_gpu() -> None:
    from fuseline.graph.data import ITEM_BYTES

    h100 = load_device("h100-sxm")
    assert all(h100.find_vector_peak(dtype) is not None for dtype in ITEM_BYTES)


def test_the_ridge_point_is_peak_over_bandwidth() -> None:
    h100 = load_device("h100-sxm")
    assert h100.ridge_point("bfloat16") == 989.4e12 / 3.35e12
    assert h100.ridge_point("float32") == 66.9e12 / 3.35e12
    assert h100.ridge_point("float32", tf32=True) == 494.7e12 / 3.35e12


def test_what_no_source_gives_is_none() -> None:
    bare = device(memory__bandwidth_bytes_per_second=1e9)
    assert (bare.memory_nbytes, bare.cache_nbytes, bare.cache_bandwidth) == (None, None, None)
    assert load_device("h100-sxm").cache_bandwidth is None
    # 5120 bytes a clock x 1.41 GHz
    assert load_device("a100-80gb-sxm").cache_bandwidth == pytest.approx(5120 * 1.41e9)
    assert load_device("a100-80gb-sxm").cache_nbytes == 40 * 2**20
    assert isinstance(load_device("a100-80gb-sxm").memory_nbytes, int)


def test_launch_overhead_by_mode() -> None:
    v100 = load_device("v100-16gb-sxm")
    assert v100.launch_seconds("graph") == pytest.approx(3.4e-6 - 2.9e-6)
    assert v100.launch_seconds("eager") > v100.launch_seconds("graph")
    with pytest.raises(InputError, match=r"^unknown launch mode 'egaer': did you mean 'eager'"):
        v100.launch_seconds("egaer")
    with pytest.raises(InputError, match=r"^unknown launch mode 'x': eager or graph$"):
        v100.launch_seconds("x")


def test_a_stand_in_wins_over_vector_units() -> None:
    stand_in = StandIn("float32", "bfloat16", SOURCE, "by decree")
    figures = {"vector_ops_per_second__float32": 1e12, "matrix_ops_per_second__bfloat16": 4e12}
    plain = device(**figures)
    decreed = replace(plain, stand_ins=(stand_in,))
    assert plain.matrix_peak("float32").flops_per_second == 1e12
    assert decreed.matrix_peak("float32").flops_per_second == 4e12
