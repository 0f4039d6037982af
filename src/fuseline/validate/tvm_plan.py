"""TVM's own kernels as a plan of our graph: `tvm-real`, from the TVM that is installed.

TVM imports the recorded calls (`named_program`), lowers its operators and fuses them; every call
in a kernel is traced back to the variable that it was before fusion, that one to the operator it
was lowered from, and that one to the op of ours. Nothing is built for a machine but the constants
that TVM folds.
"""

from __future__ import annotations

import importlib
import re
from collections import defaultdict, deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.sources.sourced import Sourced
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.validate.named_program import export_named, op_of
from fuseline.validate.owned import Kernel, Piece, Share, plan_of_kernels
from fuseline.validate.quiet import quiet

STRATEGY = "tvm-real"

MOVES = frozenset(
    {"reshape", "transpose", "expand_dims", "squeeze", "broadcast_to", "strided_slice", "split",
     "take", "pad", "mod", "GenericConst"}
)  # fmt: skip
"""TVM's functions that move data, or work out from where."""

_SHARES = {
    **dict.fromkeys(MOVES, Share.MOVES),
    **dict.fromkeys(
        ("conv1d", "conv2d", "conv3d", "conv1d_transpose", "conv2d_transpose", "conv3d_transpose",
         "matmul", "einsum"),
        Share.CONTRACTS,
    ),
}  # fmt: skip
"""What TVM's functions do for an op; others compute."""


def tvm_plan(
    model: str | Sourced, graph: Graph, *, attention: str = "fused", whole_ops: bool = False
) -> Plan:
    """TVM's `FuseOps` on a recorded model: a cover, where TVM writes an op as several kernels.

    TVM's importer lets torch decompose the program first: attention comes in steps, and a linear
    layer with more than two axes between two reshapes, which `FuseOps` does not fuse across. With
    `whole_ops` only what the importer does not know is decomposed.

    Raises `InputError` where TVM is not installed or does not take the model, where `graph` is not
    what recording the model gives, and where a compute op is in no kernel.
    """
    import_relax()
    named = export_named(model, graph, attention=attention)
    with foreign_code(f"TVM on '{graph.source.name}'"), quiet():
        table = _unknown_ops() if whole_ops else None
        kernels, removed = _kernels(named.program.run_decompositions(table))
    return plan_of_kernels(graph, STRATEGY, kernels, removed)


def import_relax() -> Any:  # noqa: ANN401 - a module of TVM's
    """`tvm.relax`. Raises `InputError` where TVM is not installed."""
    try:
        return importlib.import_module("tvm.relax")
    except ModuleNotFoundError as error:
        raise InputError("TVM is not installed: pip install 'fuseline[oracles]'") from error


def lowering() -> tuple[Any, ...]:
    """What is done to an imported model before `FuseOps`, as TVM's own pipelines do."""
    steps: Any = import_relax().transform
    return (
        steps.DecomposeOpsForInference(),
        steps.CanonicalizeBindings(),  # takes the tuples apart that the norms leave
        steps.DeadCodeElimination(),
        steps.FoldConstant(),
        steps.LegalizeOps(),
        steps.AnnotateTIROpPattern(),
        steps.FoldConstant(),
    )


def base_name(function: str) -> str:
    """The name of a function without the number that tells it from others of its kind.

    >>> base_name("conv2d17")
    'conv2d'
    """
    return re.sub(r"\d+$", "", function)


