"""What the real Inductor fuses: its scheduler's kernels, read back before any code is generated.

A pass that Inductor calls once it has fused notes every scheduler node and stops the compilation
there. Inductor's names for these things are private: the torch range is pinned.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuseline.costs.cover import cover_traffic
from fuseline.errors import InputError, foreign_code
from fuseline.fusion.inductor import inductor

if TYPE_CHECKING:
    from torch import nn

TORCH = "2.13"
"""The release whose scheduler this module knows how to read."""

_NOT_LAUNCHED = ("NopKernelSchedulerNode",)
_TEMPORARY = re.compile(r"\btmp\d+\b")

_MADE_FROM_NOTHING = frozenset({"prims.iota.default", "aten.cumsum.default"})
"""What positions and masks are made of, in a model whose inputs do not hold them."""


@dataclass(frozen=True, slots=True)
class OracleNode:
    """One kernel of Inductor's: its name, its library call or "", and what it moves [bytes].

    `excess_nbytes` is what of `read_nbytes` its loops cannot touch: Inductor counts a buffer whole
    that fused loops read by an index.
    """

    name: str
    call: str
    targets: tuple[str, ...]
    is_reduction: bool
    read_nbytes: int
    written_nbytes: int
    excess_nbytes: int


@dataclass(frozen=True, slots=True)
class OracleResult:
    """Inductor's kernels for one model."""

    nodes: tuple[OracleNode, ...]

    @property
    def launches(self) -> int:
        """Kernels and library calls."""
        return len(self.nodes)

    @property
    def read_nbytes(self) -> int:
        """Bytes read, as Inductor counts them."""
        return sum(node.read_nbytes for node in self.nodes)

    @property
    def written_nbytes(self) -> int:
        """Bytes written, as Inductor counts them."""
        return sum(node.written_nbytes for node in self.nodes)

    @property
    def nbytes(self) -> int:
        """Bytes moved, as Inductor counts them."""
        return self.read_nbytes + self.written_nbytes

    @property
    def excess_nbytes(self) -> int:
        """What of `nbytes` no loop touches: tables that an index selects from, counted whole."""
        return sum(node.excess_nbytes for node in self.nodes)


@dataclass(frozen=True, slots=True)
class InductorRow:
    """One model by our rules and by Inductor. `explanation` is empty where both agree.

    `excess_nbytes` is what Inductor counts of tables beyond what its loops can touch.
    """

    model: str
    ours_launches: int
    ours_nbytes: int
    oracle_launches: int
    oracle_nbytes: int
    excess_nbytes: int
    explanation: str

    @property
    def difference(self) -> float:
        """Our bytes against Inductor's without their excess [%]."""
        return 100 * (self.ours_nbytes / (self.oracle_nbytes - self.excess_nbytes) - 1)


class _Stop(BaseException):  # a plain exception would be swallowed
    """Ends a compilation once its kernels are known."""

    def __init__(self, nodes: tuple[OracleNode, ...]) -> None:
        super().__init__()
        self.nodes = nodes


def read_partition(
    model: nn.Module, inputs: tuple[tuple[Any, ...], dict[str, Any]], *, layout_optimization: bool
) -> OracleResult:
    """The kernels that Inductor makes of `model` on `inputs` (positional, by keyword), on the CPU.

    Nothing is run and no code is generated: seconds, where a compilation takes up to a minute.
    Raises `InputError` under another torch, and where the model does not compile as one graph.
    """
    import torch
    from torch._inductor import config

    _check_torch(torch.__version__)
    torch._dynamo.reset()  # noqa: SLF001 - torch offers no other way to forget a compilation
    options = {
        "_post_fusion_custom_pass": _make_pass(),
        "force_disable_caches": True,
        "layout_optimization": layout_optimization,
    }
    with torch.no_grad(), warnings.catch_warnings(), config.patch(options):
        warnings.simplefilter("ignore")  # torch's own deprecations, while it compiles
        try:
            with foreign_code("Inductor cannot compile the model", passing=_is_stop):
                torch.compile(model, fullgraph=True)(*inputs[0], **inputs[1])
        except _Stop as stop:
            return OracleResult(stop.nodes)
    raise InputError("Inductor compiled nothing of the model: it makes no kernel")


def _check_torch(version: str) -> None:
    """Raises `InputError` under a torch whose scheduler may be another.

    >>> _check_torch("2.12.1")
    Traceback (most recent call last):
    fuseline.errors.InputError: Inductor's kernels are read from torch 2.13: this is torch 2.12.1
    """
    if not version.startswith(f"{TORCH}."):
        raise InputError(f"Inductor's kernels are read from torch {TORCH}: this is torch {version}")


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, _Stop)


def _make_pass() -> object:
    from torch._inductor.custom_graph_pass import CustomSchedulerPass

    class Read(CustomSchedulerPass):
        """Notes the kernels and stops."""

        def __call__(self, nodes: list[Any]) -> list[Any]:
            raise _Stop(tuple(_describe(node) for node in nodes if _is_launched(node)))

        def uuid(self) -> None:
            """Never cached."""

    return Read()


