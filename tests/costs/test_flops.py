"""Every formula against a count by hand."""

from __future__ import annotations

import pytest

from fuseline.costs import FORMULAS, NO_WORK, Call, count_work
from fuseline.costs.attention import attention_hidden_elements
from fuseline.costs.einsum import einsum_macs
from fuseline.costs.flops import formula, no_work
from fuseline.graph import Kind, Status, Work

Shape = tuple[int, ...]


def work(
    kind: Kind,
    inputs: tuple[Shape, ...],
    output: Shape,
    named: dict[str, Shape] | None = None,
    **attributes: object,
) -> tuple[int, int]:
    found = count_work(kind, Call(inputs, (output,), named or {}, attributes))
    assert found.status is Status.COUNTED, found.why
    return found.flops, found.other_flops


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_formula_or_a_reason_or_is_unknown(kind: Kind) -> None:
    unpriced = kind in (Kind.UNKNOWN, Kind.CUSTOM)  # what no table, or only a user's, knows
    assert (kind in FORMULAS) + (kind in NO_WORK) + unpriced == 1
    if kind in NO_WORK:
        assert count_work(kind, Call((), ())) == Work(0, 0, Status.ZERO, NO_WORK[kind])
        assert NO_WORK[kind]


def test_a_second_formula_is_refused_and_the_first_stays() -> None:
    before = dict(FORMULAS), dict(NO_WORK)
    with pytest.raises(ValueError, match=r"^Kind\.LINEAR already has a formula$"):
        formula(Kind.LINEAR)(lambda _call: (0, 0))
    with pytest.raises(ValueError, match=r"^Kind\.CAST already has a formula$"):
        formula(Kind.CAST)(lambda _call: (0, 0))
    with pytest.raises(ValueError, match=r"^Kind\.LINEAR already has a formula$"):
        no_work("idle", Kind.LINEAR)
    with pytest.raises(ValueError, match=r"^Kind\.CAST already has a formula$"):
        no_work("idle", Kind.CAST)
    assert before == (FORMULAS, NO_WORK)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Kind.LINEAR, "its formula needs the shape of 'weight'"),
        (Kind.CONV2D, "its formula needs the shape of 'weight'"),
        (Kind.EINSUM, "its formula needs the equation as a string"),
        (Kind.LSTM, "its formula needs the weight matrices"),
        (Kind.MULTIHEAD_ATTENTION, "its formula needs the shape of 'query'"),
        (Kind.MAXPOOL, "its formula needs 'kernel_size'"),
        (Kind.LOCAL_RESPONSE_NORM, "its formula needs 'size'"),
        (Kind.UNKNOWN, "no formula for this op"),
    ],
)
def test_what_cannot_be_counted_is_unknown_and_not_zero(kind: Kind, why: str) -> None:
    assert count_work(kind, Call(((2, 3),), ((2, 3),))) == Work(0, 0, Status.UNKNOWN, why)


