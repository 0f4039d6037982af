"""torchvision's classification models by name, built without memory.

torchvision from the package index is linked to one build of torch. With another (CPU-only, say)
its import fails on a missing operator. Declaring the two operators that its Python code looks up
makes every pure-Python model importable; that is done on exactly that error, with a warning.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import nn

from fuseline.errors import InputError, did_you_mean, foreign_code

MISMATCH = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_stubs: list[torch.library.Library] = []  # a library lives as long as its object


class TorchvisionMismatchWarning(UserWarning):
    """torchvision was built for another torch; its own operators (detection) are missing."""


def import_models() -> ModuleType:
    """`torchvision.models`, with stubs for its operators where torch and it do not match.

    Raises `InputError` where torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision.models")
    except ModuleNotFoundError as error:
        raise InputError("torchvision is not installed: pip install 'fuseline[zoo]'") from error
    except RuntimeError as error:
        if MISMATCH not in str(error):
            raise
    warnings.warn(
        "torchvision does not match this torch: its compiled operators are replaced by stubs in "
        "this process (models work, detection does not); `fuseline doctor` says how to cure it",
        TorchvisionMismatchWarning,
        stacklevel=2,
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    if not _stubs:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _stubs.append(library)
    return importlib.import_module("torchvision.models")


def model_names() -> list[str]:
    """Names of torchvision's classification models, sorted."""
    models = import_models()
    return sorted(models.list_models(module=models))


def build_model(name: str) -> nn.Module:
    """The model with random weights, in eval mode, on meta.

    Raises `InputError` for an unknown name, with the nearest known one.
    """
    models = import_models()
    if name not in (known := models.list_models(module=models)):
        raise InputError(f"unknown model '{name}'{did_you_mean(name, known)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # on how weights that we never read start
        try:
            with torch.device("meta"):
                model = models.get_model(name, weights=None)
        except (NotImplementedError, RuntimeError):  # reads values while it builds (RegNet)
            with foreign_code(f"'{name}' cannot be built"), _no_init():
                model = models.get_model(name, weights=None).to("meta")
    if not isinstance(model, nn.Module):
        raise InputError(f"'{name}' is not a model")
    return model.eval()


@contextmanager
def _no_init() -> Generator[None]:
    """Leave parameters as allocated: pages that nobody writes take no memory."""
    names = [name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    kept = {name: getattr(nn.init, name) for name in names}

    def skip(tensor: torch.Tensor, *_args: object, **_kwargs: object) -> torch.Tensor:
        return tensor

    try:
        for name in names:
            setattr(nn.init, name, skip)
        yield
    finally:
        for name, function in kept.items():
            setattr(nn.init, name, function)
