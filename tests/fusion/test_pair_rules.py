from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline import capture
from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.fusion.legality import check_connection, check_coverage, check_order
from fuseline.fusion.neighbours import neighbours
from fuseline.fusion.pair_rules import (
    BACKENDS,
    Before,
    Consumers,
    PairRules,
    load_pair_rules,
    pair_rules,
)
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Rule
from tests.fusion.test_extended import Net
from tests.strategies import graphs

SQUARE = (2, 4, 8, 8)
HEAD = 'backend = "b"\nsource = "s"\ndate = "2026"\n'
PAIRS = """
[[pairs]]
before = "relu"
after = ["tanh", "gelu", "sigmoid"]
[[pairs]]
before = ["gelu", "tanh"]
after = ["mul", "add"]
measured = "case 4"
"""


@pytest.fixture(name="load")
def _load(tmp_path: Path) -> Loader:
    return Loader(tmp_path / "rules.toml")


class Loader:
    """Writes a rule file and reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, text: str) -> PairRules:
        self.path.write_text(text)
        return load_pair_rules(self.path)


def groups(graph: Graph, rules: PairRules) -> list[str]:
    plan = pair_rules(graph, rules)
    return [" ".join(graph.ops[op].name for op in group.ops) for group in plan.groups]


def refusals(graph: Graph, rules: PairRules) -> dict[str, tuple[Rule, str]]:
    return {
        f"{graph.ops[told.producer].name} {graph.ops[told.consumer].name}": (told.rule, told.reason)
        for told in pair_rules(graph, rules).refusals
    }


def forked() -> Graph:
    net = Net().add("r", Kind.RELU, "x").add("t", Kind.TANH, "r").add("g", Kind.GELU, "r")
    return net.add("m", Kind.MUL, "t", "g").finish("m")


# the search


def test_a_kernel_grows_by_what_its_first_op_allows(load: Loader) -> None:
    graph = Net().add("r", Kind.RELU, "x").add("t", Kind.TANH, "r").add("m", Kind.MUL, "t")
    rules = load(HEAD + PAIRS)
    chain = graph.finish("m")
    assert groups(chain, rules) == ["r t", "m"]  # relu -> mul is no pair
    assert groups(chain, replace(rules, before=Before.LAST)) == ["r t m"]  # tanh -> mul is one
    assert refusals(chain, rules) == {
        "t m": (Rule.NO_RULE, "rules has no rule for relu -> mul"),
    }


@pytest.mark.parametrize(
    ("consumers", "before", "expected"),
    [
        # relu is apart from both; tanh, the earlier of them, takes mul
        (Consumers.NONE, Before.FIRST, ["g", "r", "t m"]),
        # relu takes tanh, gelu takes mul
        (Consumers.FIRST, Before.FIRST, ["g m", "r t"]),
        # relu takes both, and has no rule for mul; by the last op there is one
        (Consumers.ALL, Before.FIRST, ["m", "r t g"]),
        (Consumers.ALL, Before.LAST, ["r t g m"]),
    ],
)
def test_consumers_of_one_result(
    load: Loader, consumers: Consumers, before: Before, expected: list[str]
) -> None:
    rules = replace(load(HEAD + PAIRS), consumers=consumers, before=before)
    assert sorted(groups(forked(), rules)) == expected


def test_a_fork_says_so(load: Loader) -> None:
    rules = load(HEAD + PAIRS)
    told = refusals(forked(), rules)
    assert told["r t"] == (Rule.FORK, "r has 2 consumers (t, g)")
    assert told["g m"] == (Rule.ALREADY_PLACED, "m is in the kernel of t")
    told = refusals(forked(), replace(rules, consumers=Consumers.FIRST))
    assert told["r g"] == (Rule.FORK, "r has several consumers, and rules joins the first alone")


def test_no_join_may_close_a_cycle(load: Loader) -> None:
    """relu -> add is a pair, but sin lies between the two and is in no pair."""
    text = HEAD + 'consumers = "all"\n[[pairs]]\nbefore = "relu"\nafter = "add"\n'
    net = Net().add("r", Kind.RELU, "x").add("s", Kind.ELEMENTWISE_UNARY, "r")
    graph = net.add("a", Kind.ADD, "r", "s").finish("a")
    assert groups(graph, load(text)) == ["r", "s", "a"]
    rule, reason = refusals(graph, load(text))["r a"]
    assert rule is Rule.CYCLE
    assert reason == "joined, the kernel of r and a would depend on each other through a third"


def test_what_is_measured_apart_says_by_what(load: Loader) -> None:
    text = HEAD + '[[pairs]]\nbefore="relu"\nafter="tanh"\nfuses=false\nmeasured="case 7"\n'
    graph = Net().add("r", Kind.RELU, "x").add("t", Kind.TANH, "r").finish("t")
    reason = "rules keeps relu and tanh apart (pairs[0], case 7)"
    assert refusals(graph, load(text)) == {"r t": (Rule.NO_RULE, reason)}


def test_blocks_come_first_and_their_name_is_a_word(load: Loader) -> None:
    text = """
