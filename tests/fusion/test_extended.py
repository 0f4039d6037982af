from __future__ import annotations

import pytest

from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.fusion import EXTENSIONS, extended, find_violations, partition
from fuseline.fusion.patterns import SEED_ROWS, Row
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Plan, Rule

WIDE = (2, 4, 8)  # batch, tokens, channels
VIEW = {"op_class": OpClass.VIEW}


class Net:
    """A recorded graph, op by op: `net.add("fc", Kind.LINEAR, "x", held=(8, 8))`."""

    def __init__(self, shape: tuple[int, ...] = WIDE) -> None:
        self.build = Builder()
        self.shape = shape
        self.made = {"x": self.build.tensor("x", shape, role=Role.INPUT)}

    def add(
        self,
        name: str,
        kind: Kind,
        *inputs: str,
        shape: tuple[int, ...] | None = None,
        held: tuple[int, ...] = (),
        origin: Origin = Origin.ATEN,
        target: str = "",
    ) -> Net:
        parameters = (
            [self.build.tensor(f"{name}.weight", held, role=Role.PARAMETER)] if held else []
        )
        self.made[name] = self.build.op(
            name,
            kind,
            inputs=[self.made[source] for source in inputs],
            parameters=parameters,
            shape=self.shape if shape is None else shape,
            origin=origin,
            target=target,
            axes=(len(self.shape) - 1,) if kind in (Kind.SOFTMAX, Kind.LAYERNORM) else None,
        )
        return self

    def linear(self, name: str, source: str) -> Net:
        return self.add(name, Kind.LINEAR, source, held=(8, 8))

    def view(self, name: str, source: str, shape: tuple[int, ...] = WIDE) -> Net:
        base = self.build.tensors[self.made[source]]
        self.made[name] = self.build.tensor(name, shape, storage=base.storage)
        self.build.op(
            name,
            Kind.RESHAPE,
            inputs=[self.made[source]],
            outputs=[self.made[name]],
            op_class=OpClass.VIEW,
            origin=Origin.ATEN,
        )
        return self

    def finish(self, *outputs: str) -> Graph:
        return self.build.finish([self.made[name] for name in outputs])


def groups(graph: Graph, plan: Plan) -> list[list[str]]:
    return [[graph.ops[op].name for op in group.ops] for group in plan.groups]


def names(graph: Graph, *parts: str) -> list[list[str]]:
    return groups(graph, extended(graph, parts or tuple(EXTENSIONS)))


def reason(graph: Graph, producer: str, consumer: str) -> tuple[Rule, str]:
    return next(
        (told.rule, told.reason)
        for told in extended(graph).refusals
        if (graph.ops[told.producer].name, graph.ops[told.consumer].name) == (producer, consumer)
    )


# recorded graphs: views are looked through


def test_a_chain_grows_through_views() -> None:
    net = Net().linear("fc", "x").view("rows", "fc", (8, 8)).view("back", "rows")
    graph = net.add("act", Kind.GELU, "back").linear("out", "act").finish("out")
    plan = partition(graph)
    assert groups(graph, plan) == [["fc", "rows", "back", "act", "out"]]
    assert [group.pattern for group in plan.groups] == ["linear_gelu_linear"]
    assert plan.refusals == ()
    assert cost(graph, plan).launches == 1


def test_pairs_match_by_kind_and_names_are_targets() -> None:
    net = Net((2, 4, 8, 8))
    net.add("conv", Kind.CONV2D_DEPTHWISE, "x", held=(4, 1, 3, 3), target="conv2d")
    net.add("bn", Kind.BATCHNORM, "conv", held=(4,), target="batch_norm")
    graph = net.add("act", Kind.RELU, "bn", target="relu_").finish("act")
    assert [group.pattern for group in partition(graph).groups] == ["conv2d_batch_norm_relu_"]


@pytest.mark.parametrize(("sizes", "joined"), [((2, 8), True), ((2, 8, 4, 4), False)])
def test_a_norm_has_the_word_of_its_rank(sizes: tuple[int, ...], joined: bool) -> None:  # noqa: FBT001
    net = Net(sizes).add("fc", Kind.LINEAR, "x", held=(8, 8))  # the table: Linear -> BatchNorm1d
    graph = net.add("bn", Kind.BATCHNORM, "fc", held=(8,)).finish("bn")
    assert (groups(graph, partition(graph)) == [["fc", "bn"]]) is joined


