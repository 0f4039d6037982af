from __future__ import annotations

from fuseline.graph import CLASS_OF, Builder, Kind, OpClass, Origin, Role, Status, Work


def test_a_new_tensor_is_dense_in_a_storage_of_its_own() -> None:
    build = Builder()
    x = build.tensor("x", (2, 3, 4), dtype="float16", role=Role.INPUT)
    tensor = build.tensors[x]
    assert (tensor.strides, tensor.offset, tensor.storage) == ((12, 4, 1), 0, 0)
    assert (tensor.numel, tensor.nbytes) == (24, 48)
    assert (build.storages[0].nbytes, build.storages[0].role) == (48, Role.INPUT)


def test_predecessors_default_to_the_makers_of_the_inputs_once_each() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    a = build.op("a", Kind.RELU, inputs=[x], shape=(4,))
    b = build.op("b", Kind.RELU, inputs=[x], shape=(4,))
    build.op("c", Kind.ADD, inputs=[b, a, b, x], shape=(4,))
    build.op("d", Kind.ADD, inputs=[a], predecessors=[1, 1], shape=(4,))
    assert [op.predecessors for op in build.ops] == [(), (), (1, 0), (1,)]


def test_an_in_place_result_is_the_next_ones_operand() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("make", Kind.RELU, inputs=[x], shape=(4,))
    alias = build.tensor("y_", (4,), storage=build.tensors[y].storage)
    assert build.op("relu_", Kind.RELU, inputs=[y], writes=[y], outputs=[alias]) == -1
    build.op("last", Kind.RELU, inputs=[alias], shape=(4,))
    assert build.finish([alias]).consumers == ((1,), (2,), ())


def test_outputs_are_marked_and_inputs_stay_inputs() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("y", Kind.RELU, inputs=[x], shape=(4,))
    graph = build.finish([y, x])
    assert [tensor.role for tensor in graph.tensors] == [Role.INPUT, Role.OUTPUT]
    assert [storage.role for storage in graph.storages] == [Role.INPUT, Role.ACTIVATION]
    assert graph.outputs == (1, 0)


def test_totals_count_each_sort_of_op() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    unknown = Work(0, 0, Status.UNKNOWN, "no formula")
    build.op("a", Kind.LINEAR, inputs=[x], shape=(4,), work=Work(32, 4, Status.COUNTED))
    build.op("b", Kind.SLICE, inputs=[x], op_class=OpClass.VIEW, origin=Origin.METHOD)
    build.op("c", Kind.CONTROL, origin=Origin.METHOD)
    build.op("d", Kind.UNKNOWN, inputs=[x], shape=(4,), work=unknown)
    build.op("e", Kind.MULTIHEAD_ATTENTION, inputs=[x], shape=(4,), hidden_bytes=7)
    graph = build.finish([])
    assert (graph.operators, graph.compute_ops, graph.views, graph.control_ops) == (3, 3, 1, 1)
    assert (graph.flops, graph.other_flops, graph.hidden_bytes) == (32, 4, 7)
    assert [op.name for op in graph.unknown_ops] == ["d"]
    assert graph.source.nodes == 5


def test_every_kind_has_a_class() -> None:
    assert set(CLASS_OF) == set(Kind)


def test_parameter_bytes_are_what_compute_ops_read_once() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    w = build.tensor("w", (8,), role=Role.PARAMETER)  # 32 bytes, read by two ops
    b = build.tensor("b", (4,), role=Role.BUFFER)  # 16 bytes
    build.tensor("idle", (99,), role=Role.PARAMETER)  # nobody reads it
    y = build.op("y", Kind.LINEAR, inputs=[x], parameters=[w], shape=(4,))
    z = build.op("z", Kind.LINEAR, inputs=[y], parameters=[w, b], shape=(4,))
    graph = build.finish([z])
    assert graph.parameter_bytes == 48
    assert graph.compulsory_bytes == 16 + 48 + 16  # x, parameters, z
