from __future__ import annotations

from collections import defaultdict
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fuseline.graph import OUTSIDE, Builder, Flow, Flows, Gather, Graph, Kind, OpClass, Role
from tests.strategies import addresses, graphs


def moved(graph: Graph, reader: int) -> dict[int, int]:
    """Bytes that `reader` takes, by writer."""
    found: dict[int, int] = defaultdict(int)
    for flow in graph.flows.read_by[reader]:
        found[flow.writer] += graph.flows.nbytes([flow])
    return dict(found)


def kept(graph: Graph) -> dict[int, int]:
    """Bytes that outlive the graph, by writer."""
    by_writer: dict[int, list[Flow]] = defaultdict(list)
    for flow in graph.flows.kept:
        by_writer[flow.writer].append(flow)
    return {writer: graph.flows.nbytes(flows) for writer, flows in by_writer.items()}


def test_an_in_place_chain_is_one_version_after_another() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("conv", Kind.CONV1D, inputs=[x], shape=(4,))  # 16 bytes
    build.op("relu_", Kind.RELU, inputs=[y], writes=[y])
    build.op("add_", Kind.ADD, inputs=[y], writes=[y])
    graph = build.finish([y])
    assert moved(graph, 0) == {OUTSIDE: 16}
    assert moved(graph, 1) == {0: 16}
    assert moved(graph, 2) == {1: 16}
    assert kept(graph) == {2: 16}  # only the last version leaves
    assert graph.flows.orders == {(0, 1), (1, 2)}


def test_a_write_to_a_view_is_a_write_to_the_base() -> None:
    build = Builder()
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    y = build.op("make", Kind.RELU, inputs=[x], shape=(4, 4))  # 64 bytes
    top = build.tensor("top", (1, 4), storage=build.tensors[y].storage, strides=(4, 1))
    build.op("slice", Kind.SLICE, inputs=[y], outputs=[top], op_class=OpClass.VIEW)
    build.op("zero_", Kind.FILL, writes=[top])  # row 0: 16 bytes
    z = build.op("read", Kind.RELU, inputs=[y], shape=(4, 4))
    graph = build.finish([z])
    assert moved(graph, 1) == {}  # a view reads nothing
    assert moved(graph, 2) == {}  # nor does a fill
    assert moved(graph, 3) == {0: 48, 2: 16}
    assert graph.flows.orders == {(0, 2), (0, 3), (2, 3)}
    assert graph.dependences[3] == (0, 2)


def test_reads_of_what_a_partial_write_left() -> None:
    build = Builder()
    x = build.tensor("x", (8,), role=Role.INPUT)  # 32 bytes
    left = build.tensor("left", (4,), storage=0, strides=(1,))
    right = build.tensor("right", (4,), storage=0, offset=4, strides=(1,))
    build.op("halve_", Kind.MUL, inputs=[left], writes=[left])
    a = build.op("a", Kind.RELU, inputs=[left], shape=(4,))
    b = build.op("b", Kind.RELU, inputs=[right], shape=(4,))
    c = build.op("c", Kind.RELU, inputs=[x], shape=(8,))
    graph = build.finish([a, b, c])
    assert moved(graph, 1) == {0: 16}
    assert moved(graph, 2) == {OUTSIDE: 16}
    assert moved(graph, 3) == {0: 16, OUTSIDE: 16}
    assert kept(graph) == {0: 16, 1: 16, 2: 16, 3: 32}  # the mutated half of the input stays
    assert graph.flows.orders == {(0, 1), (0, 3)}


def test_an_overwritten_value_is_not_read_again() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("first", Kind.RELU, inputs=[x], shape=(4,))
    a = build.op("before", Kind.RELU, inputs=[y], shape=(4,))
    build.op("fill_", Kind.FILL, writes=[y])
    b = build.op("after", Kind.RELU, inputs=[y], shape=(4,))
    graph = build.finish([a, b])
    assert moved(graph, 1) == {0: 16}
    assert moved(graph, 3) == {2: 16}
    # write after write (0, 2), write after read (1, 2), read after write (0, 1) and (2, 3)
    assert graph.flows.orders == {(0, 1), (0, 2), (1, 2), (2, 3)}