def test_a_view_of_an_input_stays_alone_and_is_no_launch() -> None:
    graph = Net().view("rows", "x").linear("fc", "rows").finish("fc")
    plan = partition(graph, "extended")
    assert [group.pattern for group in plan.groups] == ["View or control", "Unfused"]
    assert plan.refusals == ()  # a view is nobody's neighbour


def test_a_view_counts_for_no_fork() -> None:
    net = Net().linear("fc", "x").view("odd", "fc").view("rows", "fc")
    graph = net.add("act", Kind.GELU, "rows").finish("act")
    assert groups(graph, partition(graph)) == [["fc", "odd", "rows", "act"]]


def test_consumers_behind_views_are_told_by_name() -> None:
    net = Net().linear("fc", "x").view("a", "fc").view("b", "fc")
    graph = net.add("act", Kind.GELU, "a").add("sin", Kind.ELEMENTWISE_UNARY, "b").finish("act")
    assert reason(graph, "fc", "act") == (Rule.FORK, "fc has 2 consumers (act, sin)")


# attention


def heads(net: Net, *, scale: bool = True, mask: bool = False, dropout: bool = False) -> Net:
    """q, k, v from x, then attention in steps."""
    for name in "qkv":
        net.linear(name, "x").view(f"{name}_heads", name)
    square, last = (2, 4, 4), "scores"
    net.add("scores", Kind.MATMUL, "q_heads", "k_heads", shape=square)
    if scale:
        net.add("scale", Kind.MUL, last, shape=square)
        last = "scale"
    if mask:
        net.made["mask"] = net.build.tensor("mask", square, role=Role.INPUT)
        net.add("masked", Kind.ADD, last, "mask", shape=square)
        last = "masked"
    net.add("weights", Kind.SOFTMAX, last, shape=square)
    last = "weights"
    if dropout:
        net.add("drop", Kind.DROPOUT, last, shape=square)
        last = "drop"
    return net.add("values", Kind.MATMUL, last, "v_heads")


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"scale": False}, ["scores", "weights", "values"]),
        ({}, ["scores", "scale", "weights", "values"]),
        ({"mask": True}, ["scores", "scale", "masked", "weights", "values"]),
        ({"dropout": True}, ["scores", "scale", "weights", "drop", "values"]),
    ],
)
def test_scores_softmax_and_values_are_one_kernel(
    options: dict[str, bool], steps: list[str]
) -> None:
    graph = heads(Net(), **options).finish("values")
    plan = extended(graph)
    projections = ["q", "q_heads", "k", "k_heads", "v", "v_heads"]
    assert groups(graph, plan) == [projections, steps]
    assert plan.groups[0].pattern == "linear_linear_linear"
    # q, k, v and the result, 64 elements each, and the mask's 32: 4 bytes each
    elements = 4 * 64 + 32 * options.get("mask", False)
    assert cost(graph, plan).groups[1].nbytes == 4 * elements
    told = [found.reason for found in find_violations(graph, plan)]
    assert told == ["3 contractions in one kernel (q, k, v)"]  # attention itself is legal


def test_scales_of_the_query_alone_come_along() -> None:
    net = Net().linear("q", "x").add("scaled", Kind.MUL, "q").linear("k", "x")
    net.add("scores", Kind.MATMUL, "scaled", "k", shape=(2, 4, 4))
    net.add("weights", Kind.SOFTMAX, "scores", shape=(2, 4, 4))
    graph = net.add("values", Kind.MATMUL, "weights", "x").finish("values")
    assert ["scaled", "scores", "weights", "values"] in names(graph)


@pytest.mark.parametrize("taken", ["scores", "weights"])
def test_attention_whose_inside_is_wanted_elsewhere_stays_in_steps(taken: str) -> None:
    graph = heads(Net(), scale=False).finish("values", taken)  # also an output of the graph
    assert all(len(group) == 1 for group in names(graph) if taken in group)