def calls_of(function: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - a function of TVM's
    """Every variable of a function that is made by a call, and the call."""
    for block in function.body.blocks:
        for binding in block.bindings:
            if hasattr(binding.value, "op"):
                yield binding.var, binding.value


def called(call: Any) -> str | None:  # noqa: ANN401 - a call of TVM's
    """The function that a call runs as it is; None where it calls a fused one."""
    if hasattr(call.op, "name_hint"):
        return None
    return str(call.args[0].name_hint) if call.op.name == "relax.call_tir" else str(call.op.name)


# --- from the exported program to kernels -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Owners:
    """The op of each variable of TVM's main function: (variable, name of the op) by its handle.

    The variable is kept, so that no other one gets its handle.
    """

    of: dict[int, tuple[Any, str]]

    def inherit(self, module: Any) -> _Owners:  # noqa: ANN401 - a module of TVM's
        """The same after a pass: what it made new is a part of what comes next in the program."""
        found: dict[int, tuple[Any, str]] = {}
        op = ""
        for variable in reversed([variable for variable, _ in _bindings(module["main"])]):
            op = self.of[hash(variable)][1] if hash(variable) in self.of else op
            found[hash(variable)] = variable, op
        return _Owners(found)


def _kernels(program: ExportedProgram) -> tuple[list[Kernel], set[str]]:
    """Every kernel that `FuseOps` makes, with the op of each of its functions; and the ops of which
    nothing is left to compute: what changes nothing, what is constant, what nobody needs.
    """
    module, owners = _import_named(program)
    for step in lowering():
        module = step(module)
        owners = owners.inherit(module)
    named = set(filter(None, map(op_of, program.graph.nodes)))
    left = {owners.of[hash(variable)][1] for variable, _ in calls_of(module["main"])}
    fused = import_relax().transform.FuseOps()(module)
    return _read(fused, module, owners), named - left


def _importer() -> Any:  # noqa: ANN401 - an object of TVM's
    translator: Any = importlib.import_module(
        "tvm.relax.frontend.torch.exported_program_translator"
    )
    return translator.ExportedProgramImporter()


def _unknown_ops() -> dict[Any, Any]:
    """How torch decomposes the ops that TVM's importer does not know."""
    known = _importer().convert_map
    table: Any = torch.export.default_decompositions().items()
    return {op: rule for op, rule in table if op.__name__ not in known}


def _import_named(program: ExportedProgram) -> tuple[Any, _Owners]:
    """A program as TVM imports it, and the op of every variable."""
    importer = _importer()
    module = importer.from_exported_program(
        program,
        keep_params_as_input=False,
        unwrap_unit_return_tuple=False,
        no_bind_return_tuple=False,
        custom_convert_map=None,
    )
    made: dict[int, tuple[Any, str]] = {}
    for node in program.graph.nodes:
        if node.op == "call_function":
            for variable in _variables(importer.env.get(node)):
                made.setdefault(hash(variable), (variable, op_of(node)))
    return module, _Owners(made).inherit(module)


def _variables(value: Any) -> Iterator[Any]:  # noqa: ANN401 - what a node became: nested
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _variables(item)
    elif isinstance(value, import_relax().Var):
        yield value


def _bindings(function: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - a function of TVM's
    for block in function.body.blocks:
        for binding in block.bindings:
            yield binding.var, binding.value


# --- kernels, call by call ----------------------------------------------------------------------
#
# TVM gives kernels of one shape one function, whose variables are those of the first. What a call
# in it was before fusion is told by what it runs and on what: its signature.

_Signature = Hashable


def _read(fused: Any, module: Any, owners: _Owners) -> list[Kernel]:  # noqa: ANN401 - modules
    """The kernels of a fused module; `module` is the same before fusion."""
    waiting: dict[_Signature, deque[int]] = defaultdict(deque)
    known: dict[int, _Signature] = {}
    for variable, value in _bindings(module["main"]):
        if not hasattr(value, "op"):
            known[hash(variable)] = _resolve(value, known)
            continue
        waiting[_signature(value, known)].append(hash(variable))
        known[hash(variable)] = hash(variable)
    return [kernel for _, kernel in _walk(fused, fused["main"], {}, waiting, owners) if kernel]


def _walk(
    fused: Any,  # noqa: ANN401 - a module of TVM's
    function: Any,  # noqa: ANN401 - one of its functions
    known: dict[int, _Signature],
    waiting: Mapping[_Signature, deque[int]],
    owners: _Owners,
) -> Iterator[tuple[_Signature, Kernel]]:
    """The kernel of every call in a function; values are named as they were before fusion."""
    for variable, value in _bindings(function):
        if not hasattr(value, "op"):
            known[hash(variable)] = _resolve(value, known)
        elif (name := called(value)) is None:
            inner = fused[value.op]
            passed = zip(inner.params, value.args, strict=True)
            inside = {hash(given): _resolve(taken, known) for given, taken in passed}
            parts = tuple(
                piece for _, part in _walk(fused, inner, inside, waiting, owners) for piece in part
            )
            known[hash(variable)] = _resolve(inner.body.body, inside)
            yield known[hash(variable)], parts
        else:
            before = waiting[_signature(value, known)].popleft()
            known[hash(variable)] = before
            function = base_name(name)
            share = _SHARES.get(function, Share.COMPUTES)
            yield before, (Piece(function, owners.of[before][1], share),)


def _signature(call: Any, known: Mapping[int, _Signature]) -> _Signature:  # noqa: ANN401
    name = called(call)
    taken = call.args[1:] if call.op.name == "relax.call_tir" else call.args
    return name, tuple(_resolve(value, known) for value in taken)


def _resolve(value: Any, known: Mapping[int, _Signature]) -> _Signature:  # noqa: ANN401
    """A value by what made it: a constant is one whichever it is."""
    relax, ir = import_relax(), importlib.import_module("tvm.ir")
    match value:
        case relax.Var():
            return known.get(hash(value), "parameter")
        case ir.GenericConst():
            return "constant"
        case relax.Tuple():
            return tuple(_resolve(item, known) for item in value.fields)
        case relax.TupleGetItem():
            return _resolve(value.tuple_value, known), int(value.index)
        case _:
            return str(value)
