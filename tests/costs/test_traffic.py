"""Bytes by hand. Every tensor is float32: 4 bytes an element."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs import Traffic, cost, group_traffic
from fuseline.graph import OUTSIDE, Builder, Gather, Graph, Kind, OpClass, Role
from tests.strategies import addresses, graphs, plan_of


def conv_relu(*, in_place: bool) -> Graph:
    build = Builder()
    x = build.tensor("x", (25,), role=Role.INPUT)  # 100 bytes
    w = build.tensor("w", (9,), role=Role.PARAMETER)  # 36
    y = build.op("conv", Kind.CONV2D, inputs=[x], parameters=[w], shape=(20,))  # 80
    if in_place:
        z = build.tensor("z", (20,), storage=build.tensors[y].storage)
        build.op("relu_", Kind.RELU, inputs=[y], writes=[y], outputs=[z])
    else:
        z = build.op("relu", Kind.RELU, inputs=[y], shape=(20,))
    return build.finish([z])


def test_conv_and_relu_apart_and_together() -> None:
    for graph in (conv_relu(in_place=False), conv_relu(in_place=True)):
        assert group_traffic(graph, [0]) == Traffic(reads=100, parameters=36, writes=80)
        assert group_traffic(graph, [1]) == Traffic(reads=80, parameters=0, writes=80)
        assert group_traffic(graph, [0, 1]) == Traffic(reads=100, parameters=36, writes=80)
        assert graph.compulsory_bytes == 100 + 36 + 80


def test_views_are_free_and_read_only_their_bytes() -> None:
    build = Builder()
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    y = build.op("make", Kind.RELU, inputs=[x], shape=(4, 4))
    storage = build.tensors[y].storage
    left = build.tensor("left", (4, 2), storage=storage, strides=(4, 1))
    build.op("slice", Kind.SLICE, inputs=[y], outputs=[left], op_class=OpClass.VIEW)
    z = build.op("read", Kind.RELU, inputs=[left], shape=(4, 2))
    graph = build.finish([z])
    assert group_traffic(graph, [1]) == Traffic(0, 0, 0)
    assert group_traffic(graph, [2]) == Traffic(reads=32, parameters=0, writes=32)
    # `make` must leave only what somebody reads: the left half
    assert group_traffic(graph, [0]) == Traffic(reads=64, parameters=0, writes=32)
    assert group_traffic(graph, [0, 1, 2]) == Traffic(reads=64, parameters=0, writes=32)


def test_two_halves_read_by_one_group_are_a_union() -> None:
    build = Builder()
    x = build.tensor("x", (8,), role=Role.INPUT)  # 32 bytes
    first = build.tensor("first", (6,), storage=0)
    last = build.tensor("last", (6,), storage=0, offset=2)
    a = build.op("a", Kind.RELU, inputs=[first], shape=(6,))
    b = build.op("b", Kind.RELU, inputs=[last], shape=(6,))
    c = build.op("c", Kind.RELU, inputs=[x], shape=(8,))
    graph = build.finish([a, b, c])
    assert [group_traffic(graph, [op]).reads for op in range(3)] == [24, 24, 32]
    assert group_traffic(graph, [0, 1]).reads == 32
    assert graph.compulsory_bytes == 32 + 24 + 24 + 32


def test_a_value_with_several_readers_is_written_for_those_outside() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)  # 40 bytes everywhere
    y = build.op("y", Kind.RELU, inputs=[x], shape=(10,))
    a = build.op("a", Kind.RELU, inputs=[y], shape=(10,))
    b = build.op("b", Kind.RELU, inputs=[y], shape=(10,))
    graph = build.finish([a, b])
    assert group_traffic(graph, [0, 1]) == Traffic(reads=40, parameters=0, writes=80)  # a, y
    assert group_traffic(graph, [1, 2]) == Traffic(reads=40, parameters=0, writes=80)  # y once
    assert group_traffic(graph, [0, 1, 2]) == Traffic(reads=40, parameters=0, writes=80)  # a, b
    assert cost(graph, plan_of([(0,), (1,), (2,)])).nbytes == 6 * 40


def test_an_output_that_is_consumed_too_is_written_once() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("y", Kind.RELU, inputs=[x], shape=(10,))
    z = build.op("z", Kind.RELU, inputs=[y], shape=(10,))
    graph = build.finish([y, z])
    assert group_traffic(graph, [0]).writes == 40
    assert group_traffic(graph, [0, 1]) == Traffic(reads=40, parameters=0, writes=80)
    assert graph.compulsory_bytes == 120


def test_gathers_read_what_they_can_select_but_are_written_whole() -> None:
    build = Builder()
    ids = build.tensor("ids", (2,), dtype="int64", role=Role.INPUT)  # 16 bytes
    table = build.tensor("table", (100, 4), role=Role.PARAMETER)  # 1600
    rows = build.op(  # 2 rows of 16
        "embed",
        Kind.EMBEDDING,
        inputs=[ids],
        parameters=[table],
        shape=(2, 4),
        gathers=(Gather(table, 32),),
    )
    made = build.op("make", Kind.RELU, inputs=[rows], shape=(50,))  # 200
    pick = build.op("pick", Kind.INDEX, inputs=[made], gathers=(Gather(made, 8),), shape=(2,))
    graph = build.finish([pick])
    assert group_traffic(graph, [0]) == Traffic(reads=16, parameters=32, writes=32)
    assert group_traffic(graph, [1]) == Traffic(reads=32, parameters=0, writes=200)
    assert group_traffic(graph, [2]) == Traffic(reads=8, parameters=0, writes=8)
    assert graph.compulsory_bytes == 16 + 32 + 8
    assert graph.parameter_bytes == 32


def test_dropout_in_eval_mode_is_free() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("y", Kind.RELU, inputs=[x], shape=(10,))
    same = build.tensor("same", (10,), storage=build.tensors[y].storage)
    build.op("drop", Kind.DROPOUT, inputs=[y], outputs=[same], op_class=OpClass.VIEW)
    z = build.op("z", Kind.RELU, inputs=[same], shape=(10,))
    graph = build.finish([z])
    price = cost(graph, plan_of([(0,), (1,), (2,)]))
    assert [group.nbytes for group in price.groups] == [80, 0, 80]
    assert (price.launches, graph.compute_ops, graph.views) == (2, 2, 1)


def test_a_mutated_input_and_an_updated_buffer_are_written_back() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)  # 40 bytes
    mean = build.tensor("mean", (3,), role=Role.BUFFER)  # 12
    build.op("add_", Kind.ADD, inputs=[x], parameters=[mean], writes=[x, mean])
    graph = build.finish([])
    assert group_traffic(graph, [0]) == Traffic(reads=40, parameters=12, writes=52)
    assert graph.compulsory_bytes == 104


def test_shared_inputs_and_weights_are_compulsory_once() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    w = build.tensor("w", (5,), role=Role.PARAMETER)  # 20 bytes
    made = [
        build.op(f"f{n}", Kind.LINEAR, inputs=[x], parameters=[w], shape=(1,)) for n in range(3)
    ]
    graph = build.finish(made)
    assert graph.compulsory_bytes == 40 + 20 + 3 * 4
    assert cost(graph, plan_of([(0,), (1,), (2,)])).nbytes == 3 * (40 + 20 + 4)


def test_a_scatter_writes_what_its_index_selects_and_leaves_the_rest() -> None:
    build = Builder()
    cache = build.tensor("cache", (10,), role=Role.BUFFER)  # 40 bytes
    row = build.tensor("row", (1,), role=Role.INPUT)
    build.op("put", Kind.SCATTER, inputs=[row, cache], writes=[cache], scatters=(Gather(cache, 4),))
    made = build.op("all", Kind.RELU, inputs=[cache], shape=(10,))
    graph = build.finish([made])
    assert group_traffic(graph, [0]) == Traffic(reads=4, parameters=4, writes=4)
    assert group_traffic(graph, [1]) == Traffic(reads=0, parameters=40, writes=40)
    assert group_traffic(graph, [0, 1]) == Traffic(reads=4, parameters=40, writes=44)
    assert graph.compulsory_bytes == 4 + 40 + 44
    assert graph.flows.orders == {(0, 1)}


def test_a_scatter_beside_a_whole_write_has_no_limit() -> None:
    build = Builder()
    table = build.tensor("table", (10,), role=Role.INPUT)
    half = build.tensor("half", (5,), storage=build.tensors[table].storage)
    build.op("put", Kind.SCATTER, writes=[half, table], scatters=(Gather(half, 4),))
    graph = build.finish([])
    assert group_traffic(graph, [0]).writes == 40


def test_uninitialised_memory_that_is_read_is_no_compulsory_input() -> None:
    build = Builder()
    scratch = build.tensor("scratch", (10,))
    half = build.tensor("half", (5,), storage=0)
    build.op("new", Kind.FILL, outputs=[half])  # writes 20 of 40 bytes
    z = build.op("z", Kind.RELU, inputs=[scratch], shape=(1,))
    graph = build.finish([z])
    assert group_traffic(graph, [1]).reads == 40
    assert graph.compulsory_bytes == 4


@given(st.data(), graphs(gathers=False, scatters=False))
def test_traffic_agrees_with_a_byte_by_byte_run(data: st.DataObject, graph: Graph) -> None:
    everything = [op.id for op in graph.ops]
    group = data.draw(st.lists(st.sampled_from(everything), min_size=1, unique=True))
    found = group_traffic(graph, group)
    assert (found.reads + found.parameters, found.writes) == by_hand(graph, frozenset(group))


def by_hand(graph: Graph, group: frozenset[int]) -> tuple[int, int]:
    """(bytes read, bytes written) across the boundary, one byte at a time."""
    writer: dict[tuple[int, int], int] = {}
    read: set[tuple[int, int]] = set()
    written: set[tuple[int, tuple[int, int]]] = set()  # by version: who wrote which byte
    known = {storage.id for storage in graph.storages if storage.role is not Role.ACTIVATION}
    lasting = set(known)

    def places(tensors: Iterable[int]) -> Iterable[tuple[int, int]]:
        for number in tensors:
            for byte in addresses(graph.tensors[number]):
                yield graph.tensors[number].storage, byte

    for op in graph.ops:
        fresh = [t for t in op.outputs if graph.tensors[t].storage not in known]
        known.update(graph.tensors[t].storage for t in fresh)
        if not op.is_compute:
            continue
        for place in places((*op.inputs, *op.parameters)):
            last = writer.get(place, OUTSIDE)
            if op.id in group and last not in group:
                read.add(place)
            if op.id not in group and last in group:
                written.add((last, place))
        writer |= dict.fromkeys(places((*op.writes, *fresh)), op.id)
    held = {place for place in writer if place[0] in lasting} | set(places(graph.outputs))
    written |= {(writer[place], place) for place in held if writer.get(place, OUTSIDE) in group}
    return len(read), len(written)
