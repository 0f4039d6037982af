"""What each part of the strategy `extended` adds over `fusion`, model by model.

Every plan of one model is of one graph: recorded, attention written out in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from fuseline.costs import cost
from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import capture
from fuseline.fusion import EXTENSIONS, Neighbours, extended, partition
from fuseline.fusion.attention import find_attention, is_linear
from fuseline.graph import Graph, Kind, Op, OpClass
from fuseline.plan import Plan

TRAINED = " --train"
MODELS = (
    "vit_b_16",
    "swin_t",
    "timm/deit_tiny_patch16_224",
    "timm/beit_base_patch16_224",
    "timm/crossvit_15_240",
    "hf/bert",
    "hf/gpt2",
    "hf/llama",
    "hf/t5",
    "resnet50",
    "efficientnet_b0",
    "timm/convnext_tiny",
    "swin_t --train",
    "convnext_tiny --train",
    "efficientnet_b0 --train",
    "hf/bert --train",
)
"""Models of all kinds; in train mode those whose drop-path or dropout is at work there."""

_NORMS = frozenset({Kind.LAYERNORM, Kind.RMSNORM})
_BETWEEN = frozenset({OpClass.ELEMENTWISE, OpClass.COPY, OpClass.REDUCTION})
"""What may stand between a projection and the product it is for: positions, norms, heads moved."""

ALL = "all"
PLANS = ("fusion", *EXTENSIONS, ALL)
"""The baseline, `extended` with one part of it at a time, and with all of them."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One plan's figures.

    `launches` are also its groups: in a recorded graph a group holds an operator exactly where it
    is launched. `fused` are compute ops that share a launch with another. `attention_launches` are
    the launches that hold an op of an attention block.
    """

    launches: int
    nbytes: int
    fused: int
    attention_launches: int


@dataclass(frozen=True, slots=True)
class ExtendedRow:
    """One model under every plan of `PLANS`; `attentions` blocks of `attention_ops` in all."""

    model: str
    ops: int
    unfused_nbytes: int
    attentions: int
    attention_ops: int
    plans: dict[str, Figures]


def compare_extensions(model: str) -> ExtendedRow:
    """Capture one of `MODELS`, or any model by name, and partition it by every plan."""
    name = model.removesuffix(TRAINED)
    graph = capture(name, train=name != model, attention="decomposed")
    return measure(model, graph)


def check_models(models: Iterable[str]) -> None:
    """Refuse a model in a mode that the comparison does not know."""
    for model in models:
        if " " in model.removesuffix(TRAINED):
            raise InputError(f"'{model}' is no model{did_you_mean(model, MODELS)}")


def measure(model: str, graph: Graph) -> ExtendedRow:
    """Every plan's figures on one graph."""
    blocks = attention_blocks(Neighbours(graph))
    inside = frozenset().union(*blocks)
    found: dict[str, Figures] = {}
    unfused = 0
    for name, strategy in _strategies().items():
        plan = strategy(graph)
        price = cost(graph, plan)
        unfused = price.unfused_nbytes
        found[name] = Figures(
            price.launches,
            price.nbytes,
            _fused(graph, plan),
            sum(not inside.isdisjoint(group.ops) for group in plan.groups),
        )
    return ExtendedRow(model, graph.compute_ops, unfused, len(blocks), len(inside), found)


def _strategies() -> dict[str, Callable[[Graph], Plan]]:
    return {
        "fusion": partial(partition, strategy="fusion"),
        **{part: partial(extended, parts=(part,)) for part in EXTENSIONS},
        ALL: extended,
    }


def _fused(graph: Graph, plan: Plan) -> int:
    launched = (sum(graph.ops[op].is_compute for op in group.ops) for group in plan.groups)
    return sum(ops for ops in launched if ops > 1)


# --- attention blocks -------------------------------------------------------------------------


def attention_blocks(near: Neighbours) -> list[frozenset[int]]:
    """The compute ops of every attention, by the shape of the graph alone.

    From the linears that make query, key and value (and the norm before them, where they alone
    take it) through scores, softmax and values to the linear that projects the result. What makes
    a mask or a bias of the scores is not in it.
    """
    cores = ((op, find_attention(near, op)) for op in near.graph.ops)
    return [
        frozenset({*_before(near, scores, core), *core, *_behind(near, core[-1])})
        for scores, core in cores
        if core is not None
    ]


def _before(near: Neighbours, scores: Op, core: tuple[int, ...]) -> set[int]:
    """What query, key and value are made from and nothing outside takes, back to linears."""
    graph = near.graph
    held = set(core)
    begins = held - {*core[: core.index(scores.id) + 1], core[-1]}  # nothing is followed past these
    for op in reversed(graph.ops[: core[-1]]):
        takers = near.after[op.id]
        if op.id in held or not op.is_compute or not takers or not held.issuperset(takers):
            continue
        if begins.issuperset(takers) and all(
            is_linear(graph, graph.ops[taker]) for taker in takers
        ):
            if op.kind in _NORMS:
                held.add(op.id)
                begins.add(op.id)
        elif begins.isdisjoint(takers) and (is_linear(graph, op) or op.op_class in _BETWEEN):
            held.add(op.id)
            if is_linear(graph, op):
                begins.add(op.id)
    return held


def _behind(near: Neighbours, values: int) -> list[int]:
    """What takes the result of the values alone, on to a linear; nothing without one."""
    found: list[int] = []
    op = near.only_consumer(values)
    while op is not None and op.op_class in _BETWEEN and not is_linear(near.graph, op):
        found.append(op.id)
        op = near.only_consumer(op.id)
    return [*found, op.id] if op is not None and is_linear(near.graph, op) else []
