"""The dispatch mode that notes every aten op, and what it has noted.

Under inference mode torch hands ops over before it decomposes them: `linear` and
`scaled_dot_product_attention` arrive whole, whatever kernels a device would pick.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from fuseline.frontends.nested import tensors_reachable
from fuseline.frontends.recording.attention import decompose_attention
from fuseline.frontends.recording.calls import Dispatched, add_call
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.runner import Invocation, Runner, apart, drops
from fuseline.frontends.storages import StorageTable, Values
from fuseline.graph import Graph, Kind, Role, Source
from fuseline.graph.fold import fold_constants


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in the model a call was made: path and class of the innermost module."""

    path: str = ""
    module_class: str = ""


@dataclass
class Recording:
    """What has been recorded so far."""

    table: StorageTable = field(default_factory=StorageTable)
    values: Values = field(default_factory=Values)
    names: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    calls: int = 0

    def own(self, name: str, tensor: torch.Tensor, role: Role) -> int:
        """A tensor that is there before the model runs; its number in the graph."""
        found = self.values.find(tensor)
        if found is not None:
            return found[0]
        self.table.own(tensor, role)
        number = self.table.add(name, tensor, role)
        self.values.note(tensor, number, -1)
        return number

    def outputs(self, result: object, fakes: Fakes | None) -> list[int]:
        """Graph tensors of what the model returned; one that no op made is a constant."""
        found = []
        for tensor in tensors_reachable(result):
            standing = fakes.twin(tensor) if fakes else tensor
            known = self.values.find(standing)
            name = f"output_{len(found)}"
            found.append(known[0] if known else self.own(name, standing, Role.CONSTANT))
        return list(dict.fromkeys(found))

    def finish(self, outputs: list[int], source: Source) -> Graph:
        """The graph of what has been recorded, constants folded."""
        source = replace(source, nodes=self.calls, torch=str(torch.__version__))
        graph = self.table.build.finish(outputs, source)
        return fold_constants(graph, parameters=source.mode != "train")

    def fresh_name(self, base: str) -> str:
        """A name that no op has yet: `add`, `add_1`, `add_2`."""
        base = base.strip("_")
        count = self.names[base]
        self.names[base] += 1
        return f"{base}_{count}" if count else base


class Recorder(Runner):
    """Notes every op that is dispatched. With `fakes`, activations are never computed."""

    def __init__(self, recording: Recording, fakes: Fakes | None, *, decomposed: bool) -> None:
        super().__init__(fakes)
        self.recording = recording
        self.decomposed = decomposed
        self.scopes: list[Scope] = [Scope()]
        self._extra: dict[str, object] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._packed: dict[int, tuple[object, torch.Tensor, torch.Tensor | None]] = {}

    def dispatch(self, op: Invocation) -> object:
        """Run one op and note it; one that no table knows goes by what it is made of."""
        overload, arguments = op.overload, op.arguments
        if overload.kind is Kind.UNKNOWN:
            with self:
                result = op.function.decompose(*op.args, **op.kwargs)
            if result is not NotImplemented:
                return result
        if overload.name == "scaled_dot_product_attention" and self.decomposed:
            return self._decomposed_attention(arguments)
        if overload.kind is Kind.DROPOUT and not drops(arguments):  # in place it writes nothing
            overload = replace(overload, written=(), unread=frozenset())
            op = replace(op, overload=overload)
        result = self.run(op)
        if not overload.in_place:
            result = apart(result, arguments)
        self._note(op, result)
        return result

    def _note(self, op: Invocation, result: object) -> None:
        overload = op.overload
        recording, scope = self.recording, self.scopes[-1]
        arguments = self._unpacked(op.arguments)
        if self.fakes is not None:
            arguments = replace_tensors(arguments, self.fakes.twin)
            result = replace_tensors(result, self.fakes.twin)
        run = Dispatched(
            overload=overload,
            arguments=arguments,
            result=result,
            path=scope.path,
            module_class=scope.module_class,
            name=recording.fresh_name(overload.name),
            extra=self._extra,
            shapes=self._shapes,
        )
        recording.calls += 1
        add_call(recording.table, recording.values, run)

    def _unpacked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Weight and bias of a quantised layer as arguments of their own: it packs them in one."""
        made = dict(arguments)
        for name, value in arguments.items():
            if not isinstance(value, torch.ScriptObject) or not hasattr(value, "unpack"):
                continue
            if id(value) not in self._packed:
                with unset_fake_temporarily():
                    weight, bias = value.unpack()
                    self._packed[id(value)] = (value, weight.int_repr(), bias)
            del made[name]
            _, made["weight"], made["bias"] = self._packed[id(value)]
        return made

    def _decomposed_attention(self, arguments: dict[str, Any]) -> torch.Tensor:
        """Scores, mask, softmax and values as ops of their own, priced alike."""
        if arguments.get("is_causal"):
            self._extra = {"is_causal": True}
            self._shapes = {name: tuple(arguments[name].shape) for name in ("query", "key")}
        try:
            with self:
                return decompose_attention(arguments)
        finally:
            self._extra, self._shapes = {}, {}