CONVOLUTIONS = [
    # 2 x 108 outputs x (2 channels a group x 9 taps); a bias an output
    (Kind.CONV2D, (2, 4, 5, 5), (6, 2, 3, 3), (2, 6, 3, 3), 2 * 108 * 18, 108),
    # depthwise: 72 outputs x 9 taps
    (Kind.CONV2D_DEPTHWISE, (2, 4, 5, 5), (4, 1, 3, 3), (2, 4, 3, 3), 2 * 72 * 9, 72),
    # pointwise: 50 outputs x 3 channels
    (Kind.CONV2D_POINTWISE, (1, 3, 5, 5), (2, 3, 1, 1), (1, 2, 5, 5), 2 * 50 * 3, 50),
    # 1d, dilation 2: 8 - 2 * 2 = 4 positions; 20 outputs x 3 channels x 3 taps
    (Kind.CONV1D, (1, 3, 8), (5, 3, 3), (1, 5, 4), 2 * 20 * 9, 20),
    (Kind.CONV1D_DEPTHWISE, (1, 3, 8), (3, 1, 3), (1, 3, 6), 2 * 18 * 3, 18),
    # 3d: 81 outputs x 2 channels x 8 taps; without a batch the same
    (Kind.CONV3D, (1, 2, 4, 4, 4), (3, 2, 2, 2, 2), (1, 3, 3, 3, 3), 2 * 81 * 16, 81),
    (Kind.CONV3D, (2, 4, 4, 4), (3, 2, 2, 2, 2), (3, 3, 3, 3), 2 * 81 * 16, 81),
    (Kind.CONV3D_DEPTHWISE, (1, 2, 4, 4, 4), (2, 1, 2, 2, 2), (1, 2, 3, 3, 3), 2 * 54 * 8, 54),
    # transposed: 12 inputs x 5 channels x 3 taps; a bias an output (30)
    (Kind.CONV_TRANSPOSE1D, (1, 3, 4), (3, 5, 3), (1, 5, 6), 2 * 12 * 15, 30),
    # 2 groups: 36 inputs x 3 channels a group x 4 taps
    (Kind.CONV_TRANSPOSE2D, (1, 4, 3, 3), (4, 3, 2, 2), (1, 6, 4, 4), 2 * 36 * 12, 96),
    (Kind.CONV_TRANSPOSE3D, (1, 2, 2, 2, 2), (2, 3, 2, 2, 2), (1, 3, 3, 3, 3), 2 * 16 * 24, 81),
]


@pytest.mark.parametrize(("kind", "source", "weight", "out", "flops", "bias"), CONVOLUTIONS)
def test_convolutions(
    *, kind: Kind, source: Shape, weight: Shape, out: Shape, flops: int, bias: int
) -> None:
    assert work(kind, (source,), out, {"weight": weight}) == (flops, 0)
    assert work(kind, (source,), out, {"weight": weight, "bias": (1,)}) == (flops, bias)


def test_linear_with_leading_dimensions() -> None:
    # 6 rows x 5 in x 7 out
    assert work(Kind.LINEAR, ((2, 3, 5),), (2, 3, 7), {"weight": (7, 5)}) == (420, 0)
    with_bias: dict[str, Shape] = {"weight": (7, 5), "bias": (7,)}
    assert work(Kind.LINEAR, ((5,),), (7,), with_bias) == (70, 7)


def test_bilinear_is_one_product_with_each_operand() -> None:
    # a row and output: 4 x 5 for x1 W, then 5 for the dot with x2; 18 outputs
    found = work(Kind.BILINEAR, ((3, 4), (3, 5)), (3, 6), {"weight": (6, 4, 5), "bias": (6,)})
    assert found == (2 * 18 * 25, 18)


@pytest.mark.parametrize(
    ("left", "right", "out", "flops"),
    [
        ((5,), (5,), (), 10),  # dot
        ((3, 5), (5,), (3,), 30),  # matrix, vector
        ((5,), (5, 4), (4,), 40),  # vector, matrix
        ((3, 5), (5, 4), (3, 4), 120),
        ((2, 1, 3, 5), (7, 5, 4), (2, 7, 3, 4), 2 * 14 * 60),  # batches broadcast
    ],
)
def test_matmul(left: Shape, right: Shape, out: Shape, flops: int) -> None:
    assert work(Kind.MATMUL, (left, right), out) == (flops, 0)


@pytest.mark.parametrize(
    ("addend", "left", "right", "out", "flops", "other"),
    [
        ((4,), (3, 5), (5, 4), (3, 4), 120, 12),  # addmm
        ((3,), (3, 5), (5,), (3,), 30, 3),  # addmv
        ((2, 3, 4), (2, 3, 5), (2, 5, 4), (2, 3, 4), 240, 24),  # baddbmm
        ((3, 4), (2, 3, 5), (2, 5, 4), (3, 4), 240, 12),  # addbmm sums its batches
    ],
)
def test_addmm_family(
    *, addend: Shape, left: Shape, right: Shape, out: Shape, flops: int, other: int
) -> None:
    assert work(Kind.ADDMM, (addend, left, right), out) == (flops, other)