def test_reads_do_not_order_each_other() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    made = [build.op(f"r{n}", Kind.RELU, inputs=[x], shape=(4,)) for n in range(3)]
    assert build.finish(made).flows.orders == frozenset()


def test_an_activation_that_nobody_returns_does_not_outlive_the_graph() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("make", Kind.RELU, inputs=[x], shape=(4,))
    build.op("relu_", Kind.RELU, inputs=[y], writes=[y])
    z = build.op("sum", Kind.SUM, inputs=[y], shape=())
    assert kept(build.finish([z])) == {2: 4}


def test_an_output_that_is_a_view_keeps_only_its_bytes() -> None:
    build = Builder()
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    y = build.op("make", Kind.RELU, inputs=[x], shape=(4, 4))
    column = build.tensor("column", (4,), storage=build.tensors[y].storage, strides=(4,))
    build.op("select", Kind.SLICE, inputs=[y], outputs=[column], op_class=OpClass.VIEW)
    assert kept(build.finish([column])) == {0: 16}  # 4 of 16 elements


def test_gathers_cost_their_limits_or_the_cells_whichever_is_less() -> None:
    build = Builder()
    table = build.tensor("table", (100,), role=Role.PARAMETER)  # 400 bytes
    low = build.op("low", Kind.EMBEDDING, inputs=[table], gathers=(Gather(table, 40),), shape=(10,))
    high = build.op("hi", Kind.EMBEDDING, inputs=[table], gathers=(Gather(table, 900),), shape=(9,))
    graph = build.finish([low, high])
    assert moved(graph, 0) == {OUTSIDE: 40}
    assert moved(graph, 1) == {OUTSIDE: 400}
    both = [*graph.flows.read_by[0], *graph.flows.read_by[1]]
    assert graph.flows.nbytes(both) == 400  # 40 + 900, capped by the table
    assert graph.flows.nbytes([graph.flows.read_by[0][0]]) == 40


def test_a_gather_of_what_is_read_whole_costs_nothing_more() -> None:
    build = Builder()
    table = build.tensor("table", (100,), role=Role.PARAMETER)
    rows = build.op("rows", Kind.INDEX, inputs=[table], gathers=(Gather(table, 40),), shape=(10,))
    copy = build.op("copy", Kind.RELU, inputs=[table], shape=(100,))
    graph = build.finish([rows, copy])
    assert graph.flows.nbytes([*graph.flows.read_by[0], *graph.flows.read_by[1]]) == 400


def test_gathers_of_disjoint_halves_split_each_its_own_way() -> None:
    build = Builder()
    table = build.tensor("table", (100,), role=Role.PARAMETER)
    half = [build.tensor("half", (50,), storage=0, offset=50 * n, strides=(1,)) for n in (0, 1)]
    made = [
        build.op(f"g{n}", Kind.INDEX, inputs=[half[n]], gathers=(Gather(half[n], limit),), shape=())
        for n, limit in enumerate((20, 900))
    ]
    graph = build.finish([*made, table])
    flows = [*graph.flows.read_by[0], *graph.flows.read_by[1]]
    assert graph.flows.nbytes(flows) == 20 + 200


@given(
    st.lists(st.tuples(st.integers(0, 2**6 - 1), st.integers(0, 30)), min_size=1, max_size=5),
    st.integers(0, 2**6 - 1),
)
def test_gathers_cost_the_cheapest_split(gathers: list[tuple[int, int]], whole: int) -> None:
    """Every split into gathers read whole and gathers read up to their limits, one by one."""
    read = [Flow(0, OUTSIDE, 0, mask, n, limit) for n, (mask, limit) in enumerate(gathers)]
    flows = Flows({0: 4}, (), (), (), frozenset())
    costs = []
    for split in product((False, True), repeat=len(gathers)):
        cells, limited = whole, 0
        for taken, (mask, limit) in zip(split, gathers, strict=True):
            cells, limited = (cells | mask, limited) if taken else (cells, limited + limit)
        costs.append(4 * cells.bit_count() + limited)
    assert flows.nbytes([*read, Flow(0, OUTSIDE, 0, whole, 99)]) == min(costs)


