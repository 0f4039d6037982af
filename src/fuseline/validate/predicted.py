"""Predicted against measured time on this CPU: whole models, and group by group.

The device is calibrated on microbenchmarks of made-up shapes (`fuseline.runtime.calibrate`), never
on a model. Each model's `unfused` plan then runs eagerly, one op a group, as torch runs the model,
and every group is timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

import numpy as np

from fuseline.costs.plan_cost import PlanCost, cost
from fuseline.costs.roofline import PlanTime, roofline
from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import write_script
from fuseline.frontends.record import with_values
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.fusion import partition
from fuseline.hardware import Device
from fuseline.hardware.load import parse_device
from fuseline.runtime.calibrate import Report, calibrate
from fuseline.runtime.calibrate_timing import steady, time_groups, time_model
from fuseline.runtime.calibrate_toml import device_toml
from fuseline.runtime.execute import RunState, execute_script

SEQ_LEN = 128
DEVELOPED_ON = (
    "resnet50", "resnext50_32x4d", "vgg11", "densenet121", "googlenet", "squeezenet1_1",
    "mobilenet_v2", "mobilenet_v3_large", "mnasnet1_0", "efficientnet_b0", "regnet_y_400mf",
    "shufflenet_v2_x1_0", "convnext_tiny", "vit_b_16", "swin_t", "hf/bert", "hf/gpt2",
)  # fmt: skip
"""Models whose times were seen while classes of kernels and terms were chosen."""

HELD_OUT = (
    "alexnet", "resnet18", "wide_resnet50_2", "inception_v3", "regnet_x_800mf",
    "efficientnet_v2_s", "vit_b_32", "swin_v2_t", "maxvit_t", "timm/mixer_b16_224",
    "timm/ghostnet_100", "timm/coatnet_0_rw_224", "hf/distilbert", "hf/roberta", "hf/t5", "hf/opt",
)  # fmt: skip
"""Models that were measured once all was chosen."""

MODELS = (*DEVELOPED_ON, *HELD_OUT)

_PASSES = 40
_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class GroupSample:
    """One launched group: seconds, and what a baseline would rank it by."""

    predicted_seconds: float
    measured_seconds: float
    flops: int
    other_flops: int
    nbytes: int
    is_rated: bool


@dataclass(frozen=True, slots=True)
class Correlations:
    """Spearman's rank correlation of the measured seconds with each of these."""

    predicted: float
    flops: float
    work: float
    nbytes: float


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """One model. Seconds are sums over its launched groups; `model_seconds` is a call of the model
    itself.
    """

    model: str
    held_out: bool
    model_seconds: float
    groups: tuple[GroupSample, ...]

    @property
    def measured_seconds(self) -> float:
        """The groups one after another."""
        return sum(group.measured_seconds for group in self.groups)

    @property
    def predicted_seconds(self) -> float:
        """The same by the roofline."""
        return sum(group.predicted_seconds for group in self.groups)

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted_seconds / self.measured_seconds - 1

    @property
    def group_error(self) -> float:
        """The median over groups of |predicted / measured - 1|."""
        return median(abs(g.predicted_seconds / g.measured_seconds - 1) for g in self.groups)

    @property
    def unrated_share(self) -> float:
        """The share of the measured seconds in groups of a class that was not calibrated."""
        unrated = sum(group.measured_seconds for group in self.groups if not group.is_rated)
        return unrated / self.measured_seconds


def correlations(groups: Sequence[GroupSample]) -> Correlations:
    """How well each ranks the groups' measured times."""
    measured = [group.measured_seconds for group in groups]
    return Correlations(
        spearman([group.predicted_seconds for group in groups], measured),
        spearman([group.flops for group in groups], measured),
        spearman([group.flops + group.other_flops for group in groups], measured),
        spearman([group.nbytes for group in groups], measured),
    )


def calibrated(threads: int | None, report: Report | None = None) -> Device:
    """This machine, as `fuseline calibrate` would write it."""
    today = datetime.now().astimezone().date().isoformat()
    text = device_toml(calibrate(("float32",), threads, report=report), today)
    return parse_device(text.encode(), "calibration")


def check_models(models: Sequence[str]) -> None:
    """Refuse a model that is not among those of the page."""
    for model in models:
        if model not in MODELS:
            raise InputError(f"'{model}' is not on the page{did_you_mean(model, MODELS)}")


def predict_all(
    device: Device, threads: int, models: Sequence[str] = MODELS
) -> Iterator[PredictedRow]:
    """A row for each model, as it comes. Raises `InputError` where the device has no rates."""
    if not device.rates:
        raise InputError(
            f"'{device.name}' has no measured rates: 'fuseline calibrate' writes a device that has"
        )
    for model in models:
        yield predict(model, device, threads)


def predict(model: str, device: Device, threads: int) -> PredictedRow:
    """Run `model` with random weights, batch 1, and hold its groups against the prediction."""
    options = Options(seq_len=SEQ_LEN if model.startswith("hf/") else None)
    sourced = with_values(find_model(model, options))
    script = write_script(sourced)
    plan = partition(script.graph, "unfused")
    args, kwargs = sourced.inputs
    with steady(threads):
        executable = execute_script(plan, script, sourced.model)
        measured = time_groups(executable, sourced.inputs, passes=_PASSES, seconds=_SECONDS)
        with RunState():
            whole = time_model(
                lambda: sourced.model(*args, **kwargs), passes=_PASSES, seconds=_SECONDS / 3
            )
    return compare(
        model, cost(script.graph, plan), roofline(script.graph, plan, device), measured, whole
    )


def compare(
    model: str, price: PlanCost, time: PlanTime, measured: Sequence[float], whole: float
) -> PredictedRow:
    """The row of one model: what was predicted beside what was measured, launched groups alone."""
    samples = (
        GroupSample(
            group.seconds, seconds, cost.flops, cost.other_flops, cost.nbytes, group.is_rated
        )
        for group, cost, seconds in zip(time.groups, price.groups, measured, strict=True)
        if group.is_launch
    )
    return PredictedRow(model, model in HELD_OUT, whole, tuple(samples))


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; equals share their mean rank. 0 where all of one are equal.

    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 4]), 9)  # 1 - 6 * (1 + 1) / (4 * 15)
    0.8
    """
    ranks = np.array([_ranks(first), _ranks(second)])
    if not ranks.std(axis=1).all():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