@pytest.mark.parametrize(
    ("equation", "shapes", "macs", "products"),
    [
        ("bik,bkj->bij", ((2, 3, 5), (2, 5, 7)), 210, 0),
        ("ij,jk", ((3, 4), (4, 5)), 60, 0),  # implicit result
        ("i,i->", ((6,), (6,)), 6, 0),  # dot
        ("i,j->ij", ((3,), (4,)), 0, 12),  # outer product: nothing is summed
        ("ij,ij->ij", ((3, 4), (3, 4)), 0, 12),
        ("...ij,...jk->...ik", ((2, 3, 4), (2, 4, 5)), 120, 0),
        ("...ij,jk->...ik", ((2, 3, 4), (4, 5)), 120, 0),  # 2 x 3 x 4 x 5
        ("...ij,...jk", ((7, 2, 3, 4), (2, 4, 5)), 840, 0),  # dots align at the right
        ("bij,bjk->bik", ((2, 3, 4), (1, 4, 5)), 120, 0),  # a size of 1 broadcasts
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5)), 24 + 40, 0),  # left to right
        ("ii,ij->ij", ((3, 3), (3, 4)), 0, 12),  # a repeated index is one loop
        ("ii,ij->j", ((3, 3), (3, 4)), 12, 0),
        ("ij,k->k", ((3, 4), (5,)), 0, 12 + 5),  # i and j are summed before
        ("ij->i", ((3, 4),), 0, 12),
    ],
)
def test_einsum(equation: str, shapes: tuple[Shape, ...], macs: int, products: int) -> None:
    assert einsum_macs(equation, shapes) == (macs, products)
    assert work(Kind.EINSUM, shapes, (), equation=equation) == (2 * macs, products)


def test_a_diagonal_computes_nothing() -> None:
    found = count_work(Kind.EINSUM, Call(((3, 3),), ((3,),), {}, {"equation": "ii->i"}))
    assert (found.flops, found.other_flops, found.status) == (0, 0, Status.ZERO)


OUT_PROJ: dict[str, Shape] = {"out_proj.weight": (8, 8)}


@pytest.mark.parametrize(
    ("query", "key", "value", "extra", "attributes", "macs"),
    [
        # L 5, N 3, E 8: four projections of 15 tokens (64 each), scores and values 15 x 5 x 8 each
        ((5, 3, 8), (5, 3, 8), (5, 3, 8), {}, {}, 4 * 960 + 2 * 600),
        ((3, 5, 8), (3, 5, 8), (3, 5, 8), {}, {"batch_first": True}, 4 * 960 + 2 * 600),
        # no batch: 5 tokens
        ((5, 8), (5, 8), (5, 8), {}, {"batch_first": True}, 4 * 320 + 2 * 200),
        # cross: S 7, kdim 6, vdim 4: k 21 x 6 x 8, v 21 x 4 x 8, 15 x 7 x 8 twice
        (
            (3, 5, 8),
            (3, 7, 6),
            (3, 7, 4),
            {},
            {"batch_first": True},
            2 * 960 + 1008 + 672 + 2 * 840,
        ),
        # bias_k and a zero token lengthen the keys to 7; nothing more to project
        (
            (5, 3, 8),
            (5, 3, 8),
            (5, 3, 8),
            {"bias_k": (1, 1, 8), "bias_v": (1, 1, 8)},
            {"add_zero_attn": True},
            4 * 960 + 2 * 840,
        ),
    ],
)
def test_multihead_attention(
    *,
    query: Shape,
    key: Shape,
    value: Shape,
    extra: dict[str, Shape],
    attributes: dict[str, object],
    macs: int,
) -> None:
    named = {"query": query, "key": key, "value": value, **OUT_PROJ, **extra}
    inputs = (query, key, value)
    assert work(Kind.MULTIHEAD_ATTENTION, inputs, query, named, **attributes)[0] == 2 * macs


