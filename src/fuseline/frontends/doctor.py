"""What this installation can and cannot do, and the cure."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from dataclasses import dataclass

from fuseline.frontends.sources.zoos import INSTALL

_Range = tuple[tuple[int, ...], tuple[int, ...]]  # from the first version to before the second
_TORCH_RANGE: _Range = ((2, 12), (2, 14))
_TIMM_RANGE: _Range = ((1, 0), (2,))
_TRANSFORMERS_RANGE: _Range = ((5,), (6,))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is well, what was found, and what to do about it."""

    subject: str
    well: bool
    found: str
    cure: str = ""


def examine() -> tuple[Finding, ...]:
    """Look at Python, torch and the zoos. Imports torch and torchvision alone."""
    return (
        Finding("python", well=True, found=platform.python_version()),
        _torch(),
        _torchvision(),
        _zoo("timm", _TIMM_RANGE),
        _zoo("transformers", _TRANSFORMERS_RANGE),
    )


def _torch() -> Finding:
    return _in_range("torch", importlib.metadata.version("torch"), _TORCH_RANGE)


def _zoo(package: str, bounds: _Range) -> Finding:
    """A zoo that need not be there."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, well=False, found="not installed", cure=INSTALL)
    return _in_range(package, version, bounds)


def _in_range(package: str, version: str, bounds: _Range) -> Finding:
    least, below = bounds
    numbers = tuple(int(part) for part in version.split("+", maxsplit=1)[0].split(".")[:2])
    if least <= numbers < below:
        return Finding(package, well=True, found=version)
    wanted = ",".join(
        f"{sign}{'.'.join(map(str, bound))}" for sign, bound in ((">=", least), ("<", below))
    )
    return Finding(package, well=False, found=version, cure=f"pip install '{package}{wanted}'")


def _torchvision() -> Finding:
    from fuseline.frontends.sources.torchvision import MISMATCH

    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return Finding("torchvision", well=False, found="not installed", cure=INSTALL)
    try:
        importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if MISMATCH not in str(error):
            return Finding(
                "torchvision", well=False, found=f"{version}, cannot be imported: {error}"
            )
        return Finding(
            "torchvision",
            well=False,
            found=f"{version}, built for another torch than {importlib.metadata.version('torch')} "
            f"({MISMATCH})",
            cure="models work, detection slowly, through operators in Python; install torchvision "
            "from the same index, and for the same build (CPU or CUDA), as torch",
        )
    return Finding("torchvision", well=True, found=version)
