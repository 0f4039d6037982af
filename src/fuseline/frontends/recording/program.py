"""An exported program, run node by node under the recorder: the graph that recording makes.

Attention, folding, gathers, in-place writes and aliasing are the recorder's work. What is added
here is what only an exported graph has: its inputs by role, module paths in its metadata, and
higher-order operators.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import _disable_current_modes

from fuseline.errors import InputError
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.calls import Dispatched, Overload, add_call, bind
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.recorder import Recorder, Recording, Scope
from fuseline.frontends.recording.runner import no_fast_path
from fuseline.frontends.recording.script import Lines, Scribe, Script, make_script
from fuseline.graph import Kind, Role, Source

_CPU = torch.device("cpu")
_CONSTANT = Role.CONSTANT
_OWN_NAMESPACES = frozenset({"aten", "prims", "torchvision", "quantized", "quantized_decomposed"})
"""Operators that torch and torchvision define, and whose code is therefore known."""

NAME_OF_FOREIGN = "fuseline.operator"
"""Key in a node's custom metadata: the operator it calls, where that is not defined here."""

_LARGEST = 2**63

_BODY_AT = {
    "wrap_with_set_grad_enabled": (1, 2),
    "wrap_with_autocast": (4, 5),
    "wrap": (0, 1),
    "tag_activation_checkpoint": (0, 1),
    "strict_mode": (0, 1),
    "invoke_subgraph": (0, 2),
}
"""Higher-order operators that run their body once: its place, and where its operands begin."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a placeholder of the program stands for; a value that is no tensor has no role."""

    name: str
    role: Role | None
    value: Any


@dataclass(frozen=True, slots=True)
class Program:
    """An exported program ready to run: one `Given` a placeholder, in their order.

    `prefix` is the path under which the model lies in what was exported. The custom operators of a
    program that is not `trusted` are not run: what they return is read off the metadata.
    `autocast_device` is the device whose autocast regions apply.
    """

    module: fx.GraphModule
    given: tuple[Given, ...]
    prefix: str
    trusted: bool
    autocast_device: str = "cpu"


def record_program(
    program: Program, source: Source, *, decomposed: bool, lines: Lines | None = None
) -> Script:
    """Run the program on fake tensors and note every op, as `capture_record` does for a model;
    with `lines` write down every call too.

    Raises what torch raises where an op refuses its inputs, or needs values that only a run has.
    """
    recording, fakes = Recording(), Fakes()
    recorder = (
        Recorder(recording, fakes, decomposed=decomposed)
        if lines is None
        else Scribe(recording, fakes, lines, decomposed=decomposed)
    )
    order = {Role.PARAMETER: 0, Role.BUFFER: 1, Role.INPUT: 2, Role.CONSTANT: 3}
    tensors = [given for given in program.given if given.role is not None]
    with torch.inference_mode(), no_fast_path():
        numbers = {
            id(given): recording.own(given.name, fakes.twin(given.value), given.role or _CONSTANT)
            for given in sorted(tensors, key=lambda given: order[given.role or _CONSTANT])
        }
        values = [
            fakes.twin(given.value)
            if given.role is not None and not _keeps_values(given)
            else given.value
            for given in program.given
        ]
        if lines is not None:
            lines.constants |= {
                numbers[id(given)]: given.value.clone()
                for given in tensors
                if given.role is Role.CONSTANT
            }
        with fakes.mode, recorder:
            result = _Runner(program.module, program, recorder, fakes).run(
                *values, enable_io_processing=False
            )
    held = {g.name: numbers[id(g)] for g in tensors if g.role in (Role.PARAMETER, Role.BUFFER)}
    inputs = [numbers[id(given)] for given in tensors if given.role is Role.INPUT]
    graph = recording.finish(recording.outputs(result, fakes), source)
    return make_script(
        graph, recording, fakes, lines or Lines(), held=held, inputs=inputs, result=result
    )


def _keeps_values(given: Given) -> bool:
    """Constants keep their values, and so does an input that came with some."""
    return given.role in (Role.CONSTANT, Role.INPUT) and not given.value.is_meta


