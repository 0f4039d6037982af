"""One dispatched aten call, and what it did -> one `Op`, classed and priced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fuseline.costs.flops import CUSTOM, Call, count_custom, count_work
from fuseline.frontends.axes import rows_of
from fuseline.frontends.kinds import METADATA_ONLY, WRITE_ONLY, refine_convolution
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.aten_kinds import SHAPE_ONLY, TRAITS, kind_of_aten
from fuseline.frontends.storages import StorageTable, Values
from fuseline.graph import CLASS_OF, Gather, Kind, OpClass, Origin, Role, Status, Storage, Work

_A_VIEW = Work(0, 0, Status.ZERO, "a view: its result aliases its input")
_NORMS = frozenset({Kind.BATCHNORM, Kind.INSTANCENORM})
_RECURRENT = frozenset({Kind.RNN, Kind.LSTM, Kind.GRU})


@dataclass(frozen=True, slots=True)
class Overload:
    """What the schema of an op says, read once.

    `written` are the arguments it overwrites, `unread` those whose bytes it does not read: it
    overwrites all of them, or takes a shape from them. `in_place` says that it returns an argument.
    """

    name: str  # without namespace and overload
    full: str  # namespace::name
    kind: Kind
    arguments: tuple[str, ...]
    written: tuple[str, ...]
    unread: frozenset[str]
    in_place: bool
    traits: Mapping[str, object]

    @classmethod
    def of(cls, function: torch._ops.OpOverload) -> Overload:
        """Read the schema of `function`."""
        schema = function._schema  # noqa: SLF001 - torch offers no other way to a schema
        full = schema.name
        namespace, _, name = full.partition("::")
        kind = Kind.CUSTOM if full in CUSTOM else kind_of_aten(namespace, name)
        arguments = tuple(argument.name for argument in schema.arguments)
        changed = tuple(
            argument.name
            for argument in schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        written = () if name in METADATA_ONLY else changed
        unread = {argument.name for argument in schema.arguments if argument.is_out}
        if name in WRITE_ONLY:
            unread.update(written)
        if name in SHAPE_ONLY:
            unread.add("self")
        if kind is Kind.SCATTER:  # in place it leaves what it does not overwrite as it is
            unread.update(written)
        traits = TRAITS.get(name, {})
        in_place = any(a.name in changed and not a.is_out for a in schema.arguments)
        return cls(name, full, kind, arguments, written, frozenset(unread), in_place, traits)


@dataclass(frozen=True, slots=True)
class Dispatched:
    """One call as it ran: arguments by name, its result, and where in the model it was.

    `extra` are attributes that the caller knows and the arguments do not say.
    """

    overload: Overload
    arguments: dict[str, Any]
    result: object
    path: str
    module_class: str
    name: str
    extra: Mapping[str, object] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def bind(
    overload: Overload, args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, Any]:
    """Arguments by their names in the schema."""
    return {**dict(zip(overload.arguments, args, strict=False)), **kwargs}


def add_call(table: StorageTable, values: Values, run: Dispatched) -> int:
    """Append the op of one call to the graph; returns its id."""
    overload = run.overload
    results = tensors_in(run.result)
    written = [t for name in overload.written for t in tensors_in(run.arguments.get(name))]
    call = _call(run, results)
    kind = _refine(overload.kind, run, call)
    written += _running_statistics(kind, run, call)
    reads, parameters, makers = _operands(table, values, run, kind)
    # asked once every operand is known: a result may be a view of what was first met here
    is_alias = not written and all(table.knows(result) for result in results)
    op_class = (
        _op_class(overload, kind, call, is_alias=is_alias)
        if results or written
        else (_class_without_result(kind))
    )
    targets = [number_of(table, values, tensor)[0] for tensor in written]
    operands = [table.build.tensors[operand] for operand in reads or parameters]
    rows = rows_of(kind, op_class, call, operands)
    number = len(table.build.ops)
    several = len(results) > 1
    outputs = [
        table.add(f"{run.name}_{place}" if several else run.name, result)
        for place, result in enumerate(results)
    ]
    table.build.op(
        run.name,
        kind,
        inputs=dict.fromkeys(reads),
        outputs=outputs,
        parameters=dict.fromkeys(parameters),
        writes=dict.fromkeys(targets),
        predecessors=makers,
        target=overload.name if overload.full.startswith("aten::") else overload.full,
        origin=Origin.ATEN,
        op_class=op_class,
        module_path=run.path,
        module_class=run.module_class,
        work=_work(kind, op_class, overload, call),
        gathers=_gathers(table, values, kind, run, results),
        scatters=_scatters(table, values, kind, run),
        axes=rows.axes,
        row_numel=rows.numel,
    )
    for result, output in zip(results, outputs, strict=True):
        values.note(result, output, number)
    for tensor, target in zip(written, targets, strict=True):
        values.note(tensor, target, number)
    return number


# --- what it is -----------------------------------------------------------------------------


def _refine(kind: Kind, run: Dispatched, call: Call) -> Kind:
    """The kind, where arguments decide it too."""
    if kind is Kind.EXTREMUM and len(call.inputs) > 1:
        return Kind.ELEMENTWISE_BINARY  # the larger or smaller of two tensors
    adds = run.arguments.get("accumulate") or run.arguments.get("reduce")
    if kind is Kind.SCATTER and adds:
        return Kind.SCATTER_REDUCE
    if kind is Kind.WHERE and run.overload.name == "where" and len(run.arguments) == 1:
        return Kind.SELECT_IF  # the places where a condition holds
    if kind is Kind.CONV2D and "weight" in call.named:
        dimensions = len(call.named["weight"]) - 2
        transposed = "_transpose" if call.flag("transposed") else ""
        if 1 <= dimensions <= 3:  # noqa: PLR2004 - one to three dimensions in space
            kind = Kind(f"conv{transposed}{dimensions}d")
    if "weight" in call.named and "input" in call.named:
        return refine_convolution(kind, call.named["weight"], call.named["input"])
    return kind


def _op_class(overload: Overload, kind: Kind, call: Call, *, is_alias: bool) -> OpClass:
    if kind is Kind.CUSTOM:
        return CUSTOM[overload.full].op_class
    usual = CLASS_OF[kind]
    foreign = kind is Kind.UNKNOWN and not overload.full.startswith("aten::")
    if usual is OpClass.CONTROL or kind is Kind.HOST_READ or foreign:
        return usual
    if is_alias:
        return OpClass.VIEW
    return OpClass.REDUCTION if call.flag("use_statistics_of_input") else usual


def _class_without_result(kind: Kind) -> OpClass:
    """What neither returns nor writes a tensor takes one to the host, or is bookkeeping there."""
    return OpClass.CONTROL if CLASS_OF[kind] is OpClass.CONTROL else OpClass.OPAQUE


def _work(kind: Kind, op_class: OpClass, overload: Overload, call: Call) -> Work:
    if op_class is OpClass.VIEW:
        return _A_VIEW
    if kind is Kind.CUSTOM:
        return count_custom(overload.full, call)
    return count_work(kind, call)


# --- what it touches ------------------------------------------------------------------------


def number_of(table: StorageTable, values: Values, tensor: torch.Tensor) -> tuple[int, int]:
    """(graph tensor, op that made it); a tensor never seen is a constant of the model."""
    found = values.find(tensor)
    if found is None:
        role = table.own(tensor, Role.CONSTANT)
        found = (table.add(f"constant_{len(table.build.tensors)}", tensor, role), -1)
        values.note(tensor, *found)
    return found


def _operands(
    table: StorageTable, values: Values, run: Dispatched, kind: Kind
) -> tuple[list[int], list[int], list[int]]:
    """Graph tensors it reads, those of them that the model holds apart, and who made them.

    No byte is read of what `Overload.unread` names, nor of a number that something is filled with.
    """
    reads: list[int] = []
    held: list[int] = []
    makers: list[int] = []
    accumulates = kind is Kind.SCATTER_REDUCE  # whatever its name says, it adds to what is there
    unread = frozenset() if accumulates else run.overload.unread
    for name, value in run.arguments.items():
        for tensor in tensors_in(value):
            number, maker = number_of(table, values, tensor)
            if maker >= 0:
                makers.append(maker)
            storage = table.build.storages[table.build.tensors[number].storage]
            if name in unread or (kind is Kind.FILL and _is_literal(tensor, storage, maker)):
                continue
            (held if storage.is_held else reads).append(number)
    return reads, held, makers


def _is_literal(tensor: torch.Tensor, storage: Storage, maker: int) -> bool:
    """Whether it is a number of the program that torch wrapped: `x[0] = 3` fills with a tensor."""
    return tensor.dim() == 0 and storage.role is Role.CONSTANT and maker < 0


def _running_statistics(kind: Kind, run: Dispatched, call: Call) -> list[torch.Tensor]:
    """Running mean and variance, which a norm updates in training; its schema does not say so."""
    if kind not in _NORMS or not call.flag("use_statistics_of_input") or run.overload.written:
        return []
    if run.overload.name == "_native_batch_norm_legit_functional":
        return []  # it returns them instead
    running = (run.arguments.get(name) for name in ("running_mean", "running_var"))
    return [tensor for tensor in running if isinstance(tensor, torch.Tensor)]


def _gathers(
    table: StorageTable, values: Values, kind: Kind, run: Dispatched, results: list[torch.Tensor]
) -> tuple[Gather, ...]:
    """The table of a gather, read at most as far as its index can select."""
    if not results:
        return ()
    arguments, nbytes = run.arguments, results[0].nbytes
    match kind:
        case Kind.EMBEDDING:
            source = arguments.get("weight")
        case Kind.EMBEDDING_BAG:  # each index selects a row; the rows of a bag are summed
            source = arguments.get("weight")
            nbytes = arguments["indices"].numel() * results[0].shape[-1] * results[0].itemsize
        case Kind.INDEX:
            source = arguments.get("self")
        case Kind.GROUPED_MM:  # a group that no row belongs to is not read
            source = arguments.get("mat2", arguments.get("mat_b"))
            rows = next(iter(arguments.values()))
            if not isinstance(source, torch.Tensor) or source.dim() <= rows.dim():
                return ()
            nbytes = min(source.shape[0], rows.shape[0]) * source[0].nbytes
        case _:
            return ()
    if not isinstance(source, torch.Tensor):
        return ()
    return (Gather(number_of(table, values, source)[0], nbytes),)


def _scatters(
    table: StorageTable, values: Values, kind: Kind, run: Dispatched
) -> tuple[Gather, ...]:
    """What an in-place scatter can write: as many bytes as it is given."""
    if kind not in (Kind.SCATTER, Kind.SCATTER_REDUCE) or not run.overload.written:
        return ()
    target = run.arguments[run.overload.written[0]]
    nbytes = min(_selected(run, target) * target.itemsize, target.nbytes)
    return (Gather(number_of(table, values, target)[0], nbytes),)


def _selected(run: Dispatched, target: torch.Tensor) -> int:
    """Elements of `target` that a scatter can write, at most."""
    arguments = run.arguments
    index, indices = arguments.get("index"), arguments.get("indices")
    if run.overload.name.startswith("fill_diagonal"):
        return max(target.shape) if arguments.get("wrap") else min(target.shape)
    if isinstance(indices, (list, tuple)):
        return _selected_by_all(indices, target)
    if not isinstance(index, torch.Tensor):
        return target.numel()  # a mask may select everything
    if run.overload.name.startswith("index"):  # whole slices along one dimension
        return index.numel() * (target.numel() // max(target.shape[arguments["dim"]], 1))
    return index.numel()


def _selected_by_all(indices: Sequence[object], target: torch.Tensor) -> int:
    """What the indices of `index_put` select: their joint shape, times what they leave whole."""
    given = [index for index in indices if isinstance(index, torch.Tensor)]
    if any(index.dtype in (torch.bool, torch.uint8) for index in given):
        return target.numel()  # a mask may select everything
    rest = 1
    for place, size in enumerate(target.shape):
        if place >= len(indices) or not isinstance(indices[place], torch.Tensor):
            rest *= size
    shape = torch.broadcast_shapes(*(index.shape for index in given))
    return shape.numel() * rest


# --- what its formula needs -----------------------------------------------------------------


def _call(run: Dispatched, results: list[torch.Tensor]) -> Call:
    kind = run.overload.kind
    named: dict[str, tuple[int, ...]] = {}
    attributes: dict[str, object] = {**run.overload.traits, **run.extra}
    inputs: list[tuple[int, ...]] = []
    for name, value in run.arguments.items():
        if isinstance(value, torch.Tensor):
            shape = tuple(value.shape)
            named["input" if name == "self" else name] = shape
            if name != "out":
                inputs.append(shape)
        elif value is not None:
            inputs += (tuple(tensor.shape) for tensor in tensors_in(value))
            attributes.setdefault(name, value)
    named |= run.shapes
    if run.overload.name == "conv_tbc":  # time, batch, channels; weight [k, Ci, Co]
        named["weight"] = named["weight"][::-1]
        named["input"] = (named["input"][1], named["input"][2], named["input"][0])
    if kind in _NORMS:
        attributes["use_statistics_of_input"] = attributes.get(
            "training", attributes.get("use_input_stats", False)
        )
    if kind in _RECURRENT:
        named |= _recurrent_weights(run)
    return Call(
        inputs=tuple(inputs),
        outputs=tuple(tuple(result.shape) for result in results),
        named=named,
        attributes=attributes,
    )


def _recurrent_weights(run: Dispatched) -> dict[str, tuple[int, ...]]:
    """Weights of an RNN by the names that `torch.nn` gives them, for its formula.

    The list holds, a layer and direction: weight_ih, weight_hh, then the biases where there are
    any, then weight_hr where the state is projected.
    """
    arguments = run.arguments
    if "params" not in arguments:  # a cell: w_ih, w_hh, b_ih, b_hh
        names = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
        return {
            names[name]: tuple(value.shape)
            for name, value in arguments.items()
            if name in names and value is not None
        }
    params = tensors_in(arguments["params"])
    biases = ["bias_ih", "bias_hh"] if arguments.get("has_biases") else []
    layers = arguments["num_layers"] * (2 if arguments.get("bidirectional") else 1)
    names_of_layer = ["weight_ih", "weight_hh", *biases]
    if len(params) > layers * len(names_of_layer):
        names_of_layer.append("weight_hr")
    return {
        f"{names_of_layer[place % len(names_of_layer)]}_l{place // len(names_of_layer)}": tuple(
            parameter.shape
        )
        for place, parameter in enumerate(params)
    }
