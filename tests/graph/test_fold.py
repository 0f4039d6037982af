from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuseline.graph import Builder, Graph, Kind, OpClass, Role, Status, Work
from fuseline.graph.files import find_fault
from fuseline.graph.fold import fold_constants
from tests.strategies import graphs


def names(graph: Graph) -> tuple[list[str], list[str]]:
    """Ops that stay, ops that are folded."""
    return [op.name for op in graph.ops], [op.name for op in graph.folded]


def test_what_needs_no_input_is_folded_and_its_result_is_a_constant() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    w = build.tensor("w", (4,), role=Role.PARAMETER)
    counted = Work(8, 0, Status.COUNTED)
    made = build.op("square", Kind.MUL, inputs=[w], shape=(4,), work=counted)
    build.op("view", Kind.RESHAPE, inputs=[made], outputs=[made], op_class=OpClass.VIEW)
    y = build.op("mix", Kind.MUL, inputs=[x, made], shape=(4,), work=counted)
    graph = fold_constants(build.finish([y]))
    assert names(graph) == (["mix"], ["square", "view"])
    assert (graph.flops, graph.folded_flops) == (16, 8)
    (mix,) = graph.ops
    assert (mix.inputs, mix.parameters, mix.predecessors) == ((x,), (made,), ())
    assert graph.storages[graph.tensors[made].storage].role is Role.CONSTANT
    # x and the folded 16 bytes are read, 16 written; of the model's own only w is read
    assert (graph.compulsory_bytes, graph.parameter_bytes) == (48, 16)


def test_a_constant_that_an_op_with_input_overwrites_is_made_anew_each_run() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    zeros = build.op("zeros", Kind.FILL, shape=(4,))
    build.op("copy_", Kind.CONTIGUOUS, inputs=[x], writes=[zeros])
    graph = fold_constants(build.finish([zeros]))
    assert names(graph) == (["zeros", "copy_"], [])


def test_what_can_be_seen_stays() -> None:
    build = Builder()
    held = build.tensor("held", (4,), role=Role.BUFFER)
    build.op("add_", Kind.ADD, inputs=[held], writes=[held])  # the next run sees it
    noise = build.op("noise", Kind.RANDOM, shape=(4,))
    drawn = build.op("scaled", Kind.MUL, inputs=[noise], shape=(4,))
    build.op("mystery", Kind.UNKNOWN, shape=(4,))
    assert names(fold_constants(build.finish([drawn])))[1] == []


def test_parameters_change_while_a_model_trains() -> None:
    build = Builder()
    w = build.tensor("w", (4,), role=Role.PARAMETER)
    y = build.op("square", Kind.MUL, inputs=[w], shape=(4,))
    ones = build.op("ones", Kind.FILL, shape=(4,))
    graph = build.finish([y, ones])
    assert names(fold_constants(graph, parameters=False)) == (["square"], ["ones"])
    assert names(fold_constants(graph)) == ([], ["square", "ones"])


@given(graph=graphs(), parameters=st.booleans())
def test_folding_loses_nothing(graph: Graph, *, parameters: bool) -> None:
    folded = fold_constants(graph, parameters=parameters)
    assert find_fault(folded) is None
    assert folded.flops == graph.flops
    assert folded.parameter_bytes == graph.parameter_bytes
    stays, gone = names(folded)
    order = {op.name: op.id for op in graph.ops}
    assert sorted([*stays, *gone], key=order.__getitem__) == [op.name for op in graph.ops]
    assert stays == sorted(stays, key=order.__getitem__)
    assert gone == sorted(gone, key=order.__getitem__)
    inputs = {s.id for s in graph.storages if s.role is Role.INPUT}
    for op in folded.folded:
        touched = {folded.tensors[t].storage for t in (*op.inputs, *op.parameters, *op.writes)}
        assert not touched & inputs
    for op in folded.ops:  # nothing that stays writes what folding made a constant
        for tensor in op.writes:
            storage = graph.tensors[tensor].storage
            assert folded.storages[storage].role is graph.storages[storage].role
