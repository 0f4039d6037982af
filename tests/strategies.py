"""Hypothesis generators: strided views, and whole graphs with everything a capture can make."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from hypothesis import strategies as st

from fuseline.fusion.quotient import Quotient
from fuseline.graph import (
    ITEM_BYTES,
    Builder,
    Gather,
    Graph,
    Kind,
    Op,
    OpClass,
    Origin,
    Role,
    Status,
    Tensor,
    Work,
)
from fuseline.plan import Group, Plan

# Kinds as the seed document's pair table names them, so that chains do form.
_TARGETS = {
    Kind.CONV2D: "Conv2d",
    Kind.BATCHNORM: "BatchNorm2d",
    Kind.RELU: "ReLU",
    Kind.LINEAR: "Linear",
    Kind.GELU: "GELU",
    Kind.SIGMOID: "Sigmoid",
    Kind.DROPOUT: "Dropout",
    Kind.MUL: "mul",
    Kind.ADD: "add",
}
_ORIGINS = (Origin.MODULE, Origin.FUNCTION, Origin.FUNCTION, Origin.METHOD)
_SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)


def addresses(tensor: Tensor) -> frozenset[int]:
    """Every byte of its storage that the tensor touches, one by one."""
    item = ITEM_BYTES[tensor.dtype]
    return frozenset(
        (tensor.offset + sum(i * s for i, s in zip(index, tensor.strides, strict=True))) * item + b
        for index in product(*map(range, tensor.shape))
        for b in range(item)
    )


@st.composite
def strided_tensors(draw: st.DrawFn) -> Tensor:
    """Slices, strided, expanded (stride 0) and overlapping windows of one storage."""
    rank = draw(st.integers(0, 3))
    shape = tuple(draw(st.integers(0, 4)) for _ in range(rank))
    strides = tuple(draw(st.integers(0, 7)) for _ in range(rank))
    dtype = draw(st.sampled_from(("uint8", "float16", "float32", "complex128")))
    offset = draw(st.integers(0, 9))
    return Tensor(0, "t", shape, dtype, Role.ACTIVATION, 0, offset, strides)


class _Program:
    """A graph in the making, and the tensors that later ops may use."""

    def __init__(self, draw: st.DrawFn, origins: tuple[Origin, ...] = _ORIGINS) -> None:
        self.draw = draw
        self.origins = origins
        self.build = Builder()
        self.values: list[int] = []
        self.held: list[int] = []

    def any_value(self) -> Tensor:
        return self.build.tensors[self.draw(st.sampled_from(self.values))]

    def some_values(self, most: int) -> list[int]:
        some = st.lists(st.sampled_from(self.values), min_size=1, max_size=most, unique=True)
        return self.draw(some)

    def work(self) -> Work:
        return Work(self.draw(st.integers(0, 9)), self.draw(st.integers(0, 9)), Status.COUNTED)

    def origin(self) -> Origin:
        return self.draw(st.sampled_from(self.origins))

    def name(self) -> str:
        return f"op{len(self.build.ops)}"

    def alias(self, tensor: Tensor) -> int:
        return self.window(tensor, tensor.shape, tensor.strides, tensor.offset)

    def window(
        self, base: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
    ) -> int:
        return self.build.tensor(
            f"{self.name()}_out",
            shape,
            dtype=base.dtype,
            storage=base.storage,
            offset=offset,
            strides=strides,
        )


def _compute(program: _Program) -> None:
    kind = program.draw(st.sampled_from(tuple(_TARGETS)))
    parameters = program.draw(
        st.lists(st.sampled_from(program.held), max_size=2, unique=True)
        if program.held
        else st.just([])
    )
    made = program.build.op(
        program.name(),
        kind,
        inputs=program.some_values(2),
        shape=program.draw(_SHAPES),
        parameters=parameters,
        target=_TARGETS[kind],
        origin=program.origin(),
        work=program.work(),
    )
    program.values.append(made)


def _two_results(program: _Program) -> None:
    name = program.name()
    made = [program.build.tensor(f"{name}_{n}", program.draw(_SHAPES)) for n in range(2)]
    inputs = program.some_values(1)
    origin = program.origin()
    program.build.op(
        name, Kind.LSTM, inputs=inputs, outputs=made, origin=origin, work=program.work()
    )
    program.values += made


def _in_place(program: _Program) -> None:
    target = program.any_value()
    reads = program.draw(st.booleans())  # `relu_` reads what it overwrites, `zero_` does not
    others = program.some_values(1) if program.draw(st.booleans()) else []
    result = program.alias(target)
    kind = program.draw(st.sampled_from((Kind.RELU, Kind.ADD)))
    program.build.op(
        program.name(),
        kind,
        inputs=dict.fromkeys([target.id, *others] if reads else others),
        outputs=[result],
        writes=[target.id],
        target=_TARGETS[kind],
        origin=program.origin(),
        work=program.work(),
    )
    program.values.append(result)


def _view(program: _Program) -> None:
    base = program.any_value()
    shape, strides, offset = list(base.shape), list(base.strides), base.offset
    sort = program.draw(st.sampled_from(("slice", "step", "transpose", "expand", "windows")))
    if sort == "expand" or not shape:
        shape.insert(0, 3)
        strides.insert(0, 0)
    elif sort == "transpose":
        shape.reverse()
        strides.reverse()
    else:
        axis = program.draw(st.integers(0, len(shape) - 1))
        size, stride = shape[axis], strides[axis]
        if sort == "slice":
            start = program.draw(st.integers(0, size - 1))
            shape[axis] = program.draw(st.integers(1, size - start))
            offset += start * stride
        elif sort == "step":
            shape[axis], strides[axis] = (size + 1) // 2, stride * 2
        else:  # overlapping windows of two along the axis
            window = min(2, size)
            shape[axis] = size - window + 1
            shape.append(window)
            strides.append(stride)
    made = program.window(base, tuple(shape), tuple(strides), offset)
    program.build.op(
        program.name(),
        Kind.SLICE,
        inputs=[base.id],
        outputs=[made],
        op_class=OpClass.VIEW,
        origin=program.origin(),
    )
    program.values.append(made)


def _control(program: _Program) -> None:
    origin = program.origin()
    if program.draw(st.booleans()):  # an element of a tuple: passes the tensor on
        base = program.any_value()
        made = program.alias(base)
        program.build.op(
            program.name(), Kind.CONTROL, inputs=[base.id], outputs=[made], origin=origin
        )
        program.values.append(made)
        return
    before = range(len(program.build.ops))
    after = (
        program.draw(st.lists(st.sampled_from(before), max_size=2, unique=True)) if before else []
    )
    program.build.op(program.name(), Kind.CONTROL, predecessors=after, origin=origin)


def _gather(program: _Program) -> None:
    pool = [*program.values, *program.held]
    table = program.build.tensors[program.draw(st.sampled_from(pool))]
    limit = program.draw(st.integers(0, 2 * table.nbytes))
    made = program.build.op(
        program.name(),
        Kind.INDEX,
        inputs=dict.fromkeys([table.id, *program.some_values(1)]),
        shape=program.draw(_SHAPES),
        gathers=(Gather(table.id, limit),),
        origin=program.origin(),
    )
    program.values.append(made)


def _scatter(program: _Program) -> None:
    target = program.any_value()
    result = program.alias(target)
    source = program.some_values(1)
    program.build.op(
        program.name(),
        Kind.SCATTER,
        inputs=dict.fromkeys([target.id, *source] if program.draw(st.booleans()) else source),
        outputs=[result],
        writes=[target.id],
        scatters=(Gather(target.id, program.draw(st.integers(0, 2 * target.nbytes))),),
        origin=program.origin(),
        work=program.work(),
    )
    program.values.append(result)


def _unknown(program: _Program) -> None:
    made = program.build.op(
        program.name(),
        Kind.UNKNOWN,
        inputs=program.some_values(2),
        shape=program.draw(_SHAPES),
        origin=program.origin(),
        work=Work(0, 0, Status.UNKNOWN, "no formula for this op"),
    )
    program.values.append(made)


_SIDE = (4, 4)  # sizes of what the three below make, so that their rows apply


def _aten(program: _Program, kind: Kind, inputs: list[int], *parameters: int) -> int:
    made = program.build.op(
        program.name(),
        kind,
        inputs=inputs,
        parameters=parameters,
        shape=_SIDE,
        target=kind.value,
        origin=Origin.ATEN,
        work=program.work(),
    )
    program.values.append(made)
    return made


def _project(program: _Program) -> None:
    """Linears that read one activation."""
    read = program.some_values(1)
    for _ in range(program.draw(st.integers(1, 3))):
        weight = program.build.tensor(f"{program.name()}_w", _SIDE, role=Role.PARAMETER)
        _aten(program, Kind.LINEAR, read, weight)


def _attend(program: _Program) -> None:
    """Scores, some steps on them that may have a second input, softmax, values."""
    made = _aten(program, Kind.MATMUL, program.some_values(2))
    steps = st.lists(st.sampled_from((Kind.MUL, Kind.ADD, Kind.WHERE, Kind.CAST)), max_size=2)
    for kind in program.draw(steps):
        made = _aten(program, kind, [made, *program.some_values(1)])
    made = _aten(program, Kind.SOFTMAX, [made])
    if program.draw(st.booleans()):
        made = _aten(program, Kind.DROPOUT, [made])
    _aten(program, Kind.MATMUL, [made, *program.some_values(1)])


def _join_skip(program: _Program) -> None:
    """What may stand between a projection and the sum it ends in, then that sum."""
    made, *_ = program.some_values(1)
    for kind in program.draw(st.lists(st.sampled_from((Kind.DROPOUT, Kind.MUL)), max_size=2)):
        if kind is Kind.DROPOUT:
            made = _aten(program, kind, [made])
        elif program.held and program.draw(st.booleans()):
            made = _aten(program, kind, [made], program.held[0])
        else:
            mask = program.build.op(program.name(), Kind.RANDOM, shape=(4, 1), origin=Origin.ATEN)
            made = _aten(program, kind, [made, mask])
    made = _aten(program, Kind.ADD, [made, *program.some_values(1)])
    if program.draw(st.booleans()):
        _aten(program, Kind.LAYERNORM, [made])


_PLAIN: tuple[Callable[[_Program], None], ...] = (
    _compute,
    _compute,
    _compute,
    _two_results,
    _in_place,
    _view,
    _control,
    _unknown,
)


@st.composite
def graphs(
    draw: st.DrawFn,
    *,
    most_ops: int = 12,
    gathers: bool = True,
    scatters: bool = True,
    recorded: bool = False,
) -> Graph:
    """Programs of every sort of op, in-place and through views, with several outputs.

    With `recorded` every op is an aten op, and those that the rules of attention, residual joins
    and drop-path speak of are frequent.
    """
    program = _Program(draw, (Origin.ATEN,) if recorded else _ORIGINS)
    for number in range(draw(st.integers(1, 2))):
        program.values.append(program.build.tensor(f"x{number}", draw(_SHAPES), role=Role.INPUT))
    for number in range(draw(st.integers(0, 2))):
        role = draw(st.sampled_from((Role.PARAMETER, Role.BUFFER, Role.CONSTANT)))
        program.held.append(program.build.tensor(f"w{number}", draw(_SHAPES), role=role))
    if program.held and draw(st.booleans()):
        program.values.append(program.held[0])  # a buffer that ops may overwrite or return
    sorts = _PLAIN
    if gathers:
        sorts += (_gather, _gather)
    if scatters:
        sorts += (_scatter,)
    if recorded:
        sorts += (_attend, _attend, _project, _project, _join_skip, _join_skip, _view)
    for _ in range(draw(st.integers(1, most_ops))):
        draw(st.sampled_from(sorts))(program)
    return program.build.finish(program.some_values(3))


def edges(graph: Graph) -> list[tuple[int, int]]:
    """(earlier, later) for every dependence, hazards included."""
    return [(earlier, op) for op, before in enumerate(graph.dependences) for earlier in before]


@st.composite
def joined(draw: st.DrawFn, graph: Graph) -> Quotient:
    """The graph after random legal joins along its dependences."""
    quotient = Quotient(graph)
    if found := edges(graph):
        for earlier, later in draw(st.lists(st.sampled_from(found), max_size=2 * len(found))):
            first, second = quotient.group_of[earlier], quotient.group_of[later]
            if first != second and not quotient.would_cycle(first, second):
                quotient.join(first, second)
    return quotient


def plan_of(groups: list[tuple[int, ...]]) -> Plan:
    """A plan of bare groups, in this order."""
    return Plan("hand-made", tuple(Group(n, ops, "") for n, ops in enumerate(groups)), ())


def ops_named(graph: Graph) -> dict[str, Op]:
    """Ops by name."""
    return {op.name: op for op in graph.ops}
