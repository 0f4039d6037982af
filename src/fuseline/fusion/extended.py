"""The strategy `extended`: the seed's pattern chains, and rows for what they leave apart.

Three parts, to be had one by one: attention written out in steps, residual joins, drop-path.
Every row speaks of kinds and of the shape of the graph; `Quotient` guards every join.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import prod

from fuseline.errors import InputError, did_you_mean
from fuseline.fusion.attention import (
    find_attention,
    find_norm_before,
    find_siblings,
    is_held,
    is_linear,
    is_scale,
)
from fuseline.fusion.chains import Chains, Objection, object_to_pair, object_to_words
from fuseline.fusion.neighbours import Neighbours
from fuseline.fusion.patterns import SEED_ROWS, Row, Table, tabulate, word_of
from fuseline.fusion.plans import make_plan
from fuseline.graph import Graph, Kind, Op, OpClass
from fuseline.plan import Plan

# Words beyond the seed's. No function or class can bear them.
ATTENTION = "<attention>"  # the end of an attention, written as one op or in steps
COPY = "<copy>"  # data moved as it is: heads merged, a cast
LAYER_SCALE = "<layer scale>"  # a product with a tensor that the model holds
DROP_PATH = "<drop path>"  # whole samples zeroed at random, and the survivors scaled

_MOVES = frozenset({Kind.CONTIGUOUS, Kind.RESHAPE, Kind.PERMUTE, Kind.CAST})

# fmt: off
_ATTENTION_ROWS: tuple[Row, ...] = (
    # heads merged:   softmax(q k) v -> transposed copy  -->  written in the order that is read
    Row((ATTENTION,),       (COPY,)),
    # heads split:    projection -> transposed copy      -->  written in the order that is read
    Row(("Linear",),        (COPY,)),
    # what follows:   softmax(q k) v -> dropout          -->  epilogue
    Row((ATTENTION,),       ("Dropout",)),
)

_RESIDUAL_ROWS: tuple[Row, ...] = (
    # residual:       projection (-> norm) -> + skip     -->  epilogue; the skip is read beside it
    Row(("Linear", "Conv2d", "BatchNorm2d", ATTENTION), ("add",), joins=True),
    # with dropout:   projection -> dropout -> + skip    -->  epilogue
    Row(("Dropout",),       ("add",), joins=True),
    # layer scale:    projection -> * gamma -> + skip    -->  epilogue
    Row(("Linear", "Conv2d", "BatchNorm2d", "Dropout"), (LAYER_SCALE,), joins=True),
    Row((LAYER_SCALE,),     ("Dropout",)),
    Row((LAYER_SCALE,),     ("add",), joins=True),
    # post-norm:      ... + skip -> norm                 -->  row-reduction epilogue
    Row(("add",),           ("LayerNorm", "RMSNorm")),
)

_DROP_PATH_ROWS: tuple[Row, ...] = (
    # drop-path:      branch -> * random mask -> + skip  -->  epilogue
    Row(("Linear", "Conv2d", "BatchNorm2d", "Dropout", LAYER_SCALE), (DROP_PATH,), joins=True),
    # mask and scale: * mask -> / survival rate          -->  one kernel, in either order
    Row((DROP_PATH,),       (DROP_PATH,), joins=True),
    Row((DROP_PATH,),       ("add",), joins=True),
)
# fmt: on


def _join_attention(chains: Chains) -> None:
    """Scores, softmax and values  -->  one kernel, at the cost of q, k, v and the result."""
    for op in chains.graph.ops:
        if (found := find_attention(chains.near, op)) is not None:
            chains.place(found, open_ends=found[-1:])


def _join_siblings(chains: Chains) -> None:
    """(norm ->) linears that read one activation  -->  one kernel that reads it once."""
    for siblings in find_siblings(chains.graph):
        norm = find_norm_before(chains.near, siblings)
        if norm is None or not chains.place((norm, *siblings), open_ends=siblings):
            chains.place(siblings, open_ends=siblings)


@dataclass(frozen=True, slots=True)
class Extension:
    """Rows, and joins made before any chain grows."""

    rows: tuple[Row, ...]
    joins: tuple[Callable[[Chains], None], ...] = ()


EXTENSIONS: dict[str, Extension] = {
    "attention": Extension(_ATTENTION_ROWS, (_join_attention, _join_siblings)),
    "residual": Extension(_RESIDUAL_ROWS),
    "drop-path": Extension(_DROP_PATH_ROWS),
}
"""The parts of `extended`, by name: a report can say what each of them adds."""


def extended(graph: Graph, parts: Collection[str] = tuple(EXTENSIONS)) -> Plan:
    """The seed document's pattern chains with the rows of `parts`.

    Raises `InputError` for an unknown part.
    """
    for part in parts:
        if part not in EXTENSIONS:
            hint = did_you_mean(part, EXTENSIONS) or f": one of {', '.join(EXTENSIONS)}"
            raise InputError(f"unknown extension '{part}'{hint}")
    chosen = [extension for name, extension in EXTENSIONS.items() if name in parts]
    rows = SEED_ROWS
    for extension in chosen:
        rows += extension.rows
    chains = Chains(Neighbours(graph))
    for extension in chosen:
        for join in extension.joins:
            join(chains)
    object_to = _Words(chains, tabulate(rows)).object_to
    chains.grow(object_to, seed=object_to_pair)
    return make_plan(
        chains.near,
        "extended",
        chains.quotient,
        lambda edge: chains.explain(edge, object_to),
        horizontal="attention" in parts,
    )


class _Words:
    """The words that each op answers to under a table, the seed's and those above."""

    def __init__(self, chains: Chains, table: Table) -> None:
        self._near = chains.near
        self._graph = chains.graph
        self._table = table
        self._open_ends = chains.open_ends
        self._words: dict[int, tuple[str, ...]] = {}

    def object_to(self, near: Neighbours, producer: Op, consumer: Op) -> list[Objection]:
        """Everything that keeps `consumer` out of `producer`'s chain."""
        words = (self._of(producer), self._of(consumer))
        return object_to_words(near, (producer, consumer), words, self._table)

    def _of(self, op: Op) -> tuple[str, ...]:
        found = self._words.get(op.id)
        if found is None:
            checks = (
                (ATTENTION, self._ends_attention(op)),
                (COPY, op.is_compute and op.kind in _MOVES),
                (LAYER_SCALE, op.kind is Kind.MUL and _has_held_factor(self._graph, op)),
                (DROP_PATH, is_drop_path(self._near, op)),
            )
            more = tuple(word for word, holds in checks if holds)
            found = self._words[op.id] = (word_of(self._graph, op), *more)
        return found

    def _ends_attention(self, op: Op) -> bool:
        if op.op_class is OpClass.ATTENTION:
            return True
        return op.id in self._open_ends and not is_linear(self._graph, op)


