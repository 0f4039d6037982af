"""The search: blocks first, then each kernel takes on consumers that the pair rules allow.

After nn-Meter's kernel detector (Zhang et al., MobiSys 2021), which has no check for cycles; here
a join that would make two kernels depend on each other is refused.
"""

from __future__ import annotations

from collections import deque

from fuseline.fusion.chains import Objection
from fuseline.fusion.ladder.rules import why_alone
from fuseline.fusion.pair_rules.rules import Before, Consumers, PairRules, Verdict
from fuseline.fusion.plans import make_plan
from fuseline.fusion.tables.matcher import Matcher, match_table
from fuseline.fusion.tables.rows import Table
from fuseline.graph import CLASS_OF, Graph, Op, OpClass
from fuseline.plan import Plan, Rule

_NAMED = 3  # a sentence names this many ops


def pair_rules(graph: Graph, rules: PairRules) -> Plan:
    """The kernels that `rules` make of `graph`.

    >>> from fuseline.fusion.pair_rules import load_pair_rules
    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 4, 8, 8), role=Role.INPUT)
    >>> y = build.op("conv", Kind.CONV2D, inputs=[x], shape=(1, 4, 8, 8), target="conv")
    >>> z = build.op("act", Kind.RELU, inputs=[y], shape=(1, 4, 8, 8), target="relu")
    >>> plan = pair_rules(build.finish([z]), load_pair_rules("tflite-cpu"))
    >>> [group.pattern for group in plan.groups]
    ['conv_relu']
    """
    kernels = _Kernels(match_table(graph, Table(rules.backend, rules.blocks)), rules)
    kernels.grow()
    return make_plan(
        kernels.matcher.near,
        f"pair-rules:{rules.name}",
        kernels.matcher.chains.quotient,
        kernels.explain,
    )


class _Kernels:
    """The kernels while they grow. An op or block is called a unit, and named by its last op."""

    def __init__(self, matcher: Matcher, rules: PairRules) -> None:
        self.matcher = matcher
        self._graph = matcher.graph
        self._links = matcher.links
        self._quotient = matcher.chains.quotient
        self._rules = rules
        self._unit = list(range(len(self._graph.ops)))  # op -> its unit
        self._word = [_word_of(op) for op in self._graph.ops]  # by unit; None: in no rule
        self._host: dict[int, int] = {}  # unit that joined a kernel -> the kernel's first unit
        self._stops: dict[tuple[int, int], Objection] = {}
        for match in matcher.matches:
            last = match.ops[-1]
            self._word[last] = match.row.name
            for op in match.ops:
                self._unit[op] = last

    def grow(self) -> None:
        """Let each unit that is in no kernel yet begin one, in an order that runs."""
        for op in self._graph.ops:
            if op.is_compute and self._unit[op.id] == op.id and op.id not in self._host:
                self._grow(op.id)

    def _grow(self, first: int) -> None:
        """One kernel: from every unit in it to those of its consumers that may join."""
        pending = deque([first])
        while pending:
            tail = pending.popleft()
            after = self._links.after[tail]
            units = list(dict.fromkeys(self._unit[consumer] for consumer in after))
            if len(units) > 1 and self._rules.consumers is Consumers.NONE:
                self._stop_fork(tail, after)
                continue
            for unit in units:
                objection = self._object(first, tail, unit)
                if objection is not None:
                    self._stop(tail, unit, objection)
                    continue
                self._quotient.join(self._quotient.group_of[first], self._quotient.group_of[unit])
                self._host[unit] = first
                pending.append(unit)
                if self._rules.consumers is Consumers.FIRST:
                    break

    def _object(self, first: int, tail: int, unit: int) -> Objection | None:
        """What keeps `unit`, which takes the result of `tail`, out of the kernel of `first`."""
        ops = self._graph.ops
        for op in (ops[tail], ops[unit]):
            if op.op_class is OpClass.OPAQUE:
                return Objection(Rule.UNKNOWN_OP, f"{op.name} {why_alone(op)}")
        if unit in self._host:
            name = ops[self._host[unit]].name
            return Objection(Rule.ALREADY_PLACED, f"{ops[unit].name} is in the kernel of {name}")
        named = first if self._rules.before is Before.FIRST else tail
        if (objection := self._verdict(named, unit)) is not None:
            return objection
        groups = self._quotient.group_of[first], self._quotient.group_of[unit]
        if groups[0] == groups[1]:
            return Objection(Rule.ALREADY_PLACED, f"{ops[unit].name} is in this kernel")
        if self._quotient.would_cycle(*groups):
            names = f"the kernel of {ops[first].name} and {ops[unit].name}"
            sentence = f"joined, {names} would depend on each other through a third"
            return Objection(Rule.CYCLE, sentence)
        return None

    def _verdict(self, before: int, after: int) -> Objection | None:
        words = self._word[before], self._word[after]
        if words[0] is None or words[1] is None:
            name = self._graph.ops[before if words[0] is None else after].name
            return Objection(Rule.NO_RULE, f"{self._rules.name} has no rule for what {name} is")
        verdict: Verdict | None = self._rules.pairs.get((words[0], words[1]))
        if verdict is None:
            sentence = f"{self._rules.name} has no rule for {words[0]} -> {words[1]}"
            return Objection(Rule.NO_RULE, sentence)
        if verdict.fuses:
            return None
        why = f"{verdict.place}, {verdict.measured}"
        sentence = f"{self._rules.name} keeps {words[0]} and {words[1]} apart ({why})"
        return Objection(Rule.NO_RULE, sentence)

    def _stop_fork(self, tail: int, after: list[int]) -> None:
        ops = self._graph.ops
        names = ", ".join(ops[op].name for op in after[:_NAMED])
        more = ", ..." if len(after) > _NAMED else ""
        sentence = f"{ops[tail].name} has {len(after)} consumers ({names}{more})"
        for consumer in after:
            self._stops[tail, consumer] = Objection(Rule.FORK, sentence)

    def _stop(self, tail: int, unit: int, objection: Objection) -> None:
        for consumer in self._links.after[tail]:
            if self._unit[consumer] == unit:
                self._stops[tail, consumer] = objection

    def explain(self, edge: tuple[int, int]) -> Objection:
        """Why two neighbours are in different kernels."""
        producer, consumer = self._links.root[edge[0]], edge[1]
        if (stop := self._stops.get((producer, consumer))) is not None:
            return stop
        tail, unit = self._unit[producer], self._unit[consumer]
        if (objection := self._object(self._host.get(tail, tail), tail, unit)) is not None:
            return objection
        names = self._graph.ops[producer].name
        sentence = f"{names} has several consumers, and {self._rules.name} joins the first alone"
        return Objection(Rule.FORK, sentence)


def _word_of(op: Op) -> str | None:
    """What the rules call an op: its kind, where it is of its kind's usual class."""
    return op.kind.value if op.is_compute and op.op_class is CLASS_OF[op.kind] else None
