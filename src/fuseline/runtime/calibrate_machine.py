"""What the operating system says of this machine's CPU: name and caches. No host name."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_NEAR_NBYTES = 1 << 20  # where the system does not say
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Machine:
    """A CPU: its names, the cache that a core has to itself, and the one that all share, if any."""

    model: str
    vendor: str
    architecture: str
    near_nbytes_per_core: int
    shared_nbytes: int | None


def this_machine() -> Machine:
    """The machine this runs on; what it does not tell has a plain stand-in."""
    info = _cpu_info(_CPU_INFO.read_text() if _CPU_INFO.is_file() else "")
    caches = _caches(_CACHES)
    return Machine(
        model=info.get("model name") or platform.processor() or platform.machine(),
        vendor=info.get("vendor_id") or platform.system(),
        architecture=platform.machine(),
        near_nbytes_per_core=caches.get(2, _NEAR_NBYTES),
        shared_nbytes=caches.get(3),
    )


def _cpu_info(text: str) -> dict[str, str]:
    """The fields of the first processor.

    >>> _cpu_info("vendor_id : GenuineIntel" + chr(10) + "model name : A CPU")
    {'vendor_id': 'GenuineIntel', 'model name': 'A CPU'}
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), " ".join(value.split()))
    return found


def _caches(folder: Path) -> dict[int, int]:
    """Bytes of each level's data or unified cache."""
    found: dict[int, int] = {}
    for index in sorted(folder.glob("index*")) if folder.is_dir() else ():
        level, kind, size = ((index / name).read_text().strip() for name in _FILES)
        if kind != "Instruction":
            found[int(level)] = _nbytes(size)
    return found


_FILES = ("level", "type", "size")


def _nbytes(size: str) -> int:
    """Bytes of a size as the system writes it.

    >>> _nbytes("2048K"), _nbytes("512")
    (2097152, 512)
    """
    unit = _UNITS.get(size[-1:], 1)
    return int(size.rstrip("KMG")) * unit
