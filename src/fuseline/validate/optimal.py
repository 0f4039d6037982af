"""How good the proofs of `optimal` are, across the zoos: the gap, its seconds, and the chain

    compulsory bytes <= certificate <= optimum(rules) <= every strategy's plan legal under them

with every certificate checked again in integers. Attention is written out in steps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fuseline.costs import cost
from fuseline.errors import InputError, did_you_mean
from fuseline.files import read_bytes, write_bytes
from fuseline.frontends import capture
from fuseline.fusion import STRATEGIES, Settings, find_violations, partition
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import rule_set
from fuseline.fusion.optimal.verify import object_to_proof
from fuseline.graph import Graph
from fuseline.plan import Plan

RULES = ("A", "B", "T")
SECONDS = 60.0
"""What a search may take [s]."""
SEQ_LEN = 128  # tokens, for models that take them
DECODED = " --decode"
CACHED = 512  # tokens before the one that is decoded

TORCHVISION = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16",
    "wide_resnet50_2",
)  # fmt: skip
"""One of every family of torchvision's classifiers."""

TIMM = (
    "beit_base_patch16_224", "cait_xxs24_224", "coat_tiny", "cpubone_nano",
    "cs3darknet_focus_s", "csatv2", "cspnext_tiny", "deepseek_vit_412m_enc",
    "deit_tiny_distilled_patch16_224", "deit_tiny_patch16_224", "edgenext_xx_small",
    "efficientvim_m1", "efficientvim_m1_dist", "efficientvit_m0", "fastvit_t8",
    "gemma4_vit_167m", "halonet_h1", "hardcorenas_b", "hiera_tiny_224", "hrnet_w18_small",
    "inception_v3", "legacy_seresnet18", "legacy_xception", "levit_128s", "levit_256d",
    "lowformer_b0", "nasnetalarge", "nest_tiny", "nextvit_small", "pit_ti_224", "pnasnet5large",
    "qwen3_vit_88m_enc", "rdnet_tiny", "regnetx_002", "repvit_m1", "res2next50", "resnest14d",
    "rexnet_100", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s050", "swiftformer_xs",
    "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "test_byobnet", "test_convnext",
    "test_mambaout", "test_nfnet", "test_resnet", "test_vit_relpos", "tiny_vit_5m_224",
    "tresnet_m", "vgg11", "visformer_tiny", "vit_tiny_patch16_dinov3_qkvb",
    "vit_tiny_r_s16_p8_224", "volo_d1_224", "xception41p", "xcit_nano_12_p8_224",
)  # fmt: skip
"""Architectures of timm, drawn by `lot`."""

TRANSFORMERS = (
    "albert", "bart", "bert", "bloom", "deberta-v2", "distilbert", "electra", "ernie", "falcon",
    "gemma", "gemma2", "gpt2", "gpt_neo", "gpt_neox", "gptj", "llama", "mistral", "mobilebert",
    "mpnet", "olmo", "opt", "phi", "qwen2", "qwen3", "roberta", "stablelm", "t5", "xglm", "xlnet",
)  # fmt: skip
"""Families of transformers, in their default configurations."""

DECODERS = ("gpt2", "llama")
"""Those of them whose decode step is searched as well."""


@dataclass(frozen=True, slots=True)
class OptimalRow:
    """One model under one rung of the ladder; `reason` says why there are no figures.

    `seconds` is processor time of the search [s]. `others` is the least traffic of any other
    strategy whose plan is legal under the rules [bytes] and `by` its name. `fault` is what is wrong
    with the proof when it is checked again, and empty where it holds.
    """

    model: str
    rules: str
    reason: str = ""
    ops: int = 0
    compulsory_nbytes: int = 0
    unfused_nbytes: int = 0
    nbytes: int = 0
    bound: int | None = None
    launches: int = 0
    candidates: int = 0
    cuts: int = 0
    seconds: float = 0.0
    is_optimal: bool = False
    others: int = 0
    by: str = ""
    fault: str = ""

    @property
    def gap(self) -> float | None:
        """Bytes over the greatest proven bound - 1; None for a model without figures."""
        if self.reason:
            return None
        return self.nbytes / max(self.bound or 0, self.compulsory_nbytes) - 1

    @property
    def broken(self) -> str:
        """The link of the chain that does not hold; empty where all do."""
        links = (
            (self.bound is not None and self.bound > self.nbytes, "certificate > optimum"),
            (self.compulsory_nbytes > self.nbytes, "compulsory > optimum"),
            (self.nbytes > self.others, f"optimum > {self.by}"),
        )
        return next((words for is_broken, words in links if is_broken and not self.reason), "")


