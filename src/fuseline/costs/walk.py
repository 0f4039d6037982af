"""A group op by op: what each reads, as which value, and how that comes.

    made in the group      as its writer makes it
    read from memory       as the group likes: every order costs the same

What the group likes is what the first reader does that has an order of its own, or that ops which
follow their operands join to one that has. Who made the value and who else reads it do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fuseline.costs.runs import FREE, IN_PIECES, Coming, Operand, Run, Runs, Value
from fuseline.costs.streams import WHOLE, Read, Stream

Step = tuple[Sequence[tuple[Value, Read]], tuple[tuple[Value, Stream], ...]]
"""An op of a group: how it reads each value, and the values that it makes, as streams."""


class _Part(NamedTuple):
    """Cells of a value from memory that come together, and how."""

    mask: int
    value: Value
    comes: Coming


class Walk:
    """The `steps` of the ops of a group, in program order.

    `sizes` are the bytes of each value, `sums` those of the running sums that ops keep.
    """

    def __init__(self, runs: Runs, ops: list[int]) -> None:
        self._runs = runs
        self._ops = ops
        self._inside = frozenset(ops)
        self._made: dict[Value, Stream] = {}
        self._parts: dict[Value, list[_Part]] = {}
        self._likes: dict[Value, tuple[Stream, int]] | None = None
        self.sizes: dict[Value, int] = {}
        self.sums = 0
        self.steps = [self._step(op) for op in ops]

    def _step(self, op: int) -> Step:
        made, sizes = self._made, self.sizes
        come = tuple([made.get(value, FREE) for value in self._runs.values[op]])
        reads: Sequence[tuple[Value, Read]]
        if FREE in come:
            run, reads = self._step_in(op)
        else:  # most ops of a large group read what it makes
            run = self._runs.run(op, come)
            reads = run.reads
            for value, nbytes in run.larger:
                sizes[value] = max(sizes[value], nbytes)
        self.sums += run.sums
        for value, stream in run.makes:
            made[value] = stream
            sizes[value] = stream.nbytes
        return reads, run.makes

    def _step_in(self, op: int) -> tuple[Run, list[tuple[Value, Read]]]:
        """How an op runs some of whose operands come from outside, and what it reads."""
        operands = self._runs.operands[op]
        found = [self._find(operand, place) for place, operand in enumerate(operands)]
        run = self._run(op, tuple([comes for comes, _ in found]))
        reads: list[tuple[Value, Read]] = []
        for (comes, values), (_, read), stream in zip(found, run.reads, run.comes, strict=True):
            if comes == FREE:
                self._settle(values[0], stream)
            how = WHOLE if comes == IN_PIECES else read
            reads += [(value, how) for value in values]
        return run, reads

    def _find(self, operand: Operand, place: int) -> tuple[Coming, list[Value]]:
        """How an operand comes, and the values that it is read from."""
        parts, stream = operand.parts, self._made.get(operand.value)
        if stream is not None:
            self.sizes[operand.value] = max(self.sizes[operand.value], operand.nbytes)
            return stream, [operand.value]
        if len(parts) == 1 or self._inside.isdisjoint(writer for writer, _ in parts):
            return self._enter(operand, place)
        values: list[Value] = []
        for writer, mask in parts:
            value = operand.tensor.storage, writer
            nbytes = mask.bit_count() * operand.cell
            if writer in self._inside:
                values.append(value)
                self.sizes[value] = max(self.sizes[value], nbytes)
            else:
                values += self._enter_whole(value, mask, operand.cell)
        return IN_PIECES, values

    def _enter(self, operand: Operand, place: int) -> tuple[Coming, list[Value]]:
        """What is read from memory: the first time as the group likes, and then as it came."""
        near = [part for part in self._parts.get(operand.value, ()) if part.mask & operand.mask]
        if not near:
            return FREE, [self._add(operand.value, operand.mask, operand.nbytes, place)]
        if len(near) == 1 and not operand.mask & ~near[0].mask:
            return near[0].comes, [near[0].value]
        return IN_PIECES, self._enter_whole(operand.value, operand.mask, operand.cell)

    def _enter_whole(self, value: Value, mask: int, cell: int) -> list[Value]:
        """The parts of `value` that hold some of `mask`, and one for what is left of it."""
        near = [part for part in self._parts.get(value, ()) if part.mask & mask]
        for part in near:
            mask &= ~part.mask
        found = [part.value for part in near]
        if mask:
            found.append(self._add(value, mask, mask.bit_count() * cell, IN_PIECES))
        return found

    def _add(self, value: Value, mask: int, nbytes: int, comes: Coming) -> Value:
        """A new part; until its op runs it comes as that op's operand of this number."""
        parts = self._parts.setdefault(value, [])
        name = (*value, len(parts))
        parts.append(_Part(mask, name, comes))
        self.sizes[name] = nbytes
        return name

    def _settle(self, name: Value, comes: Coming) -> None:
        """Note how a part came that its first reader has taken."""
        parts = self._parts[name[:-1]]
        parts[name[-1]] = parts[name[-1]]._replace(comes=comes)

    def _run(self, op: int, comes: tuple[Coming, ...]) -> Run:
        """How an op runs; what may come in any order comes as the group likes."""
        run = self._runs.run(op, comes)
        if not run.is_free or FREE not in comes or len(self._ops) == 1:
            return run
        if self._likes is None:
            self._likes = self._find_likes()
        liked = []
        for operand, coming in zip(self._runs.operands[op], comes, strict=True):
            stream, mask = self._likes.get(operand.value, (coming, 0))
            fits = coming == FREE and mask == operand.mask
            liked.append(stream if fits else coming)
        return self._runs.run(op, tuple(liked))

    def _find_likes(self) -> dict[Value, tuple[Stream, int]]:
        """How the first reader that has an order likes each value to come, and which cells of it.

        Orders go down from ops that have their own to those that follow, then up to the others.
        """
        runs = self._runs
        made: dict[Value, Stream] = {}
        found: dict[Value, tuple[Stream, int]] = {}
        ran = []
        for op in self._ops:
            run = runs.run(op, tuple([made.get(value, FREE) for value in runs.values[op]]))
            ran.append(run)
            if not run.is_free:
                made.update(run.makes)
        for op, run in zip(reversed(self._ops), reversed(ran), strict=True):
            likes = run.likes  # the earliest reader has the last word
            if run.is_free and (result := runs.results[op]) is not None:
                stream, _ = found.get((result.storage, op), (None, 0))
                likes = runs.likes(op, stream)
            for operand, stream in likes:
                found[operand.value] = stream, operand.mask
        return found
