"""One traced node and what it did on meta tensors -> one `Op`, classed and priced."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import fx, nn

from fuseline.costs.attention import attention_hidden_elements
from fuseline.costs.flops import Call, count_work
from fuseline.frontends.axes import MODULE_TRAITS, POSITIONS, rows_of
from fuseline.frontends.kinds import (
    ARGUMENTS,
    BUILTIN_ARGUMENTS,
    DIMENSIONS,
    TABLES,
    WRITE_ONLY,
    kind_of_function,
    kind_of_module,
    refine_convolution,
)
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.storages import StorageTable
from fuseline.graph import CLASS_OF, Gather, Kind, OpClass, Origin, Status, Work

_A_VIEW = Work(0, 0, Status.ZERO, "a view: its result aliases its input")
_RUNNING = ("running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class NodeRun:
    """What happened when a node ran.

    `operands` pairs every tensor of every input node with its graph tensor. `owned` are the
    module's parameters and buffers, by name. `written` are tensors it overwrote in place.
    """

    node: fx.Node
    module: nn.Module | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: list[tuple[torch.Tensor, int]]
    owned: dict[str, torch.Tensor]
    written: list[torch.Tensor]
    result: object
    predecessors: tuple[int, ...]


def add_op(table: StorageTable, run: NodeRun) -> tuple[int, tuple[int, ...]]:
    """Append the op; returns its id and the graph tensors of its result."""
    results = tensors_in(run.result)
    kind = _kind(run, results)
    call = _call(run, kind, results)
    if "weight" in call.named and "input" in call.named:
        kind = refine_convolution(kind, call.named["weight"], call.named["input"])
    op_class = _op_class(table, run, kind, call, results)
    inputs = _inputs(run, kind, results, op_class)
    parameters = _parameters(table, run)
    operands = inputs or tuple(parameters.values())
    rows = rows_of(kind, op_class, call, [table.build.tensors[operand] for operand in operands])
    path, class_name = _module(run)
    outputs = tuple(
        table.add(run.node.name if len(results) == 1 else f"{run.node.name}_{place}", result)
        for place, result in enumerate(results)
    )
    table.build.op(
        run.node.name,
        kind,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters.values(),
        writes=_writes(run, kind, call, parameters),
        predecessors=run.predecessors,
        target=_target(run),
        origin=Origin(run.node.op),
        op_class=op_class,
        module_path=path,
        module_class=class_name,
        work=_A_VIEW if op_class is OpClass.VIEW else count_work(kind, call),
        gathers=_gathers(run, kind, parameters, results),
        hidden_bytes=_hidden_bytes(kind, call, results),
        axes=rows.axes,
        row_numel=rows.numel,
    )
    return len(table.build.ops) - 1, outputs


# --- what it is -----------------------------------------------------------------------------


def _target(run: NodeRun) -> str:
    if run.module is not None:
        return type(run.module).__name__
    return str(getattr(run.node.target, "__name__", run.node.target))


def _kind(run: NodeRun, results: list[torch.Tensor]) -> Kind:
    target = run.node.target
    if run.module is not None:
        return kind_of_module(type(run.module).__module__, type(run.module).__name__)
    if not results and not run.operands:
        return Kind.CONTROL  # arithmetic on sizes
    if target is operator.getitem:
        return _kind_of_getitem(run.args[0], run.args[1])
    if target is getattr:
        name = str(run.args[1])
        return kind_of_function("torch", name) if results else Kind.CONTROL
    if callable(target):
        kind = kind_of_function(getattr(target, "__module__", None) or "torch", _target(run))
    else:
        kind = kind_of_function("torch", target)
    if kind is Kind.EXTREMUM and len(tensors_in((run.args, run.kwargs))) > 1:
        return Kind.ELEMENTWISE_BINARY  # the larger or smaller of two tensors
    return kind


def _kind_of_getitem(container: object, index: object) -> Kind:
    if not isinstance(container, torch.Tensor):
        return Kind.CONTROL  # an element of a tuple or a size
    keys = index if isinstance(index, tuple) else (index,)
    selects = any(isinstance(key, (torch.Tensor, list)) for key in keys)
    return Kind.INDEX if selects else Kind.SLICE


def _op_class(
    table: StorageTable, run: NodeRun, kind: Kind, call: Call, results: list[torch.Tensor]
) -> OpClass:
    usual = CLASS_OF[kind]
    if usual in (OpClass.CONTROL, OpClass.OPAQUE):
        return usual
    if not results:
        return OpClass.OPAQUE  # takes tensors to the host
    if not run.written and all(table.knows(result) for result in results):
        return OpClass.VIEW
    if call.flag("use_statistics_of_input"):
        return OpClass.REDUCTION
    return usual


def _module(run: NodeRun) -> tuple[str, str]:
    """Path and class of the module the op is in, or is."""
    if run.module is not None:
        return str(run.node.target), type(run.module).__name__
    stack = run.node.meta.get("nn_module_stack")
    if not stack:
        return "", ""
    path, owner = next(reversed(stack.values()))
    return str(path), owner.__name__ if isinstance(owner, type) else str(owner)


# --- what it touches ------------------------------------------------------------------------


def _inputs(
    run: NodeRun, kind: Kind, results: list[torch.Tensor], op_class: OpClass
) -> tuple[int, ...]:
    """Tensors it reads. `zeros_like` and its kin take a shape from theirs, and no bytes."""
    operands = run.operands
    if kind is Kind.FILL:
        return ()
    if op_class is OpClass.CONTROL and results:  # an element of a tuple: only that one
        operands = [pair for pair in operands if any(pair[0] is result for result in results)]
    if str(run.node.target) in WRITE_ONLY:
        operands = operands[1:]
    only_written = tensors_in(run.kwargs.get("out"))
    operands = [pair for pair in operands if not any(pair[0] is out for out in only_written)]
    return tuple(dict.fromkeys(number for _, number in operands))


def _parameters(table: StorageTable, run: NodeRun) -> dict[str, int]:
    """Parameters and buffers that the module reads; a batch counter only where it counts."""
    written = {id(tensor) for tensor in run.written}
    return {
        name: table.held(f"{run.node.target}.{name}", tensor)
        for name, tensor in run.owned.items()
        if name != "num_batches_tracked" or id(tensor) in written
    }


def _writes(run: NodeRun, kind: Kind, call: Call, parameters: Mapping[str, int]) -> tuple[int, ...]:
    written = {id(tensor) for tensor in run.written}
    numbers = [number for tensor, number in run.operands if id(tensor) in written]
    numbers += [
        parameters[name]
        for name, tensor in run.owned.items()
        if name in parameters and (id(tensor) in written or _updates(run.module, name))
    ]
    if call.flag("use_statistics_of_input") and run.module is None:  # F.batch_norm in training
        running = [_named_arguments(run, kind).get(name) for name in _RUNNING]
        numbers += [n for tensor, n in run.operands if any(tensor is kept for kept in running)]
    return tuple(dict.fromkeys(numbers))


def _updates(module: nn.Module | None, name: str) -> bool:
    """Whether a norm updates this running statistic; meta kernels do not bump its version."""
    tracks = getattr(module, "track_running_stats", False)
    return bool(tracks and module is not None and module.training and name in _RUNNING)


def _gathers(
    run: NodeRun, kind: Kind, parameters: Mapping[str, int], results: list[torch.Tensor]
) -> tuple[Gather, ...]:
    """The table of a gather, read at most as far as its index can select."""
    if CLASS_OF[kind] is not OpClass.GATHER or not results:
        return ()
    arguments = _named_arguments(run, kind)
    nbytes = results[0].nbytes
    if kind is Kind.EMBEDDING_BAG:  # each index selects a row; the rows of a bag are summed
        nbytes = arguments["input"].numel() * results[0].shape[-1] * results[0].itemsize
    if "weight" in parameters:
        return (Gather(parameters["weight"], nbytes),)
    tensors = tensors_in((run.args, run.kwargs))
    table = next((arguments[name] for name in TABLES[kind] if name in arguments), tensors[0])
    numbers = [number for tensor, number in run.operands if tensor is table]
    return tuple(Gather(number, nbytes) for number in numbers[:1])


def _hidden_bytes(kind: Kind, call: Call, results: list[torch.Tensor]) -> int:
    if CLASS_OF[kind] is not OpClass.ATTENTION or not results:
        return 0
    return attention_hidden_elements(kind, call) * results[0].itemsize


# --- what its formula needs -----------------------------------------------------------------


def _call(run: NodeRun, kind: Kind, results: list[torch.Tensor]) -> Call:
    arguments = _named_arguments(run, kind)
    if run.module is not None:
        settings = {
            name: value
            for name, value in vars(run.module).items()
            if isinstance(value, (bool, int, float, str, tuple))
        }
        settings |= _norm_settings(kind, run.module)
        settings |= MODULE_TRAITS.get(_target(run), {})
        arguments = settings | arguments
    if kind in (Kind.MAXPOOL, Kind.AVGPOOL) and (window := DIMENSIONS.get(_target(run))):
        arguments["dimensions"] = window
    if kind in (Kind.BATCHNORM, Kind.INSTANCENORM) and run.module is None:
        arguments["use_statistics_of_input"] = arguments.get(
            "training", arguments.get("use_input_stats", False)
        )
    named = {name: tuple(tensor.shape) for name, tensor in run.owned.items()}
    named |= {
        name: tuple(value.shape)
        for name, value in arguments.items()
        if isinstance(value, torch.Tensor)
    }
    return Call(
        inputs=tuple(tuple(tensor.shape) for tensor in tensors_in((run.args, run.kwargs))),
        outputs=tuple(tuple(result.shape) for result in results),
        named=named,
        attributes={
            name: value
            for name, value in arguments.items()
            if not isinstance(value, torch.Tensor) and value is not None
        },
    )


def _norm_settings(kind: Kind, module: nn.Module) -> dict[str, object]:
    if kind not in (Kind.BATCHNORM, Kind.INSTANCENORM):
        return {}
    kept = getattr(module, "running_mean", None) is not None
    return {"use_statistics_of_input": module.training or not kept}


def _named_arguments(run: NodeRun, kind: Kind) -> dict[str, Any]:
    """Arguments by name: from the table where the function has no signature, else from it."""
    if run.module is None and (names := ARGUMENTS.get(kind)):
        return {**dict(zip(names, run.args, strict=False)), **run.kwargs}
    function = type(run.module).forward if run.module is not None else run.node.target
    signature = _signature(function) if callable(function) else None
    if signature is None:
        names = BUILTIN_ARGUMENTS.get(_target(run)) or POSITIONS.get(_target(run), ())
        return {**dict(zip(names, run.args, strict=False)), **run.kwargs}
    args = (None, *run.args) if run.module is not None else run.args
    try:
        return dict(signature.bind(*args, **run.kwargs).arguments)
    except TypeError:
        return dict(run.kwargs)


@lru_cache(maxsize=1024)
def _signature(function: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # built in: it has none
        return None