[[blocks]]
name = "gate"
steps = ["sigmoid", { op = "mul", takes = "input" }]
[[pairs]]
before = "relu"
after = "gate"
[[pairs]]
before = "relu"
after = "sigmoid"
fuses = false
"""
    net = Net().add("r", Kind.RELU, "x").add("s", Kind.SIGMOID, "r").add("m", Kind.MUL, "r", "s")
    graph = net.finish("m")
    assert groups(graph, load(HEAD + text)) == ["r s m"]
    rules = load(HEAD + text.replace('"input"', "0").replace("relu", "tanh"))
    assert groups(graph, rules) == ["r", "s m"]  # mul takes sigmoid, as it must in any case


def test_a_block_takes_an_earlier_step_again(load: Loader) -> None:
    text = '[[blocks]]\nname="b"\nsteps=["relu", "sigmoid", {op="mul", takes=0}]\n'
    net = Net().add("r", Kind.RELU, "x").add("s", Kind.SIGMOID, "r").add("m", Kind.MUL, "r", "s")
    assert groups(net.finish("m"), load(HEAD + text)) == ["r s m"]
    net = Net().add("r", Kind.RELU, "x").add("s", Kind.SIGMOID, "r").add("m", Kind.MUL, "x", "s")
    assert groups(net.finish("m"), load(HEAD + text)) == ["r", "s", "m"]


def test_classes_stand_for_their_kinds_and_views_are_looked_through(load: Loader) -> None:
    text = '[words]\nfirst = ["linear", "window"]\n[[pairs]]\nbefore="first"\nafter="elementwise"\n'
    rules = load(HEAD + text)
    assert rules.pairs["maxpool", "gelu"].fuses
    assert ("gelu", "gelu") not in rules.pairs
    graph = Net().linear("fc", "x").view("v", "fc").add("g", Kind.GELU, "v").finish("g")
    assert groups(graph, rules) == ["fc v g"]


def test_what_no_table_knows_never_fuses(load: Loader) -> None:
    text = '[[pairs]]\nbefore="relu"\nafter="elementwise"\n'
    graph = Net().add("r", Kind.RELU, "x").add("u", Kind.UNKNOWN, "r").finish("u")
    rule, reason = refusals(graph, load(HEAD + text))["r u"]
    assert (rule, reason) == (Rule.UNKNOWN_OP, "u is unknown, and an unknown op never fuses")


def test_an_op_of_another_class_than_its_kind_is_in_no_rule(load: Loader) -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    y = build.op("conv", Kind.CONV2D, inputs=[x], shape=SQUARE)
    trained = {"op_class": OpClass.REDUCTION}
    z = build.op("bn", Kind.BATCHNORM, inputs=[y], shape=SQUARE, **trained)
    rules = load(HEAD + '[[pairs]]\nbefore="conv2d"\nafter="batchnorm"\n')
    told = refusals(build.finish([z]), rules)
    assert told == {"conv bn": (Rule.NO_RULE, "rules has no rule for what bn is")}


# rule files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backend = ", "not TOML: Invalid value (at end of document)"),
        (
            HEAD + "[words",
            "not TOML: Expected ']' at the end of a table declaration (at end of document)",
        ),
        (HEAD + "x = y\n", "not TOML: Invalid value (at line 4, column 5)"),
        ('source = "s"', "backend: missing"),
        (HEAD.replace('"b"', "3"), "backend: must be a text"),
        (HEAD, "pairs: missing: a file without pairs or blocks fuses nothing"),
        (HEAD + "pair = 1", "pair: unknown key: did you mean 'pairs'?"),
        (HEAD + 'consumers = "al"', "consumers: unknown value 'al': did you mean 'all'?"),
        (HEAD + 'before = "x"', "before: unknown value 'x': one of first, last"),
        (HEAD + "pairs = 1", "pairs: must be tables, each headed [[pairs]]"),
        (HEAD + "words = 1", "words: must be a table"),
        (HEAD + "[words]\nw = []", "words.w: names no kind"),
        (HEAD + '[words]\nrelu = "gelu"', "words.relu: 'relu' is a kind or class already"),
        (
            HEAD + '[[pairs]]\nbefore = "relu"\nafter = ["gelu", "rellu"]',
            "pairs[0].after: unknown kind 'rellu': did you mean 'relu'?",
        ),
        (
            HEAD + "[[pairs]]\nbefore = 1\nafter = 2",
            "pairs[0].before: must be the name of an op, or a list of names",
        ),
        (
            HEAD + '[[pairs]]\nbefore = "relu"\nafter = "unknown"',
            "pairs[0].after: 'unknown' ops never fuse",
        ),
        (
            HEAD + '[[pairs]]\nbefore = "relu"\nafter = "gelu"\nfuses = 1',
            "pairs[0].fuses: must be true or false",
        ),
        (
            HEAD + '[[pairs]]\nbefore = "relu"\nafters = "gelu"',
            "pairs[0].afters: unknown key: did you mean 'after'?",
        ),
        (
            HEAD + PAIRS + '[[pairs]]\nbefore="relu"\nafter="gelu"\nfuses=false',
            "pairs[2]: relu -> gelu fuses in pairs[0]",
        ),
        (
            HEAD + '[[blocks]]\nname = "b"\nsteps = ["relu"]',
            "blocks[0].steps: must be a list of two ops or more",
        ),
        (
            HEAD + '[[blocks]]\nname = "relu"\nsteps = ["relu", "gelu"]',
            "blocks[0].name: 'relu' is a kind or class already",
        ),
        (
            HEAD + '[[blocks]]\nname = "b"\nsteps = ["relu", { op = "mul", takes = 1 }]',
            'blocks[0].steps[1].takes: must be "input" or an earlier step',
        ),
        (
            HEAD + '[[blocks]]\nname = "b"\nsteps = ["relu", { op = "mull" }]',
            "blocks[0].steps[1].op: unknown kind 'mull': did you mean 'mul'?",
        ),
    ],
)
def test_a_file_with_a_fault_is_one_line_that_names_the_place(
    load: Loader, text: str, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        load(text)
    assert str(refused.value) == f"rules.toml: {said}"


def test_an_unknown_name_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown pair rules 'tflite-cpus': did you mean"):
        load_pair_rules("tflite-cpus")
    with pytest.raises(InputError, match=r"cannot read '.*none\.toml': No such file"):
        load_pair_rules(tmp_path / "none.toml")


# the files that come with Fuseline


def test_the_files_that_come_along_have_a_verdict_on_every_measured_pair() -> None:
    """nn-Meter's 9 ops; 8 products of a pool, convolution or dense layer with dense ones it did
    not try: 4 before dense, 4 after it.
    """
    ops = {
        "maxpool": "pooling", "linear": "dense", "conv_transpose2d": "convtrans", "cat": "concat",
        "conv2d": "conv", "add": "add", "relu": "relu", "conv2d_depthwise": "dwconv",
        "reshape": "reshape",
    }  # fmt: skip
    fused = {"openvino-vpu": 13, "tflite-cpu": 15, "tflite-gpu": 18}
    assert set(fused) == set(BACKENDS)
    for backend, count in fused.items():
        pairs = load_pair_rules(backend).pairs
        measured = [pairs[pair] for pair in pairs if set(pair) <= set(ops)]
        assert len(measured) == 9 * 9 - 8
        assert sum(verdict.fuses for verdict in measured) == count


@pytest.mark.parametrize(
    ("backend", "launches"),
    [
        # 20 convolutions with their norms, 17 rectifiers of which 8 follow a sum: these are a
        # kernel with it. And a pool, a mean and a linear. The first pool follows a rectifier.
        ("tflite-cpu", 20 + 8 + 3),
        # a sum joins the convolution before it, and its rectifier too
        ("tflite-gpu", 20 + 3),
    ],
)
def test_resnet18(backend: str, launches: int) -> None:
    graph = capture("resnet18")
    assert cost(graph, pair_rules(graph, load_pair_rules(backend))).launches == launches


def test_blocks_of_mobilenet_v3() -> None:
    """Nine squeeze-excitations of 6 ops each are one kernel each."""
    graph = capture("mobilenet_v3_small")
    rules = replace(load_pair_rules("tflite-cpu"), pairs={})
    blocks = [block for block in rules.blocks if block.name == "se"]
    plan = pair_rules(graph, replace(rules, blocks=tuple(blocks)))
    assert graph.compute_ops - cost(graph, plan).launches == 9 * 5


# the page


def test_the_example_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pair-rules.md").read_text()
    (tmp_path / "mine.toml").write_text(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    exec(code.replace('"mine.toml"', repr(str(tmp_path / "mine.toml"))), {})  # noqa: S102
    launches, reason = capsys.readouterr().out.splitlines()
    assert f"print(cost(graph, plan).launches)  # {launches}:" in page
    assert f"`{reason}`" in page


# promises

RECORDED = graphs(recorded=True, most_ops=8)
CHOICES = st.tuples(st.sampled_from(BACKENDS), st.sampled_from(Consumers), st.sampled_from(Before))


@given(graph=st.one_of(graphs(), RECORDED), choices=CHOICES)
def test_promises(graph: Graph, choices: tuple[str, Consumers, Before]) -> None:
    backend, consumers, before = choices
    rules = replace(load_pair_rules(backend), consumers=consumers, before=before)
    plan = pair_rules(graph, rules)
    assert check_coverage(graph, plan) == ()
    assert check_order(graph, plan) == ()
    price = cost(graph, plan)
    assert graph.compulsory_bytes <= price.nbytes <= price.unfused_nbytes
    home = {op: group.id for group in plan.groups for op in group.ops}
    apart = [pair for pair in neighbours(graph) if home[pair[0]] != home[pair[1]]]
    assert [(told.producer, told.consumer) for told in plan.refusals] == apart
    assert all(told.reason for told in plan.refusals)
    assert all(check_connection(graph, group) is None for group in plan.groups)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_twenty_thousand_ops(backend: str) -> None:
    kinds = (Kind.CONV2D, Kind.BATCHNORM, Kind.RELU, Kind.CONV2D, Kind.BATCHNORM, Kind.ADD)
    build = Builder()
    made = [build.tensor("x", SQUARE, role=Role.INPUT)]
    for number in range(20_000):
        kind = kinds[number % len(kinds)]
        inputs = [made[-1], made[-3]] if kind is Kind.ADD else [made[-1]]
        name = f"op{number}"
        made.append(build.op(name, kind, inputs=inputs, shape=SQUARE, origin=Origin.ATEN))
    graph = build.finish(made[-1:])
    assert graph.dependences
    rules = replace(load_pair_rules(backend), consumers=Consumers.ALL)
    before = process_time()
    pair_rules(graph, rules)
    assert process_time() - before <= 1.5
