"""Whether a group is one kernel under a rung of the ladder, judged as a whole.

A group has at most one *core*: a contraction, an attention, a pooling, or under T the steps of an
attention from scores to values. Ops that the core needs are its *prologue*, all others its
*epilogue*. A prologue or epilogue is one loop over one domain, a row at a time where it has
reductions; what is only reordered on the way in or out may hang on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from fuseline.costs.working_set import WorkingSets
from fuseline.fusion.attention import find_attention
from fuseline.fusion.compute import ComputeOps, bits
from fuseline.fusion.ladder.links import Link, Runs, domain_of, find_links, loops
from fuseline.fusion.ladder.rules import (
    ENGINES,
    PROLOGUE,
    REORDERING,
    Part,
    Reading,
    RuleSet,
    part_of,
    why_alone,
)
from fuseline.fusion.neighbours import Neighbours
from fuseline.graph import OUTSIDE, Graph, Kind, Op, OpClass
from fuseline.plan import Rule

_CORES = frozenset({Part.CONTRACTION, Part.ATTENTION, Part.WINDOW})
_FIRST_OPERAND = frozenset({
    Kind.LINEAR, Kind.ADDMM, Kind.MULTIHEAD_ATTENTION, Kind.SHIFTED_WINDOW_ATTENTION,
    Kind.SCALED_DOT_PRODUCT_ATTENTION,
})  # fmt: skip
"""Kinds that contract, or hold whole, the last dimension of what they read."""

_ROW_RESULTS = _FIRST_OPERAND | {Kind.MATMUL}
"""Kinds whose result has rows along its last dimension, all of which one kernel can hold."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a group is no kernel: a rule's name, and a sentence."""

    rule: Rule
    reason: str