def is_drop_path(near: Neighbours, op: Op) -> bool:
    """Whether `op` zeroes whole samples at random, or scales what the next op does that to.

    In a recorded graph that is a product with a mask: one number a sample, made from a random op.
    """
    if op.kind is Kind.STOCHASTIC_DEPTH or _has_random_mask(near, op):
        return True
    following = near.only_consumer(op.id) if is_scale(near.graph, op) else None
    return following is not None and _has_random_mask(near, following)


def _has_random_mask(near: Neighbours, op: Op) -> bool:
    if op.kind not in (Kind.MUL, Kind.DIV) or not op.outputs:
        return False
    result = near.graph.tensors[op.outputs[0]]
    pending = list(near.producers[op.id])
    while pending:
        maker = pending.pop()
        made = [near.graph.tensors[tensor] for tensor in (*maker.outputs, *maker.writes)]
        if not any(prod(t.shape[1:]) == 1 and t.numel < result.numel for t in made):
            continue
        if maker.kind in (Kind.RANDOM, Kind.DROPOUT):
            return True
        if maker.op_class is OpClass.ELEMENTWISE:
            pending += near.producers[maker.id]
    return False


def _has_held_factor(graph: Graph, op: Op) -> bool:
    """Whether one factor is the model's own and one is not."""
    factors = (*op.inputs, *op.parameters)
    held = [is_held(graph, tensor) for tensor in factors]
    return any(held) and held.count(False) == 1
