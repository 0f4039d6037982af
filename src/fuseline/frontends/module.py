"""Module-level capture: torch.fx symbolic trace, then shapes on meta tensors.

The seed document's view of a model: `torch.nn` modules and functions are one op each. Nothing is
computed and no weight is in memory: every node runs once on meta tensors, which have shapes,
strides and storages but no data. What aliases what, and what is written in place, is read off
those runs and not guessed from names.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.kinds import METADATA_ONLY, kind_of_module
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.fakes import replace_tensors
from fuseline.frontends.recording.script import Script
from fuseline.frontends.sources.sourced import Inputs, Sourced
from fuseline.frontends.storages import StorageTable
from fuseline.frontends.traced import script_of_trace
from fuseline.frontends.translate import NodeRun, add_op
from fuseline.graph import Graph, Kind, Role, Source

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_PLAIN = (bool, int, float, str, type(None))


def capture_module(sourced: Sourced) -> Graph:
    """Trace the model and run it on meta copies of its inputs.

    Raises `InputError` where the model cannot be traced or refuses the inputs.
    """
    return _run_traced(sourced)[0]


def script_module(sourced: Sourced) -> Script:
    """The same trace as steps that run on the model's own modules.

    Raises what `capture_module` raises.
    """
    graph, traced, arguments = _run_traced(sourced)
    passed: list[torch.Tensor] = []
    replace_tensors(sourced.inputs, lambda tensor: passed.append(tensor) or tensor)
    bound = inspect.signature(sourced.model.forward).bind(*sourced.inputs[0], **sourced.inputs[1])
    places = {id(tensor): place for place, tensor in enumerate(passed)}
    given = {
        name: places[id(value)] for name, value in bound.arguments.items() if id(value) in places
    }
    return script_of_trace(graph, traced, sourced.model, arguments, given)


def _run_traced(sourced: Sourced) -> tuple[Graph, fx.GraphModule, dict[str, Any]]:
    """The graph, the trace it is of, and the arguments by their names in `forward`."""
    model, name = sourced.model, sourced.name
    arguments = _bind(model, sourced.inputs, name)
    traced = _trace(model, arguments, name)
    runner = _Runner(traced)
    with _quiet_meta():
        runner.run_on(arguments, name)
    shapes = [tuple(v.shape) for v in arguments.values() if isinstance(v, torch.Tensor)]
    graph = runner.finish(
        Source(
            name=name,
            source=sourced.source,
            via="module",
            mode="train" if any(module.training for module in model.modules()) else "eval",
            batch=sourced.batch,
            dtype=sourced.dtype,
            input_shapes=tuple(shapes),
            nodes=len(traced.graph.nodes),
            torch=str(torch.__version__),
            notes=sourced.notes,
        )
    )
    return graph, traced, arguments


def _bind(model: nn.Module, inputs: Inputs, name: str) -> dict[str, Any]:
    """Arguments of `forward` by name, tensors moved to meta; missing ones keep their default."""
    signature = inspect.signature(model.forward)
    try:
        bound = signature.bind(*inputs[0], **inputs[1])
    except TypeError as error:
        raise InputError(f"'{name}' cannot be called with these inputs: {error}") from error
    bound.apply_defaults()
    for key, value in bound.arguments.items():
        if signature.parameters[key].kind in _VARIADIC and value:
            raise InputError(
                f"'{name}' takes any number of arguments ('{key}'): module level cannot follow that"
            )
    return {
        key: value.to("meta") if isinstance(value, torch.Tensor) else value
        for key, value in bound.arguments.items()
        if signature.parameters[key].kind not in _VARIADIC
    }


def _trace(model: nn.Module, arguments: Mapping[str, Any], name: str) -> fx.GraphModule:
    constants = {
        key: value for key, value in arguments.items() if not isinstance(value, torch.Tensor)
    }
    for key, value in constants.items():
        if not isinstance(value, _PLAIN):
            raise InputError(
                f"'{name}' takes a {type(value).__name__} as '{key}': at module level an argument "
                "is a tensor or a plain value"
            )
    if kind_of_module(type(model).__module__, type(model).__name__) is not Kind.UNKNOWN:
        return _single_call(model, arguments)
    own = set(vars(model))
    try:
        with foreign_code(
            f"'{name}' cannot be traced by torch.fx (control flow that depends on data, or a call "
            "that fx cannot follow), as record can"
        ):
            traced = fx.symbolic_trace(model, concrete_args=constants or None)
    finally:
        for constant in set(vars(model)) - own:  # fx leaves tensors it met on the model
            delattr(model, constant)
    _drop_guards(traced, arguments)
    return traced


def _single_call(model: nn.Module, arguments: Mapping[str, Any]) -> fx.GraphModule:
    """A graph of one op, for a model that is one: fx would trace into it."""
    root = nn.Module()
    root.add_module("model", model)
    graph = fx.Graph()
    given = {key: graph.placeholder(key) for key in arguments}
    passed = {
        key: given[key] if isinstance(value, torch.Tensor) else value
        for key, value in arguments.items()
    }
    graph.output(graph.call_module("model", kwargs=passed))
    return fx.GraphModule(root, graph)


def _drop_guards(traced: fx.GraphModule, arguments: Mapping[str, Any]) -> None:
    """Erase the checks that fx adds for arguments fixed while tracing: the model has none."""
    placeholders = [node for node in traced.graph.nodes if node.op == "placeholder"]
    for node, value in zip(placeholders, arguments.values(), strict=False):  # *args is one node
        if isinstance(value, torch.Tensor):
            continue
        for check in reversed(list(node.users)):
            for assertion in list(check.users):
                traced.graph.erase_node(assertion)
            traced.graph.erase_node(check)


@contextmanager
def _quiet_meta() -> Generator[None]:
    """No gradients, and attention as its own kernels: no CPU fast path."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Runner(fx.Interpreter):
    """Runs a traced model node by node on meta tensors, translating each into an op."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.extra_traceback = False  # errors become one line; no graph dump
        self.table = StorageTable()
        self.twins: dict[int, torch.Tensor] = {}  # id of a real tensor -> its meta twin
        self.bases: dict[int, torch.Tensor] = {}  # a real storage -> its bytes on meta
        self.tensors: dict[fx.Node, tuple[int, ...]] = {}  # graph tensors of a node's value
        self.ops: dict[fx.Node, int] = {}
        held = (*traced.parameters(), *traced.buffers())
        self.on_meta = all(tensor.is_meta for tensor in held)
        for parameter in traced.parameters():
            self.table.own(self._meta(parameter), Role.PARAMETER)
        for buffer in traced.buffers():
            self.table.own(self._meta(buffer), Role.BUFFER)

    def run_on(self, arguments: Mapping[str, Any], name: str) -> None:
        """Run the whole graph on these arguments of `forward`."""
        shapes = ", ".join(
            f"{key} {tuple(value.shape)}"
            for key, value in arguments.items()
            if isinstance(value, torch.Tensor)
        )
        with foreign_code(f"'{name}' refuses the input {shapes}"):
            self.run(*arguments.values(), enable_io_processing=False)

    def finish(self, source: Source) -> Graph:
        """The graph of what has been run."""
        (output,) = (node for node in self.tensors if node.op == "output")
        return self.table.build.finish(self.tensors[output], source)

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - a node's value may be anything
        """Run one node; note its op and tensors."""
        match n.op:
            case "placeholder":
                value = super().run_node(n)
                self.tensors[n] = self._placeholder(n, value)
            case "get_attr":
                value = super().run_node(n)
                value = self._meta(value) if isinstance(value, torch.Tensor) else value
                self.tensors[n] = tuple(
                    self.table.held(str(n.target), tensor) for tensor in tensors_in(value)
                )
            case "output":
                value = super().run_node(n)
                self.tensors[n] = tuple(number for _, number in self._operands(n))
            case _:
                run = self._run_op(n)
                value = run.result
                self.ops[n], self.tensors[n] = add_op(self.table, run)
        return value

    def _placeholder(self, node: fx.Node, value: object) -> tuple[int, ...]:
        if not isinstance(value, torch.Tensor):
            return ()
        self.table.own(value, Role.INPUT)
        return (self.table.add(node.name, value, Role.INPUT),)

    def _operands(self, node: fx.Node) -> list[tuple[torch.Tensor, int]]:
        return [
            pair
            for source in node.all_input_nodes
            for pair in zip(tensors_in(self.env[source]), self.tensors[source], strict=True)
        ]

    def _run_op(self, node: fx.Node) -> NodeRun:
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        module = self.fetch_attr(str(node.target)) if node.op == "call_module" else None
        owned = self._owned(module) if module is not None else {}
        operands = self._operands(node)
        watched = [*(tensor for tensor, _ in operands), *owned.values()]
        versions = [tensor._version for tensor in watched]  # noqa: SLF001 - torch has no other
        if module is None:
            with torch.device("meta"):  # where new tensors go; torch's modules know by themselves
                result = getattr(self, node.op)(node.target, args, kwargs)
        elif self.on_meta:
            result = module(*args, **kwargs)
        else:
            result = torch.func.functional_call(module, owned, args, kwargs)
        changed = [
            tensor
            for tensor, version in zip(watched, versions, strict=True)
            if tensor._version != version  # noqa: SLF001
        ]
        written = _written(changed, tensors_in(result), str(node.target))
        predecessors = tuple(self.ops[n] for n in node.all_input_nodes if n in self.ops)
        return NodeRun(node, module, args, kwargs, operands, owned, written, result, predecessors)

    def _owned(self, module: nn.Module) -> dict[str, torch.Tensor]:
        named = (*module.named_parameters(), *module.named_buffers())
        return {name: self._meta(tensor) for name, tensor in named}

    def _meta(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor itself where it is on meta already, else its one meta twin.

        Twins of tensors that share a storage share one, at the same offsets.
        """
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self.twins:
            storage = tensor.untyped_storage()
            base = self.bases.setdefault(
                storage._cdata,  # noqa: SLF001 - the identity of a storage
                torch.empty(storage.nbytes(), dtype=torch.uint8, device="meta"),
            )
            twin = torch.empty(0, dtype=tensor.dtype, device="meta")
            place = (int(tensor.storage_offset()), tensor.shape, tensor.stride())
            self.twins[id(tensor)] = twin.set_(base.untyped_storage(), *place)
        return self.twins[id(tensor)]


def _written(
    changed: list[torch.Tensor], results: list[torch.Tensor], target: str
) -> list[torch.Tensor]:
    """Which of the tensors whose version changed were written.

    Views of one storage share their version. An in-place op returns what it wrote, so a changed
    tensor that is not returned changed through its kin, if they share a storage.
    """
    if target in METADATA_ONLY:
        return []
    returned = [tensor for tensor in changed if any(tensor is result for result in results)]
    kin = {tensor.untyped_storage()._cdata for tensor in returned}  # noqa: SLF001
    others = [tensor for tensor in changed if tensor.untyped_storage()._cdata not in kin]  # noqa: SLF001
    return returned + others
