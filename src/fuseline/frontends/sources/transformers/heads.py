"""Which head class a transformers family gets, from the library's own tables.

Nothing here lists models: the auto mappings of transformers say which family has which head.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends.sources import torchvision
from fuseline.frontends.sources.transformers.complete import Config

NO_DOWNLOAD = "no download: pass a config.json, or a family such as hf/llama"


@dataclass(frozen=True, slots=True)
class Task:
    """A task, and the auto mappings that hold its head classes, the preferred one first."""

    name: str
    mappings: tuple[str, ...]


# The order is the preference: a family in several mappings gets the first head that is not only a
# part of it (`_passes_over`).
TASKS = (
    Task("causal-lm", ("CAUSAL_LM",)),
    Task("seq2seq", ("SEQ_TO_SEQ_CAUSAL_LM",)),
    Task("masked-lm", ("MASKED_LM",)),
    Task("image-classification", ("IMAGE_CLASSIFICATION",)),
    Task("object-detection", ("OBJECT_DETECTION", "ZERO_SHOT_OBJECT_DETECTION")),
    Task("speech", ("CTC", "SPEECH_SEQ_2_SEQ", "AUDIO_CLASSIFICATION")),
    Task("multimodal", ("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM")),
)
_BASE = Task("base", ("",))  # the body without a head: every family has one
_NOT_JUDGED = frozenset({"ZERO_SHOT_OBJECT_DETECTION"})


def import_transformers() -> Any:  # noqa: ANN401 - the package's names are made at run time
    """The package, offline, with torchvision made importable first.

    Raises `InputError` where transformers is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # transformers compares counts of placeholders by value at run time, which fake tensors do not
    # have; this is its own switch for leaving those checks out.
    os.environ.setdefault("TRANSFORMERS_DISABLE_TORCH_CHECK", "1")
    with suppress(InputError):  # families that need torchvision say so themselves
        torchvision.import_models()
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise InputError("transformers is not installed: pip install 'fuseline[zoo]'") from error
    return transformers


def model_types() -> list[str]:
    """Every `model_type` that transformers knows and can build, sorted.

    Raises `InputError` where transformers is not installed.
    """
    import_transformers()
    from transformers.models.auto import configuration_auto

    return sorted(set(configuration_auto.CONFIG_MAPPING_NAMES) & _with_a_model())


def families() -> dict[str, tuple[str, ...]]:
    """Task -> the model types with a head for it, sorted.

    Raises `InputError` where transformers is not installed.
    """
    known = set(model_types())
    return {
        task.name: tuple(
            sorted(
                known.intersection(
                    model_type
                    for mapping in task.mappings
                    if mapping not in _NOT_JUDGED
                    for model_type in _mapping(mapping)
                )
            )
        )
        for task in TASKS
    }


def head_name(config: Config, task: str | None = None) -> tuple[str, str]:
    """(task, head class) for a configuration: of `task`, or of the first task that has one.

    Raises `InputError` for an unknown task, or a task or family without a head class.
    """
    model_type = config.model_type
    names = [known.name for known in (*TASKS, _BASE)]
    if task is not None and task not in names:
        raise InputError(f"unknown task '{task}'{did_you_mean(task, names)}")
    for known in (*TASKS, _BASE) if task is None else ():
        if not _passes_over(known.name, config) and (name := _head(known, model_type)):
            return known.name, name
    for known in (*TASKS, _BASE):
        if task in (None, known.name) and (name := _head(known, model_type)):
            return known.name, name
    if task is not None:
        raise InputError(f"'hf/{model_type}' has no head for {task}")
    raise InputError(f"'hf/{model_type}' is a configuration that no model class is built from")


def _passes_over(task: str, config: Config) -> bool:
    """Whether a head for `task` would be only a part of the family, where it has a whole one."""
    model_type = config.model_type
    if task in ("causal-lm", "seq2seq") and any(
        model_type in _mapping(name) for name in ("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM")
    ):
        return True  # the text part of a multimodal model
    if task != "causal-lm":
        return False
    if getattr(config, "is_encoder_decoder", False):
        return True  # the decoder of an encoder-decoder
    return model_type in _mapping("MASKED_LM") and not getattr(config, "is_decoder", False)


def _head(task: Task, model_type: str) -> str | None:
    for mapping in task.mappings:
        name = _mapping(mapping).get(model_type)
        if name is not None:
            return name if isinstance(name, str) else name[0]
    return None


def _with_a_model() -> set[str]:
    return {
        model_type
        for task in (*TASKS, _BASE)
        for mapping in task.mappings
        for model_type in _mapping(mapping)
    }


def _mapping(name: str) -> Mapping[str, str | tuple[str, ...]]:
    from transformers.models.auto import modeling_auto

    middle = f"FOR_{name}_" if name else ""
    return getattr(modeling_auto, f"MODEL_{middle}MAPPING_NAMES")
