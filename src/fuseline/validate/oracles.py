"""The strategies `tvm` and `onnxruntime` beside the compilers: pairs of ops that share a kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata

from fuseline.costs import cost
from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import capture
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.fusion.tables import onnxruntime
from fuseline.fusion.tvm import tvm
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.validate.onnxruntime_oracle import LEVELS, require_packages
from fuseline.validate.onnxruntime_plan import onnxruntime_plan
from fuseline.validate.pairs import PairAgreement, compare_pairs, kernel_pairs
from fuseline.validate.tvm_plan import import_relax, tvm_plan

MODELS = (
    "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "densenet121", "efficientnet_b0",
    "googlenet", "shufflenet_v2_x1_0", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t",
    "timm/hrnet_w18_small", "timm/mobilevit_s", "timm/mixer_b16_224", "timm/cait_xxs24_224",
    "hf/bert", "hf/gpt2", "hf/t5", "hf/vit",
)  # fmt: skip
SEQ_LEN = 128


@dataclass(frozen=True, slots=True)
class Oracle:
    """A real compiler as it is asked, and the rule model of it."""

    name: str
    real: Callable[[Sourced, Graph], Plan]
    model: Callable[[Graph], Plan]


ORACLES = (
    Oracle("TVM", tvm_plan, tvm),
    Oracle("TVM, whole ops", partial(tvm_plan, whole_ops=True), tvm),
    Oracle(
        "ONNX Runtime, extended",
        partial(onnxruntime_plan, level="extended"),
        partial(onnxruntime, levels=LEVELS["extended"]),
    ),
    Oracle(
        "ONNX Runtime's tool",
        partial(onnxruntime_plan, level="transformers"),
        partial(onnxruntime, levels=(*LEVELS["transformers"], "basic")),  # the exporter folds norms
    ),
)


@dataclass(frozen=True, slots=True)
class OracleRow:
    """A rule model beside its compiler on one model: launches, and pairs of ops by kernel.

    `is_cover`: the compiler computes some op in several kernels, so that launches compare kernels
    of unlike ops. `only_ours` and `only_real` are pairs that the other has not, by kinds of op, the
    most frequent first. `failure` is why the compiler has no plan; other figures are then None.
    """

    model: str
    oracle: str
    ours: int
    real: int | None = None
    is_cover: bool = False
    agreement: PairAgreement | None = None
    only_ours: tuple[tuple[str, int], ...] = ()
    only_real: tuple[tuple[str, int], ...] = ()
    failure: str = ""


def oracle_rows(models: Iterable[str] = MODELS) -> Iterator[OracleRow]:
    """Every rule model beside its compiler, model by model. Takes half a minute a model.

    Raises `InputError` where the extra is not installed, and for a model that does not exist.
    """
    import_relax()
    require_packages()
    for model in models:
        options = Options(seq_len=SEQ_LEN) if takes_tokens(model) else Options()
        sourced = find_model(model, options)
        graph = capture(model, seq_len=options.seq_len)
        for oracle in ORACLES:
            yield compare(model, sourced, graph, oracle)


def versions() -> dict[str, str]:
    """What the figures come from."""
    packages = ("torch", "apache-tvm", "onnx", "onnxruntime", "onnxscript")
    return {package: metadata.version(package) for package in packages}


def takes_tokens(model: str) -> bool:
    """Whether a model of `MODELS` reads a sequence."""
    return model.startswith("hf/") and model != "hf/vit"


def find_oracle(name: str) -> Oracle:
    """An oracle by its name. Raises `InputError` for an unknown one."""
    found = {oracle.name: oracle for oracle in ORACLES}
    if name not in found:
        hint = did_you_mean(name, found) or f": one of {', '.join(found)}"
        raise InputError(f"unknown oracle '{name}'{hint}")
    return found[name]


def compare(model: str, sourced: Sourced, graph: Graph, oracle: Oracle) -> OracleRow:
    """One rule model beside its compiler; where the compiler refuses the model, the row says so."""
    plan = oracle.model(graph)
    launches = cost(graph, plan).launches
    try:
        real = oracle.real(sourced, graph)
    except InputError as error:
        return OracleRow(model, oracle.name, launches, failure=str(error))
    ours, theirs = kernel_pairs(graph, plan), kernel_pairs(graph, real)
    return OracleRow(
        model,
        oracle.name,
        launches,
        sum(any(graph.ops[op].is_compute for op in group.ops) for group in real.groups),
        real.is_cover,
        compare_pairs(ours, theirs),
        _by_kind(graph, ours - theirs),
        _by_kind(graph, theirs - ours),
    )


def _by_kind(graph: Graph, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, int], ...]:
    kinds = {op.name: op.kind.value for op in graph.ops}
    counts: dict[str, int] = {}
    for one, other in pairs:
        words = f"{kinds[one]} + {kinds[other]}"
        counts[words] = counts.get(words, 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