class Kernels:
    """What the rules ask of one graph, found once: links, parts, attentions, readers.

    Sets of ops are bitsets over `compute` (see `ComputeOps`).
    """

    def __init__(self, graph: Graph, rules: RuleSet, on_chip: int | None = None) -> None:
        self.graph = graph
        self.rules = rules
        self.on_chip = on_chip
        self.working_sets = WorkingSets(graph) if on_chip is not None else None
        self.compute = ComputeOps(graph)
        number = self.compute.number
        self.ops = [graph.ops[op] for op in self.compute.ops]
        self.parts = [part_of(op) for op in self.ops]
        self.links = {(number[p], number[c]): link for (p, c), link in find_links(graph).items()}
        self.linked: list[int] = [0] * len(self.ops)  # by bytes, either way
        self.readers: list[int] = [0] * len(self.ops)
        self.kept = 0  # ops that write what outlives the graph
        for p, c in self.links:
            self.linked[p] |= 1 << c
            self.linked[c] |= 1 << p
            self.readers[p] |= 1 << c
        for place, op in enumerate(self.ops):
            if any(flow.reader == OUTSIDE for flow in graph.flows.written_by[op.id]):
                self.kept |= 1 << place
        self._sizes = [prod(domain_of(graph, op)) for op in self.ops]
        self._rows = {  # of any reduction: a value a row is spread over no others
            (row_of(graph, op), self._sizes[place])
            for place, op in enumerate(self.ops)
            if self.parts[place] is Part.ROWS
        }
        self.templates = self._find_templates() if rules.attention else {}
        self.class_allowed, self.class_barred = self._judge_links()
        self.cores = sum(1 << n for n, part in enumerate(self.parts) if part in _CORES)
        self.alone = sum(1 << n for n, part in enumerate(self.parts) if part is Part.ALONE)
        self.allowed, self.barred = self.class_allowed, self.class_barred
        if self.fits:  # along any link, whatever the classes
            self.allowed = [0 if self.alone >> n & 1 else near & ~self.alone
                            for n, near in enumerate(self.linked)]  # fmt: skip
            self.barred = [0] * len(self.ops)

    def _find_templates(self) -> dict[int, int]:
        """The ops of each attention in steps, scores to values, by each of its contractions."""
        near = Neighbours(self.graph)
        found: dict[int, int] = {}
        for place, op in enumerate(self.ops):
            if self.parts[place] is not Part.CONTRACTION or place in found:
                continue
            steps = find_attention(near, op)
            if steps is None:
                continue
            inside = [self.compute.number[step] for step in steps[steps.index(op.id) :]]
            if not self._attends(inside):
                continue
            core = sum(1 << step for step in inside)
            values = self.compute.number[steps[-1]]
            found[place] = found[values] = core
        return found

    def _attends(self, steps: list[int]) -> bool:
        """Whether softmax goes over what the scores' rows are, and values contract just that."""
        whole = [self.links.get(pair) for pair in pairwise(steps)]
        if any(link is None or not (link.fills and link.in_order) for link in whole[:-1]):
            return False
        softmax = next((step for step in steps if self.parts[step] is Part.ROWS), None)
        if softmax is None:  # of which nobody knows what it is over
            return False
        row = row_of(self.graph, self.ops[softmax])
        scores = loops(domain_of(self.graph, self.ops[steps[0]]), (-1,))
        return row == scores and self._contracted(steps[-2], steps[-1]) == row

    def _judge_links(self) -> tuple[list[int], list[int]]:
        """For each op those it may share a kernel with along a link, and those it may not."""
        allowed, barred = [0] * len(self.ops), [0] * len(self.ops)
        for (p, c), link in self.links.items():
            side = allowed if self.object_to_link(p, c, link) is None else barred
            side[p] |= 1 << c
            side[c] |= 1 << p
        return allowed, barred

    def object_to_link(self, p: int, c: int, link: Link | None = None) -> Fault | None:
        """Why what `p` writes may not stay in one kernel for `c`; None where it may."""
        link = link or self.links[p, c]
        before, after = self.parts[p], self.parts[c]
        one, other = self.ops[p].name, self.ops[c].name
        for place in (p, c):
            if self.parts[place] is Part.ALONE:
                return Fault(
                    Rule.UNKNOWN_OP, f"{self.ops[place].name} {why_alone(self.ops[place])}"
                )
        if after is Part.WINDOW and self.ops[c].kind is Kind.BATCHNORM:
            return Fault(Rule.BATCH_STATISTICS, f"{other} needs all of {one} before it can start")
        rows = [r for r in self.rules.rows if before in r.before and after in r.after]
        if not rows:
            who = (
                f"no row of {self.rules.name} joins {_a(before)} ({one}) and {_a(after)} ({other})"
            )
            return Fault(Rule.NO_RULE, who)
        if any(self._reads_so(c, link, row.reading) for row in rows):
            return None
        wanted = " or ".join(row.reading.value for row in rows)
        return Fault(Rule.ITERATION_DOMAIN, f"{other} does not read what {one} makes as {wanted}")

    def _reads_so(self, c: int, link: Link, reading: Reading) -> bool:
        if reading is Reading.OPERAND:
            return link.whole
        if reading is Reading.DOMAIN:
            return link.whole and link.fills
        if not link.whole or (link.spread, self._sizes[c]) not in self._rows:
            return False
        return self.parts[c] is Part.ROWS or self.ops[c].op_class is OpClass.ELEMENTWISE

    @property
    def fits(self) -> bool:
        """Whether any group that fits the on-chip memory is a kernel: rung M with a capacity."""
        return self.rules.fits and self.on_chip is not None

    def find_fault(self, group: int) -> Fault | None:
        """What keeps `group` from being one kernel under the rules; None where nothing does.

        With a capacity a group must also fit it: a kernel of A, B and T with the least it can hold
        when it tiles; one that only M allows with its whole working set. An op alone tiles.
        """
        fault = self._find_class_fault(group)
        if self.working_sets is None or self.on_chip is None or group & (group - 1) == 0:
            return fault
        if fault is not None and (not self.fits or fault.rule is Rule.UNKNOWN_OP):
            return fault
        if fault is None and self.fits:
            return None  # M allows all that T does, whatever the capacity
        ids = self.compute.ids(group)
        sets = self.working_sets
        needed = sets.tile_nbytes(ids) if fault is None else sets.nbytes(ids)
        if needed <= self.on_chip:
            return None
        first = self.ops[next(bits(group))].name
        sentence = f"the group of {first} holds {needed:,} bytes on chip, of {self.on_chip:,}"
        return Fault(Rule.CAPACITY, sentence)

    def may_grow(self, group: int) -> bool:
        """Whether a group with more ops than these may be a kernel, links and paths allowing."""
        if not self.fits or self.working_sets is None or self.on_chip is None:
            return True
        if self.working_sets.resident(self.compute.ids(group)) <= self.on_chip:
            return True
        if any(self.class_barred[place] & group for place in bits(group)):
            return False
        cores = list(bits(self.cores & group))
        return len(cores) <= 1 or self.templates.get(cores[0], 0) >> cores[1] & 1 == 1

    def _find_class_fault(self, group: int) -> Fault | None:
        members = list(bits(group))
        if len(members) <= 1:
            return None
        if not self.rules.rows:
            return Fault(Rule.NO_RULE, f"{self.rules.name} gives every op a kernel of its own")
        for place in members:
            if self.parts[place] is Part.ALONE:
                return Fault(
                    Rule.UNKNOWN_OP, f"{self.ops[place].name} {why_alone(self.ops[place])}"
                )
        cores = [place for place in members if self.parts[place] in _CORES]
        fault = self._check_engines(cores, group) or self._check_links(members, group)
        if fault is not None:
            return fault
        if len(cores) > 1 and not self._template(cores, group):
            names = " and ".join(self.ops[place].name for place in cores[:2])
            return Fault(Rule.SECOND_CONTRACTION, f"{names} are two loops, not one")
        core = self._template(cores, group) or sum(1 << place for place in cores)
        prologue = self._needed_by(core, group) & ~core
        return self._check_prologue(prologue, core, group) or self._check_loop(
            group & ~core & ~prologue, cores[-1] if cores else None
        )

    def _check_engines(self, cores: list[int], group: int) -> Fault | None:
        """At most one contraction or attention, or the two of one attention."""
        engines = [place for place in cores if self.parts[place] in ENGINES]
        if len(engines) <= 1 or self._template(engines, group):
            return None
        names = ", ".join(self.ops[place].name for place in engines[:3])
        sentence = f"{len(engines)} contractions in one kernel ({names})"
        return Fault(Rule.SECOND_CONTRACTION, sentence)

    def _template(self, cores: list[int], group: int) -> int:
        """The attention whose contractions `cores` are, if `group` holds all of it; else 0."""
        template = self.templates.get(cores[0], 0) if cores else 0
        if len(cores) != 2 or template & ~group or not template >> cores[1] & 1:  # noqa: PLR2004
            return 0
        return template

    def _check_links(self, members: list[int], group: int) -> Fault | None:
        for place in members:
            for other in bits(self.readers[place] & group & self.class_barred[place]):
                if (fault := self.object_to_link(place, other)) is not None:
                    return fault
        return None

    def _needed_by(self, core: int, group: int) -> int:
        """Ops of `group` that `core` depends on, itself included."""
        found = pending = core
        while pending:
            above = 0
            for place in bits(pending):
                above |= self.compute.before[place]
            pending = above & group & ~found
            found |= pending
        return found

    def _check_prologue(self, prologue: int, core: int, group: int) -> Fault | None:
        for place in bits(prologue):
            name = self.ops[place].name
            if self.parts[place] not in PROLOGUE:
                return Fault(
                    Rule.PROLOGUE,
                    f"{name} is {_a(self.parts[place])}, and would feed a contraction",
                )
            if self.kept >> place & 1 or self.readers[place] & ~group:
                return Fault(
                    Rule.SINGLE_USE, f"{name} goes into a contraction, and is used elsewhere too"
                )
            if self.readers[place] & ~core & ~prologue:
                return Fault(
                    Rule.SINGLE_USE, f"{name} is needed both by the contraction and after it"
                )
        for part in self._connected(prologue):
            reduced: list[Runs] = []
            if (fault := self._check_loop(part, None, reduced)) is not None:
                return fault
            if reduced and (fault := self._check_contracted(part, core, reduced[0])) is not None:
                return fault
        return None

    def _check_contracted(self, part: int, core: int, row: Runs) -> Fault | None:
        """A row prologue's rows are what the core contracts: it holds them whole in any case."""
        engines = [place for place in bits(core) if self.parts[place] in ENGINES]
        for p in bits(part):
            for c in bits(self.readers[p] & core):
                held = self._contracted(p, c)
                if len(engines) > 1 and c == engines[-1]:  # keys stream past, each value whole
                    held = self.links[p, c].last
                if held != row:
                    names = f"{self.ops[c].name} does not contract the rows that feed it"
                    return Fault(Rule.ROW_PROLOGUE, names)
        return None

    def _contracted(self, p: int, c: int) -> Runs | None:
        """The loop that `c` contracts, or holds whole, of the operand that `p` makes."""
        link, op = self.links[p, c], self.ops[c]
        if op.kind is Kind.MATMUL:
            return (None, link.last, link.last_but_one)[self._operand_place(self.ops[p], op)]
        if op.kind not in _FIRST_OPERAND or not self._is_operand(self.ops[p], op):
            return None
        return link.last

    def _is_operand(self, producer: Op, op: Op) -> bool:
        """Whether `producer` makes what `op` multiplies: no addend, no mask."""
        tensors = self.graph.tensors
        made = {tensors[t].storage for t in (*producer.outputs, *producer.writes)}
        places = [n for n, t in enumerate(op.inputs) if tensors[t].storage in made]
        if op.kind is Kind.ADDMM:  # addend and weight are the model's, and what is left is read
            return len(op.inputs) == 1 and len(op.parameters) > 1
        if op.kind is not Kind.SCALED_DOT_PRODUCT_ATTENTION:
            return places == [0]
        if places == [0] or not places or len(op.inputs) < 3 or max(places) > 2:  # noqa: PLR2004
            return places == [0]  # query, key and value where all three are told apart
        return all(
            tensors[op.inputs[n]].shape[-1] == tensors[op.inputs[0]].shape[-1] for n in places
        )

    def _operand_place(self, producer: Op, matmul: Op) -> int:
        """1 for the first operand of a matmul, 2 for the second, 0 where that cannot be told."""
        tensors = self.graph.tensors
        made = {tensors[t].storage for t in (*producer.outputs, *producer.writes)}
        places = [n for n, t in enumerate(matmul.inputs) if tensors[t].storage in made]
        if len(places) != 1:
            return 0
        if len(matmul.inputs) == 2:  # noqa: PLR2004 - both operands are activations
            return places[0] + 1
        result = tensors[matmul.outputs[0]].shape
        read = tensors[matmul.inputs[0]].shape
        rows_match = len(read) > 1 and len(result) > 1 and read[-2] == result[-2]
        columns_match = read[-1] == result[-1]
        return (0, 1, 2, 0)[rows_match + 2 * columns_match]

    def _connected(self, group: int) -> Iterable[int]:
        """The parts of `group` that no link joins."""
        while group:
            part = pending = group & -group
            while pending:
                near = 0
                for place in bits(pending):
                    near |= self.linked[place]
                pending = near & group & ~part
                part |= pending
            yield part
            group &= ~part

    def _check_loop(
        self, ops: int, core: int | None, reduced: list[Runs] | None = None
    ) -> Fault | None:
        """Whether `ops` run in one loop, after `core` where there is one.

        The rows they reduce are appended to `reduced`.
        """
        loop = _Loop(self, ops, core)
        fault = loop.find_fault()
        if fault is None and loop.row and reduced is not None:
            reduced.append(loop.row)
        return fault


