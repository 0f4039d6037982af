"""Our FLOPs against an independent count: torch's `FlopCounterMode`.

The counter sees the aten ops that reach a kernel, after torch has taken composite ones apart; ours
are formulas of the ops that the model calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fuseline.errors import foreign_code
from fuseline.frontends import capture
from fuseline.frontends.record import with_values
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.runner import Runner, no_fast_path, quiet_torch
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.graph import Graph, Op
from fuseline.report.units import giga

_UNCOUNTED = {
    "lstm": "lstm",  # a layer is one `mkldnn_rnn_layer`
    "_grouped_mm": "grouped_mm",
    "_scaled_grouped_mm": "grouped_mm",
    "deform_conv2d": "deform_conv2d",
    "bilinear": "bilinear",  # a product and a sum
    "addbmm": "addbmm",
    "conv_tbc": "conv_tbc",
    "_int_mm": "int_mm",
    "mv": "matrix x vector",
    "addmv": "matrix x vector",
    "dot": "vector x vector",
    "vdot": "vector x vector",
}
"""Names of our ops -> how a report calls what torch's counter has no formula for."""


@dataclass(frozen=True, slots=True)
class FlopRow:
    """One model's FLOPs by both counts, and our ledger's unknown ops."""

    model: str
    ours: int
    counted: int
    unknown_ops: int

    @property
    def difference(self) -> int:
        """Ours - counted."""
        return self.ours - self.counted


def compare_flops(model: str) -> FlopRow:
    """Count a torchvision classifier's FLOPs both ways, batch 1."""
    graph = capture(model)
    counted = count_by_torch(find_model(model, Options()))
    return FlopRow(model, graph.flops, counted, len(graph.unknown_ops))


def count_by_torch(sourced: Sourced, *, real: bool = False) -> int:
    """What `FlopCounterMode` counts when the model runs on fake tensors, or real ones [FLOP].

    Attention runs as the matrix products of torch's MATH backend, and without its fast path:
    other kernels are not in torch's table.

    Raises `InputError` where the model does not run.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(no_fast_path())
        stack.enter_context(quiet_torch())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if real:
            sourced = with_values(sourced)
            inputs = sourced.inputs
        else:
            fakes = Fakes()
            stack.enter_context(fakes.in_place_of(sourced.model))
            inputs = replace_tensors(sourced.inputs, fakes.pass_on)
            stack.enter_context(fakes.mode)
            stack.enter_context(Runner(fakes))
        counter = stack.enter_context(FlopCounterMode(display=False))
        stack.enter_context(foreign_code(f"torch cannot count '{sourced.name}'"))
        sourced.model(*inputs[0], **inputs[1])
    return counter.get_total_flops()


def uncounted_by_torch(graph: Graph) -> dict[str, int]:
    """Our FLOPs of the ops that torch's counter has no formula for, by name [FLOP]."""
    found: Counter[str] = Counter()
    for op in (*graph.ops, *graph.folded):
        name = _UNCOUNTED["mv"] if _ends_in_mv(graph, op) else _UNCOUNTED.get(op.target)
        if name is not None and op.work.flops:
            found[name] += op.work.flops
    return dict(found)


def _ends_in_mv(graph: Graph, op: Op) -> bool:
    """Whether torch takes `op` apart into a product with a vector: `[..., K] x [K]`.

    A vector times a matrix is none: torch makes the vector a matrix.
    """
    sizes = [len(graph.tensors[tensor].shape) for tensor in (*op.inputs, *op.parameters)]
    match op.target, sizes:
        case "matmul", [first, second]:
            return second == 1 or (first == 1 and second > 2)  # noqa: PLR2004 - no matrix
        case "linear", [first, *_]:
            return len(graph.tensors[op.outputs[0]].shape) < first
        case _:
            return False


def explain(difference: int, uncounted: dict[str, int]) -> str:
    """Why ours - torch's is what it is: empty for 0, `unexplained` where it does not add up.

    >>> explain(96, {"lstm": 64, "bilinear": 32}), explain(95, {"lstm": 64, "bilinear": 32})
    ('no formula for bilinear 32 + lstm 64', 'unexplained')
    """
    if difference != sum(uncounted.values()):
        return "unexplained"
    if not difference:
        return ""
    return "no formula for " + " + ".join(
        f"{name} {flops:,}" for name, flops in sorted(uncounted.items())
    )


def page(rows: Iterable[FlopRow]) -> str:
    """The rows as a Markdown page."""
    rows = tuple(rows)
    equal = sum(not row.difference for row in rows)
    lines = "\n".join(
        f"| {row.model} | {giga(row.ours)} | {row.ours:,} | {row.counted:,} | "
        f"{row.difference:,} | {row.unknown_ops} |"
        for row in rows
    )
    return f"""\
# FLOPs against an independent count

Generated by `fuseline validate flops -o docs/validation/flops.md` (torch {torch.__version__},
batch 1, 3 x 224 x 224). "ours" is the model recorded by the default frontend.
"torch" is `torch.utils.flop_counter.FlopCounterMode` over the model run on fake tensors with the
attention fast path off and the MATH attention backend. FLOPs are 2 x multiply-accumulates of
contractions and attention. {equal} of {len(rows)} models agree exactly.

| model | GFLOP | ours | torch | difference | unknown ops |
| --- | ---: | ---: | ---: | ---: | ---: |
{lines}
"""