def test_no_attention_around_a_second_path() -> None:
    """The mask is made from the scores: it would lie before and after the kernel."""
    net = Net().add("scores", Kind.MATMUL, "x", "x", shape=(2, 4, 4))
    net.add("mask", Kind.COMPARE, "scores", shape=(2, 4, 4))
    net.add("masked", Kind.WHERE, "scores", "mask", shape=(2, 4, 4))
    net.add("weights", Kind.SOFTMAX, "masked", shape=(2, 4, 4))
    graph = net.add("values", Kind.MATMUL, "weights", "x").finish("values")
    assert all(len(group) == 1 for group in names(graph))


def test_values_that_need_the_scores_would_close_a_cycle() -> None:
    net = Net().add("scores", Kind.MATMUL, "x", "x", shape=(2, 4, 4))
    net.add("weights", Kind.SOFTMAX, "scores", shape=(2, 4, 4))
    net.build.op("clear_", Kind.FILL, writes=[net.made["scores"]], origin=Origin.ATEN)
    net.made["late"] = net.build.op(
        "late",
        Kind.RELU,
        inputs=[net.made["x"]],
        shape=WIDE,
        predecessors=[len(net.build.ops) - 1],
        origin=Origin.ATEN,
    )
    graph = net.add("values", Kind.MATMUL, "weights", "late").finish("values")
    assert all(len(group) == 1 for group in names(graph))


def test_a_product_with_a_weight_is_no_attention() -> None:
    net = Net().add("route", Kind.MATMUL, "x", held=(8, 4), shape=(2, 4, 4))
    net.add("weights", Kind.SOFTMAX, "route", shape=(2, 4, 4))
    graph = net.add("mix", Kind.MATMUL, "weights", "x").finish("mix")
    assert names(graph) == [["route"], ["weights"], ["mix"]]


@pytest.mark.parametrize("fused", [True, False])
def test_what_follows_attention(*, fused: bool) -> None:
    net = Net()
    if fused:
        net.add("values", Kind.SCALED_DOT_PRODUCT_ATTENTION, "x", "x", "x")
    else:
        net = heads(net)
    graph = net.add("merge", Kind.CONTIGUOUS, "values").linear("out", "merge").finish("out")
    last = names(graph)[-2:]
    assert last[0][-2:] == ["values", "merge"]
    assert last[1] == ["out"]  # a second contraction stays apart


def test_the_copy_that_splits_heads_follows_its_projection() -> None:
    graph = Net().linear("qkv", "x").add("split", Kind.CONTIGUOUS, "qkv").finish("split")
    assert names(graph, "attention") == [["qkv", "split"]]
    assert names(graph, "residual") == [["qkv"], ["split"]]


def test_siblings_read_once_and_with_the_norm_before_them() -> None:
    net = Net().add("norm", Kind.LAYERNORM, "x", held=(8,))
    graph = net.linear("q", "norm").linear("k", "norm").finish("q", "k")
    assert names(graph) == [["norm", "q", "k"]]
    plan = extended(graph, ("residual",))
    assert groups(graph, plan) == [["norm"], ["q"], ["k"]]
    saved = cost(graph, plan).nbytes - cost(graph, extended(graph)).nbytes
    assert saved == 3 * 256  # the normalised tensor, written once and read twice


def test_siblings_are_known_through_views_of_the_same_bytes() -> None:
    net = Net().view("a", "x", (8, 8)).view("b", "x", (8, 8)).view("flat", "x", (64,))
    graph = net.linear("q", "a").linear("k", "b").linear("other", "flat").finish("q", "k", "other")
    assert [group for group in names(graph) if "q" in group] == [["q", "k"]]


def test_projections_of_one_encoding_in_two_layers_stay_apart() -> None:
    net = Net().linear("k1", "x").linear("v1", "x")
    net.add("attend1", Kind.SCALED_DOT_PRODUCT_ATTENTION, "x", "k1", "v1")
    net.linear("k2", "x").linear("v2", "x")
    net.add("attend2", Kind.SCALED_DOT_PRODUCT_ATTENTION, "attend1", "k2", "v2")
    assert names(net.finish("attend2")) == [["k1", "v1"], ["attend1"], ["k2", "v2"], ["attend2"]]


def test_a_sibling_goes_on_into_its_own_epilogue() -> None:
    net = Net().linear("gate", "x").linear("up", "x").add("act", Kind.SILU, "gate")
    graph = net.finish("act", "up")
    assert names(graph) == [["gate", "up", "act"]]


