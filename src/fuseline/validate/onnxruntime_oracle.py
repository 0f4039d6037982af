"""The strategy `onnxruntime` against ONNX Runtime itself: nodes of the optimised graph, by kind.

`MEASURED` is what ONNX Runtime 1.32.0 made on its CPU provider (x86-64 with NCHWc kernels; batch 1,
3 x 224 x 224, BERT 128 tokens) of models that torch 2.13.0 exported (`torch.onnx.export`, opset 18;
onnx 1.23.2, onnxscript 0.7.2). `measure` does it again where these are installed.

Not compared: nodes that only move data. ONNX has a node for a reshape that torch has as a view, and
for a change of layout that no op of ours asks for.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fuseline.costs import cost
from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends import capture
from fuseline.frontends.record import with_values
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.fusion.pair_rules import load_pair_rules, pair_rules
from fuseline.fusion.tables import count_nodes, onnxruntime, tensorrt
from fuseline.validate.quiet import quiet

OPSET = 18
_HEADS, _WIDTH = 12, 768  # of ViT-B and BERT-base: the tool asks for them
_SEQ_LEN = 128  # tokens of BERT
PACKAGES = {"onnxruntime": "ONNX Runtime", "onnx": "ONNX", "onnxscript": "ONNX Script"}
"""What has to be installed: a module, and its name in words."""
_MOVES = frozenset({"Reshape", "ReorderInput", "ReorderOutput"})

LEVELS: dict[str, tuple[str, ...]] = {
    "extended": ("extended", "basic"),
    "all": ("extended", "layout", "basic"),
    "transformers": ("transformers",),
}
"""A level as it is measured -> the tables of ours that it stands for: `ORT_ENABLE_EXTENDED`,
`ORT_ENABLE_ALL`, and `onnxruntime.transformers.optimizer` alone."""

_COMPARED: dict[str, tuple[str, ...]] = {
    "extended": ("FusedConv", "FusedGemm", "SkipLayerNormalization"),
    "all": (),  # its fused kernels are all called Conv
    "transformers": ("BiasGelu", "SkipLayerNormalization"),
}
"""Kinds of fused node that a level makes and our rows name, compared one by one."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Nodes of one model, by kind, after one level; `why` explains what differs from ours."""

    model: str
    level: str
    nodes: dict[str, int]
    why: str


_SAME = "the same"
_CAT = "4 concatenations of a single tensor copy it here, and are no node there"
_STEPS = (
    "the exporter writes attention and GELU out in steps, which ONNX Runtime leaves as they are: "
    "only the kinds it fuses are compared"
)

