"""What Inductor asks a CUDA device about itself, for devices that are not there.

Multiprocessors and memory are those of `fuseline devices`; the rest follows from the compute
capability. Inductor's schedule depends on little of it: how many threads may be resident decides
whether a reduction is split, the capability which attention kernel runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fuseline.errors import InputError, did_you_mean
from fuseline.hardware.load import load_device


@dataclass(frozen=True, slots=True)
class Capability:
    """What all devices of one compute capability share: threads of a multiprocessor, bytes."""

    major: int
    minor: int
    threads: int
    shared_nbytes: int


_VOLTA = Capability(7, 0, 2048, 98_304)
_TURING = Capability(7, 5, 1024, 65_536)
_AMPERE = Capability(8, 0, 2048, 167_936)
_AMPERE_GRAPHICS = Capability(8, 6, 1536, 102_400)
_ORIN = Capability(8, 7, 1536, 167_936)
_ADA = Capability(8, 9, 1536, 102_400)
_HOPPER = Capability(9, 0, 2048, 233_472)
_BLACKWELL = Capability(10, 0, 2048, 233_472)
_BLACKWELL_GRAPHICS = Capability(12, 0, 1536, 102_400)
# Source of the figures above: CUDA C++ programming guide, "Technical specifications per compute
# capability": maximum resident threads, and shared memory, of a multiprocessor.
# https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/compute-capabilities.html
# 7.0 is in the editions up to CUDA 12. They were checked, 8.7 apart, against the traits of
# architectures in NVIDIA's CUDA core libraries (cuda/__device/arch_traits.h). The two disagree on
# 11.0, Jetson Thor, which is left out.

CAPABILITIES: Mapping[str, Capability] = {
    # device of `fuseline devices` --> its compute capability
    "a10": _AMPERE_GRAPHICS,
    "a100-40gb-sxm": _AMPERE,
    "a100-80gb-pcie": _AMPERE,
    "a100-80gb-sxm": _AMPERE,
    "b200-sxm": _BLACKWELL,
    "gh200-96gb": _HOPPER,
    "h100-pcie": _HOPPER,
    "h100-sxm": _HOPPER,
    "h200-sxm": _HOPPER,
    "jetson-agx-orin-64gb": _ORIN,
    "jetson-orin-nano-8gb": _ORIN,
    "jetson-orin-nano-super": _ORIN,
    "jetson-orin-nx-16gb": _ORIN,
    "l4": _ADA,
    "l40s": _ADA,
    "rtx-3090": _AMPERE_GRAPHICS,
    "rtx-4090": _ADA,
    "rtx-5090": _BLACKWELL_GRAPHICS,
    "t4": _TURING,
    "v100-16gb-sxm": _VOLTA,
    "v100-32gb-sxm": _VOLTA,
}
"""Source of every row: https://developer.nvidia.com/cuda-gpus and its page of legacy GPUs."""

_SHORT: Mapping[str, str] = {
    # what people say --> the device that they mean most often
    "a100": "a100-80gb-sxm",
    "b200": "b200-sxm",
    "gh200": "gh200-96gb",
    "h100": "h100-sxm",
    "h200": "h200-sxm",
    "v100": "v100-16gb-sxm",
}

DEVICES: tuple[str, ...] = tuple(sorted({*CAPABILITIES, *_SHORT}))
"""The names that `fake_properties` knows; it takes them in upper case too."""


@dataclass(frozen=True, slots=True)
class FakeProperties:
    """What `torch.cuda.get_device_properties` returns, by torch's own names. Sizes in bytes."""

    name: str
    major: int
    minor: int
    multi_processor_count: int
    total_memory: int
    L2_cache_size: int
    max_threads_per_multi_processor: int
    shared_memory_per_multiprocessor: int
    shared_memory_per_block_optin: int
    shared_memory_per_block: int = 49_152
    regs_per_multiprocessor: int = 65_536
    max_threads_per_block: int = 1024
    warp_size: int = 32
    is_integrated: int = 0
    is_multi_gpu_board: int = 0
    gcnArchName: str = ""  # noqa: N815 - torch's name

    @property
    def capability(self) -> tuple[int, int]:
        """The compute capability, as torch gives it."""
        return self.major, self.minor


_RESERVED_NBYTES = 1024
"""Shared memory that CUDA keeps for itself in every block from capability 8.0 on."""


def fake_properties(device: str) -> FakeProperties:
    """The properties of a device of `fuseline devices`, or of `H100`, `A100` and the like.

    >>> h100 = fake_properties("H100")
    >>> h100.name, h100.capability, h100.multi_processor_count
    ('NVIDIA H100 SXM5 80 GB', (9, 0), 132)

    Raises `InputError` for a device that is no CUDA device with a known compute capability.
    """
    name = _SHORT.get(device.lower(), device.lower())
    if name not in CAPABILITIES:
        hint = did_you_mean(name, DEVICES) or f": one of {', '.join(CAPABILITIES)}"
        raise InputError(f"Inductor's CUDA schedule is not known for device '{device}'{hint}")
    capability, sheet = CAPABILITIES[name], load_device(name)
    cores = sheet.find("on_chip", "cores")
    if cores is None:
        raise InputError(
            f"device '{name}' has no on_chip.cores, which its CUDA schedule depends on"
        )
    reserved = _RESERVED_NBYTES if capability.major >= _AMPERE.major else 0
    return FakeProperties(
        name=sheet.title,
        major=capability.major,
        minor=capability.minor,
        multi_processor_count=int(cores.value),
        total_memory=sheet.memory_nbytes or 0,
        L2_cache_size=sheet.cache_nbytes or 0,
        max_threads_per_multi_processor=capability.threads,
        shared_memory_per_multiprocessor=capability.shared_nbytes,
        shared_memory_per_block_optin=capability.shared_nbytes - reserved,
    )