class _Runner(fx.Interpreter):
    """Runs every op under the recorder, in the scope that the node's metadata names."""

    def __init__(
        self, module: fx.GraphModule, program: Program, recorder: Recorder, fakes: Fakes
    ) -> None:
        super().__init__(module)
        self.extra_traceback = False  # errors become one line; no graph dump
        self.program = program
        self.recorder = recorder
        self.fakes = fakes

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - a node's value may be anything
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = _on_cpu(self.fetch_args_kwargs_from_env(n))
        target: Any = n.target
        self.recorder.scopes[-1] = _scope(n, self.program.prefix)
        custom = n.meta.get("custom") or {}
        if not self.program.trusted and NAME_OF_FOREIGN in custom:
            return self._unknown(n, custom[NAME_OF_FOREIGN], args, kwargs)
        if isinstance(target, HigherOrderOperator):
            return self._higher_order(n, target.name(), args, kwargs)
        if isinstance(target, OpOverload):
            return self._operator(n, target, args, kwargs)
        return _on_host(target, args, kwargs)

    def _operator(
        self,
        node: fx.Node,
        target: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        if target is torch.ops.aten.lift_fresh_copy.default:
            return args[0]  # how a constant written in the model enters the graph
        if not self.program.trusted and target.namespace not in _OWN_NAMESPACES:
            overload = Overload.of(target)
            return self._not_run(node, overload, bind(overload, args, kwargs))
        try:
            return target(*args, **kwargs)
        except (RuntimeError, ValueError):
            if target is not torch.ops.aten.view.default:
                raise
            # Exported where attention leaves another layout than `attention_result` gives.
            return torch.ops.aten.reshape.default(*args, **kwargs)

    def _higher_order(
        self, node: fx.Node, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        if name in _BODY_AT:
            body, first = _BODY_AT[name]
            with self._region(name, args):
                inner = _Runner(args[body], self.program, self.recorder, self.fakes)
                return inner.run(*args[first:], *kwargs.values(), enable_io_processing=False)
        return self._unknown(node, f"higher_order::{name}", args, kwargs)

    def _unknown(
        self, node: fx.Node, full: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        """Note an operator that has no schema. One that returns nothing writes its operands."""
        arguments = {f"operand_{place}": value for place, value in enumerate(args)} | kwargs
        operands = {
            key: value
            for key, value in arguments.items()
            if not isinstance(value, (fx.GraphModule, OpOverload))
        }
        overload = Overload(
            name=full.rpartition("::")[2],
            full=full,
            kind=Kind.UNKNOWN,
            arguments=tuple(operands),
            written=() if tensors_in(node.meta.get("val")) else tuple(operands),
            unread=frozenset(),
            in_place=False,
            traits={},
        )
        return self._not_run(node, overload, operands)

    def _region(self, name: str, args: tuple[Any, ...]) -> AbstractContextManager[object]:
        """The state that the body of a higher-order operator runs in."""
        if name != "wrap_with_autocast":
            return nullcontext()
        device, dtype, enabled, cache = args[:4]
        device = "cpu" if device == self.program.autocast_device else device
        return torch.autocast(device, dtype, enabled, cache)

    def _not_run(self, node: fx.Node, overload: Overload, arguments: Mapping[str, Any]) -> object:
        """Note an op without running it: its results are those of the node's metadata."""
        recording, fakes, scope = self.recorder.recording, self.fakes, self.recorder.scopes[-1]
        with _disable_current_modes():  # making the results is no op of the model
            result = replace_tensors(node.meta.get("val"), lambda v: fakes.twin(_on_meta(v)))
            run = Dispatched(
                overload=overload,
                arguments=replace_tensors(dict(arguments), fakes.twin),
                result=result,
                path=scope.path,
                module_class=scope.module_class,
                name=recording.fresh_name(overload.name),
            )
            recording.calls += 1
            add_call(recording.table, recording.values, run)
        if isinstance(self.recorder, Scribe):
            self.recorder.lines.missing.append(overload.full)
        return result


def trains(module: fx.GraphModule) -> bool:
    """Whether any op of a program works as it does in training: it drops, or takes statistics."""
    for graph_module in module.modules():
        if not isinstance(graph_module, fx.GraphModule):
            continue
        for node in graph_module.graph.nodes:
            if isinstance(node.target, OpOverload):
                arguments = bind(Overload.of(node.target), node.args, node.kwargs)
                if arguments.get("training") is True or arguments.get("train") is True:
                    return True
    return False


def _on_host(
    target: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> object:
    """Arithmetic on sizes, which stay below 2^63."""
    if target is operator.getitem:
        return target(*args, **kwargs)
    if not all(isinstance(value, (int, float)) for value in (*args, *kwargs.values())):
        raise InputError(f"{target.__name__} is called on what is no number")
    if target in (operator.pow, operator.lshift) and not -1 <= args[1] < 64:  # noqa: PLR2004
        raise InputError(f"a size is raised or shifted by {args[1]}")
    result = target(*args, **kwargs)
    if isinstance(result, int) and abs(result) > _LARGEST:
        raise InputError("a size is 2^63 or more")
    return result


def _on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A new tensor of this one's shape: metadata is in a fake mode of its own."""
    shape, strides = tuple(tensor.shape), tuple(tensor.stride())
    return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")


def _on_cpu(value: Any) -> Any:  # noqa: ANN401 - arguments of any op
    """The arguments with every device a CPU, where all stand-ins seem to be."""
    return fx.node.map_aggregate(value, lambda v: _CPU if isinstance(v, torch.device) else v)


def _scope(node: fx.Node, prefix: str) -> Scope:
    """Path and class of the innermost module that the node was traced in."""
    stack = node.meta.get("nn_module_stack") or {}
    if not stack:
        return Scope()
    path, made_by = list(stack.values())[-1]
    path = str(path)
    if prefix and (path == prefix or path.startswith(prefix + ".")):
        path = path[len(prefix) + 1 :]
    name = made_by.__name__ if isinstance(made_by, type) else str(made_by).rpartition(".")[2]
    return Scope(path, name)
