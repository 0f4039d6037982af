"""Rule models and optima against compilers, papers and a prototype: counts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from fuseline.costs import cost, group_traffic
from fuseline.frontends import capture
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.fusion import STRATEGIES, Settings, find_violations, partition
from fuseline.fusion.inductor import inductor
from fuseline.graph import ITEM_BYTES, Graph, Kind
from fuseline.plan import Plan
from fuseline.validate.inductor_oracle import InductorRow, inductor_rows
from fuseline.validate.onnxruntime_oracle import (
    OnnxRow,
    PublishedRow,
    onnxruntime_rows,
    published_rows,
)
from fuseline.validate.tvm_oracle import TvmRow, tvm_rows

INDUCTOR_MODELS = ("resnet18", "resnet50", "mobilenet_v2")
FLOAT = ITEM_BYTES["float32"]


@dataclass(frozen=True, slots=True)
class Compilers:
    """Everything that the page shows."""

    tvm: tuple[TvmRow, ...]
    onnxruntime: tuple[OnnxRow, ...]
    inductor: tuple[InductorRow, ...]
    inductor_kernels: tuple[ElementRow, ...]
    published: tuple[PublishedRow, ...]
    prototype: tuple[PrototypeRow, ...]
    crossvit: tuple[CutRow, ...]
    orojenesis: Orojenesis
    flash: Flash


def compare_compilers() -> Compilers:
    """All comparisons; compiles three models by Inductor, which takes most of the time."""
    return Compilers(
        tvm_rows(),
        onnxruntime_rows(),
        tuple(inductor_rows(INDUCTOR_MODELS)),
        element_rows(),
        published_rows(),
        prototype_rows(),
        crossvit_rows(),
        orojenesis(),
        flash(),
    )


def optimal(graph: Graph, rules: str) -> Plan:
    """The optimum under a rung of the ladder."""
    return STRATEGIES["optimal"](graph, Settings(rules=rules))


def _nbytes(graph: Graph, plan: Plan) -> int:
    return cost(graph, plan).nbytes


# --- Inductor's own tests ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ElementRow:
    """Elements that one op moves by Inductor's own test, and by our model of it."""

    op: str
    theirs: int
    ours: int