def lot(name: str) -> float:
    """By which `TIMM` was drawn: the least 60 of timm's architectures, each by its smallest
    entrypoint.
    """
    return random.Random(f"0 {name}").random()  # noqa: S311 - a sample, no secret


def models_of_sweep() -> tuple[str, ...]:
    """Every model of the sweep, and decode steps of some."""
    return (
        *TORCHVISION,
        *(f"timm/{name}" for name in TIMM),
        *(f"hf/{family}" for family in TRANSFORMERS),
        *(f"hf/{family}{DECODED}" for family in DECODERS),
    )


def prove(model: str) -> tuple[OptimalRow, ...]:
    """Capture a model and search it under every rung."""
    name = model.removesuffix(DECODED)
    decode = CACHED if name != model else None
    seq_len = SEQ_LEN if model.startswith("hf/") and decode is None else None
    try:
        graph = capture(name, attention="decomposed", seq_len=seq_len, decode=decode)
    except InputError as error:
        return tuple(OptimalRow(model, rules, reason=str(error)) for rules in RULES)
    return measure(model, graph)


def measure(model: str, graph: Graph) -> tuple[OptimalRow, ...]:
    """The figures of one graph."""
    plans = [partition(graph, name) for name in STRATEGIES if name != "optimal"]
    others = [plan for plan in plans if not plan.is_cover]
    return tuple(_measure(model, graph, rules, others) for rules in RULES)


def _measure(model: str, graph: Graph, rules: str, others: list[Plan]) -> OptimalRow:
    started = time.process_time()
    plan = STRATEGIES["optimal"](graph, Settings(rules=rules, seconds=SECONDS))
    seconds = time.process_time() - started
    price, proof = cost(graph, plan), plan.proof
    assert proof is not None  # noqa: S101 - a searched plan has one
    kernels = Kernels(graph, rule_set(rules))
    legal = [
        (cost(graph, other).nbytes, other.strategy)
        for other in others
        if not find_violations(graph, other, kernels)
    ]
    least, by = min(legal)  # `unfused` is legal under every rung
    row = OptimalRow(
        model=model,
        rules=rules,
        ops=graph.compute_ops,
        compulsory_nbytes=graph.compulsory_bytes,
        unfused_nbytes=price.unfused_nbytes,
        nbytes=price.nbytes,
        bound=proof.bound,
        launches=price.launches,
        candidates=proof.groups,
        cuts=proof.cuts,
        seconds=seconds,
        is_optimal=proof.is_optimal,
        others=least,
        by=by,
    )
    faults = [found.reason for found in find_violations(graph, plan)]
    if proof.bound is not None and (fault := object_to_proof(graph, plan)) is not None:
        faults.append(fault)
    return replace(row, fault="; ".join(faults))


# --- all of them ----------------------------------------------------------------------------


def prove_all(chosen: tuple[str, ...], done: Path | None) -> Iterator[tuple[OptimalRow, ...]]:
    """Each model's rows as they come; those that the file `done` (JSON lines) has are not repeated.

    Raises `InputError` for a file that holds something else.
    """
    known = _read(done)
    for model in chosen:
        rows = known.get(model)
        if rows is None:
            rows = prove(model)
            if done is not None:
                with done.open("ab") as file:
                    file.write(msgspec.json.encode(rows) + b"\n")
        yield rows


def _read(done: Path | None) -> dict[str, tuple[OptimalRow, ...]]:
    """Rows by model. A last line cut short is left out."""
    if done is None or not done.exists():
        return {}
    lines = read_bytes(done).splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        write_bytes(done, b"".join(lines[:-1]))
        lines.pop()
    try:
        found = [msgspec.json.decode(line, type=tuple[OptimalRow, ...]) for line in lines]
    except msgspec.DecodeError as error:
        raise InputError(f"'{done}' holds no rows of this sweep: {error}") from error
    return {rows[0].model: rows for rows in found if rows}


def check_models(chosen: tuple[str, ...]) -> None:
    """Refuse a model that the sweep does not have."""
    known = models_of_sweep()
    for model in chosen:
        if model not in known:
            raise InputError(f"'{model}' is not in the sweep{did_you_mean(model, known)}")
