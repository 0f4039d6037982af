"""ONNX Runtime's own nodes as a plan of our graph: `onnxruntime-real`, where it is installed.

The recorded calls (`named_program`) are exported to ONNX, every node with the op of ours that it
is a part of. What the exporter's and ONNX Runtime's optimisers then leave is read back by its
values, which keep their names: a node of the optimised graph computes whatever the exported graph
has between the values that it takes and the values that it makes.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.fx.traceback import preserve_node_meta

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends.sources.sourced import Sourced
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.validate.named_program import export_named, op_of
from fuseline.validate.onnxruntime_oracle import OPSET, optimise, require_packages
from fuseline.validate.owned import Kernel, Piece, Share, plan_of_kernels
from fuseline.validate.quiet import quiet

STRATEGY = "onnxruntime-real"
PLANNED = ("extended", "transformers")
"""Levels whose plan can be read back: `all` gives whole chains of values in another layout names of
its own."""

MOVES = frozenset(
    {"Concat", "Expand", "Flatten", "Gather", "Identity", "Pad", "ReorderInput", "ReorderOutput",
     "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)  # fmt: skip
"""Kinds of node that move data and compute nothing."""

_SHARES = {
    **dict.fromkeys(MOVES, Share.MOVES),
    **dict.fromkeys(("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"), Share.CONTRACTS),
}
"""What nodes of an exported graph do for an op; others compute."""

_STATIC = frozenset({"Shape", "Size"})  # shapes are fixed when a model is exported
_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True, slots=True)
class Node:
    """One node of an ONNX graph: its kind, the values it takes and makes, and the op of ours that
    it is a part of, where that is known.
    """

    kind: str
    takes: tuple[str, ...]
    makes: tuple[str, ...]
    op: str = ""


def onnxruntime_plan(
    model: str | Sourced, graph: Graph, *, level: str = "extended", attention: str = "fused"
) -> Plan:
    """What ONNX Runtime's optimiser makes of a recorded model, node by node.

    Raises `InputError` where a package is missing, for a level that is none of `PLANNED`, where an
    exporter or ONNX Runtime fails, where `graph` is not what recording the model gives, and where
    a compute op is in no node.
    """
    if level not in PLANNED:
        hint = did_you_mean(level, PLANNED) or f": one of {', '.join(PLANNED)}"
        raise InputError(f"no plan can be read at level '{level}'{hint}")
    require_packages()
    named = export_named(model, graph, attention=attention)
    with (
        tempfile.TemporaryDirectory() as folder,
        foreign_code(f"ONNX Runtime on '{graph.source.name}'"),
        quiet(),
        torch.no_grad(),
        preserve_node_meta(),
    ):
        exported: Any = torch.onnx.export(
            named.program, opset_version=OPSET, verbose=False, optimize=False
        )
        inputs = [value.name for value in exported.model.graph.inputs]
        named_nodes = _named_nodes(exported)
        before = varying(named_nodes, inputs)
        exported.optimize()
        path = Path(folder) / "model.onnx"
        exported.save(path)
        after = tuple(
            Node(node.op_type, tuple(node.input), tuple(filter(None, node.output)))
            for node in optimise(path, level)
        )
    computed = {node.op for node in before if node.kind != "Identity"}
    passed_on = {node.op for node in named_nodes} - computed
    return plan_of_kernels(graph, STRATEGY, kernels_of(before, after), passed_on)


def _named_nodes(exported: Any) -> tuple[Node, ...]:  # noqa: ANN401 - a program of torch.onnx
    """The nodes of an exported program, each with the op that it is a part of."""
    ops = {node.name: op_of(node) for node in exported.exported_program.graph.nodes}
    return tuple(
        Node(
            node.op_type,
            tuple(value.name for value in node.inputs if value is not None),
            tuple(value.name for value in node.outputs),
            ops.get(ast.literal_eval(node.metadata_props.get(_SCOPES, "['']"))[-1], ""),
        )
        for node in exported.model.graph
    )


def varying(nodes: Iterable[Node], inputs: Iterable[str]) -> list[Node]:
    """The nodes whose results depend on the inputs: constants, which ops share, are left out.

    >>> scale = Node("Constant", (), ("s",), "mul")
    >>> mul = Node("Mul", ("x", "s"), ("y",), "mul")
    >>> varying([scale, mul, Node("Shape", ("y",), ("n",), "view")], ["x"]) == [mul]
    True
    """
    known = set(inputs)
    kept = []
    for node in nodes:
        if node.kind not in _STATIC and not known.isdisjoint(node.takes):
            known.update(node.makes)
            kept.append(node)
    return kept


# --- which nodes of one graph a node of the other computes --------------------------------------


def kernels_of(before: Sequence[Node], after: Sequence[Node]) -> list[Kernel]:
    """The kernel of every node in `after`: the nodes of `before` between what it takes and makes.

    Values go by name. One that `before` has not was made up by an optimiser: whoever takes it takes
    what its maker takes. Of nodes that only such values join, each that computes owns the nodes of
    its kind, the last of them the rest.

    >>> before = [
    ...     Node("MatMul", ("x", "w"), ("y",), "linear"),
    ...     Node("Add", ("y", "b"), ("z",), "linear"),
    ...     Node("Relu", ("z",), ("r",), "relu"),
    ... ]
    >>> after = [Node("Gemm", ("x", "w", "b"), ("new",)), Node("Reshape", ("new",), ("z",)),
    ...          Node("Relu", ("z",), ("r",))]
    >>> [sorted({piece.op for piece in kernel}) for kernel in kernels_of(before, after)]
    [['linear'], [], ['relu']]
    """
    producers = {value: node for node in before for value in node.makes}
    maker = {value: place for place, node in enumerate(after) for value in node.makes}
    known = producers.keys() & maker.keys()
    hidden: dict[str, _Hidden] = {}
    pieces: list[dict[int, Piece]] = [{} for _ in after]
    for place, node in enumerate(after):
        behind = [hidden.get(value, _Hidden(frozenset((value,)))) for value in node.takes]
        takes = frozenset().union(*(one.takes for one in behind))
        earlier = {owner for one in behind for owner in one.owners}
        owners = sorted(earlier if node.kind in MOVES else {*earlier, place})
        border = takes | known.difference(node.makes)
        for value in node.makes:
            if value not in producers:
                hidden[value] = _Hidden(takes, tuple(owners))
                continue
            for found in _between(border, value, producers):
                alike = [owner for owner in owners if after[owner].kind == found.kind]
                owner = (alike or owners or [place])[-1]
                share = _SHARES.get(found.kind, Share.COMPUTES)
                pieces[owner][id(found)] = Piece(found.kind, found.op, share)
    return [tuple(found.values()) for found in pieces]


@dataclass(frozen=True, slots=True)
class _Hidden:
    """Behind a value that has no name before: the values that it is made of, and the places of the
    nodes that computed it.
    """

    takes: frozenset[str]
    owners: tuple[int, ...] = ()


def _between(border: frozenset[str], value: str, producers: Mapping[str, Node]) -> Iterator[Node]:
    """The nodes that make `value` from what is in `border`."""
    seen: set[int] = set()
    pending = [value]
    while pending:
        node = producers.get(pending.pop())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        pending += [taken for taken in node.takes if taken not in border]
