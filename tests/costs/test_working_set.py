"""Working sets by hand. Every tensor is float32: 4 bytes an element. `docs/working-set.md` explains
the examples named there.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs.working_set import WorkingSets
from fuseline.graph import Builder, Graph, Kind, OpClass, Role, Status, Work
from tests.strategies import graphs


class _Net:
    """A graph under construction: `op` adds an op that makes one tensor."""

    def __init__(self) -> None:
        self.build = Builder()

    def given(self, *shape: int) -> int:
        return self.build.tensor(f"x{len(self.build.tensors)}", shape, role=Role.INPUT)

    def held(self, *shape: int) -> int:
        return self.build.tensor(f"w{len(self.build.tensors)}", shape, role=Role.PARAMETER)

    def op(self, kind: Kind, inputs: list[int], *shape: int, weight: tuple[int, ...] = (),
           axes: tuple[int, ...] | None = None) -> int:  # fmt: skip
        name = f"{kind.value}_{len(self.build.ops)}"
        parameters = [self.held(*weight)] if weight else []
        return self.build.op(
            name, kind, inputs=inputs, shape=shape, parameters=parameters, axes=axes
        )

    def view(self, base: int, shape: tuple[int, ...], strides: tuple[int, ...], at: int = 0) -> int:
        storage = self.build.tensors[base].storage
        made = self.build.tensor("view", shape, storage=storage, strides=strides, offset=at)
        self.build.op("view", Kind.PERMUTE, inputs=[base], outputs=[made], op_class=OpClass.VIEW)
        return made

    def finish(self, *outputs: int) -> Graph:
        return self.build.finish(outputs)


def held(graph: Graph) -> int:
    """What all ops of a graph hold together."""
    return WorkingSets(graph).nbytes(range(len(graph.ops)))


def test_elementwise_ops_hold_nothing() -> None:
    net = _Net()
    x = net.given(4, 8)
    y = net.op(Kind.ADD, [net.op(Kind.RELU, [x], 4, 8), net.given(4, 8)], 4, 8)
    assert held(net.finish(y)) == 0


def test_an_mlp_holds_its_weights_and_a_row_of_each_operand() -> None:
    net = _Net()
    x = net.given(5, 3)
    y = net.op(Kind.LINEAR, [x], 5, 8, weight=(8, 3))  # 96 bytes
    z = net.op(Kind.LINEAR, [net.op(Kind.GELU, [y], 5, 8)], 5, 3, weight=(3, 8))  # 96
    graph = net.finish(z)
    assert held(graph) == 96 + 96 + 4 * (3 + 8)
    assert WorkingSets(graph).nbytes([1, 2]) == 96 + 4 * 8  # gelu and the second linear


def test_a_convolution_holds_a_line_buffer() -> None:
    net = _Net()
    x = net.given(1, 2, 6, 5)
    y = net.op(Kind.CONV2D, [x], 1, 4, 6, 5, weight=(4, 2, 3, 3))  # 288 bytes
    z = net.op(Kind.CONV2D_DEPTHWISE, [y], 1, 4, 3, 3, weight=(4, 1, 3, 3))  # 144
    graph = net.finish(z)
    pixels = (3 - 1) * 5 + 3
    assert WorkingSets(graph).nbytes([0]) == 288 + 4 * 2 * pixels
    assert held(graph) == 288 + 144 + 4 * 2 * pixels + 4 * 4 * pixels


def test_a_kernel_is_no_larger_than_its_image() -> None:
    net = _Net()
    x = net.given(1, 2, 2, 2)
    assert held(net.finish(net.op(Kind.CONV2D, [x], 1, 1, 2, 2, weight=(1, 2, 3, 3)))) == (
        72 + 4 * 2 * 4  # a padded 3 x 3 over 2 x 2: the whole image
    )


def test_a_skip_waits_as_long_as_the_other_path_takes() -> None:
    net = _Net()
    x = net.given(1, 2, 8, 8)
    y = net.op(Kind.CONV2D, [x], 1, 2, 8, 8, weight=(2, 2, 3, 3))  # 144 bytes
    y = net.op(Kind.CONV2D, [net.op(Kind.RELU, [y], 1, 2, 8, 8)], 1, 2, 8, 8, weight=(2, 2, 3, 3))
    z = net.op(Kind.ADD, [x, y], 1, 2, 8, 8)
    graph = net.finish(z)
    pixels = 2 * 8 + 3  # that a 3 x 3 waits for
    # x until both convolutions have what they wait for; the result between them in a line buffer
    assert held(graph) == 2 * 144 + 4 * 2 * (2 * pixels) + 4 * 2 * pixels
    assert WorkingSets(graph).nbytes([3]) == 0  # outside, the two operands come side by side


def test_squeeze_and_excitation_holds_what_it_scales_whole() -> None:
    net = _Net()
    x = net.given(1, 4, 6, 6)
    a = net.op(Kind.RELU, [x], 1, 4, 6, 6)
    s = net.op(Kind.ADAPTIVEAVGPOOL, [a], 1, 4, 1, 1)
    s = net.op(Kind.CONV2D_POINTWISE, [s], 1, 4, 1, 1, weight=(4, 4, 1, 1))  # 64 bytes
    graph = net.finish(net.op(Kind.MUL, [s, a], 1, 4, 6, 6))
    sets = WorkingSets(graph)
    assert sets.nbytes([0, 1]) == 4 * 4  # four running sums
    # the sums, the mean that the convolution reads, its result, which scales every pixel, and a
    assert held(graph) == 64 + 16 + 16 + 16 + 4 * 4 * 36


def test_adaptive_pooling_runs_sums_only_over_bins_that_do_not_overlap() -> None:
    for size, bins, expected in (
        (6, 3, 4 * 2 * 9 * ((2 - 1) * 6 + 2) / 36),  # sums of the results of 8 pixels of 36
        (5, 3, 4 * 2 * ((3 - 1) * 5 + 3)),  # bins of at most three rows and columns, held
    ):
        net = _Net()
        x = net.given(1, 2, size, size)
        graph = net.finish(net.op(Kind.ADAPTIVEAVGPOOL, [x], 1, 2, bins, bins))
        assert held(graph) == expected


def test_pooling_finds_its_window_in_the_work_counted() -> None:
    for kind, steps, pixels in (
        (Kind.MAXPOOL, 9, 2 * 8 + 3),  # 3 x 3 comparisons a result
        (Kind.AVGPOOL, 5, 1 * 8 + 2),  # 2 x 2 additions and a division
        (Kind.MAXPOOL, 7, 6 * 8 + 7),  # not square: 7 x 1 and 1 x 7 both fit in 7 x 7
        (Kind.MAXPOOL, 0, 64),  # not known
    ):
        net = _Net()
        x = net.given(1, 2, 8, 8)
        work = Work(0, steps * 32, Status.COUNTED)
        y = net.build.op("pool", kind, inputs=[x], shape=(1, 2, 4, 4), work=work)
        assert held(net.finish(y)) == 4 * 2 * pixels


def test_rows_of_channels_come_at_once_through_a_permuted_view() -> None:
    net = _Net()
    x = net.given(1, 2, 3, 3)
    y = net.op(Kind.CONV2D_POINTWISE, [x], 1, 8, 3, 3, weight=(8, 2, 1, 1))  # 64 bytes
    rows = net.view(y, (1, 3, 3, 8), (72, 3, 1, 9))
    z = net.op(Kind.LAYERNORM, [rows], 1, 3, 3, 8, axes=(3,))
    assert held(net.finish(z)) == 64 + 4 * 2 + 4 * 8  # a pixel of x and one of y


def test_what_is_read_across_the_order_it_comes_in_is_held_whole() -> None:
    net = _Net()
    x = net.given(6, 4)
    y = net.op(Kind.LINEAR, [x], 6, 4, weight=(4, 4))  # token by token
    turned = net.view(y, (4, 6), (1, 4))
    z = net.op(Kind.LINEAR, [turned], 4, 6, weight=(6, 6))  # channel by channel
    assert held(net.finish(z)) == 64 + 144 + 4 * 4 + 4 * 24


def test_two_dimensions_walked_the_other_way_round_are_held_whole() -> None:
    net = _Net()
    x = net.given(1, 3, 4, 2)  # heads inside tokens: [B, tokens, heads, d]
    y = net.op(Kind.LAYERNORM, [x], 1, 3, 4, 2, axes=(3,))
    heads = net.view(y, (1, 4, 3, 2), (24, 2, 8, 1))
    z = net.op(Kind.LINEAR, [heads], 1, 4, 3, 5, weight=(5, 2))  # all tokens of a head first
    assert held(net.finish(z)) == 40 + 4 * 2 + 4 * 24


def test_dropping_the_first_token_holds_one_token() -> None:
    net = _Net()
    x = net.given(5, 4)
    y = net.op(Kind.RELU, [x], 5, 4)
    rest = net.view(y, (4, 4), (4, 1), at=4)
    z = net.op(Kind.GELU, [rest], 4, 4)
    assert held(net.finish(z)) == 4 * 4


def test_joined_channels_stream_and_joined_tokens_are_held() -> None:
    net = _Net()
    a = net.op(Kind.CONV2D_POINTWISE, [net.given(1, 2, 3, 3)], 1, 2, 3, 3, weight=(2, 2, 1, 1))
    b = net.op(Kind.RELU, [a], 1, 2, 3, 3)
    channels = net.op(Kind.CAT, [a, b], 1, 4, 3, 3)
    graph = net.finish(channels)
    assert held(graph) == 16 + 4 * 2  # the weight, and a pixel of the input
    net = _Net()
    a = net.op(Kind.RELU, [net.given(3, 4)], 3, 4)
    tokens = net.op(Kind.CAT, [a, net.given(1, 4)], 4, 4)
    assert held(net.finish(tokens)) == 4 * (3 * 4 + 1 * 4)


def test_what_is_read_from_memory_comes_as_its_reader_likes() -> None:
    net = _Net()
    x = net.given(6, 4)
    y = net.op(Kind.LINEAR, [x], 6, 4, weight=(4, 4))  # row after row
    z = net.op(Kind.SOFTMAX, [y], 6, 4, axes=(0,))  # over a column of six
    sets = WorkingSets(net.finish(z))
    assert sets.nbytes([1]) == 4 * 6
    assert sets.nbytes([0, 1]) == 64 + 4 * 4 + 4 * 24  # made in rows: the columns are held whole


def test_readers_outside_the_group_do_not_matter() -> None:
    net = _Net()
    x = net.given(6, 4)
    rows = net.op(Kind.SOFTMAX, [x], 6, 4, axes=(1,))
    columns = net.op(Kind.SOFTMAX, [x], 6, 4, axes=(0,))
    sets = WorkingSets(net.finish(rows, columns))
    assert [sets.nbytes([op]) for op in (0, 1)] == [4 * 4, 4 * 6]
    assert sets.nbytes([0, 1]) == 4 * 24  # x comes in rows, as the first likes


def test_ops_that_follow_pass_on_what_the_group_likes() -> None:
    net = _Net()
    y = net.op(Kind.LINEAR, [net.given(6, 4)], 6, 4, weight=(4, 4))
    a = net.op(Kind.RELU, [y], 6, 4)
    b = net.op(Kind.ADD, [a, net.given(6, 4)], 6, 4)
    c = net.op(Kind.SOFTMAX, [b], 6, 4, axes=(0,))
    d = net.op(Kind.SOFTMAX, [y], 6, 4, axes=(0,))
    sets = WorkingSets(net.finish(c, d))
    assert sets.nbytes([1]) == sets.nbytes([1, 2]) == 0
    assert sets.nbytes([1, 2, 3]) == 4 * 6  # all in columns
    assert sets.nbytes([1, 4]) == 4 * 6  # y in columns, as softmax likes, though relu is first
    # y is made in rows, and so is all that follows: both columns are held whole
    assert sets.nbytes([0, 1, 2, 3]) == 64 + 4 * 4 + 4 * 24


def test_parts_of_one_result_are_read_apart() -> None:
    net = _Net()
    x = net.given(6, 8)
    qkv = net.op(Kind.LINEAR, [x], 6, 24, weight=(24, 8))  # 768 bytes
    heads = [net.view(qkv, (1, 2, 6, 4), (144, 4, 24, 1), at=8 * n) for n in range(3)]
    net.op(Kind.SCALED_DOT_PRODUCT_ATTENTION, heads, 1, 2, 6, 4)
    sets = WorkingSets(net.finish())
    assert sets.nbytes([4]) == sets.resident([4]) == 4 * 8 + 2 * (4 * 6 * 8)  # q, and all of k, v
    assert sets.nbytes([0, 4]) == 768 + 4 * 8 + 4 * 6 * 24  # q is made along with k and v


def test_parts_that_overlap_are_held_whole_and_once() -> None:
    net = _Net()
    x = net.given(6, 4)
    rest, first = net.view(x, (5, 4), (4, 1), at=4), net.view(x, (2, 4), (4, 1))
    a = net.op(Kind.LAYERNORM, [rest], 5, 4, axes=(1,))
    b = net.op(Kind.LAYERNORM, [x], 6, 4, axes=(1,))
    c = net.op(Kind.LAYERNORM, [first], 2, 4, axes=(1,))
    sets = WorkingSets(net.finish(a, b, c))
    assert sets.nbytes([2]) == sets.nbytes([3]) == 4 * 4  # a row
    assert sets.nbytes([2, 3]) == sets.nbytes([2, 3, 4]) == 4 * 24
    assert sets.nbytes([3, 4]) == 4 * 4 * 5  # two rows of x, read no faster than all six: 1 + 4


def test_what_is_joined_from_memory_streams_whatever_the_dimension() -> None:
    for second, joined in (((2, 4), (5, 4)), ((3, 2), (3, 6))):
        net = _Net()
        assert (
            held(net.finish(net.op(Kind.CAT, [net.given(3, 4), net.given(*second)], *joined))) == 0
        )


def test_a_scale_does_not_say_how_what_it_scales_comes() -> None:
    net = _Net()
    s = net.op(Kind.SIGMOID, [net.given(1, 4, 1, 1)], 1, 4, 1, 1)
    x = net.op(Kind.RELU, [net.given(1, 4, 6, 6)], 1, 4, 6, 6)
    y = net.op(Kind.MUL, [s, x], 1, 4, 6, 6)
    z = net.op(Kind.CONV2D_POINTWISE, [y], 1, 4, 6, 6, weight=(4, 4, 1, 1))  # 64 bytes
    sets = WorkingSets(net.finish(z))
    assert sets.nbytes([0, 2, 3]) == 64 + 16 + 16  # a pixel, and a factor for each of its channels


def test_a_product_holds_its_second_operand_and_a_row_of_the_first() -> None:
    net = _Net()
    q = net.op(Kind.RELU, [net.given(2, 5, 3)], 2, 5, 3)
    k = net.op(Kind.GELU, [net.given(2, 3, 7)], 2, 3, 7)
    sets = WorkingSets(net.finish(net.op(Kind.MATMUL, [q, k], 2, 5, 7)))
    assert sets.nbytes([2]) == sets.nbytes([1, 2]) == 4 * 3 + 4 * 3 * 7  # of one matrix of two
    assert sets.nbytes([0, 1, 2]) == 4 * 5 * 3 + 4 * 3 * 7  # q is made while k is waited for


def test_attention_holds_keys_and_values_and_a_token_of_the_query() -> None:
    net = _Net()
    heads = (1, 2, 6, 4)
    q, k, v = (net.given(*heads) for _ in range(3))
    graph = net.finish(net.op(Kind.SCALED_DOT_PRODUCT_ATTENTION, [q, k, v], *heads))
    assert held(graph) == 4 * 2 * 4 + 2 * (4 * 2 * 6 * 4)


def test_a_composite_attention_makes_its_own_keys_and_values() -> None:
    net = _Net()
    x = net.given(1, 6, 4)
    y = net.op(Kind.MULTIHEAD_ATTENTION, [x], 1, 6, 4, weight=(12, 4))  # 192 bytes
    graph = net.finish(net.op(Kind.ADD, [x, y], 1, 6, 4))
    assert held(graph) == 192 + 3 * (4 * 6 * 4)  # x, keys and values; the sum adds nothing
    net = _Net()
    x, bias = net.given(1, 4, 4, 2), net.given(1, 1, 4, 4)  # windows of 2 x 2
    y = net.op(Kind.SHIFTED_WINDOW_ATTENTION, [x, bias], 1, 4, 4, 2, weight=(6, 2))  # 48
    graph = net.finish(net.op(Kind.ADD, [x, y], 1, 4, 4, 2))
    rows, keys = 4 * (2 * 4 * 2), 2 * (4 * 4 * 2)  # two rows of pixels; four keys and values
    assert held(graph) == 48 + rows + keys + 4 * 16


def test_an_enlarged_image_holds_rows_and_a_merged_one_a_block() -> None:
    net = _Net()
    x = net.given(1, 2, 8, 8)
    assert held(net.finish(net.op(Kind.UPSAMPLE, [x], 1, 2, 16, 16))) == 4 * 2 * 4 * 8
    net = _Net()
    x = net.op(Kind.LAYERNORM, [net.given(1, 4, 4, 3)], 1, 4, 4, 3, axes=(3,))
    graph = net.finish(net.op(Kind.PAD, [x], 1, 2, 2, 12))  # patch merging, 2 x 2 pixels into one
    assert held(graph) == 4 * 3 + 4 * 3 * (4 + 2)


def test_an_op_of_no_known_way_of_reading_holds_all_it_reads() -> None:
    net = _Net()
    x = net.given(3, 4)
    for kind in (Kind.UNKNOWN, Kind.ROLL, Kind.SORT, Kind.LSTM):
        net.op(kind, [x], 3, 4)
    sets = WorkingSets(net.finish())
    assert [sets.nbytes([op]) for op in range(4)] == [48] * 4


def test_a_weight_that_several_ops_read_is_held_once() -> None:
    net = _Net()
    x, w = net.given(5, 4), net.held(4, 4)  # 64 bytes
    y = net.build.op("one", Kind.LINEAR, inputs=[x], parameters=[w], shape=(5, 4))
    z = net.build.op("two", Kind.LINEAR, inputs=[y], parameters=[w], shape=(5, 4))
    sets = WorkingSets(net.finish(z))
    assert sets.nbytes([0]) == sets.resident([0]) == 64 + 16
    assert sets.nbytes([0, 1]) == sets.resident([0, 1]) == 64 + 2 * 16


def test_a_tile_of_elementwise_ops_holds_nothing() -> None:
    net = _Net()
    x = net.given(5, 4)
    y = net.op(Kind.LINEAR, [net.op(Kind.GELU, [x], 5, 4)], 5, 8, weight=(8, 4))
    graph = net.finish(net.op(Kind.RELU, [y], 5, 8))
    assert WorkingSets(graph).tile_nbytes(range(3)) == 0


def test_a_tile_holds_a_row_of_what_is_read_again_after_its_reduction() -> None:
    net = _Net()
    x, skip = net.given(5, 4), net.given(5, 4)
    y = net.op(Kind.ADD, [x, skip], 5, 4)
    n = net.op(Kind.LAYERNORM, [y], 5, 4, axes=(1,))
    z = net.op(Kind.MUL, [n, net.given(5, 4)], 5, 4)
    sets = WorkingSets(net.finish(z))
    assert sets.tile_nbytes([1]) == 16  # a row of y
    assert sets.tile_nbytes([0, 1, 2]) == 16  # what z takes besides comes when the mean is known


def test_a_tile_that_only_sums_its_rows_holds_none() -> None:
    net = _Net()
    x = net.given(5, 4)
    mean = net.op(Kind.MEAN, [x], 5, 1, axes=(1,))
    sets = WorkingSets(net.finish(net.op(Kind.SUB, [x, mean], 5, 4)))
    assert sets.tile_nbytes([0]) == 0
    assert sets.tile_nbytes([0, 1]) == 16  # the subtraction reads x again


def test_a_tile_holds_rows_on_either_side_of_a_contraction() -> None:
    net = _Net()
    x = net.given(5, 4)
    n = net.op(Kind.LAYERNORM, [x], 5, 4, axes=(1,))
    y = net.op(Kind.LINEAR, [n], 5, 8, weight=(8, 4))
    z = net.op(Kind.LAYERNORM, [y], 5, 8, axes=(1,))
    sets = WorkingSets(net.finish(z))
    assert sets.tile_nbytes([0, 1]) == 16  # a row of the operand
    assert sets.tile_nbytes([1, 2]) == 32  # a row of the result
    assert sets.tile_nbytes([0, 1, 2]) == 16 + 32


def test_a_tile_of_attention_holds_a_query_a_result_and_two_statistics() -> None:
    net = _Net()
    q, k, v = net.given(2, 6, 4), net.given(2, 4, 6), net.given(2, 6, 3)
    s = net.op(Kind.MATMUL, [q, k], 2, 6, 6)
    p = net.op(Kind.SOFTMAX, [net.op(Kind.ADD, [s, net.given(6, 6)], 2, 6, 6)], 2, 6, 6, axes=(2,))
    net.op(Kind.MATMUL, [p, v], 2, 6, 3)
    net.op(Kind.SCALED_DOT_PRODUCT_ATTENTION, [q, k, v], 2, 6, 3)
    sets = WorkingSets(net.finish(*range(6)))
    assert sets.tile_nbytes([0, 1, 2, 3]) == 4 * (4 + 3 + 2)  # no row of scores
    assert sets.tile_nbytes([4]) == 4 * (4 + 3 + 2)
    assert sets.tile_nbytes([1, 2]) == 4 * 6  # without its products softmax holds a row


@given(graphs(), st.data())
def test_resident_is_a_bound_that_never_falls(graph: Graph, data: st.DataObject) -> None:
    sets = WorkingSets(graph)
    ops = data.draw(st.permutations(range(len(graph.ops))))
    few = ops[: data.draw(st.integers(0, len(ops)))]
    assert 0 <= sets.resident(few) <= sets.resident(ops) <= sets.nbytes(ops)
    assert sets.resident(few) <= sets.nbytes(few) == sets.nbytes(sorted(few))
    assert sets.tile_nbytes(few) >= 0


@given(graphs(recorded=True))
def test_no_group_holds_more_than_every_byte_it_touches(graph: Graph) -> None:
    """Each value once and whole, parameters, and results that are summed: nothing else."""
    reads = {(flow.storage, flow.writer) for flows in graph.flows.read_by for flow in flows}
    values = sum(graph.storages[storage].nbytes for storage, _ in reads)
    made = sum(graph.tensors[tensor].nbytes for op in graph.ops for tensor in op.outputs)
    assert held(graph) <= values + made
