"""Random programs of a few compute ops, dense in what the rule ladder speaks of.

A plain seeded generator, not a Hypothesis one: the brute-force tests want many graphs, each small,
in which contractions, rows, copies and steps of attention meet.
"""

from __future__ import annotations

from random import Random

from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role, Tensor


class _Program:
    def __init__(self, random: Random, side: int) -> None:
        self.random = random
        self.square, self.row = (side, side), (side, 1)
        self.build = Builder()
        self.full: list[int] = []  # tensors of 4 x 4
        self.rows: list[int] = []  # one value a row: 4 x 1
        self.compute_ops = 0

    def op(
        self, kind: Kind, inputs: list[int], shape: tuple[int, ...] | None = None, **more: object
    ) -> int:
        shape = shape or self.square
        self.compute_ops += 1
        name = f"{kind.value}_{self.compute_ops}"
        axes = more.get("axes")
        parameters = [self.weight()] if more.get("weight") else []
        made = self.build.op(
            name, kind, inputs=list(dict.fromkeys(inputs)), parameters=parameters, shape=shape,
            target=name, origin=Origin.ATEN, axes=axes if isinstance(axes, tuple) else None,
        )  # fmt: skip
        (self.full if shape == self.square else self.rows).append(made)
        return made

    def weight(self) -> int:
        return self.build.tensor(f"w{len(self.build.tensors)}", self.square, role=Role.PARAMETER)

    def some(self) -> int:
        recent = self.full[-3:]
        return self.random.choice(recent if self.random.random() < 0.8 else self.full)

    def view(self, base: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
        made = self.build.tensor(
            f"v{len(self.build.tensors)}", shape, storage=base.storage, offset=base.offset,
            strides=strides,
        )  # fmt: skip
        self.build.op(
            f"view_{made}", Kind.PERMUTE, inputs=[base.id], outputs=[made],
            op_class=OpClass.VIEW, origin=Origin.ATEN,
        )  # fmt: skip
        return made

    def transposed(self) -> int:
        base = self.build.tensors[self.some()]
        return self.view(base, base.shape[::-1], base.strides[::-1])


def _elementwise(program: _Program) -> None:
    program.op(program.random.choice((Kind.RELU, Kind.GELU)), [program.some()])


def _add(program: _Program) -> None:
    program.op(Kind.ADD, [program.some(), program.some()])


def _linear(program: _Program) -> None:
    program.op(Kind.LINEAR, [program.some()], weight=True)


def _matmul(program: _Program) -> None:
    second = program.transposed() if program.random.random() < 0.5 else program.some()
    program.op(Kind.MATMUL, [program.some(), second])


def _norm(program: _Program) -> None:
    axes = program.random.choice(((1,), (1,), (0,), (0, 1)))
    program.op(program.random.choice((Kind.LAYERNORM, Kind.SOFTMAX)), [program.some()], axes=axes)


def _mean(program: _Program) -> None:
    program.op(Kind.MEAN, [program.some()], program.row, axes=(1,))


def _use_row(program: _Program) -> None:
    if not program.rows:
        return _mean(program)
    if program.random.random() < 0.3:
        program.op(Kind.RELU, [program.rows[-1]], program.row)
        return None
    program.op(Kind.MUL, [program.some(), program.random.choice(program.rows)])
    return None


def _copy(program: _Program) -> None:
    source = program.transposed() if program.random.random() < 0.6 else program.some()
    program.op(Kind.CONTIGUOUS, [source])


def _gather(program: _Program) -> None:
    program.op(Kind.INDEX, [program.some()])


def _pool(program: _Program) -> None:
    program.op(Kind.MAXPOOL, [program.some()])


def _in_place(program: _Program) -> None:
    base = program.build.tensors[program.some()]
    program.compute_ops += 1
    made = program.build.tensor(
        f"in{program.compute_ops}", base.shape, storage=base.storage, offset=base.offset,
        strides=base.strides,
    )  # fmt: skip
    program.build.op(
        f"relu__{program.compute_ops}", Kind.RELU, inputs=[base.id], outputs=[made],
        writes=[base.id], origin=Origin.ATEN,
    )  # fmt: skip
    program.full.append(made)


def _attention(program: _Program) -> None:
    made = program.op(Kind.MATMUL, [program.some(), program.transposed()])
    if program.random.random() < 0.5:
        made = program.op(Kind.ADD, [made, program.some()])
    made = program.op(Kind.SOFTMAX, [made], axes=(1,))
    program.op(Kind.MATMUL, [made, program.some()])


def _unknown(program: _Program) -> None:
    program.op(Kind.UNKNOWN, [program.some()])


_SORTS = (
    (_elementwise, 4), (_add, 4), (_linear, 4), (_matmul, 2), (_norm, 3), (_mean, 2),
    (_use_row, 3), (_copy, 2), (_gather, 1), (_pool, 1), (_in_place, 1), (_attention, 2),
    (_unknown, 1),
)  # fmt: skip


def small_graph(seed: int, most: int = 8, side: int = 4) -> Graph:
    """A graph of up to `most` compute ops on `side` x `side`, the same for the same seed."""
    program = _Program(Random(seed), side)  # noqa: S311 - to be the same every time, not secret
    for number in range(2):
        shape = program.square
        program.full.append(program.build.tensor(f"x{number}", shape, role=Role.INPUT))
    wanted = program.random.randint(3, most)
    sorts, weights = zip(*_SORTS, strict=True)
    while program.compute_ops < wanted:
        program.random.choices(sorts, weights)[0](program)
    ends = {program.full[-1], *program.random.sample(program.full[2:] or program.full, 1)}
    return program.build.finish(sorted(ends))
