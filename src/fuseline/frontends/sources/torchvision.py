"""torchvision's models by name, built without memory, with inputs by family.

torchvision from the package index is linked to one build of torch. With another (CPU-only, say)
its import fails on a missing operator. Declaring its operators in Python makes every model
importable, and detection run; that is done on exactly that error, with a warning.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import nn

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends.sources import torchvision_ops, zoos
from fuseline.frontends.sources.building import build_without_memory
from fuseline.frontends.sources.inputs import prepare
from fuseline.frontends.sources.sourced import Inputs, Options, Sourced, empty

MISMATCH = "operator torchvision::nms does not exist"
PREFIX = "torchvision/"
_IMAGE = (3, 224, 224)  # for every classifier, as the seed document has it; Inception's too
_FLOW_IMAGE = (3, 520, 960)  # of torchvision's own example; sizes are multiples of 8, from 128
_FRAMES = 16  # of a clip, where the model asks for no more
_FLOAT_NOTE = "the float model, as it is before it is quantized"
_DETECTION, _FLOW, _SEGMENTATION, _VIDEO = "detection", "optical_flow", "segmentation", "video"


class TorchvisionMismatchWarning(UserWarning):
    """torchvision was built for another torch; its own operators are missing."""


def import_models() -> ModuleType:
    """`torchvision.models`, with its operators in Python where torch and it do not match.

    Raises `InputError` where torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision.models")
    except ModuleNotFoundError as error:
        raise InputError(f"torchvision is not installed: {zoos.INSTALL}") from error
    except RuntimeError as error:
        if MISMATCH not in str(error):
            raise
    warnings.warn(
        "torchvision does not match this torch: its compiled operators are replaced by Python "
        "in this process (slow where they run); `fuseline doctor` says how to cure it",
        TorchvisionMismatchWarning,
        stacklevel=2,
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    torchvision_ops.declare()
    models = importlib.import_module("torchvision.models")
    torchvision_ops.use()
    return models


def model_names() -> list[str]:
    """Names of torchvision's models of all families, sorted."""
    return zoos.torchvision_names()


def build(name: str, options: Options) -> Sourced:
    """The model that `NAME` or `torchvision/NAME` means, on meta, and inputs of its family.

    Raises `InputError` for an unknown name, with the nearest known one.
    """
    bare = name.removeprefix(PREFIX)
    model = build_model(bare)
    family = family_of(bare)
    notes = (_FLOAT_NOTE,) if family == "quantization" else ()
    if family != _DETECTION:
        shapes = options.input_shapes
        if family == _FLOW and len(shapes) == 1:  # two images of one size
            options = replace(options, input_shapes=shapes * 2)
        inputs = _inputs(bare, family)
        return prepare(model, inputs, options, name=bare, source="torchvision", notes=notes)
    if options.train:
        raise InputError(f"'{bare}' takes targets in train mode: detection is captured in eval")
    images = _detection_images(model, options)
    options = replace(options, batch=None, input_shapes=())
    return prepare(model, (([*images],), {}), options, name=bare, source="torchvision")


def build_model(name: str) -> nn.Module:
    """The model without weights, in eval mode, on meta.

    Raises `InputError` for an unknown name, with the nearest known one.
    """
    models = import_models()
    if name not in (known := models.list_models()):
        raise InputError(f"unknown model '{name}'{_hint(name, known)}")
    # Only detection and segmentation have a backbone, whose weights would be downloaded.
    family = family_of(name)
    nothing: dict[str, Any] = {"weights": None}
    if family in {_DETECTION, _SEGMENTATION}:
        nothing["weights_backbone"] = None
    return build_without_memory(lambda: models.get_model(name, **nothing), name).eval()


def family_of(name: str) -> str:
    """The family of a known model, by the package that registers it; a classifier's is ""."""
    package = import_models().get_model_builder(name).__module__.rpartition(".")[0]
    return package.removeprefix("torchvision.models").removeprefix(".")


def _hint(name: str, known: list[str]) -> str:
    if zoos.installed("timm") and name in zoos.timm_names():
        return f": did you mean 'timm/{name}'?"
    return did_you_mean(name, known)


def _inputs(name: str, family: str) -> Inputs:
    """What the family's models take: one image, one clip, or two images."""
    if family == _FLOW:
        return (empty((1, *_FLOW_IMAGE)), empty((1, *_FLOW_IMAGE))), {}
    weights: Any = next(iter(import_models().get_model_weights(name)))
    if family == _SEGMENTATION:
        (size,) = weights.transforms().resize_size
        return (empty((1, 3, size, size)),), {}
    if family == _VIDEO:
        frames = max(_FRAMES, weights.meta.get("min_temporal_size", 1))
        return (empty((1, 3, frames, *weights.transforms().crop_size)),), {}
    return (empty((1, *_IMAGE)),), {}


def _detection_images(model: nn.Module, options: Options) -> list[object]:
    """A list of images, of the shapes asked for or as the model would resize them.

    A shape is one image, [3, H, W], or a batch of them, [N, 3, H, W].
    """
    dtype = options.dtype or "float32"
    shapes = [
        shape
        for given in options.input_shapes
        for shape in ([given[1:]] * given[0] if len(given) == 4 else [given])  # noqa: PLR2004
    ]
    if not shapes:
        transform: Any = model.transform
        sizes = transform.fixed_size or (transform.min_size[-1],) * 2
        shapes = [(3, int(sizes[1]), int(sizes[0]))]  # fixed_size is (width, height)
    if options.batch is not None:
        shapes = [shapes[0]] * options.batch
    return [empty(shape, dtype) for shape in shapes]
