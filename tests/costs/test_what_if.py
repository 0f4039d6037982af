"""Other dtypes and packed weights: bytes by hand, and against fresh captures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from fuseline import InputError, capture, partition
from fuseline.costs import cost, group_traffic
from fuseline.costs.what_if import with_dtype, with_weight_only
from fuseline.graph import Builder, Gather, Graph, Kind, OpClass, Origin, Role, Status, Work
from fuseline.graph.files import find_fault
from fuseline.graph.fold import fold_constants
from tests.strategies import graphs


def figures(graph: Graph) -> tuple[int, ...]:
    """What two graphs of one program must agree on."""
    unfused = cost(graph, partition(graph, "unfused")).nbytes
    parameters = graph.parameter_bytes
    return graph.flops, graph.other_flops, unfused, graph.compulsory_bytes, parameters


def embedding_model() -> Graph:
    """ids -> embed (2 rows of 4 of a table) -> mask_fill -> fc with a bias."""
    build = Builder()
    ids = build.tensor("ids", (2,), dtype="int64", role=Role.INPUT)  # 16 bytes
    table = build.tensor("table", (100, 4), role=Role.PARAMETER)
    mask = build.tensor("mask", (2, 4), dtype="bool", role=Role.INPUT)  # 8
    w = build.tensor("w", (3, 4), role=Role.PARAMETER)
    b = build.tensor("b", (3,), role=Role.PARAMETER)
    rows = build.op(
        "embed", Kind.EMBEDDING, inputs=[ids], parameters=[table], shape=(2, 4),
        gathers=(Gather(table, 32),),
    )  # fmt: skip
    kept = build.op("fill", Kind.FILL, inputs=[rows, mask], shape=(2, 4))
    out = build.op("fc", Kind.LINEAR, inputs=[kept], parameters=[w, b], shape=(2, 3))
    return build.finish([out])


# --- dtype ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "item"), [("bfloat16", 2), ("float64", 8), ("int8", 1)])
def test_floats_change_size_and_indices_and_masks_do_not(dtype: str, item: int) -> None:
    graph = with_dtype(embedding_model(), dtype)
    # embed: 16 of indices, 2 x 4 of the table, 2 x 4 made; fill: 8 of the mask
    assert group_traffic(graph, [0]).nbytes == 16 + 2 * 8 * item
    assert group_traffic(graph, [1]).nbytes == 8 + 2 * 8 * item
    assert group_traffic(graph, [2]).nbytes == (8 + 12 + 3 + 6) * item
    assert graph.source.dtype == dtype
    assert find_fault(graph) is None


def test_a_dtype_of_the_models_own_stays() -> None:
    build = Builder()
    x = build.tensor("x", (8,), role=Role.INPUT)
    wide = build.tensor("wide", (8,), dtype="float64")
    build.op("to", Kind.CAST, inputs=[x], outputs=[wide])
    graph = with_dtype(build.finish([wide]), "float16")
    assert group_traffic(graph, [0]).nbytes == 8 * 2 + 8 * 8


def test_the_same_dtype_is_the_same_graph() -> None:
    graph = embedding_model()
    assert with_dtype(graph, "float32") is graph
    assert with_dtype(with_dtype(graph, "float16"), "float32").storages == graph.storages


def test_dtypes_that_cannot_be() -> None:
    with pytest.raises(InputError, match="unknown dtype 'bfloat': did you mean 'bfloat16'"):
        with_dtype(embedding_model(), "bfloat")
    build = Builder()
    x = build.tensor("x", (8,), role=Role.INPUT)
    pairs = build.tensor("pairs", (4,), dtype="complex64", storage=0)
    build.op("view_as_complex", Kind.RESHAPE, inputs=[x], outputs=[pairs], op_class=OpClass.VIEW)
    graph = build.finish([pairs])
    with pytest.raises(InputError, match="'view_as_complex' reads float32 memory as complex64"):
        with_dtype(graph, "float16")
    halves = replace(graph, source=replace(graph.source, dtype="float16"))
    with pytest.raises(InputError, match="no tensor of the graph is float16"):
        with_dtype(halves, "float32")


def test_hidden_bytes_follow_the_dtype() -> None:
    build = Builder()
    x = build.tensor("x", (1, 2, 4), role=Role.INPUT)
    made = build.op("mha", Kind.MULTIHEAD_ATTENTION, inputs=[x], shape=(1, 2, 4), hidden_bytes=80)
    assert with_dtype(build.finish([made]), "float16").hidden_bytes == 40


@given(graphs(gathers=True, scatters=True))
def test_doubling_every_element_doubles_every_byte(graph: Graph) -> None:
    double = with_dtype(graph, "float64")
    for op in graph.ops:
        assert group_traffic(double, [op.id]).nbytes == 2 * group_traffic(graph, [op.id]).nbytes
    assert (double.flops, double.compulsory_bytes) == (graph.flops, 2 * graph.compulsory_bytes)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_t", "hf/bert"])
def test_a_capture_in_bfloat16_is_the_same(name: str) -> None:
    derived, fresh = with_dtype(capture(name), "bfloat16"), capture(name, dtype="bfloat16")
    assert figures(derived) == figures(fresh)


def test_casts_that_a_model_makes_are_not_derived() -> None:
    # T5 normalises in float32: in bfloat16 a capture has casts, which a float32 graph lacks
    derived, fresh = with_dtype(capture("hf/t5"), "bfloat16"), capture("hf/t5", dtype="bfloat16")
    assert figures(derived)[0] == figures(fresh)[0]
    assert figures(derived)[2] < figures(fresh)[2]
    assert derived.source.notes[-1].startswith(
        "dtype bfloat16 is a what-if on a capture in float32"
    )


# --- weights of fewer bits ------------------------------------------------------------------


def test_packed_weights_by_hand() -> None:
    graph = embedding_model()
    # fc reads 8 floats, 3 rows of 4 weights, 3 biases, and writes 6 floats
    eight = with_weight_only(graph, 8)  # a row: 4 bytes and a scale of 2
    assert group_traffic(eight, [2]).nbytes == 32 + 3 * (4 + 2) + 12 + 24
    four = with_weight_only(graph, 4)  # a row: 2 bytes and a scale
    assert group_traffic(four, [2]).nbytes == 32 + 3 * (2 + 2) + 12 + 24
    fine = with_weight_only(graph, 4, group_size=3)  # two groups a row: 3 weights and 1
    assert group_traffic(fine, [2]).nbytes == 32 + 3 * (2 + 2 * 2) + 12 + 24
    for packed in (eight, four, fine):
        assert group_traffic(packed, [0]) == group_traffic(graph, [0])  # the table is no weight
        assert packed.flops == graph.flops
        assert packed.tensors[packed.ops[2].inputs[0]].dtype == "float32"
        assert find_fault(packed) is None
    assert four.source.notes == (
        "1 weights are a what-if: 4 bits, a float16 scale every 128; 0 stay as they are",
    )


def one_weight(kind: Kind, shape: tuple[int, ...], weight: tuple[int, ...]) -> Graph:
    build = Builder()
    x = build.tensor("x", shape, role=Role.INPUT)
    w = build.tensor("w", weight, role=Role.PARAMETER)
    return build.finish([build.op("op", kind, inputs=[x], parameters=[w], shape=(1,))])


@pytest.mark.parametrize(
    ("graph", "rows", "size"),
    [
        (one_weight(Kind.CONV2D, (1, 3, 8, 8), (16, 3, 3, 3)), 16, 27),
        (one_weight(Kind.CONV2D_DEPTHWISE, (1, 16, 8, 8), (16, 1, 3, 3)), 16, 9),
        (one_weight(Kind.CONV_TRANSPOSE2D, (1, 3, 8, 8), (3, 16, 2, 2)), 16, 12),
        (one_weight(Kind.MATMUL, (2, 5), (5, 7)), 7, 5),
        (one_weight(Kind.MATMUL, (5, 2), (7, 5)), 7, 5),  # the weight on the left
        (one_weight(Kind.GROUPED_MM, (6, 5), (4, 5, 7)), 4 * 7, 5),
    ],
)
def test_rows_are_output_channels(graph: Graph, rows: int, size: int) -> None:
    assert group_traffic(with_weight_only(graph, 8), [0]).parameters == rows * (size + 2)
    packed = -(-size // 2) + 2  # odd rows end in half a byte
    assert group_traffic(with_weight_only(graph, 4), [0]).parameters == rows * packed


def test_gathered_experts_shrink_too() -> None:
    build = Builder()
    x = build.tensor("x", (1, 6), role=Role.INPUT)
    w = build.tensor("w", (4, 6, 10), role=Role.PARAMETER)  # 4 experts of 240 bytes
    y = build.op(
        "experts", Kind.GROUPED_MM, inputs=[x], parameters=[w], shape=(1, 10),
        gathers=(Gather(w, 240),),
    )  # fmt: skip
    graph = build.finish([y])
    assert group_traffic(graph, [0]).parameters == 240
    assert group_traffic(with_weight_only(graph, 8), [0]).parameters == 10 * (6 + 2)


def test_a_weight_seen_through_a_view_is_packed() -> None:
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    w = build.tensor("w", (3, 4), role=Role.PARAMETER)
    turned = build.tensor("turned", (4, 3), storage=1, strides=(1, 4))
    view = {"op_class": OpClass.VIEW, "origin": Origin.ATEN}
    build.op("t", Kind.PERMUTE, parameters=[w], outputs=[turned], **view)
    y = build.op("mm", Kind.MATMUL, inputs=[x], parameters=[turned], shape=(2, 3))
    graph = with_weight_only(build.finish([y]), 8)
    assert group_traffic(graph, [1]).parameters == 3 * (4 + 2)


def test_what_other_ops_read_too_is_not_packed() -> None:
    build = Builder()
    ids = build.tensor("ids", (2,), dtype="int64", role=Role.INPUT)
    table = build.tensor("table", (9, 4), role=Role.PARAMETER)
    w = build.tensor("w", (4, 4), role=Role.PARAMETER)
    rows = build.op(
        "embed", Kind.EMBEDDING, inputs=[ids], parameters=[table], shape=(2, 4),
        gathers=(Gather(table, 32),),
    )  # fmt: skip
    mixed = build.op("fc", Kind.LINEAR, inputs=[rows], parameters=[w], shape=(2, 4))
    head = build.op("head", Kind.LINEAR, inputs=[mixed], parameters=[table], shape=(2, 9))
    graph = with_weight_only(build.finish([head]), 8)
    assert group_traffic(graph, [1]).parameters == 4 * (4 + 2)
    assert group_traffic(graph, [2]).parameters == 9 * 4 * 4
    assert graph.source.notes[-1].endswith("1 stay as they are")


def test_a_weight_read_in_parts_is_not_packed() -> None:
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    build.tensor("w", (6, 4), role=Role.PARAMETER)
    half = build.tensor("half", (3, 4), storage=1)
    y = build.op("fc", Kind.LINEAR, inputs=[x], parameters=[half], shape=(2, 3))
    with pytest.raises(InputError, match="no weight that only contractions read whole"):
        with_weight_only(build.finish([y]), 8)


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(InputError, match="weights of 3 bits: only 8 and 4 are known"):
        with_weight_only(embedding_model(), 3)
    with pytest.raises(InputError, match="a group of 0 weights"):
        with_weight_only(embedding_model(), 4, group_size=0)


def test_resnet18_in_four_bits() -> None:
    graph = capture("resnet18")
    packed = with_weight_only(graph, 4)
    # Rows of K weights: the stem 147 (2 groups of 128), 64 and 512 of the head as K // 128 groups,
    # stages of 3 x 3 x C. All K but the stem's are even.
    convolutions = [(64, 147)] + [(64, 576)] * 4
    for channels in (128, 256, 512):
        half = channels // 2
        convolutions += [(channels, half * 9), (channels, half)] + [(channels, channels * 9)] * 3
    weights = [*convolutions, (1000, 512)]
    before = sum(4 * rows * size for rows, size in weights)
    after = sum(rows * (-(-size // 2) + 2 * -(-size // 128)) for rows, size in weights)
    assert graph.parameter_bytes - packed.parameter_bytes == before - after
    assert packed.flops == graph.flops


def test_a_folded_op_keeps_its_work() -> None:
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    w = build.tensor("w", (3, 4), role=Role.PARAMETER)
    work = Work(0, 12, Status.COUNTED)
    made = build.op("scale", Kind.MUL, parameters=[w], shape=(3, 4), work=work)
    y = build.op("fc", Kind.LINEAR, inputs=[x], parameters=[made], shape=(2, 3))
    graph = with_weight_only(fold_constants(build.finish([y])), 8)
    assert [op.name for op in graph.folded] == ["scale"]
    assert group_traffic(graph, [0]).parameters == 3 * (4 + 2)  # what the run reads is packed
    assert graph.parameter_bytes == 48  # what the model holds is not
