"""Every strategy on well-known models: launches, bytes, seconds on a device, and the optimum.

Every plan of one workload is of one and the same recorded graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fuseline.costs import cost, memory_fit, roofline
from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import capture
from fuseline.fusion import STRATEGIES, Settings, find_violations
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import rule_set
from fuseline.graph import Graph
from fuseline.hardware import Device, load_device
from fuseline.plan import Plan

DEVICE = "h100-sxm"
LLAMA = Path(__file__).with_name("llama-3-8b.json")
OPTIMA = ("A", "B", "T")
UNFUSED = "unfused"


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and how it is captured; `words` say so on the page."""

    name: str
    words: str
    model: str
    attention: str = "fused"
    seq_len: int | None = None
    decode: int | None = None


_CNN = "3 x 224 x 224, float32"
_STEPS = ", attention in steps"
_BERT = "128 tokens, float32"
_GPT2 = "1,024 tokens, float32"
_PREFILL = "2,048 tokens, bfloat16"
_DECODE = "one token after 2,048, bfloat16"

# fmt: off
WORKLOADS = (
    Workload("vit_b_16", _CNN, "vit_b_16"),
    Workload("vit_b_16 steps", _CNN + _STEPS, "vit_b_16", "decomposed"),
    Workload("swin_t", _CNN + _STEPS, "swin_t", "decomposed"),
    Workload("resnet50", _CNN, "resnet50"),
    Workload("efficientnet_b0", _CNN, "efficientnet_b0"),
    Workload("bert-base", _BERT, "hf/bert", seq_len=128),
    Workload("bert-base steps", _BERT + _STEPS, "hf/bert", "decomposed", seq_len=128),
    Workload("gpt2", _GPT2, "hf/gpt2", seq_len=1024),
    Workload("gpt2 steps", _GPT2 + _STEPS, "hf/gpt2", "decomposed", seq_len=1024),
    Workload("llama-3-8b prefill", _PREFILL, str(LLAMA), seq_len=2048),
    Workload("llama-3-8b prefill steps", _PREFILL + _STEPS, str(LLAMA), "decomposed", seq_len=2048),
    Workload("llama-3-8b decode", _DECODE, str(LLAMA), decode=2048),
)
# fmt: on
"""Attention is one op unless the words say otherwise."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One plan of a workload.

    `illegal_groups` are no kernel under the rules T (a cover is judged by none: None), by the rule
    that each breaks first in `broken_rules`.
    `memory_nbytes` and `fits` are None for a cover, too. `bottleneck` bounds most of
    `summed_seconds`. `bound` is the certificate, the least bytes that any legal plan has.
    """

    plan: str
    launches: int
    nbytes: int
    illegal_groups: int | None
    summed_seconds: float
    pipelined_seconds: float
    bottleneck: str
    memory_nbytes: int | None
    fits: bool | None
    broken_rules: dict[str, int]
    bound: int | None = None
    is_optimal: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One workload under every plan, unfused first and the optimum under T last."""

    workload: str
    words: str
    ops: int
    flops: int
    compulsory_nbytes: int
    plans: tuple[PlanRow, ...]

    def plan(self, name: str) -> PlanRow:
        """The row of one plan."""
        return next(row for row in self.plans if row.plan == name)


def optimum(rules: str) -> str:
    """The name of the optimal plan under a rung of the ladder."""
    return f"optimal {rules}"


BEST = optimum(OPTIMA[-1])


def compare_all(names: Iterable[str] = ()) -> Iterator[Comparison]:
    """Capture and compare workloads by name, all of them where none is named.

    Raises `InputError` for an unknown name.
    """
    known = {workload.name: workload for workload in WORKLOADS}
    chosen = tuple(names) or tuple(known)
    for name in chosen:
        if name not in known:
            hint = did_you_mean(name, known) or f": one of {', '.join(known)}"
            raise InputError(f"unknown workload '{name}'{hint}")
    return (compare(known[name]) for name in chosen)


def compare(workload: Workload) -> Comparison:
    """Capture a workload, and partition it by every strategy."""
    graph = capture(
        workload.model,
        attention=workload.attention,
        seq_len=workload.seq_len,
        decode=workload.decode,
    )
    return measure(workload, graph, load_device(DEVICE))


def measure(workload: Workload, graph: Graph, device: Device) -> Comparison:
    """Every plan of one graph on one device."""
    ladder = Kernels(graph, rule_set("T"))
    plans = tuple(
        _row(name, strategy(graph), graph, device, ladder) for name, strategy in _plans().items()
    )
    return Comparison(
        workload.name,
        workload.words,
        graph.compute_ops,
        graph.flops,
        graph.compulsory_bytes,
        plans,
    )


def _plans() -> dict[str, Callable[[Graph], Plan]]:
    """Every strategy with its default settings, and the optimum under each rung in place of one."""
    found: dict[str, Callable[[Graph], Plan]] = {
        name: strategy for name, strategy in STRATEGIES.items() if name != "optimal"
    }
    for rules in OPTIMA:
        found[optimum(rules)] = partial(_optimal, rules=rules)
    return found


def _optimal(graph: Graph, rules: str) -> Plan:
    return STRATEGIES["optimal"](graph, Settings(rules=rules))


def _row(name: str, plan: Plan, graph: Graph, device: Device, ladder: Kernels) -> PlanRow:
    price, time = cost(graph, plan), roofline(graph, plan, device)
    fit = None if plan.is_cover else memory_fit(graph, plan, device.memory_nbytes)
    illegal: dict[int, str] = {}  # group -> rule
    for found in find_violations(graph, plan, ladder):
        illegal.setdefault(found.group, found.rule)
    proof = plan.proof
    return PlanRow(
        plan=name,
        launches=price.launches,
        nbytes=price.nbytes,
        illegal_groups=None if plan.is_cover else len(illegal),
        summed_seconds=time.summed_seconds,
        pipelined_seconds=time.pipelined_seconds,
        bottleneck=max(time.shares, key=lambda share: share.seconds).bottleneck.value,
        memory_nbytes=fit.total if fit else None,
        fits=fit.fits if fit else None,
        broken_rules=dict(Counter(illegal.values())),
        bound=max(proof.bound, graph.compulsory_bytes) if proof and proof.bound else None,
        is_optimal=bool(proof and proof.is_optimal),
    )
