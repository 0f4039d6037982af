"""The strategy `tvm` against TVM itself: kernel by kernel, as `FuseOps` makes them.

`MEASURED` is what TVM 0.27.0 made of torchvision's models (batch 1, 3 x 224 x 224): exported by
`torch.export` (torch 2.13.0), read by TVM's importer with weights as constants, norms decomposed
for inference, constants folded, operators lowered, patterns annotated, `FuseOps`. `measure` does
it again where TVM is installed (`pip install 'fuseline[oracles]'`).

Kernels are compared by what they compute, in TVM's names. What only moves data is left out: TVM
has a kernel for a reshape that torch has as a view.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends import capture
from fuseline.frontends.record import with_values
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.fusion.tvm import tvm
from fuseline.graph import Graph, Kind, Op, OpClass
from fuseline.plan import Plan
from fuseline.validate.quiet import quiet
from fuseline.validate.tvm_plan import MOVES, base_name, called, calls_of, import_relax, lowering

Kernel = tuple[str, ...]
"""What a kernel computes: names of TVM's functions, sorted."""

# fmt: off
_SPELLED: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys((Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV2D_DEPTHWISE), ("conv2d",)),
    Kind.LINEAR: ("matmul",),
    Kind.BATCHNORM: ("subtract", "divide", "multiply", "add"),
    Kind.LAYERNORM: ("layer_norm",),
    **dict.fromkeys((Kind.RELU6, Kind.HARDTANH), ("tir_clip",)),
    Kind.SIGMOID: ("tir_sigmoid",),
    Kind.SILU: ("tir_sigmoid", "multiply"),
    Kind.HARDSIGMOID: ("add", "tir_clip", "tir_clip", "divide"),
    Kind.HARDSWISH: ("add", "tir_clip", "tir_clip", "multiply", "divide"),
    Kind.MUL: ("multiply",),
    Kind.CAT: ("concatenate",),
    Kind.MAXPOOL: ("max_pool2d",),
    Kind.AVGPOOL: ("avg_pool2d",),
    Kind.ADAPTIVEAVGPOOL: ("mean",),
    **dict.fromkeys((Kind.PAD, Kind.ROLL, Kind.RESHAPE, Kind.CONTIGUOUS), ()),
}
"""How TVM spells an op; a kind not here has its own name."""
# fmt: on

_WITH_BIAS = 2  # a weight, a bias


@dataclass(frozen=True, slots=True)
class Measured:
    """TVM's kernels of one model: those that compute, by what, and how many only move data."""

    kernels: Counter[Kernel]
    moving: int


@dataclass(frozen=True, slots=True)
class TvmRow:
    """One model's kernels that compute, by `tvm` and by TVM, and why they differ where they do."""

    model: str
    ours: int
    counted: int
    only_ours: int
    only_counted: int
    explanation: str


def _measured(moving: int, table: str) -> Measured:
    """Read a table of lines `count name name ...`."""
    kernels: Counter[Kernel] = Counter()
    for line in table.split("\n"):
        if line.strip():
            count, *names = line.split()
            kernels[tuple(names)] = int(count)
    return Measured(kernels, moving)


MEASURED: dict[str, Measured] = {
    "resnet18": _measured(
        1,
        """
        9 add conv2d divide multiply relu subtract
        8 add add conv2d divide multiply relu subtract
        3 add conv2d divide multiply subtract
        1 max_pool2d
        1 mean
        1 add matmul
        """,
    ),
    "resnet50": _measured(
        1,
        """
        33 add conv2d divide multiply relu subtract
        16 add add conv2d divide multiply relu subtract
        4 add conv2d divide multiply subtract
        1 max_pool2d
        1 mean
        1 add matmul
        """,
    ),
    "mobilenet_v2": _measured(
        1,
        """
        35 add conv2d divide multiply subtract tir_clip
        10 add add conv2d divide multiply subtract
        7 add conv2d divide multiply subtract
        1 mean
        1 add matmul
        """,
    ),
    "densenet121": _measured(
        1,
        """
        62 add concatenate divide multiply relu subtract
        61 conv2d
        59 add conv2d divide multiply relu subtract
        3 avg_pool2d
        1 max_pool2d
        1 mean
        1 add matmul
        """,
    ),
    "efficientnet_b0": _measured(
        1,
        """
        33 add conv2d divide multiply multiply subtract tir_sigmoid
        32 add conv2d multiply tir_sigmoid
        17 mean
        9 add add conv2d divide multiply subtract
        7 add conv2d divide multiply subtract
        1 add matmul
        """,
    ),
    "googlenet": _measured(
        1,
        """
        57 add conv2d divide multiply relu subtract
        13 max_pool2d
        9 concatenate
        1 mean
        1 add matmul
        """,
    ),
    "regnet_y_400mf": _measured(
        1,
        """
        33 add conv2d divide multiply relu subtract
        17 mean
        16 add conv2d relu
        16 add conv2d multiply tir_sigmoid
        16 add add conv2d divide multiply relu subtract
        4 add conv2d divide multiply subtract
        1 add matmul
        """,
    ),
    "mobilenet_v3_small": _measured(
        1,
        """
        18 add add conv2d divide divide multiply multiply subtract tir_clip tir_clip
        10 mean
        9 add conv2d relu
        9 add add conv2d divide multiply tir_clip tir_clip
        6 add add conv2d divide multiply subtract
        5 add conv2d divide multiply relu subtract
        5 add conv2d divide multiply subtract
        1 add add divide matmul multiply tir_clip tir_clip
        1 add matmul
        """,
    ),
    "shufflenet_v2_x1_0": _measured(
        0,
        """
        37 add conv2d divide multiply relu subtract
        19 add conv2d divide multiply subtract
        16 concatenate
        1 max_pool2d
        1 mean
        1 add matmul
        """,
    ),
    "squeezenet1_0": _measured(
        1,
        """
        26 add conv2d relu
        8 concatenate
        3 max_pool2d
        1 mean
        """,
    ),
    "mnasnet1_0": _measured(
        0,
        """
        35 add conv2d divide multiply relu subtract
        10 add add conv2d divide multiply subtract
        7 add conv2d divide multiply subtract
        1 mean
        1 add matmul
        """,
    ),
    "convnext_tiny": _measured(
        43,
        """
        37 add matmul
        23 layer_norm
        22 add conv2d
        18 gelu
        18 add multiply
        1 mean
        """,
    ),
    "vit_b_16": _measured(
        121,
        """
        49 add matmul
        25 layer_norm
        24 multiply
        24 matmul
        24 add
        12 cast equal max tir_logical_not
        12 cast softmax tir_logical_not where
        12 gelu
        1 add conv2d
        1 add concatenate
        """,
    ),
    "swin_t": _measured(
        154,
        """
        49 add matmul
        29 layer_norm
        28 add
        27 matmul
        12 multiply
        12 softmax
        12 gelu
        5 add add
        3 add concatenate
        1 add conv2d
        1 mean
        """,
    ),
}
"""What TVM 0.27.0 makes of each model."""

