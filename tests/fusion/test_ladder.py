"""The rule ladder by hand: one small graph a rule, and the sentence that refuses."""

from __future__ import annotations

import pytest

from fuseline.errors import InputError
from fuseline.fusion.ladder.kernel import Fault, Kernels
from fuseline.fusion.ladder.rules import RULE_SETS, rule_set
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Rule


class Net:
    """A recorded graph of [2, 4, 8] activations, op by op."""

    def __init__(self) -> None:
        self.build = Builder()
        self.x = self.build.tensor("x", (2, 4, 8), role=Role.INPUT)

    def op(
        self,
        name: str,
        kind: Kind,
        *inputs: int,
        shape: tuple[int, ...] = (2, 4, 8),
        axes: tuple[int, ...] | None = None,
        weight: bool = False,
        op_class: OpClass | None = None,
    ) -> int:
        held = [self.build.tensor(f"{name}.w", (8, 8), role=Role.PARAMETER)] if weight else []
        return self.build.op(
            name,
            kind,
            inputs=inputs,
            parameters=held,
            shape=shape,
            axes=axes,
            origin=Origin.ATEN,
            op_class=op_class,
        )

    def view(self, tensor: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
        base = self.build.tensors[tensor]
        made = self.build.tensor("view", shape, storage=base.storage, strides=strides)
        self.build.op(
            f"view{made}",
            Kind.PERMUTE,
            inputs=[tensor],
            outputs=[made],
            op_class=OpClass.VIEW,
            origin=Origin.ATEN,
        )
        return made

    def done(self, *outputs: int) -> Graph:
        return self.build.finish(outputs)


def fault(graph: Graph, rules: str, *names: str) -> Fault | None:
    kernels = Kernels(graph, RULE_SETS[rules])
    ids = [op.id for op in graph.ops if op.name in names]
    assert len(ids) == len(names)
    return kernels.find_fault(kernels.compute.mask_of(ids))


def test_an_elementwise_epilogue_is_in_every_rung_but_r0() -> None:
    net = Net()
    y = net.op("fc", Kind.LINEAR, net.x, weight=True)
    graph = net.done(net.op("act", Kind.GELU, y))
    assert fault(graph, "R0", "fc", "act") == Fault(
        Rule.NO_RULE, "R0 gives every op a kernel of its own"
    )
    assert [fault(graph, rules, "fc", "act") for rules in ("A", "B", "T", "M")] == [None] * 4


def test_a_prologue_needs_b() -> None:
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    graph = net.done(net.op("fc", Kind.LINEAR, y, weight=True))
    refused = "no row of A joins an elementwise op (act) and a contraction op (fc)"
    assert fault(graph, "A", "act", "fc") == Fault(Rule.NO_RULE, refused)
    assert fault(graph, "B", "act", "fc") is None


def test_a_prologue_is_used_once() -> None:
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    graph = net.done(net.op("fc", Kind.LINEAR, y, weight=True), y)
    assert fault(graph, "B", "act", "fc") == Fault(
        Rule.SINGLE_USE, "act goes into a contraction, and is used elsewhere too"
    )
    # needed by the contraction and by what follows it: two loops want it in different orders
    net = Net()
    y = net.op("act", Kind.GELU, net.x)
    z = net.op("fc", Kind.LINEAR, y, weight=True)
    graph = net.done(net.op("add", Kind.ADD, z, y))
    assert fault(graph, "B", "act", "fc", "add") == Fault(
        Rule.SINGLE_USE, "act is needed both by the contraction and after it"
    )


def test_a_copy_is_no_prologue_but_streams_out() -> None:
    net = Net()
    y = net.op("copy", Kind.CONTIGUOUS, net.view(net.x, (2, 8, 4), (32, 1, 8)), shape=(2, 8, 4))
    graph = net.done(net.op("fc", Kind.LINEAR, y, shape=(2, 8, 8), weight=True))
    assert fault(graph, "B", "copy", "fc") is not None
    net = Net()
    y = net.op("fc", Kind.LINEAR, net.x, weight=True)
    z = net.op("copy", Kind.CONTIGUOUS, net.view(y, (2, 8, 4), (32, 1, 8)), shape=(2, 8, 4))
    assert fault(net.done(z), "A", "fc", "copy") is None


def test_rows_feed_the_contraction_that_contracts_them() -> None:
    net = Net()
    y = net.op("norm", Kind.LAYERNORM, net.x, axes=(2,))
    graph = net.done(net.op("fc", Kind.LINEAR, y, weight=True))
    assert fault(graph, "B", "norm", "fc") is None
    net = Net()
    y = net.op("norm", Kind.SOFTMAX, net.x, axes=(1,))  # of columns: fc never holds one whole
    graph = net.done(net.op("fc", Kind.LINEAR, y, weight=True))
    assert fault(graph, "B", "norm", "fc") == Fault(
        Rule.ROW_PROLOGUE, "fc does not contract the rows that feed it"
    )


def test_a_matmul_contracts_the_rows_of_its_first_operand_only() -> None:
    for place, legal in ((0, True), (1, False)):
        net = Net()
        square = net.op("square", Kind.RELU, net.x, shape=(2, 4, 4))
        norm = net.op("norm", Kind.SOFTMAX, square, shape=(2, 4, 4), axes=(2,))
        operands = (norm, square) if place == 0 else (square, norm)
        graph = net.done(net.op("product", Kind.MATMUL, *operands, shape=(2, 4, 4)))
        assert (fault(graph, "B", "norm", "product") is None) is legal
    # transposed, the rows of the second operand are what is contracted
    net = Net()
    norm = net.op("norm", Kind.LAYERNORM, net.x, axes=(2,))
    keys = net.view(norm, (2, 8, 4), (32, 1, 8))
    graph = net.done(net.op("scores", Kind.MATMUL, net.x, keys, shape=(2, 4, 4)))
    assert fault(graph, "B", "norm", "scores") is None


def test_a_norm_after_a_contraction_needs_b_and_its_rows() -> None:
    net = Net()
    y = net.op("fc", Kind.LINEAR, net.x, weight=True)
    z = net.op("add", Kind.ADD, y, net.x)
    graph = net.done(net.op("norm", Kind.LAYERNORM, z, axes=(2,)))
    refused = "norm needs whole rows of fc's result, which A does not hold"
    assert fault(graph, "A", "fc", "add", "norm") == Fault(Rule.ROW_EPILOGUE, refused)
    assert fault(graph, "B", "fc", "add", "norm") is None
    net = Net()
    y = net.op("conv", Kind.CONV1D, net.x, weight=True)
    graph = net.done(net.op("norm", Kind.LAYERNORM, y, axes=(2,)))
    assert fault(graph, "B", "conv", "norm") == Fault(
        Rule.ROW_EPILOGUE, "norm does not reduce the rows of conv's result"
    )


def test_a_value_a_row_may_be_spread_over_the_row_it_was_reduced_from() -> None:
    net = Net()  # a norm written out: x - mean(x)
    y = net.op("mean", Kind.MEAN, net.x, shape=(2, 4, 1), axes=(2,))
    graph = net.done(net.op("sub", Kind.SUB, net.x, y))
    assert fault(graph, "A", "mean", "sub") is None
    net = Net()  # over columns: the row kernel of the mean has no such loop
    y = net.op("mean", Kind.MEAN, net.x, shape=(2, 4, 1), axes=(2,))
    z = net.op("max", Kind.EXTREMUM, net.x, shape=(2, 1, 8), axes=(1,))
    w = net.op("sub", Kind.SUB, net.x, y)
    graph = net.done(net.op("sub2", Kind.SUB, w, z))
    assert fault(graph, "A", "mean", "max", "sub", "sub2") == Fault(
        Rule.ITERATION_DOMAIN, "mean and max reduce different rows"
    )


def test_equal_sizes_in_another_order_are_not_one_domain() -> None:
    net = Net()  # f(x) + f(x)^T needs f(x) in two orders at once
    square = net.op("square", Kind.RELU, net.x, shape=(4, 4))
    y = net.op("act", Kind.RELU, square, shape=(4, 4))
    turned = net.view(y, (4, 4), (1, 4))
    z = net.op("copy", Kind.CONTIGUOUS, turned, shape=(4, 4))
    graph = net.done(net.op("add", Kind.ADD, y, z, shape=(4, 4)))
    assert fault(graph, "A", "act", "copy") is None
    assert fault(graph, "A", "act", "copy", "add") == Fault(
        Rule.ITERATION_DOMAIN, "copy needs act's elements in two orders at once"
    )


def test_a_part_of_a_result_is_not_its_domain() -> None:
    net = Net()
    y = net.op("act", Kind.RELU, net.x)
    half = net.view(y, (2, 4, 4), (32, 8, 1))
    graph = net.done(net.op("half", Kind.GELU, half, shape=(2, 4, 4)))
    refused = "half does not read what act makes as every element once, in its own domain"
    found = fault(graph, "A", "act", "half")
    assert found is not None
    assert found.rule is Rule.ITERATION_DOMAIN
    assert found.reason.startswith(refused)


def test_attention_in_steps_needs_t() -> None:
    net = Net()
    keys = net.view(net.x, (2, 8, 4), (32, 1, 8))
    a = net.op("scores", Kind.MATMUL, net.x, keys, shape=(2, 4, 4))
    b = net.op("weights", Kind.SOFTMAX, a, shape=(2, 4, 4), axes=(2,))
    graph = net.done(net.op("values", Kind.MATMUL, b, net.x))
    steps = ("scores", "weights", "values")
    assert fault(graph, "B", *steps) == Fault(
        Rule.SECOND_CONTRACTION, "2 contractions in one kernel (scores, values)"
    )
    assert fault(graph, "T", *steps) is None
    assert fault(graph, "B", "scores", "weights") is None
    assert fault(graph, "B", "weights", "values") is None


def test_unknown_rules_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown rules 'TT': did you mean 'T'"):
        rule_set("TT")


@pytest.mark.parametrize(
    ("axes", "turned", "legal"), [((2,), False, True), ((1,), False, False), ((2,), True, False)]
)
def test_attention_is_over_the_keys_that_values_contract(
    axes: tuple[int, ...], *, turned: bool, legal: bool
) -> None:
    """Softmax over the queries, or its transpose against the values, is another thing."""
    net = Net()
    square = net.op("square", Kind.RELU, net.x, shape=(2, 4, 4))
    a = net.op("scores", Kind.MATMUL, square, square, shape=(2, 4, 4))
    b = net.op("weights", Kind.SOFTMAX, a, shape=(2, 4, 4), axes=axes)
    read = net.view(b, (2, 4, 4), (16, 1, 4)) if turned else b
    graph = net.done(net.op("values", Kind.MATMUL, read, net.x))
    assert (fault(graph, "T", "scores", "weights", "values") is None) is legal


def test_a_pad_may_shift() -> None:
    net = Net()
    y = net.op("act", Kind.RELU, net.x)
    z = net.op("pad", Kind.PAD, y)  # by one here and minus one there: the same size
    graph = net.done(net.op("add", Kind.ADD, y, z))
    assert fault(graph, "A", "act", "pad") is None
    assert fault(graph, "A", "act", "pad", "add") == Fault(
        Rule.ITERATION_DOMAIN, "pad needs act's elements in two orders at once"
    )


def test_an_addend_is_not_contracted() -> None:
    net = Net()
    y = net.op("norm", Kind.SOFTMAX, net.x, axes=(2,))
    graph = net.done(net.op("sum", Kind.ADDMM, y, net.x, weight=True))
    assert fault(graph, "B", "norm", "sum") == Fault(
        Rule.ROW_PROLOGUE, "sum does not contract the rows that feed it"
    )


def test_a_norm_written_out_from_outside_is_one_kernel() -> None:
    """(x - mean(x)) / std(x): two reductions of the same rows of what comes from outside."""
    net = Net()
    mean = net.op("mean", Kind.MEAN, net.x, shape=(2, 4, 1), axes=(2,))
    std = net.op("std", Kind.VARIANCE, net.x, shape=(2, 4, 1), axes=(2,))
    sub = net.op("sub", Kind.SUB, net.x, mean)
    graph = net.done(net.op("div", Kind.DIV, sub, std))
    assert fault(graph, "A", "mean", "std", "sub", "div") is None
