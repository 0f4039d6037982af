"""The graph of a `.pt2` file, read as data: checked and made concrete, then handed to torch.

torch's own reader evaluates what the file says in three places: symbolic sizes go through
`sympy.sympify`, which evaluates Python; a target is looked up by `getattr` from the top of `torch`
and may be any callable; metadata names more functions. So the JSON is rewritten first:

    "as_expr": {"expr_str": E, "hint": 4}   -->   "as_int": 4            E is never read
    "target": T                             -->   T, where T names an operator
    "metadata": {...}                       -->   the path of the module alone
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx
from torch._ops import HigherOrderOperator, OpOverload

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.recording.program import NAME_OF_FOREIGN

Json = Any  # what `json.loads` returns

_OPERATOR = re.compile(r"torch\.ops\.([a-z]\w*)\.(\w+)\.(\w+)")
_HIGHER_ORDER = re.compile(r"torch\.ops\.higher_order\.([a-z]\w*)")
_ON_SIZES = re.compile(r"_operator\.[a-z]+_?|math\.trunc|torch\.(sym_[a-z]+|_sym_sqrt)")
_STAND_IN = "torch.ops.higher_order.cond"
"""Any operator whose inputs need no schema: it stands for those that are not defined here."""


class Checked:
    """A program's graph as JSON, safe to hand to torch's reader, and what was seen on the way."""

    def __init__(self, path: str, graph_module: Json) -> None:
        self.path = path
        self.devices: set[str] = set()
        self.specialised = False
        self.graph_module = {
            "graph": self._value(graph_module["graph"]),
            "signature": self._value(graph_module["signature"]),
            "module_call_graph": [],  # how inputs and outputs nest: flat ones will do
        }

    def _value(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"as_expr"}:
            return self._hint(value["as_expr"])
        if set(value) == {"type", "index"} and isinstance(value["type"], str):
            self.devices.add(value["type"])
            return {"type": "cpu", "index": None}  # where every stand-in seems to be
        if "as_operator" in value:
            self._check_target(value["as_operator"])
        if "target" in value and "inputs" in value:
            return self._node(value)
        made = {key: self._value(item) for key, item in value.items()}
        if isinstance(known := value.get("sym_bool_values"), dict):
            made["sym_bool_values"] = {name: {"as_bool": True} for name in known}  # not read
        return made

    def _hint(self, expression: Json) -> Json:
        """The size that was seen while exporting, instead of an expression."""
        hint = expression.get("hint") if isinstance(expression, dict) else None
        if not isinstance(hint, dict) or len(hint) != 1:
            raise InputError(
                f"'{self.path}' has sizes that depend on data: "
                "use --via record where the model is at hand"
            )
        self.specialised = True
        return {key: value for key, value in hint.items() if isinstance(value, (int, float))}

    def _node(self, node: Json) -> Json:
        made = {key: self._value(item) for key, item in node.items() if key != "metadata"}
        made["metadata"] = _module_stack(node.get("metadata"))
        target = self._check_target(node["target"])
        if target is not None:
            made |= {"target": _STAND_IN, "is_hop_single_tensor_return": True}
            made["metadata"]["custom"] = json.dumps({NAME_OF_FOREIGN: target})
        return made

    def _check_target(self, target: Json) -> str | None:
        """Refuse what names no operator; the name of an operator that is not defined here."""
        if isinstance(target, str):
            if _HIGHER_ORDER.fullmatch(target) or _ON_SIZES.fullmatch(target):
                return None
            if found := _OPERATOR.fullmatch(target):
                namespace, name, overload = found.groups()
                _define(namespace)
                packet = getattr(getattr(torch.ops, namespace), name, None)
                known = packet is not None and hasattr(packet, overload)
                return None if known else f"{namespace}::{name}"
        raise InputError(f"'{self.path}' calls '{target}', which is no operator")


def _define(namespace: str) -> None:
    """torchvision's operators are there once it is imported."""
    if namespace != "torchvision":
        return
    from fuseline.frontends.sources import torchvision, zoos

    if zoos.installed("torchvision"):
        torchvision.import_models()


def _module_stack(metadata: Json) -> dict[str, str]:
    """The path and class of the innermost module, as torch's reader takes it: key, path, type."""
    stack = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    if not isinstance(stack, str):
        return {}
    key, _, rest = stack.rpartition(";")[2].partition(",")
    path, _, made_by = rest.partition(",")
    name = made_by.partition("[")[0].rpartition(".")[2]
    if any(set(part) & set("()[],;") for part in (key, path, name)):
        return {}
    return {"nn_module_stack": f"{key},{path},{name}"}


def read_graph(checked: Checked) -> tuple[fx.GraphModule, Any]:
    """The program as a graph module and its signature.

    Raises `InputError` where torch cannot read it, or it calls what is no operator.
    """
    from torch._export.serde import schema, serialize  # torch has no public name for these

    with foreign_code(f"'{checked.path}' cannot be read as an exported program"):
        data = serialize._dict_to_dataclass(schema.GraphModule, checked.graph_module)  # noqa: SLF001
        result = serialize.GraphModuleDeserializer().deserialize(data, {}, {})
    for target in _targets(result.graph_module):
        if not _is_operator(target, serialize._SYM_OPS):  # noqa: SLF001
            raise InputError(f"'{checked.path}' calls '{target}', which is no operator")
    return result.graph_module, result.signature


def _targets(module: fx.GraphModule) -> Iterator[Any]:
    for graph_module in module.modules():
        if isinstance(graph_module, fx.GraphModule):
            for node in graph_module.graph.nodes:
                if node.op == "call_function":
                    yield node.target


def _is_operator(target: Any, on_sizes: set[Any]) -> bool:  # noqa: ANN401
    """Whether a target is an operator, and none that opens a file."""
    if isinstance(target, OpOverload):
        arguments = target._schema.arguments  # noqa: SLF001 - torch offers no other way
        return all(argument.name != "filename" for argument in arguments)
    if isinstance(target, HigherOrderOperator):
        return True
    return target is operator.getitem or target in on_sizes
