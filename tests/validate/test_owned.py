from __future__ import annotations

import pytest

from fuseline.errors import InputError
from fuseline.graph import Builder, Graph, Kind, Role
from fuseline.validate.owned import Kernel, Piece, Share, plan_of_kernels


@pytest.fixture(name="graph")
def _graph() -> Graph:
    """x -> linear -> view -> gelu -> add x."""
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    weight = build.tensor("w", (4, 4), role=Role.PARAMETER)
    y = build.op("linear", Kind.LINEAR, inputs=[x, weight], shape=(2, 4))
    z = build.op("gelu", Kind.GELU, inputs=[y], shape=(2, 4))
    return build.finish([build.op("add", Kind.ADD, inputs=[z, x], shape=(2, 4))])


def _kernel(*pieces: tuple[str, str]) -> Kernel:
    shares = {"matmul": Share.CONTRACTS, "reshape": Share.MOVES}
    return tuple(
        Piece(function, op, shares.get(function, Share.COMPUTES)) for function, op in pieces
    )


def _groups(graph: Graph, *kernels: Kernel, removed: tuple[str, ...] = ()) -> list[list[str]]:
    plan = plan_of_kernels(graph, "real", kernels, removed)
    return [[graph.ops[op].name for op in group.ops] for group in plan.groups]


def test_a_kernel_owns_what_it_computes(graph: Graph) -> None:
    kernels = (
        _kernel(("matmul", "linear"), ("add", "linear")),
        _kernel(("gelu", "gelu"), ("add", "add")),
    )
    assert _groups(graph, *kernels) == [["linear"], ["gelu", "add"]]
    assert not plan_of_kernels(graph, "real", kernels).is_cover


def test_moving_a_tensor_is_not_computing_its_op(graph: Graph) -> None:
    """The reshape that a compiler puts behind a linear layer is no kernel of it, nor a launch."""
    kernels = (
        _kernel(("reshape", "linear")),
        _kernel(("matmul", "linear")),
        _kernel(("reshape", "linear"), ("gelu", "gelu")),
        _kernel(("add", "add")),
    )
    assert _groups(graph, *kernels) == [["linear"], ["gelu"], ["add"]]


def test_a_bias_beside_other_work_is_not_the_contraction(graph: Graph) -> None:
    kernels = (
        _kernel(("matmul", "linear")),
        _kernel(("add", "linear"), ("gelu", "gelu")),
        _kernel(("add", "add")),
    )
    assert _groups(graph, *kernels) == [["linear"], ["gelu"], ["add"]]


def test_an_op_in_pieces_is_in_every_group_and_the_plan_a_cover(graph: Graph) -> None:
    """A bias that has a kernel of its own is a launch of the linear layer; GELU is two here."""
    kernels = (
        _kernel(("matmul", "linear")),
        _kernel(("add", "linear")),
        _kernel(("erf", "gelu")),
        _kernel(("multiply", "gelu"), ("add", "add")),
    )
    assert _groups(graph, *kernels) == [["linear"], ["linear"], ["gelu"], ["gelu", "add"]]
    assert plan_of_kernels(graph, "real", kernels).is_cover


def test_an_op_that_no_kernel_computes_is_an_error(graph: Graph) -> None:
    kernels = _kernel(("matmul", "linear")), _kernel(("add", "add"))
    with pytest.raises(InputError, match=r"^real: gelu of '.*' is in no kernel, and is no view$"):
        plan_of_kernels(graph, "real", kernels)
    assert _groups(graph, *kernels, removed=("gelu",)) == [["linear", "gelu"], ["add"]]