def element_rows() -> tuple[ElementRow, ...]:
    """What Inductor's tests of exact traffic state for 10 x 10 tensors."""
    inputs = ((10, 10),)
    cases = (("softmax", 200, nn.Softmax(-1)), ("layer_norm", 220, nn.LayerNorm(10)))
    rows = []
    for name, theirs, module in cases:
        graph = capture(module.eval(), input_shapes=inputs)
        rows.append(ElementRow(name, theirs, _nbytes(graph, inductor(graph)) // FLOAT))
    return tuple(rows)


# --- the prototype's optima -------------------------------------------------------------------

FIGURES = ("unfused", "fusion", "tvm", "optimal A", "optimal B", "compulsory")


@dataclass(frozen=True, slots=True)
class PrototypeRow:
    """One figure of a graph: the prototype's [MB, one decimal] and ours [bytes].

    `adjustment` [bytes] is what the graphs differ by, counted on ours: with it ours should be the
    prototype's. `groups` are (the prototype's, ours), `group_adjustment` likewise.
    """

    graph: str
    figure: str
    prototype_mb: float
    nbytes: int
    adjustment: int
    groups: tuple[int, int] | None = None
    group_adjustment: int = 0

    @property
    def agrees(self) -> bool:
        """Whether ours, adjusted, is the prototype's to the digit that it states."""
        rounded = abs((self.nbytes + self.adjustment) / 1e6 - self.prototype_mb) <= 0.05 + 1e-9
        if self.groups is None:
            return rounded
        return rounded and self.groups[1] + self.group_adjustment == self.groups[0]


@dataclass(frozen=True, slots=True)
class _Stated:
    """The prototype's figures of a graph, in the order of `FIGURES`, and groups of its optima."""

    megabytes: tuple[float, ...]
    groups: tuple[int, int]


_STATED = {
    "vit_b_16, module level": _Stated((569.0, 481.2, 495.1, 480.0, 443.1, 346.9), (63, 39)),
    "swin_t, module level": _Stated((302.3, 240.8, 240.8, 228.2, 198.1, 115.0), (70, 42)),
    "efficientnet_b0, module level": _Stated((209.4, 66.5, 104.4, 104.5, 86.1, 21.9), (115, 99)),
    "resnet50, module level": _Stated((426.0, 260.2, 216.1, 216.1, 216.1, 103.1), (56, 56)),
    "swin_t, aten level": _Stated((455.9, 394.5, 345.5, 324.9, 285.8, 115.0), (135, 103)),
    "BERT, attention in steps": _Stated((704.9, 667.2, 609.0, 608.2, 570.4, 437.6), (134, 98)),
}


def prototype_rows() -> tuple[PrototypeRow, ...]:
    """Every figure of the prototype's table beside ours."""
    rows: list[PrototypeRow] = []
    for name in ("vit_b_16", "swin_t", "efficientnet_b0", "resnet50"):
        graph = capture(name, via="module")
        rows += _beside(f"{name}, module level", graph, *_module_adjustments(graph))
    rows += _beside("swin_t, aten level", capture("swin_t", attention="decomposed"), {}, 0)
    graph = _headless_bert()
    return (*rows, *_beside("BERT, attention in steps", graph, *_bert_adjustments()))


def _beside(
    name: str, graph: Graph, adjustments: dict[str, int], group_adjustment: int
) -> list[PrototypeRow]:
    stated = _STATED[name]
    plans = {figure: partition(graph, figure) for figure in FIGURES[:3]}
    plans |= {f"optimal {rules}": optimal(graph, rules) for rules in "AB"}
    rows = []
    for figure, megabytes in zip(FIGURES, stated.megabytes, strict=True):
        more = adjustments.get(figure, 0)
        if figure == "compulsory":
            rows.append(PrototypeRow(name, figure, megabytes, graph.compulsory_bytes, more))
            continue
        price = cost(graph, plans[figure])
        groups = None
        if figure.startswith("optimal"):
            groups = stated.groups["AB".index(figure[-1])], price.launches
        rows.append(
            PrototypeRow(name, figure, megabytes, price.nbytes, more, groups,
                         group_adjustment if groups else 0)
        )  # fmt: skip
    return rows


def _module_adjustments(graph: Graph) -> tuple[dict[str, int], int]:
    """Bytes, and groups, that the prototype's module level has more than ours.

    It reads the whole of a tensor of which ours counts the row that is read (ViT's class token),
    and has Swin's position bias as a constant, where ours looks it up in a kernel.
    """
    lookups = [op.id for op in graph.ops if op.kind is Kind.RELATIVE_POSITION_BIAS]
    if lookups:
        moved = [group_traffic(graph, (op,)) for op in lookups]
        found = dict.fromkeys(FIGURES[:5], -sum(traffic.nbytes for traffic in moved))
        found["compulsory"] = sum(traffic.writes - traffic.parameters for traffic in moved)
        return found, -len(lookups)
    unread = sum(_unread(graph, op.id) for op in graph.ops if op.is_compute)
    figures = [figure for figure in FIGURES[:5] if figure != "fusion"]
    return dict.fromkeys(figures, unread), 0


def _unread(graph: Graph, op: int) -> int:
    """Bytes of the storages of an op's inputs that it does not touch."""
    storages = {graph.tensors[tensor].storage for tensor in graph.ops[op].inputs}
    whole = sum(graph.storages[s].nbytes for s in storages if not graph.storages[s].is_held)
    return max(0, whole - group_traffic(graph, (op,)).reads)


def _headless_bert() -> Graph:
    """BERT-base's encoder on 128 tokens, without a head or a pooler."""
    model = find_model("hf/bert", Options(seq_len=128)).model
    encoder = model.get_submodule("bert")
    tokens = {"input_ids": torch.zeros(1, 128, dtype=torch.long)}
    return capture(encoder, tokens, attention="decomposed")


_WIDTH, _VOCABULARY = 768, 30_522  # of BERT-base
_ROW = _WIDTH * FLOAT


def _bert_adjustments() -> tuple[dict[str, int], int]:
    """What the prototype's BERT has more: the whole word table where ours reads a row a token; the
    pooler, one group; and the tables of positions and token types, of which ours folds the rows.
    """
    table = (_VOCABULARY - 128) * _ROW
    pooler = _WIDTH * _ROW + 3 * _ROW  # weight; bias, input, output
    lookups = 2 * 128 * _ROW
    found = dict.fromkeys(("unfused", "optimal A", "optimal B"), table + pooler + lookups)
    return {**found, "compulsory": table + pooler}, 1


# --- cycles -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutRow:
    """An optimum, the cuts it took, and what is illegal about its plan (order included)."""

    model: str
    attention: str
    rules: str
    nbytes: int
    launches: int
    cuts: int
    is_optimal: bool
    violations: int


CUT_MODELS = ("timm/crossvit_15_240", "timm/crossvit_15_dagger_240", "timm/coat_tiny")


def crossvit_rows() -> tuple[CutRow, ...]:
    """Models in which cheapest groups may depend on each other."""
    rows = []
    for model in CUT_MODELS:
        for attention in ("fused", "decomposed"):
            graph = capture(model, attention=attention)
            for rules in ("A", "B", "T"):
                plan = optimal(graph, rules)
                price, proof = cost(graph, plan), plan.proof
                assert proof is not None  # noqa: S101 - a searched plan has one
                wrong = len(find_violations(graph, plan))
                rows.append(
                    CutRow(model, attention, rules, price.nbytes, price.launches, proof.cuts,
                           proof.is_optimal, wrong)
                )  # fmt: skip
    return tuple(rows)


# --- Orojenesis -------------------------------------------------------------------------------

BATCH, TOKENS, WIDTH, HEADS = 16, 2048, 4096, 32  # of its GPT-3-6.7b block


class Einsums(nn.Module):
    """The contractions of a GPT-3 block, as Orojenesis counts them: matmuls alone."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] --> the same."""
        q, k, v = (
            linear(x).unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for linear in (self.q, self.k, self.v)
        )
        y = (q @ k.transpose(-2, -1)) @ v
        return self.down(self.up(self.out(y.transpose(1, 2).flatten(2))))


@dataclass(frozen=True, slots=True)
class Orojenesis:
    """Elements moved by its block: contractions one kernel each, the copy that merges heads beside
    them; the optimum under T; keys and values a kernel each and all else one; compulsory.
    """

    contractions: int
    copy: int
    optimum: int
    chain: int
    compulsory: int


def orojenesis() -> Orojenesis:
    """Its block, recorded, under partitions that its two bounds stand for."""
    with torch.device("meta"):
        graph = capture(Einsums().eval(), (torch.empty(BATCH, TOKENS, WIDTH),))
    work = [op for op in graph.ops if op.is_compute]
    alone = {op.id: group_traffic(graph, (op.id,)).nbytes // FLOAT for op in work}
    copies = [op.id for op in work if not op.work.flops]
    linears = [op.id for op in work if op.kind is Kind.LINEAR]
    apart = set(linears[1:3])  # keys, values
    one = tuple(op.id for op in graph.ops if op.id not in apart)
    chain = sum(alone[op] for op in apart) + group_traffic(graph, one).nbytes // FLOAT
    return Orojenesis(
        contractions=sum(moved for op, moved in alone.items() if op not in copies),
        copy=sum(alone[op] for op in copies),
        optimum=_nbytes(graph, optimal(graph, "T")) // FLOAT,
        chain=chain,
        compulsory=graph.compulsory_bytes // FLOAT,
    )


# --- FlashAttention ---------------------------------------------------------------------------


class Attention(nn.Module):
    """Causal attention of queries, keys and values."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """[batch, heads, tokens, head] each --> the same."""
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


@dataclass(frozen=True, slots=True)
class Flash:
    """Bytes of one forward attention of GPT-2 medium (batch 64, 16 heads of 64, 1,024 tokens,
    float16): in steps, and the optimum under each rung; `scores` are of one matrix of scores.
    """

    unfused: int
    optima: dict[str, int]
    scores: int
    operand: int
    mask: int


FLASH = (64, 16, 1024, 64)  # batch, heads, tokens, head


def flash() -> Flash:
    """FlashAttention's example, forward."""
    batch, heads, tokens, _ = FLASH
    with torch.device("meta"):
        operands = tuple(torch.empty(FLASH, dtype=torch.float16) for _ in range(3))
    graph = capture(Attention().eval(), operands, attention="decomposed")
    return Flash(
        unfused=_nbytes(graph, partition(graph, "unfused")),
        optima={rules: _nbytes(graph, optimal(graph, rules)) for rules in ("A", "B", "T")},
        scores=batch * heads * tokens * tokens * ITEM_BYTES["float16"],
        operand=operands[0].numel() * ITEM_BYTES["float16"],
        mask=tokens * tokens,
    )


def agreeing(rows: Sequence[PrototypeRow]) -> int:
    """How many figures are the prototype's."""
    return sum(row.agrees for row in rows)