# residual joins


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([Kind.LINEAR], id="linear -> add"),
        pytest.param([Kind.LINEAR, Kind.DROPOUT], id="linear -> dropout -> add"),
        pytest.param([Kind.CONV2D], id="conv -> add"),
        pytest.param([Kind.CONV2D, Kind.BATCHNORM], id="conv -> batchnorm -> add"),
        pytest.param([Kind.SCALED_DOT_PRODUCT_ATTENTION], id="attention -> add"),
    ],
)
def test_a_branch_ends_in_the_sum_with_its_skip(steps: list[Kind]) -> None:
    net, last = Net((2, 4, 8, 8)), "skip"
    net.add("skip", Kind.TANH, "x")
    for number, kind in enumerate(steps):
        net.add(f"n{number}", kind, last, held=(4,))
        last = f"n{number}"
    graph = net.add("sum", Kind.ADD, last, "skip").finish("sum")
    branch = [f"n{number}" for number in range(len(steps))]
    assert names(graph, "residual") == [["skip"], [*branch, "sum"]]
    assert ["sum"] in names(graph, "drop-path")


def test_the_sum_goes_on_into_a_norm_or_activation() -> None:
    for kind in (Kind.LAYERNORM, Kind.RMSNORM, Kind.RELU):
        net = (
            Net()
            .add("skip", Kind.TANH, "x")
            .linear("fc", "skip")
            .add("sum", Kind.ADD, "fc", "skip")
        )
        graph = net.add("next", kind, "sum").finish("next")
        assert names(graph) == [["skip"], ["fc", "sum", "next"]]


def test_layer_scale() -> None:
    net = Net().add("skip", Kind.TANH, "x").linear("fc", "skip")
    net.add("gamma", Kind.MUL, "fc", held=(8,)).add("sum", Kind.ADD, "skip", "gamma")
    graph = net.finish("sum")
    assert names(graph) == [["skip"], ["fc", "gamma", "sum"]]
    gate = Net().add("skip", Kind.TANH, "x").linear("fc", "skip").add("mul", Kind.MUL, "fc", "skip")
    assert names(gate.finish("mul")) == [["skip"], ["fc"], ["mul"]]  # no factor is the model's


def test_of_two_branches_the_first_takes_the_sum() -> None:
    net = Net().linear("a", "x").add("act", Kind.TANH, "x").linear("b", "act")
    graph = net.add("sum", Kind.ADD, "a", "b").finish("sum")
    assert names(graph) == [["act"], ["b"], ["a", "sum"]]
    assert reason(graph, "b", "sum") == (
        Rule.ALREADY_PLACED,
        "sum is already in the chain of a",
    )


def test_a_chain_that_the_rows_lengthened_takes_no_second_contraction() -> None:
    net = Net().add("skip", Kind.TANH, "x").linear("fc", "skip").add("sum", Kind.ADD, "fc", "skip")
    graph = net.add("norm", Kind.LAYERNORM, "sum", held=(8,)).linear("head", "norm").finish("head")
    assert names(graph) == [["skip"], ["fc", "sum", "norm"], ["head"]]
    assert reason(graph, "norm", "head") == (
        Rule.SECOND_CONTRACTION,
        "head would be a contraction beside fc, and no pattern joins the two",
    )
    assert names(graph, "attention") == [["skip"], ["fc"], ["sum"], ["norm", "head"]]


def test_a_skip_that_needs_the_branch_would_close_a_cycle() -> None:
    net = Net().linear("fc", "x").view("rows", "fc")
    net.build.op("clear_", Kind.FILL, writes=[net.made["fc"]], origin=Origin.ATEN)
    net.made["skip"] = net.build.op(
        "skip", Kind.TANH, inputs=[net.made["x"]], predecessors=[2], shape=WIDE, origin=Origin.ATEN
    )
    graph = net.add("sum", Kind.ADD, "rows", "skip").finish("sum")
    assert reason(graph, "fc", "sum") == (
        Rule.CYCLE,
        "joined, fc's group and sum would depend on each other through a third group",
    )


# drop-path


