"""Which family a model is of: the module that registers it, or its `model_type`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fuseline.frontends.sources import zoos

TASKS = ("detection", "optical_flow", "quantization", "segmentation", "video")
"""torchvision's folders beside its classifiers: each is a family."""


def families() -> dict[str, str]:
    """Model -> family, for every model of torchvision and timm that is installed, sorted.

    A classifier of torchvision and a model of timm are of the module that defines them; other
    models of torchvision are of their task. Raises `InputError` where a zoo is not installed.
    """
    found = {name: task for task in TASKS for name in zoos.torchvision_names(task)}
    found |= _by_module("torchvision", zoos.torchvision_names(""))
    timm = _by_module("timm", zoos.timm_names())
    found |= {f"timm/{name}": family for name, family in timm.items()}
    return dict(sorted(found.items()))


def family_of(model: str, known: dict[str, str]) -> str:
    """A family: one that is known, or what a transformers name says itself.

    >>> family_of("resnet18", {"resnet18": "resnet"}), family_of("hf/gpt2", {})
    ('resnet', 'gpt2')
    """
    return known.get(model) or model.rpartition("/")[2]


def _by_module(package: str, names: list[str]) -> dict[str, str]:
    """Name -> the module right in `models/` that has a function of that name."""
    spec = find_spec(package)
    assert spec is not None  # noqa: S101 - its names were read
    assert spec.origin is not None  # noqa: S101
    wanted = set(names)
    found: dict[str, str] = {}
    for path in sorted((Path(spec.origin).parent / "models").glob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        defined = {line[4:].partition("(")[0] for line in lines if line.startswith("def ")}
        found |= dict.fromkeys(sorted(defined & wanted), path.stem)
    return found