def row_of(graph: Graph, op: Op) -> Runs:
    """The loops over one row of a row reduction, as steps in its domain."""
    shape = domain_of(graph, op)
    axes = op.axes or ()
    if op.row_numel is not None and op.row_numel != prod(shape[axis] for axis in axes):
        return ((op.row_numel, 1),)  # part of the axes, without a gap: the channels of a group
    return loops(shape, axes)


def _a(part: Part) -> str:
    return f"{'an' if part.value[0] in 'aeiou' else 'a'} {part.value} op"


class _Loop:
    """Ops that are to share a loop: which of them walk one domain in one order.

    An op has a face for what it reads and, where it reduces rows to values, another for what it
    writes. Faces that a link joins in order are one; faces joined out of order may not be joined
    in a second way.
    """

    def __init__(self, kernels: Kernels, ops: int, core: int | None) -> None:
        self._kernels = kernels
        self._ops = ops
        self._core = core
        self._of: dict[tuple[int, bool], tuple[int, bool]] = {}
        self._spreads: list[tuple[int, int, Link]] = []
        self._reordered: list[tuple[int, int]] = []
        self.reductions = [n for n in bits(ops) if kernels.parts[n] is Part.ROWS]
        self.row: Runs = ()

    def find_fault(self) -> Fault | None:
        self._join_faces()
        return self._check_rows() or self._check_spreads() or self._check_orders()

    def _join_faces(self) -> None:
        kernels = self._kernels
        inside = self._ops | (1 << self._core if self._core is not None else 0)
        for p in bits(inside):
            for c in bits(kernels.readers[p] & self._ops):
                link = kernels.links[p, c]
                if not link.fills:
                    self._spreads.append((p, c, link))
                elif link.in_order and kernels.ops[c].kind not in REORDERING:
                    self._unite(self._out(p), self._in(c))
                else:
                    self._reordered.append((p, c))

    def _check_rows(self) -> Fault | None:
        """All reductions reduce the same rows of the same domain; after a core, rows it holds."""
        kernels = self._kernels
        rows = {row_of(kernels.graph, kernels.ops[n]) for n in self.reductions}
        sizes = {prod(domain_of(kernels.graph, kernels.ops[n])) for n in self.reductions}
        if len(rows) > 1 or len(sizes) > 1:
            names = " and ".join(kernels.ops[n].name for n in self.reductions[:2])
            return Fault(Rule.ITERATION_DOMAIN, f"{names} reduce different rows")
        if not rows:
            return None
        self.row = rows.pop()
        if self._core is None:
            for other in self.reductions[1:]:  # row by row, side by side
                self._unite(self._in(other), self._in(self.reductions[0]))
            return None
        faces = {self._find(self._in(n)) for n in self.reductions}
        core, name = kernels.ops[self._core], kernels.ops[self.reductions[0]].name
        if not kernels.rules.row_epilogue:
            sentence = f"{name} needs whole rows of {core.name}'s result, which A does not hold"
            return Fault(Rule.ROW_EPILOGUE, sentence)
        last = loops(domain_of(kernels.graph, core), (-1,)) if core.outputs else ()
        if (
            core.kind not in _ROW_RESULTS
            or self.row != last
            or faces != {self._find(self._out(self._core))}
        ):
            sentence = f"{name} does not reduce the rows of {core.name}'s result"
            return Fault(Rule.ROW_EPILOGUE, sentence)
        return None

    def _check_spreads(self) -> Fault | None:
        """What is not read element by element is one value a row of the rows that are reduced.

        Its reader walks the reduced domain, row by row: because it reads it too, or because it
        reads nothing else of this loop.
        """
        kernels = self._kernels
        for p, c, link in self._spreads:
            first = self.reductions[0] if self.reductions else None
            if first is None or not self._is_of_rows(first, p, c, link):
                one, other = kernels.ops[p].name, kernels.ops[c].name
                return Fault(Rule.ITERATION_DOMAIN, f"{other} reads {one} over another domain")
            self._unite(self._in(c), self._in(first))
        return None

    def _is_of_rows(self, reduction: int, p: int, c: int, link: Link) -> bool:
        ops, graph = self._kernels.ops, self._kernels.graph
        sizes = [prod(domain_of(graph, ops[op])) for op in (reduction, c)]
        return (
            link.spread == self.row
            and sizes[0] == sizes[1]
            and self._find(self._out(p)) != self._find(self._in(reduction))
        )

    def _check_orders(self) -> Fault | None:
        for p, c in self._reordered:
            if not self._unite(self._out(p), self._in(c)):
                one, other = self._kernels.ops[p].name, self._kernels.ops[c].name
                sentence = f"{other} needs {one}'s elements in two orders at once"
                return Fault(Rule.ITERATION_DOMAIN, sentence)
        return None

    def _in(self, op: int) -> tuple[int, bool]:
        return op, False

    def _out(self, op: int) -> tuple[int, bool]:
        kernels = self._kernels
        if kernels.parts[op] is not Part.ROWS:
            return op, False
        made = kernels.ops[op].outputs
        full = prod(domain_of(kernels.graph, kernels.ops[op]))
        return op, not made or kernels.graph.tensors[made[0]].numel != full

    def _find(self, face: tuple[int, bool]) -> tuple[int, bool]:
        while (up := self._of.get(face, face)) != face:
            face = up
        return face

    def _unite(self, one: tuple[int, bool], other: tuple[int, bool]) -> bool:
        one, other = self._find(one), self._find(other)
        self._of[one] = other
        return one != other
