"""The catalogue itself: complete, sourced, sane, and consistent with counts made by hand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fuseline import hardware
from fuseline.hardware import DEVICES, Basis, Device, load_device
from fuseline.hardware.device import MATRIX, VECTOR

ALL = [load_device(name) for name in DEVICES]
ASKED = {
    "a10", "a100-40gb-sxm", "a100-80gb-sxm", "b200-sxm", "cloud-ai-100-pro", "coral-edge-tpu",
    "epyc-7763", "epyc-9654", "epyc-9755", "gh200-96gb", "h100-pcie", "h100-sxm", "h200-sxm",
    "hailo-10h", "hailo-8", "jetson-agx-orin-64gb", "jetson-orin-nano-8gb", "jetson-orin-nx-16gb",
    "jetson-thor-t5000", "l4", "l40s", "m1", "m2-ultra", "m3-max", "m4-max", "mi210", "mi250x",
    "mi300x", "mi325x", "mi355x", "rtx-3090", "rtx-4090", "rtx-5090", "snapdragon-x-elite-npu",
    "t4", "tpu-v4", "tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7x", "v100-16gb-sxm", "xeon-6980p",
    "xeon-8380", "xeon-8480",
}  # fmt: skip
LINKED = {"hailo-8", "coral-edge-tpu"}  # their "memory" is the link to the host


def peak(device: Device, table: str, key: str) -> float:
    figure = device.find(table, key)
    assert figure is not None
    return figure.value


def named(device: Device) -> str:
    return device.name


def test_the_public_names_of_the_package() -> None:
    assert set(hardware.__all__) == {
        "DEVICES", "Basis", "Device", "Figure", "KernelClass", "Peak", "Rate", "Source",
        "StandIn", "load_device",
    }  # fmt: skip


def test_the_devices_asked_for_are_there() -> None:
    assert set(DEVICES) >= ASKED
    assert list(DEVICES) == sorted(set(DEVICES))


@pytest.mark.parametrize("device", ALL, ids=named)
def test_a_device_bears_the_name_of_its_file(device: Device) -> None:
    assert device.name in DEVICES
    assert load_device(device.name) == device


def test_titles_are_unique() -> None:
    assert len({device.title for device in ALL}) == len(ALL)


@pytest.mark.parametrize("device", ALL, ids=named)
def test_every_figure_has_a_source_and_a_date(device: Device) -> None:
    for figure in device.figures:
        assert figure.source.title
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", figure.source.date)
        assert figure.source.url.startswith("https://") or figure.basis is Basis.ASSUMED
        # what is somebody's assumption says so, and what is none has a source outside
        if figure.source.key == "assumption":
            assert figure.basis is Basis.ASSUMED


@pytest.mark.parametrize("device", ALL, ids=named)
def test_every_source_in_a_file_is_used(device: Device) -> None:
    folder = Path(hardware.__file__).parent / "devices"
    written = set(re.findall(r"^\[sources\.(.+)\]$", (folder / f"{device.name}.toml").read_text(),
                             flags=re.MULTILINE))  # fmt: skip
    used = {figure.source.key for figure in device.figures}
    assert written == used | {stand_in.source.key for stand_in in device.stand_ins}


@pytest.mark.parametrize("device", ALL, ids=named)
def test_ridge_points_are_sane(device: Device) -> None:
    dtypes = [figure.key for figure in device.figures if figure.table == MATRIX] or ["float32"]
    for dtype in set(dtypes) - {"float4", "int4", "tfloat32"}:
        ridge = device.ridge_point(dtype)
        assert (2000 < ridge < 10_000) if device.name in LINKED else (2 < ridge < 3000)


NARROWER: tuple[tuple[str, str], ...] = (
    # never slower --> than
    ("float32", "float64"),
    ("tfloat32", "float32"),
    ("bfloat16", "tfloat32"),
    ("float16", "tfloat32"),
    ("float16", "float32"),
    ("bfloat16", "float32"),
    ("float8", "bfloat16"),
    ("float4", "float8"),
    ("int8", "float16"),
    ("int8", "bfloat16"),
    ("int4", "int8"),
)


@pytest.mark.parametrize("device", ALL, ids=named)
def test_narrower_types_are_never_slower(device: Device) -> None:
    for narrow, wide in NARROWER:
        for table in (MATRIX, VECTOR):
            fast, slow = device.find(table, narrow), device.find(table, wide)
            if fast and slow:
                assert fast.value >= slow.value, (table, narrow, wide)


@pytest.mark.parametrize("device", ALL, ids=named)
def test_matrix_peaks_double_as_the_width_halves_and_no_more(device: Device) -> None:
    # dense peaks: the next narrower type is at most 4 x; a sparse figure beside a dense one of
    # equal width would show as 2 x between bfloat16 and float16
    half, brain = device.find(MATRIX, "float16"), device.find(MATRIX, "bfloat16")
    if half and brain:
        assert half.value == brain.value
    if brain and (byte := device.find(MATRIX, "float8")):
        assert brain.value <= byte.value <= 4 * brain.value


@pytest.mark.parametrize("device", ALL, ids=named)
def test_caches_are_faster_and_smaller_than_memory(device: Device) -> None:
    if device.cache_bandwidth is not None:
        assert device.cache_bandwidth > device.bandwidth
    if device.cache_nbytes is not None and device.memory_nbytes is not None:
        assert device.cache_nbytes < device.memory_nbytes


@pytest.mark.parametrize("device", ALL, ids=named)
def test_launching_in_a_graph_costs_no_more(device: Device) -> None:
    assert 0 <= device.launch_seconds("graph") <= device.launch_seconds("eager") <= 1e-4


def test_who_compiles_the_whole_model_launches_nothing_and_says_so() -> None:
    for name in ("coral-edge-tpu", "hailo-8", "tpu-v5e"):
        figure = load_device(name).find("launch", "eager_seconds")
        assert figure is not None
        assert (figure.value, figure.basis) == (0, Basis.ASSUMED)
        assert "compiles the whole model" in figure.note


COUNTED: tuple[tuple[str, str, str, int], ...] = (
    # device, table, dtype --> operations a clock and core: 2 x multiply-adds, dense
    ("v100-16gb-sxm", MATRIX, "float16", 2 * 8 * 64),  # 8 tensor cores of 4 x 4 x 4
    ("v100-16gb-sxm", VECTOR, "float32", 2 * 64),  # 64 CUDA cores
    ("t4", MATRIX, "float16", 2 * 8 * 64),
    ("t4", MATRIX, "int8", 2 * 8 * 128),
    ("t4", VECTOR, "float32", 2 * 64),
    ("a100-80gb-sxm", MATRIX, "float16", 2 * 4 * 256),  # 4 tensor cores of 8 x 4 x 8
    ("a100-80gb-sxm", MATRIX, "tfloat32", 2 * 4 * 128),
    ("a100-80gb-sxm", MATRIX, "int8", 2 * 4 * 512),
    ("a100-80gb-sxm", MATRIX, "int4", 2 * 4 * 1024),
    ("a100-80gb-sxm", VECTOR, "float32", 2 * 64),
    ("a100-80gb-sxm", VECTOR, "float16", 2 * 256),
    ("h100-sxm", MATRIX, "bfloat16", 2 * 4 * 512),
    ("h100-sxm", MATRIX, "float8", 2 * 4 * 1024),
    ("h100-pcie", MATRIX, "bfloat16", 2 * 4 * 512),
    ("l4", MATRIX, "float16", 2 * 4 * 128),
    ("rtx-3090", MATRIX, "float16", 2 * 4 * 64),  # float32 accumulation: half of Ampere's 128
    ("rtx-4090", MATRIX, "float16", 2 * 4 * 64),
    ("rtx-4090", MATRIX, "float8", 2 * 4 * 128),
    ("rtx-4090", MATRIX, "int8", 2 * 4 * 256),
    ("rtx-4090", VECTOR, "float32", 2 * 128),
    ("rtx-5090", MATRIX, "float16", 2 * 4 * 64),
    ("mi210", MATRIX, "float16", 2 * 4 * 128),
    ("mi250x", MATRIX, "float16", 2 * 4 * 128),
    ("mi250x", VECTOR, "float32", 2 * 64),
    ("mi300x", MATRIX, "float16", 2 * 4 * 256),
    ("mi300x", MATRIX, "float8", 2 * 4 * 512),
    ("mi300x", VECTOR, "float32", 2 * 64 * 2),  # packed or dual issue
    ("mi355x", MATRIX, "float16", 2 * 4 * 512),
    ("mi355x", MATRIX, "float8", 2 * 4 * 1024),
    ("tpu-v4", MATRIX, "bfloat16", 2 * 4 * 128 * 128),  # 4 systolic arrays a core
    ("tpu-v5e", MATRIX, "bfloat16", 2 * 4 * 128 * 128),
    ("xeon-8480", MATRIX, "bfloat16", 2 * 16 * 32),  # a tile product of 16 x 16 x 32 in 16 clocks
    ("xeon-8480", VECTOR, "float32", 2 * 2 * 16),  # two 512-bit units
    ("epyc-9654", VECTOR, "float32", 2 * 2 * 8),  # two 256-bit units
    ("m1", VECTOR, "float32", 2 * 128),
)


@pytest.mark.parametrize(("name", "table", "dtype", "each"), COUNTED)
def test_peaks_are_cores_times_clock_times_operations(
    name: str, table: str, dtype: str, each: int
) -> None:
    device = load_device(name)
    cores, clock = peak(device, "on_chip", "cores"), peak(device, "on_chip", "clock_hertz")
    assert peak(device, table, dtype) == pytest.approx(cores * clock * each, rel=0.012)


def test_a100_by_hand() -> None:
    # 108 multiprocessors x 1.41 GHz x 1024 multiply-adds x 2 = 311.9 TFLOP/s, dense
    counted = 108 * 1.41e9 * 1024 * 2
    assert counted == pytest.approx(311.87e12, rel=1e-4)
    assert load_device("a100-80gb-sxm").matrix_peak("float16").flops_per_second == pytest.approx(
        counted, rel=1e-3
    )


UNITS = {"GHz": "1e9", "MT/s": "1e6", "GT/s": "1e9", "Gbit/s": "1e9", "GiB/s": str(2**30)}


def worked_out(note: str) -> float | None:
    """What the arithmetic that begins a note gives: `8 channels x 4800 MT/s x 8 bytes`."""
    if not note[0].isdigit():
        return None
    sum_of = re.split(r"[:;,]| \(the ", re.sub(r" \([A-Za-z]+\)", "", note))[0]
    for unit, factor in UNITS.items():
        sum_of = sum_of.replace(f" {unit}", f" * {factor}")
    sum_of = re.sub(r"\bx\b", "*", sum_of)
    tokens = re.findall(r"(?<![A-Za-z])\d[\d.]*(?:e\d+)?|[*/()]", sum_of)
    return evaluate(ast.parse(" ".join(tokens), mode="eval").body)


def evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp):
        left, right = evaluate(node.left), evaluate(node.right)
        return left * right if isinstance(node.op, ast.Mult) else left / right
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int | float)
    return float(node.value)


def test_arithmetic_in_a_note_gives_the_figure() -> None:
    assert worked_out("40 cores x 64 FLOP a clock x 2 GHz (base): AVX-512") == 40 * 64 * 2e9
    assert worked_out("8 GT/s x 4 x 128/130 / 8: PCIe 3.0 x4") == 8e9 * 4 * 128 / 130 / 8
    assert worked_out("twice the rate of float32") is None
    checked = 0
    for device in ALL:
        for figure in device.figures:
            if figure.basis is Basis.COMPUTED and (found := worked_out(figure.note)) is not None:
                checked += 1
                what = (device.name, figure.key, figure.note)
                assert figure.value == pytest.approx(found, rel=2e-3), what
    assert checked > 50


CHANNELS: tuple[tuple[str, float, float], ...] = (
    # device --> bytes a transfer over all channels, transfers a second
    ("v100-16gb-sxm", 4096 / 8, 1.75e9),
    ("a100-80gb-sxm", 5120 / 8, 3.186e9),
    ("h100-sxm", 5120 / 8, 5.24e9),
    ("h200-sxm", 6144 / 8, 6.25e9),
    ("l4", 192 / 8, 12.5e9),
    ("t4", 256 / 8, 10e9),
    ("rtx-4090", 384 / 8, 21e9),
    ("rtx-5090", 512 / 8, 28e9),
    ("mi250x", 8192 / 8, 3.2e9),
    ("mi300x", 8192 / 8, 5.2e9),
    ("jetson-agx-orin-64gb", 256 / 8, 6.4e9),
    ("jetson-thor-t5000", 256 / 8, 8.533e9),
    ("xeon-8480", 8 * 8, 4.8e9),
    ("epyc-9654", 12 * 8, 4.8e9),
    ("m1", 128 / 8, 4.266e9),
    ("m4-max", 512 / 8, 8.533e9),
)


@pytest.mark.parametrize(("name", "nbytes", "transfers"), CHANNELS)
def test_bandwidth_is_bus_width_times_rate(name: str, nbytes: float, transfers: float) -> None:
    assert load_device(name).bandwidth == pytest.approx(nbytes * transfers, rel=0.02)


def test_halved_figures_say_of_what() -> None:
    halved = [
        (device.name, figure)
        for device in ALL
        for figure in device.figures
        if "halved" in figure.note
    ]
    assert {name for name, _ in halved} >= {"l4", "b200-sxm"}
    for name, figure in halved:
        found = re.search(r"alone, ([\d.]+)", figure.note)
        assert found is not None, name
        scale = 1e15 if "P" in figure.note.split("alone")[1] else 1e12
        assert figure.value == pytest.approx(float(found[1]) * scale / 2)


def test_the_catalogue_imports_neither_torch_nor_tables() -> None:
    code = (
        "import sys, fuseline.hardware as h; h.load_device('t4'); "
        "print([n for n in ('torch', 'rich', 'numpy', 'importlib.resources') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