def test_multihead_attention_other_work() -> None:
    # queries scaled 15 x 8; softmax 5 x (15 x 5 x 2 heads); biases (15 + 30) x 8 and 15 x 8
    shape = (5, 3, 8)
    named: dict[str, Shape] = {"query": shape, "key": shape, "value": shape, **OUT_PROJ}
    biases: dict[str, Shape] = {"in_proj_bias": (24,), "out_proj.bias": (8,)}
    kind, inputs = Kind.MULTIHEAD_ATTENTION, (shape, shape, shape)
    assert work(kind, inputs, shape, named, num_heads=2)[1] == 120 + 750
    assert work(kind, inputs, shape, named | biases, num_heads=2)[1] == 120 + 750 + 360 + 120
    masked: dict[str, Shape] = {"attn_mask": (5, 5), "key_padding_mask": (3, 5)}
    assert work(kind, inputs, shape, named | masked, num_heads=2)[1] == 120 + 750 + 2 * 150


def test_attention_hides_its_projections() -> None:
    # q 15 x 8, k and v 15 x 8 each, the attended values 15 x 8: each written and read
    shape = (5, 3, 8)
    named: dict[str, Shape] = {"query": shape, "key": shape, "value": shape, **OUT_PROJ}
    call = Call((shape, shape, shape), (shape,), named)
    assert attention_hidden_elements(Kind.MULTIHEAD_ATTENTION, call) == 2 * 4 * 120
    windows = Call(((1, 5, 5, 8),), ((1, 5, 5, 8),), {"input": (1, 5, 5, 8)}, {"window_size": 2})
    assert attention_hidden_elements(Kind.SHIFTED_WINDOW_ATTENTION, windows) == 2 * 4 * 288
    assert attention_hidden_elements(Kind.SCALED_DOT_PRODUCT_ATTENTION, call) == 0


def test_shifted_window_attention_pads_to_whole_windows() -> None:
    # 5 x 5 padded to 6 x 6: 36 tokens, 8 channels, windows of 4:
    # 36 x (24 + 8) x 8 projections, 2 x 36 x 4 x 8 scores and values
    shape: Shape = (1, 5, 5, 8)
    named: dict[str, Shape] = {"input": shape}
    kind = Kind.SHIFTED_WINDOW_ATTENTION
    plain = {"window_size": [2, 2], "shift_size": [0, 0], "num_heads": 2}
    macs = 36 * 32 * 8 + 2 * 36 * 4 * 8
    # scaled 36 x 8; 36 x 4 x 2 heads = 288 scores, softmax 5 and the bias 1 each
    assert work(kind, (shape,), shape, named, **plain) == (2 * macs, 288 + 6 * 288)
    shifted = {**plain, "shift_size": [1, 1]}  # the mask is one more addition a score
    assert work(kind, (shape,), shape, named, **shifted) == (2 * macs, 288 + 7 * 288)
    biases: dict[str, Shape] = {"qkv_bias": (24,), "proj_bias": (8,)}
    found = work(kind, (shape,), shape, named | biases, **plain)
    assert found[1] == 288 + 6 * 288 + 3 * 288 + 288
    v2: dict[str, Shape] = {"logit_scale": (2, 1, 1)}  # q and k normalised: 3 steps each
    assert work(kind, (shape,), shape, named | v2, **plain)[1] == 288 + 6 * 288 + 6 * 288


def test_a_window_as_large_as_the_map_is_not_shifted() -> None:
    shape: Shape = (1, 4, 4, 8)
    settings = {"window_size": [4, 4], "num_heads": 1}
    named: dict[str, Shape] = {"input": shape}
    kind = Kind.SHIFTED_WINDOW_ATTENTION
    still = work(kind, (shape,), shape, named, **settings, shift_size=[0, 0])
    assert work(kind, (shape,), shape, named, **settings, shift_size=[2, 2]) == still


def test_scaled_dot_product_attention_with_shared_key_heads() -> None:
    # 4 query heads over 2 key heads: 2 x 4 x 5 queries x 7 keys = 280 scores, (8 + 6) each
    query, key, value = (2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 6)
    named: dict[str, Shape] = {"query": query, "key": key, "value": value}
    kind, inputs = Kind.SCALED_DOT_PRODUCT_ATTENTION, (query, key, value)
    assert work(kind, inputs, (2, 4, 5, 6), named) == (2 * 280 * 14, 280 * 6)
    causal = work(kind, inputs, (2, 4, 5, 6), named, is_causal=True)  # counted in full
    assert causal == (2 * 280 * 14, 280 * 7)