# fmt: off
MEASURED: tuple[Measured, ...] = (
    Measured("resnet50", "extended", {
        "FusedConv": 33, "Conv": 20, "Add": 16, "Relu": 16, "MaxPool": 1, "ReduceMean": 1,
        "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("resnet50", "all", {
        "Conv": 53, "MaxPool": 1, "ReorderOutput": 1, "ReduceMean": 1, "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("mobilenet_v2", "extended", {
        "FusedConv": 35, "Conv": 17, "Add": 10, "ReduceMean": 1, "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("mobilenet_v2", "all", {
        "Conv": 52, "ReorderOutput": 1, "ReduceMean": 1, "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("mobilenet_v3_small", "extended", {
        "Conv": 29, "Mul": 28, "FusedConv": 23, "HardSigmoid": 19, "ReduceMean": 10, "Add": 6,
        "Gemm": 2, "Reshape": 1,
    }, "19 hard swishes, one op each here, are a HardSigmoid and a Mul there"),
    Measured("mobilenet_v3_small", "all", {
        "Conv": 52, "ReorderOutput": 20, "ReorderInput": 18, "ReduceMean": 10, "Mul": 10,
        "Gemm": 2, "Reshape": 1, "HardSigmoid": 1,
    }, "the hard swish after a Gemm, one op here, is a HardSigmoid and a Mul there"),
    Measured("efficientnet_b0", "extended", {
        "Conv": 65, "QuickGelu": 49, "ReduceMean": 17, "FusedConv": 16, "Mul": 16, "Add": 9,
        "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("efficientnet_b0", "all", {
        "Conv": 81, "QuickGelu": 49, "ReorderOutput": 39, "ReorderInput": 32, "ReduceMean": 17,
        "Mul": 16, "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("densenet121", "extended", {
        "BatchNormalization": 62, "Relu": 62, "Conv": 61, "FusedConv": 59, "Concat": 58,
        "AveragePool": 3, "MaxPool": 1, "ReduceMean": 1, "Reshape": 1, "Gemm": 1,
    }, _CAT),
    Measured("densenet121", "all", {
        "Conv": 182, "Concat": 58, "AveragePool": 3, "MaxPool": 1, "ReorderOutput": 1,
        "ReduceMean": 1, "Reshape": 1, "Gemm": 1,
    }, _CAT),
    Measured("vgg16", "extended", {
        "FusedConv": 13, "MaxPool": 5, "FusedGemm": 2, "AveragePool": 1, "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("vgg16", "all", {
        "Conv": 13, "MaxPool": 5, "FusedGemm": 2, "AveragePool": 1, "ReorderOutput": 1,
        "Reshape": 1, "Gemm": 1,
    }, _SAME),
    Measured("vit_b_16", "extended", {
        "Reshape": 181, "Transpose": 49, "Gemm": 49, "Squeeze": 48, "Add": 36,
        "LayerNormalization": 24, "FusedMatMul": 24, "Mul": 24, "Unsqueeze": 12, "Split": 12,
        "Softmax": 12, "Div": 12, "Erf": 12, "Conv": 1, "Concat": 1, "SkipLayerNormalization":
        1, "Gather": 1,
    }, _STEPS),
    Measured("vit_b_16", "transformers", {
        "Reshape": 109, "Transpose": 97, "MatMul": 60, "Gather": 37, "Mul": 24,
        "SkipLayerNormalization": 24, "Add": 13, "Gemm": 13, "Unsqueeze": 12, "Squeeze": 12,
        "Softmax": 12, "BiasGelu": 12, "Conv": 1, "Concat": 1, "LayerNormalization": 1,
    }, _STEPS),
    Measured("hf/bert", "extended", {
        "Reshape": 196, "Gemm": 74, "Transpose": 48, "Add": 26, "Mul": 26,
        "SkipLayerNormalization": 25, "Div": 13, "Erf": 13, "FusedMatMul": 12, "Softmax": 12,
        "IsNaN": 12, "Where": 12, "MatMul": 12, "Gather": 1, "LayerNormalization": 1,
    }, _STEPS),
    Measured("hf/bert", "transformers", {
        "MatMul": 98, "Reshape": 72, "Transpose": 61, "Add": 51, "Mul": 24,
        "SkipLayerNormalization": 24, "Where": 13, "BiasGelu": 13, "Softmax": 12, "IsNaN": 12,
        "Gather": 3, "LayerNormalization": 2, "GatherElements": 1,
    }, _STEPS),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class OnnxRow:
    """One model after one level: ONNX Runtime's nodes beside our launches.

    `fused` are the kinds compared one by one: (name, theirs, ours). `theirs` are all nodes, `moves`
    those of them that only move data; `ours` are launches. The two are not comparable where the
    exporter wrote attention out in steps.
    """

    model: str
    level: str
    theirs: int
    moves: int
    ours: int
    is_comparable: bool
    fused: tuple[tuple[str, int, int], ...]
    why: str

    @property
    def difference(self) -> int:
        """Our launches less their nodes that compute."""
        return self.ours - (self.theirs - self.moves)


def onnxruntime_rows() -> tuple[OnnxRow, ...]:
    """Every measurement beside our count on the recorded graph."""
    return tuple(_compare(measured) for measured in MEASURED)


def _compare(measured: Measured) -> OnnxRow:
    graph = capture(measured.model, **_options(measured.model))
    levels = LEVELS[measured.level]
    ours = count_nodes(graph, levels)
    return OnnxRow(
        measured.model,
        measured.level,
        sum(measured.nodes.values()),
        sum(count for kind, count in measured.nodes.items() if kind in _MOVES),
        cost(graph, onnxruntime(graph, levels)).launches,
        "Softmax" not in measured.nodes,  # attention in steps
        tuple(
            (kind, measured.nodes.get(kind, 0), ours[kind]) for kind in _COMPARED[measured.level]
        ),
        measured.why,
    )


def why_unavailable() -> str | None:
    """Why ONNX Runtime cannot be asked here; None where it can."""
    for package, name in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            return f"{name} is not installed: pip install 'fuseline[oracles]'"
    return None


def require_packages() -> None:
    """Raises `InputError` where ONNX Runtime, or what exports a model for it, is not installed."""
    if (why := why_unavailable()) is not None:
        raise InputError(why)


def measure(model: str, level: str) -> Counter[str]:
    """Export a model, let ONNX Runtime optimise it, and count the nodes it is left with, by kind.

    Raises `InputError` for an unknown level, where a package is missing, and where torch or ONNX
    Runtime fails.
    """
    if level not in LEVELS:
        hint = did_you_mean(level, LEVELS) or f": one of {', '.join(LEVELS)}"
        raise InputError(f"unknown level '{level}'{hint}")
    require_packages()
    with (
        tempfile.TemporaryDirectory() as folder,
        foreign_code(f"ONNX Runtime on '{model}'"),
        quiet(),
    ):
        exported = Path(folder) / "model.onnx"
        _export(model, exported)
        return Counter(node.op_type for node in optimise(exported, level))


def _export(model: str, path: Path) -> None:
    sourced = with_values(find_model(model, Options(**_options(model))))
    arguments, keywords = sourced.inputs
    with torch.no_grad():
        torch.onnx.export(
            sourced.model.eval(),
            arguments,
            path,
            kwargs=keywords,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )


def optimise(path: Path, level: str) -> list[Any]:
    """The nodes (`onnx.NodeProto`) that ONNX Runtime leaves of an ONNX file at a level, in order.

    Writes beside the file.
    """
    if level == "transformers":
        return _use_tool(path)
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = {
        "extended": levels.ORT_ENABLE_EXTENDED,
        "all": levels.ORT_ENABLE_ALL,
    }[level]
    options.optimized_model_filepath = str(path.with_name("optimised.onnx"))
    options.log_severity_level = 3  # errors: a graph optimised for one machine is what we want
    runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    onnx: Any = importlib.import_module("onnx")
    return list(onnx.load(options.optimized_model_filepath).graph.node)


def _use_tool(path: Path) -> list[Any]:
    tool: Any = importlib.import_module("onnxruntime.transformers.optimizer")
    made = tool.optimize_model(
        str(path), model_type="bert", num_heads=_HEADS, hidden_size=_WIDTH, opt_level=0
    )
    made.topological_sort()
    return list(made.nodes())


def _options(model: str) -> dict[str, Any]:
    return {"seq_len": _SEQ_LEN} if model.startswith("hf/") else {}


@dataclass(frozen=True, slots=True)
class Published:
    """Kernels of a model as a paper counts them, under a system that a table of ours describes.

    `paper_ops` are the operators (layers) that it counts before fusion.
    """

    model: str
    system: str
    paper: str
    paper_ops: int
    kernels: int


_PLUS = "PluS, Table 1"
_DNNFUSION = "DNNFusion (PLDI 2021), Table 5"
PUBLISHED = (
    Published("hf/bert", "tensorrt", _PLUS, 635, 107),
    Published("vit_b_16", "tensorrt", _PLUS, 655, 105),
    Published("hf/gpt2", "tensorrt", _PLUS, 630, 126),
    Published("efficientnet_b0", "tflite-gpu", _DNNFUSION, 309, 201),
    Published("efficientnet_b0", "tflite-cpu", _DNNFUSION, 309, 201),
    Published("vgg16", "tflite-gpu", _DNNFUSION, 51, 22),
    Published("vgg16", "tflite-cpu", _DNNFUSION, 51, 22),
    Published("hf/bert", "tflite-cpu", _DNNFUSION, 976, 873),
    Published("hf/gpt2", "tflite-cpu", _DNNFUSION, 2533, 2223),
)
"""Not tuned to, and not equal: the papers' graphs have ONNX's or TensorFlow's ops (a norm is 6 to 9
of them, a bias one more, reshapes and transposes count), ours have torch's, and TensorRT fuses
transformers by rules that it does not state. A rough check of size, no more."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A published count beside ours: compute ops and launches of the recorded graph."""

    published: Published
    ops: int
    launches: int


def published_rows() -> tuple[PublishedRow, ...]:
    """Every published count beside ours."""
    return tuple(_beside(published) for published in PUBLISHED)


def _beside(published: Published) -> PublishedRow:
    graph = capture(published.model, **_options(published.model))
    if published.system == "tensorrt":
        plan = tensorrt(graph)
    else:
        plan = pair_rules(graph, load_pair_rules(published.system))
    return PublishedRow(published, graph.compute_ops, cost(graph, plan).launches)