def mask(net: Net, name: str = "mask") -> Net:
    """One number a sample: `bernoulli_(keep) / keep` on a tensor of shape [N, 1, 1]."""
    net.add("noise", Kind.RANDOM, shape=(2, 1, 1))
    return net.add(name, Kind.DIV, "noise", shape=(2, 1, 1))


def test_drop_path_is_a_product_with_a_random_mask() -> None:
    net = mask(
        Net().add("skip", Kind.TANH, "x").linear("fc", "skip").add("drop", Kind.DROPOUT, "fc")
    )
    net.add("path", Kind.MUL, "drop", "mask").add("sum", Kind.ADD, "path", "skip")
    graph = net.finish("sum")
    assert ["fc", "drop", "path", "sum"] in names(graph, "drop-path")
    assert ["fc", "drop"] in names(graph, "residual")


def test_drop_path_that_scales_the_branch_first() -> None:
    net = mask(Net().add("skip", Kind.TANH, "x").linear("fc", "skip"))
    net.add("scaled", Kind.DIV, "fc").add("path", Kind.MUL, "scaled", "mask")
    graph = net.add("sum", Kind.ADD, "path", "skip").finish("sum")
    assert ["fc", "scaled", "path", "sum"] in names(graph)


def test_a_mask_that_is_not_random_or_not_one_number_a_sample_is_no_drop_path() -> None:
    net = Net().add("skip", Kind.TANH, "x").linear("fc", "skip")
    net.add("gate", Kind.SIGMOID, "skip", shape=(2, 1, 1)).add("path", Kind.MUL, "fc", "gate")
    assert ["fc"] in names(net.finish("path"))
    net = Net().add("skip", Kind.TANH, "x").linear("fc", "skip")
    net.add("noise", Kind.RANDOM).add("path", Kind.MUL, "fc", "noise")
    assert ["fc"] in names(net.finish("path"))


def test_stochastic_depth_of_the_module_level() -> None:
    net, module = Net(), {"origin": Origin.MODULE}
    net.add("skip", Kind.TANH, "x", target="Tanh", **module)
    net.add("fc", Kind.LINEAR, "skip", held=(8, 8), target="Linear", **module)
    net.add("drop", Kind.DROPOUT, "fc", target="Dropout", **module)
    net.add("path", Kind.STOCHASTIC_DEPTH, "drop", target="StochasticDepth", **module)
    graph = net.add("sum", Kind.ADD, "path", "skip", target="add", origin=Origin.FUNCTION).finish(
        "sum"
    )
    assert names(graph) == [["skip"], ["fc", "drop", "path", "sum"]]
    assert names(graph, "residual") == [["skip"], ["fc", "drop"], ["path"], ["sum"]]
    assert groups(graph, partition(graph)) == [["skip"], ["fc", "drop"], ["path"], ["sum"]]


# the parts, and what every strategy tells


def test_without_parts_it_is_fusion() -> None:
    graph = heads(Net(), mask=True).finish("values")
    plain = partition(graph, "fusion")
    assert extended(graph, ()).groups == plain.groups
    assert extended(graph, ()).refusals == plain.refusals


def test_parts_are_tables_of_rows() -> None:
    assert list(EXTENSIONS) == ["attention", "residual", "drop-path"]
    assert all(isinstance(row, Row) for part in EXTENSIONS.values() for row in part.rows)
    seed = {(before, after) for row in SEED_ROWS for before in row.before for after in row.after}
    assert ("Linear", "add") not in seed


def test_an_unknown_part_has_a_hint() -> None:
    with pytest.raises(InputError, match=r"^unknown extension 'residal': did you mean 'residual'"):
        extended(Net().linear("fc", "x").finish("fc"), ("residal",))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Kind.UNKNOWN, "odd is unknown, and an unknown op never fuses"),
        (Kind.CUSTOM, "odd is a kernel of its own, which never fuses"),
        (Kind.HOST_READ, "odd gives its result to the host, which ends a kernel"),
    ],
)
def test_what_never_fuses_and_why(kind: Kind, why: str) -> None:
    graph = Net().linear("fc", "x").add("odd", kind, "fc").finish("odd")
    assert reason(graph, "fc", "odd") == (
        Rule.NO_RULE,
        f"no pattern joins linear and {kind.value}; {why}",
    )