@pytest.mark.parametrize(
    ("kind", "gates", "steps"), [(Kind.RNN, 1, 1), (Kind.GRU, 3, 14), (Kind.LSTM, 4, 18)]
)
def test_recurrent_layers(kind: Kind, gates: int, steps: int) -> None:
    # 3 in, 4 hidden, 10 tokens: a gate is 4 x 3 + 4 x 4; one sum a row, `steps` a state element
    rows = 4 * gates
    named: dict[str, Shape] = {"weight_ih_l0": (rows, 3), "weight_hh_l0": (rows, 4)}
    found = work(kind, ((5, 2, 3),), (5, 2, 4), named)
    assert found == (2 * 10 * gates * 28, 10 * (rows + 4 * steps))
    biased = named | {"bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
    assert work(kind, ((5, 2, 3),), (5, 2, 4), biased)[1] == 10 * (3 * rows + 4 * steps)
    named |= {"weight_ih_l0_reverse": (rows, 3), "weight_hh_l0_reverse": (rows, 4)}
    assert work(kind, ((5, 2, 3),), (5, 2, 8), named)[0] == 4 * 10 * gates * 28


W: dict[str, Shape] = {"weight": (4,)}
WB: dict[str, Shape] = {"weight": (4,), "bias": (4,)}


@pytest.mark.parametrize(
    ("kind", "named", "attributes", "other"),
    [  # 24 elements
        (Kind.BATCHNORM, WB, {}, 2 * 24),
        (Kind.BATCHNORM, WB, {"use_statistics_of_input": True}, (5 + 2) * 24),
        (Kind.INSTANCENORM, {}, {"use_statistics_of_input": True}, 5 * 24),
        (Kind.LAYERNORM, WB, {}, 7 * 24),
        (Kind.LAYERNORM, {}, {}, 5 * 24),
        (Kind.GROUPNORM, W, {}, 6 * 24),
        (Kind.RMSNORM, W, {}, 4 * 24),
        (Kind.NORMALIZE, {}, {}, 3 * 24),
        (Kind.LOCAL_RESPONSE_NORM, {}, {"size": 5}, 10 * 24),
        (Kind.SOFTMAX, {}, {}, 5 * 24),
        (Kind.GELU, {}, {}, 5 * 24),
        (Kind.GELU, {}, {"approximate": "tanh"}, 9 * 24),
        (Kind.RELU, {}, {}, 24),
        (Kind.HARDSWISH, {}, {}, 5 * 24),
        (Kind.DROPOUT, {}, {}, 2 * 24),
        (Kind.STOCHASTIC_DEPTH, {}, {}, 2 * 24),
    ],
)
def test_norms_and_activations(
    kind: Kind, named: dict[str, Shape], attributes: dict[str, object], other: int
) -> None:
    assert work(kind, ((2, 4, 3),), (2, 4, 3), named, **attributes) == (0, other)


@pytest.mark.parametrize(
    ("kind", "other"),
    [  # 24 elements to 6
        (Kind.SUM, 24),
        (Kind.EXTREMUM, 24),
        (Kind.CUMULATIVE, 24),
        (Kind.MEAN, 24 + 6),
        (Kind.VARIANCE, 4 * 24 + 6),
        (Kind.NORM, 2 * 24 + 6),
    ],
)
def test_reductions(kind: Kind, other: int) -> None:
    assert work(kind, ((2, 4, 3),), (2, 3)) == (0, other)


def test_pooling() -> None:
    image, out = ((1, 2, 6, 6),), (1, 2, 3, 3)  # 18 outputs
    assert work(Kind.MAXPOOL, image, out, kernel_size=2) == (0, 18 * 4)
    assert work(Kind.MAXPOOL, image, out, kernel_size=(2, 3)) == (0, 18 * 6)
    assert work(Kind.AVGPOOL, image, out, kernel_size=2) == (0, 18 * 5)
    assert work(Kind.AVGPOOL, ((1, 2, 6),), (1, 2, 3), kernel_size=2) == (0, 6 * 3)
    unbatched = work(Kind.MAXPOOL, ((2, 6, 6),), (2, 3, 3), kernel_size=2, dimensions=2)
    assert unbatched == (0, 18 * 4)


def test_adaptive_pooling_visits_overlapping_bins() -> None:
    # 7 into 3: [0, 3), [2, 5), [4, 7): 9 rows visited; 2 channels x 81
    source, out = ((1, 2, 7, 7),), (1, 2, 3, 3)
    assert work(Kind.ADAPTIVEMAXPOOL, source, out) == (0, 162)
    assert work(Kind.ADAPTIVEAVGPOOL, source, out) == (0, 162 + 18)
    # to one: every element once; upwards, 2 into 3: [0, 1), [0, 2), [1, 2) = 4
    assert work(Kind.ADAPTIVEAVGPOOL, source, (1, 2, 1, 1)) == (0, 98 + 2)
    assert work(Kind.ADAPTIVEMAXPOOL, ((1, 2),), (1, 3)) == (0, 4)


@pytest.mark.parametrize(("mode", "steps"), [("linear", 3), ("bilinear", 9), ("trilinear", 21)])
def test_upsampling(mode: str, steps: int) -> None:
    assert work(Kind.UPSAMPLE, ((1, 2, 3),), (1, 2, 9), mode=mode) == (0, 18 * steps)


def test_nearest_upsampling_copies() -> None:
    found = count_work(Kind.UPSAMPLE, Call(((1, 2),), ((1, 4),), {}, {"mode": "nearest"}))
    assert found == Work(0, 0, Status.ZERO, "no arithmetic at these shapes and settings")


def test_an_unknown_interpolation_is_unknown() -> None:
    found = count_work(Kind.UPSAMPLE, Call(((1, 2),), ((1, 4),), {}, {"mode": "area"}))
    assert found == Work(0, 0, Status.UNKNOWN, "no formula for mode 'area'")


def test_embeddings() -> None:
    assert count_work(Kind.EMBEDDING, Call(((2, 3),), ((2, 3, 4),))).status is Status.ZERO
    # 6 rows of 4 summed
    assert work(Kind.EMBEDDING_BAG, ((2, 3),), (2, 4), {"weight": (10, 4)}) == (0, 24)


@pytest.mark.parametrize(
    ("left", "right", "flops"),
    [
        ((6, 4), (3, 4, 5), 2 * 6 * 4 * 5),  # 6 rows in 3 groups: each meets one matrix
        ((6, 4), (4, 5), 2 * 6 * 4 * 5),  # the inner size in groups
        ((3, 6, 4), (4, 5), 2 * 6 * 4 * 5),  # 5 columns in 3 groups
        ((3, 6, 4), (3, 4, 5), 3 * 2 * 6 * 4 * 5),  # a batched product
    ],
)
def test_grouped_products(left: tuple[int, ...], right: tuple[int, ...], flops: int) -> None:
    named = {"input": left, "mat2": right}
    assert work(Kind.GROUPED_MM, (left, right), (6, 5), named) == (flops, 0)


def test_a_deformable_convolution_samples_every_tap() -> None:
    named: dict[str, Shape] = {
        "input": (2, 6, 9, 9),
        "weight": (8, 3, 3, 3),
        "mask": (2, 9, 7, 7),
        "bias": (8,),
    }
    # 2 groups of 3 channels; 2 x 6 channels x 9 taps x 49 places sampled, 9 steps and a mask each
    flops, other = work(Kind.DEFORM_CONV2D, ((2, 6, 9, 9),), (2, 8, 7, 7), named)
    assert flops == 2 * (2 * 8 * 49) * (3 * 9)
    assert other == 2 * 6 * 9 * 49 * 10 + 2 * 8 * 49


@pytest.mark.parametrize(
    ("kind", "source", "out", "attributes", "steps"),
    [
        (Kind.SORT, (3, 5), (3, 5), {"dim": -1}, 15 * 3),  # 5 elements: 3 levels of merging
        (Kind.SORT, (5, 3), (2, 3), {"dim": 0}, 15 * 3),
        (Kind.SORT, (4, 1), (4, 1), {}, 0),
        (Kind.FFT, (3, 16), (3, 16), {"dim": [1]}, 5 * 48 * 4),
        (Kind.FFT, (8, 16), (8, 16), {"dim": [0, 1]}, 5 * 128 * (3 + 4)),
        (Kind.FFT, (3, 16), (3, 9), {"dim": [1]}, 5 * 48 * 4 // 2),  # real to complex
        (Kind.FFT, (3, 9), (3, 16), {"dim": [1]}, 5 * 48 * 4 // 2),  # and back
        (Kind.FOLD, (2, 8, 9), (2, 2, 4, 4), {}, 144),
        (Kind.SELECT_IF, (4, 6), (7, 2), {}, 24),
        (Kind.HISTOGRAM, (100,), (10,), {}, 100),
        (Kind.SOLVE_TRIANGULAR, (2, 5, 5), (2, 5, 3), {}, 2 * 5 * 5 * 3),
        (Kind.DISTANCE, (2, 3, 8), (2, 3, 5), {}, 30 * (3 * 8 + 1)),
        (Kind.ROI_POOL, (1, 4, 9, 9), (6, 4, 7, 7), {"sampling_ratio": 2}, 6 * 4 * 49 * 4 * 10),
        (Kind.SUPPRESS, (5, 4), (3,), {}, 14 * 10),  # ten pairs of five boxes
        (Kind.GRID_SAMPLE, (1, 2, 5, 5), (1, 2, 3, 3), {"interpolation_mode": 0}, 18 * 9),
        (Kind.GRID_SAMPLE, (1, 2, 5, 5), (1, 2, 3, 3), {"interpolation_mode": 1}, 0),
        (Kind.GRID_SAMPLE, (1, 2, 5, 5), (1, 2, 3, 3), {"interpolation_mode": 2}, 18 * 35),
        (Kind.GRID_SAMPLE, (1, 2, 4, 5, 5), (1, 2, 3, 3, 3), {"interpolation_mode": 0}, 54 * 21),
    ],
)
def test_other_work_of_ops_that_recording_meets(
    kind: Kind,
    source: tuple[int, ...],
    out: tuple[int, ...],
    attributes: dict[str, object],
    steps: int,
) -> None:
    made = count_work(kind, Call((source,), (out,), {"input": source}, attributes))
    assert (made.flops, made.other_flops) == (0, steps)


def test_bisection_of_sorted_boundaries() -> None:
    named: dict[str, Shape] = {"input": (4, 5), "boundaries": (7,)}
    assert work(Kind.SEARCH, ((4, 5), (7,)), (4, 5), named) == (0, 20 * 3)


def test_scattered_elements_are_added_one_by_one() -> None:
    named: dict[str, Shape] = {"input": (9, 4), "index": (3, 4), "src": (3, 4)}
    assert work(Kind.SCATTER_REDUCE, ((9, 4),), (9, 4), named) == (0, 12)


def test_antialiased_resizing_takes_every_tap_under_the_filter() -> None:
    found = work(Kind.UPSAMPLE, ((1, 2, 8, 12),), (1, 2, 4, 6), mode="bilinear", antialias=True)
    # radius 1 x scale 2: 2 * 2 + 1 = 5 taps a side; 8 rows of 6 across, then 4 x 6 down
    assert found == (0, 2 * 2 * (8 * 6 * 5 + 4 * 6 * 5))


@pytest.mark.parametrize(
    ("queries", "keys", "seen"), [(5, 5, 15), (3, 5, 6), (5, 3, 12), (1, 9, 1)]
)
def test_a_causal_mask_throws_part_of_the_work_away(queries: int, keys: int, seen: int) -> None:
    named = {"query": (2, queries, 8), "key": (2, keys, 8), "value": (2, keys, 8)}
    call = Call(tuple(named.values()), ((2, queries, 8),), named, {"is_causal": True})
    made = count_work(Kind.SCALED_DOT_PRODUCT_ATTENTION, call)
    assert made.flops == 2 * 2 * queries * keys * 16
    assert made.flops - made.masked_flops == 2 * 2 * seen * 16