_FLATTENS = (
    "TVM's importer flattens the input of a linear layer with more than two axes; the reshape "
    "back keeps {what} out of its kernel"
)

EXPLANATIONS: dict[str, str] = {
    "convnext_tiny": _FLATTENS.format(what="18 gelu"),
    "vit_b_16": _FLATTENS.format(what="12 gelu and 12 residual sums")
    + "; it writes the 12 attentions out: two scales, scores, the mask's rows, softmax, values",
    "swin_t": _FLATTENS.format(what="12 gelu and 12 residual sums")
    + " (3 of the sums are with the concatenation that follows); it reshapes scores, which keeps "
    "12 biases out of their kernel (5 are with the mask)",
}
"""Why a model's kernels differ from TVM's; every other model's are the same."""


def tvm_rows(models: Iterable[str] = tuple(MEASURED)) -> tuple[TvmRow, ...]:
    """Ours and TVM's kernels of each model, as measured. Captures every model.

    Raises `InputError` for a model that was not measured.
    """
    rows = []
    for model in models:
        if model not in MEASURED:
            hint = did_you_mean(model, MEASURED) or f": one of {', '.join(MEASURED)}"
            raise InputError(f"TVM was not measured on '{model}'{hint}")
        graph = capture(model)
        ours, counted = kernels_of(graph, tvm(graph)).kernels, MEASURED[model].kernels
        only_ours, only_counted = (ours - counted).total(), (counted - ours).total()
        why = EXPLANATIONS.get(model, "unexplained") if only_ours or only_counted else ""
        rows.append(TvmRow(model, ours.total(), counted.total(), only_ours, only_counted, why))
    return tuple(rows)


def kernels_of(graph: Graph, plan: Plan) -> Measured:
    """The kernels of `plan`, in TVM's names."""
    kernels: Counter[Kernel] = Counter()
    moving = 0
    for group in plan.groups:
        ops = [graph.ops[op] for op in group.ops if graph.ops[op].is_compute]
        names = tuple(sorted(name for op in ops for name in _spell(op)))
        if names:
            kernels[names] += 1
        elif ops:
            moving += 1
    return Measured(kernels, moving)


def _spell(op: Op) -> tuple[str, ...]:
    names = _SPELLED.get(op.kind, (op.kind.value,))
    has_bias = op.op_class is OpClass.CONTRACTION and len(op.parameters) == _WITH_BIAS
    return (*names, "add") if has_bias else names


def measure(model: str) -> Measured:
    """What the TVM that is installed makes of a model as torch exports it, batch 1.

    Raises `InputError` where TVM is not installed, and where it does not take the model.
    """
    relax = import_relax()
    importer: Any = importlib.import_module("tvm.relax.frontend.torch")
    sourced = with_values(find_model(model, Options()))
    with foreign_code(f"TVM on '{model}'"), quiet():
        with torch.no_grad():
            program = torch.export.export(sourced.model, sourced.inputs[0], sourced.inputs[1])
            module = importer.from_exported_program(program)
        for step in (*lowering(), relax.transform.FuseOps()):
            module = step(module)
        return _read(module)


def _read(module: Any) -> Measured:  # noqa: ANN401 - a module of TVM's
    """Count the kernels of a fused module."""
    kernels: Counter[Kernel] = Counter()
    moving = 0
    for _, value in calls_of(module["main"]):
        function = called(value)
        inside = (
            [value] if function is not None else [call for _, call in calls_of(module[value.op])]
        )
        found = (base_name(called(call) or "") for call in inside)
        if names := tuple(sorted(name for name in found if name not in MOVES)):
            kernels[names] += 1
        else:
            moving += 1
    return Measured(kernels, moving)