# --- one scheduler node -----------------------------------------------------------------------


def _is_launched(node: Any) -> bool:  # noqa: ANN401 - Inductor's own classes have no stable names
    """Whether it is a kernel: not a placeholder, nor one result of a library call of several."""
    if type(node).__name__ in _NOT_LAUNCHED:
        return False
    return type(node.node).__name__ != "MultiOutput"


def _describe(node: Any) -> OracleNode:  # noqa: ANN401
    reads = node.get_read_write_buffer_accesses(include_reads=True, include_writes=False)
    writes = node.get_read_write_buffer_accesses(include_reads=False, include_writes=True)
    parts = node.get_nodes()
    targets = {
        str(origin.target) for part in parts if part.node for origin in part.node.get_origins()
    }
    return OracleNode(
        name=node.get_name(),
        call=getattr(node.node, "python_kernel_name", None) or "",
        targets=tuple(sorted(targets)),
        is_reduction=node.is_reduction(),
        read_nbytes=sum(reads.values()),
        written_nbytes=sum(writes.values()),
        excess_nbytes=sum(_excess(parts, buffer, nbytes) for buffer, nbytes in reads.items()),
    )


def _excess(parts: Sequence[Any], buffer: str, nbytes: int) -> int:
    """What a kernel is counted to read of `buffer` beyond what its loops can touch.

    Each loop nest touches at most one element an iteration and access; what two nests read at the
    same place is one access.
    """
    if len(parts) == 1:  # here Inductor counts so itself
        return 0
    from torch._inductor.dependencies import MemoryDep

    touched: dict[tuple[str, int], int] = {}
    for part in parts:
        for dep in part.read_writes.reads:
            if dep.name != buffer:
                continue
            if not isinstance(dep, MemoryDep):
                return 0
            numel = 1
            for size in (*part.get_ranges()[0], *part.get_ranges()[1]):
                numel *= int(size)
            index = _TEMPORARY.sub("tmp", str(dep.normalize().index))
            touched[index, numel] = numel
    item = _item(parts, buffer)
    return max(0, nbytes - item * sum(touched.values()))


def _item(parts: Sequence[Any], buffer: str) -> int:
    """Bytes of an element of a buffer."""
    graph = parts[0].scheduler.name_to_buf
    if buffer in graph:
        return graph[buffer].node.get_dtype().itemsize
    from torch._inductor.virtualized import V

    return V.graph.get_dtype(buffer).itemsize


# --- our rules beside it ------------------------------------------------------------------------


def inductor_rows(models: Iterable[str]) -> list[InductorRow]:
    """Our rule model against Inductor, model by model, without layout optimisation."""
    return [_compare(model) for model in models]


def explain(ours_launches: int, ours_nbytes: int, oracle: OracleResult) -> str:
    """Why the two differ, as far as what Inductor compiled shows it; empty where they agree.

    Positions and masks are told by what they are made of, parts counted whole by the sign of the
    difference where the kernels are as many. The rest is what the rules leave out.
    """
    left = oracle.nbytes - oracle.excess_nbytes - ours_nbytes
    more = oracle.launches - ours_launches
    if not more and not left:
        return ""
    made = sum(not _MADE_FROM_NOTHING.isdisjoint(node.targets) for node in oracle.nodes)
    reasons = []
    if made and more > 0:
        reasons.append(f"{made} kernels make or read positions and masks that the record knows")
    if not more and left > 0:
        reasons.append(f"{left:,} bytes are of buffers counted whole where a part is read")
    if more > made or more < 0 or (not more and left < 0):
        reasons.append(
            f"{more:+} kernels: layout copies and loop orders that the rules do not model"
            if more
            else f"{-left:,} bytes of steps inside one op, which the graph does not show"
        )
    return "; ".join(reasons) or f"{left:,} bytes unexplained"


def _compare(name: str) -> InductorRow:
    from fuseline.frontends import capture
    from fuseline.frontends.record import with_values
    from fuseline.frontends.sources.find import find_model
    from fuseline.frontends.sources.sourced import Options

    graph = capture(name)
    plan = inductor(graph)
    traffic = cover_traffic(graph, plan.groups)
    launched = [
        cost
        for cost, group in zip(traffic, plan.groups, strict=True)
        if any(graph.ops[op].is_compute for op in group.ops)
    ]
    sourced = with_values(find_model(name, Options()))
    oracle = read_partition(sourced.model, sourced.inputs, layout_optimization=False)
    ours = sum(cost.nbytes for cost in (*launched, *plan.extras))
    launches = len(launched) + len(plan.extras)
    return InductorRow(
        model=name,
        ours_launches=launches,
        ours_nbytes=ours,
        oracle_launches=oracle.launches,
        oracle_nbytes=oracle.nbytes,
        excess_nbytes=oracle.excess_nbytes,
        explanation=explain(launches, ours, oracle),
    )