def test_many_gathers_of_one_table_cost_no_more_together_than_apart() -> None:
    build = Builder()
    build.tensor("table", (1000,), role=Role.PARAMETER)
    made = []
    for n in range(10):  # ten pieces of 400 bytes; every second gather is of one element
        piece = build.tensor("piece", (100,), storage=0, offset=100 * n, strides=(1,))
        gather = Gather(piece, 4 if n % 2 else 9000)
        made.append(build.op(f"g{n}", Kind.INDEX, inputs=[piece], gathers=(gather,), shape=()))
    graph = build.finish(made)
    assert graph.parameter_bytes == 5 * 400 + 5 * 4


@given(graphs(scatters=False))
def test_flows_and_hazards_agree_with_a_byte_by_byte_run(  # noqa: C901, PLR0912 - plain loops on purpose
    graph: Graph,
) -> None:
    """Every byte remembers its last writer and the readers since: nothing clever."""
    writer: dict[tuple[int, int], int] = {}
    readers: dict[tuple[int, int], set[int]] = defaultdict(set)
    taken: dict[tuple[int, int, int], set[int]] = defaultdict(set)
    orders: set[tuple[int, int]] = set()
    lasting = {storage.id for storage in graph.storages if storage.role is not Role.ACTIVATION}
    known = set(lasting)
    for op in graph.ops:
        fresh = [t for t in op.outputs if graph.tensors[t].storage not in known]
        known.update(graph.tensors[t].storage for t in fresh)
        if not op.is_compute:
            continue
        for number in (*op.inputs, *op.parameters):
            tensor = graph.tensors[number]
            for byte in addresses(tensor):
                place = (tensor.storage, byte)
                last = writer.get(place, OUTSIDE)
                taken[tensor.storage, last, op.id].add(byte)
                readers[place].add(op.id)
                if last != OUTSIDE:
                    orders.add((last, op.id))
        for number in (*op.writes, *fresh):
            tensor = graph.tensors[number]
            for byte in addresses(tensor):
                place = (tensor.storage, byte)
                before = readers.pop(place, set()) | {writer.get(place, OUTSIDE)}
                orders |= {(earlier, op.id) for earlier in before - {OUTSIDE, op.id}}
                writer[place] = op.id
    for number in graph.outputs:
        tensor = graph.tensors[number]
        for byte in addresses(tensor):
            if (last := writer.get((tensor.storage, byte), OUTSIDE)) != OUTSIDE:
                taken[tensor.storage, last, OUTSIDE].add(byte)
    for (storage, byte), last in writer.items():
        if storage in lasting:
            taken[storage, last, OUTSIDE].add(byte)

    found: dict[tuple[int, int, int], int] = defaultdict(int)
    for flow in (*(f for flows in graph.flows.read_by for f in flows), *graph.flows.kept):
        found[flow.storage, flow.writer, flow.reader] |= flow.mask
    cell = graph.flows.cell_bytes
    sizes = {key: mask.bit_count() * cell[key[0]] for key, mask in found.items() if mask}
    assert sizes == {key: len(touched) for key, touched in taken.items()}
    assert graph.flows.orders == orders


@given(graphs())
def test_every_flow_is_filed_under_its_reader_and_its_writer(graph: Graph) -> None:
    flows = graph.flows
    read = {flow for group in flows.read_by for flow in group} | set(flows.kept)
    written = {flow for group in flows.written_by for flow in group}
    assert written == {flow for flow in read if flow.writer != OUTSIDE}
    assert all(f.reader == op for op, group in enumerate(flows.read_by) for f in group)
    assert all(f.writer == op for op, group in enumerate(flows.written_by) for f in group)


@given(graphs())
def test_dependences_point_backwards(graph: Graph) -> None:
    assert all(earlier < op for op, before in enumerate(graph.dependences) for earlier in before)
