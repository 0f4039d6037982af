"""What this installation can and cannot do, and the cure."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from dataclasses import dataclass

_TORCH_RANGE = ((2, 12), (2, 14))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it is well, what was found, and what to do about it."""

    subject: str
    well: bool
    found: str
    cure: str = ""


def examine() -> tuple[Finding, ...]:
    """Look at Python, torch and torchvision. Imports both."""
    return (
        Finding("python", well=True, found=platform.python_version()),
        _torch(),
        _torchvision(),
    )


def _torch() -> Finding:
    version = importlib.metadata.version("torch")
    least, below = _TORCH_RANGE
    major, minor, *_ = (int(part) for part in version.split("+")[0].split(".")[:2])
    if least <= (major, minor) < below:
        return Finding("torch", well=True, found=version)
    wanted = f">={least[0]}.{least[1]},<{below[0]}.{below[1]}"
    return Finding("torch", well=False, found=version, cure=f"install torch {wanted}")


def _torchvision() -> Finding:
    from fuseline.frontends.torchvision import MISMATCH

    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            "torchvision", well=False, found="not installed", cure="pip install 'fuseline[zoo]'"
        )
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
            cure="classification models work through stubs; for detection install torchvision "
            "from the same index, and for the same build (CPU or CUDA), as torch",
        )
    return Finding("torchvision", well=True, found=version)
