"""The rules of `inductor` beside the real Inductor on models of every family, CPU and GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.validate.inductor.agreement import CauseRow, agreement
from fuseline.validate.inductor.cache import cached_plan
from fuseline.validate.inductor.ours import our_plan
from fuseline.validate.inductor.plan import read_plan
from fuseline.validate.inductor.read import Schedule


@dataclass(frozen=True, slots=True)
class Asked:
    """A model as it is captured: tokens of a sequence, where it takes one."""

    model: str
    seq_len: int | None = None

    @property
    def label(self) -> str:
        """How the page names it."""
        return f"{self.model}, {self.seq_len} tokens" if self.seq_len else self.model


@dataclass(frozen=True, slots=True)
class Setting:
    """For whom Inductor compiles, and in which dtype the model is captured."""

    name: str
    schedule: Schedule
    dtype: str | None


SETTINGS = (
    Setting("CPU, float32", Schedule("cpu"), None),
    Setting("H100, float16", Schedule("cuda", "h100-sxm"), "float16"),
)
"""Inductor's default layout setting in each."""

MODELS = (
    Asked("resnet50"), Asked("vit_b_16"), Asked("swin_t"), Asked("efficientnet_b0"),
    Asked("mobilenet_v3_large"), Asked("densenet121"), Asked("inception_v3"),
    Asked("shufflenet_v2_x1_0"), Asked("regnet_y_400mf"), Asked("vgg16"), Asked("convnext_tiny"),
    Asked("timm/convnext_tiny"), Asked("timm/mixer_s16_224"), Asked("timm/efficientformer_l1"),
    Asked("timm/xcit_nano_12_p16_224"), Asked("timm/poolformer_s12"), Asked("timm/mobilevit_s"),
    Asked("timm/levit_128s"), Asked("timm/ghostnet_100"), Asked("timm/deit_tiny_patch16_224"),
    Asked("hf/bert", 128), Asked("hf/gpt2", 128), Asked("hf/llama", 64), Asked("hf/t5", 64),
    Asked("hf/whisper"), Asked("hf/mamba", 32), Asked("hf/opt", 64), Asked("hf/distilbert", 64),
    Asked("hf/clip"), Asked("hf/qwen2", 64), Asked("hf/albert", 64),
)  # fmt: skip
"""Models at hand while the rules were mended."""

HELD_OUT = (
    Asked("resnext50_32x4d"), Asked("mnasnet1_0"), Asked("swin_v2_t"), Asked("timm/resmlp_12_224"),
    Asked("timm/pvt_v2_b0"), Asked("timm/coat_lite_tiny"), Asked("timm/edgenext_small"),
    Asked("timm/res2net50_26w_4s"), Asked("hf/roberta", 64), Asked("hf/mistral", 64),
    Asked("hf/bart", 64), Asked("hf/vit"), Asked("hf/gpt_neox", 64),
)  # fmt: skip
"""Models that were looked at once the rules were done."""


@dataclass(frozen=True, slots=True)
class SurveyRow:
    """One model under one setting: launches, bytes and pairs, ours and Inductor's.

    `real_nbytes` is Inductor's count less what no loop can touch, `counted_nbytes` with it.
    `failure` is why Inductor has no kernels for it; figures are then 0.
    """

    model: str
    setting: str
    held_out: bool
    ours_launches: int = 0
    real_launches: int = 0
    ours_nbytes: int = 0
    real_nbytes: int = 0
    counted_nbytes: int = 0
    precision: float = 0.0
    recall: float = 0.0
    causes: tuple[CauseRow, ...] = ()
    failure: str = ""

    @property
    def launches_error(self) -> float:
        """Our launches beside Inductor's, 0 where they are as many."""
        return self.ours_launches / self.real_launches - 1

    @property
    def bytes_error(self) -> float:
        """Our bytes beside Inductor's, 0 where they are as many."""
        return self.ours_nbytes / self.real_nbytes - 1

    @property
    def is_within(self) -> bool:
        """Whether launches and bytes are within 5%, and nine pairs of ten are right."""
        near = max(abs(self.launches_error), abs(self.bytes_error)) <= 0.05  # noqa: PLR2004
        return near and min(self.precision, self.recall) >= 0.9  # noqa: PLR2004


def survey(
    models: Iterable[Asked] = (*MODELS, *HELD_OUT), settings: Iterable[Setting] = SETTINGS
) -> Iterator[SurveyRow]:
    """Every model under every setting: about ten seconds each, or none where the plan is kept."""
    settings = tuple(settings)
    for asked in models:
        for setting in settings:
            yield _row(asked, setting)


def asked_for(names: Iterable[str]) -> tuple[Asked, ...]:
    """Models by name: as the lists have them, or as they come."""
    known = {asked.model: asked for asked in (*MODELS, *HELD_OUT)}
    return tuple(known.get(name, Asked(name)) for name in names)


def _row(asked: Asked, setting: Setting) -> SurveyRow:
    held_out = asked not in MODELS
    sourced = find_model(asked.model, Options(dtype=setting.dtype, seq_len=asked.seq_len))
    script = write_script(sourced)
    graph = script.graph
    try:
        real = cached_plan(
            graph, setting.schedule, version("torch"), lambda: read_plan(script, setting.schedule)
        )
    except InputError as error:
        return SurveyRow(asked.label, setting.name, held_out, failure=str(error))
    planned, ours = our_plan(graph, setting.schedule)
    found = agreement(graph, ours, real, planned=planned)
    return SurveyRow(
        model=asked.label,
        setting=setting.name,
        held_out=held_out,
        ours_launches=found.ours_launches,
        real_launches=found.real_launches,
        ours_nbytes=found.ours_nbytes,
        real_nbytes=found.real_nbytes,
        counted_nbytes=found.counted_nbytes,
        precision=found.pair_precision,
        recall=found.pair_recall,
        causes=found.causes,
    )
