"""The captured model as immutable data, with the totals that follow from it alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from fuseline.graph.data import Op, Role, Status, Storage, Tensor
from fuseline.graph.flows import OUTSIDE, Flow, Flows, trace_flows
from fuseline.graph.kinds import OpClass


@dataclass(frozen=True, slots=True)
class Source:
    """Where a graph came from.

    `via` is the frontend that captured it; `mode` is `eval`, or `train` where any module of the
    model trains; `nodes` is the size of what was read (FX nodes at module level: ops,
    placeholders, `get_attr` and the output; in a recorded graph every op, folded ones included);
    `torch` is the version that traced it. `notes` are sentences on what was chosen or assumed:
    a head class, a sequence length, small real tensors.
    """

    name: str
    source: str
    via: str
    mode: str
    batch: int
    dtype: str
    input_shapes: tuple[tuple[int, ...], ...]
    nodes: int = 0
    torch: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)  # not slotted: what is derived from the data is computed once and kept
class Graph:
    """A model: every storage, tensor and op, ids dense and in program order.

    `folded` are ops that need no input: they run once, before the model serves anything, and what
    they leave is a constant. They have ids of their own and are in no group.

    Complete on its own: it is partitioned, priced and reported without the model or torch.
    """

    source: Source
    storages: tuple[Storage, ...]
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    outputs: tuple[int, ...]
    folded: tuple[Op, ...] = ()

    @cached_property
    def flows(self) -> Flows:
        """Who reads what whom wrote."""
        return trace_flows(self.storages, self.tensors, self.ops, self.outputs)

    @cached_property
    def dependences(self) -> tuple[tuple[int, ...], ...]:
        """For each op the ops that must run before it: operands and storage hazards."""
        before = [dict.fromkeys(op.predecessors) for op in self.ops]
        for earlier, later in sorted(self.flows.orders):
            before[later][earlier] = None
        return tuple(tuple(ops) for ops in before)

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For each op the ops that take its result, in program order."""
        after: list[list[int]] = [[] for _ in self.ops]
        for op in self.ops:
            for predecessor in op.predecessors:
                after[predecessor].append(op.id)
        return tuple(tuple(ops) for ops in after)

    @property
    def operators(self) -> int:
        """Module and function calls, as the seed document counts; of a recorded graph, compute
        ops.
        """
        return sum(op.is_operator for op in self.ops)

    @property
    def compute_ops(self) -> int:
        """Ops that read or write device memory."""
        return sum(op.is_compute for op in self.ops)

    @property
    def views(self) -> int:
        """Ops whose result aliases their input and that write nothing."""
        return sum(op.op_class is OpClass.VIEW for op in self.ops)

    @property
    def control_ops(self) -> int:
        """Host-side ops: neither bytes nor launches."""
        return sum(op.op_class is OpClass.CONTROL for op in self.ops)

    @property
    def unknown_ops(self) -> tuple[Op, ...]:
        """Ops that no formula knows; every total leaves out their FLOPs and must say so."""
        return tuple(op for op in (*self.folded, *self.ops) if op.work.status is Status.UNKNOWN)

    @property
    def flops(self) -> int:
        """FLOPs of contractions and attention (2 x multiply-accumulates) [FLOP].

        Those of folded ops are in it; what a plan runs is `flops - folded_flops`.
        """
        return sum(op.work.flops for op in self.ops) + self.folded_flops

    @property
    def folded_flops(self) -> int:
        """FLOPs of folded ops [FLOP]."""
        return sum(op.work.flops for op in self.folded)

    @property
    def causal_flops(self) -> int:
        """`flops` with causal attention counted only where its mask lets it look [FLOP]."""
        return self.flops - sum(op.work.masked_flops for op in (*self.ops, *self.folded))

    @property
    def other_flops(self) -> int:
        """Elementwise, reduction, normalisation and pooling work, folded ops apart [FLOP]."""
        return sum(op.work.other_flops for op in self.ops)

    @property
    def hidden_bytes(self) -> int:
        """Traffic inside composite ops that this graph shows as one op [bytes]."""
        return sum(op.hidden_bytes for op in self.ops)

    @cached_property
    def parameter_bytes(self) -> int:
        """Distinct bytes of what the model holds that compute ops read, folded ones included:
        parameters, buffers and constants as the model has them [bytes].
        """
        if self.folded:
            return self._with_folded.parameter_bytes
        return self._distinct(self._reads_from_outside(lambda storage: storage.is_held))

    @cached_property
    def compulsory_bytes(self) -> int:
        """The least any partition can move [bytes].

        Per storage: the union of the input and parameter bytes that compute ops read, plus the
        union of the bytes they write into outputs, mutated inputs or buffers.
        """
        reads = self._reads_from_outside(lambda storage: storage.role is not Role.ACTIVATION)
        return self._distinct(reads) + self._distinct(self.flows.kept)

    @property
    def _with_folded(self) -> Graph:
        """The same program with its folded ops run as part of it."""
        ahead = len(self.folded)
        later = (
            replace(op, id=op.id + ahead, predecessors=tuple(n + ahead for n in op.predecessors))
            for op in self.ops
        )
        made = {
            self.tensors[tensor].storage
            for op in self.folded
            if op.is_compute
            for tensor in op.outputs
        }
        storages = tuple(
            replace(storage, role=Role.ACTIVATION) if storage.id in made else storage
            for storage in self.storages
        )
        ops = (*self.folded, *later)
        return Graph(self.source, storages, self.tensors, ops, self.outputs)

    def _reads_from_outside(self, wanted: Callable[[Storage], bool]) -> list[Flow]:
        return [
            flow
            for flows in self.flows.read_by
            for flow in flows
            if flow.writer == OUTSIDE and wanted(self.storages[flow.storage])
        ]

    def _distinct(self, flows: list[Flow] | tuple[Flow, ...]) -> int:
        by_storage: dict[int, list[Flow]] = defaultdict(list)
        for flow in flows:
            by_storage[flow.storage].append(flow)
        return sum(self.flows.nbytes(group) for group in by_storage.values())
