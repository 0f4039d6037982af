"""What reductions reduce: by hand, by torch's own derivatives, and on captured models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from math import prod

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit
from torch.nn.utils import parametrizations

from fuseline import capture
from fuseline.costs.flops import Call
from fuseline.frontends.axes import POSITIONS, RULES, Rows, rows_of
from fuseline.frontends.kinds import ARGUMENTS, BUILTIN_ARGUMENTS, FUNCTIONS
from fuseline.graph import CLASS_OF, Graph, Kind, Op, OpClass, Role
from fuseline.graph import Tensor as GraphTensor
from fuseline.graph.files import decode, encode, find_fault

Forward = Callable[[Tensor], object]
NCHW = (2, 4, 3, 5)
BLD = (2, 3, 4)


class Applied(nn.Module):
    """A function of one tensor, or a module, as a model."""

    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def reductions(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.op_class is OpClass.REDUCTION]


def the_reduction(function: Forward, shape: tuple[int, ...], via: str) -> Op:
    graph = capture(Applied(function).eval(), input_shapes=(shape,), via=via)
    assert find_fault(graph) is None
    (op,) = reductions(graph)
    return op


# --- by kind --------------------------------------------------------------------------------

DIFFERENTIABLE: Mapping[str, tuple[Forward, tuple[int, ...], tuple[int, ...], int]] = {
    "sum": (torch.sum, BLD, (0, 1, 2), 24),
    "sum of one": (lambda x: x.sum(-1), BLD, (2,), 4),
    "sum of none": (lambda x: x.sum(dim=()), BLD, (0, 1, 2), 24),
    "sum as numpy says": (partial(torch.sum, axis=0), BLD, (0,), 2),
    "mean": (lambda x: x.mean((-1, 2), keepdim=True), NCHW, (2, 3), 15),
    "mean as function": (lambda x: torch.mean(x, [0], False), BLD, (0,), 2),  # noqa: FBT003
    "product": (lambda x: torch.prod(x, 1), BLD, (1,), 3),
    "variance": (lambda x: torch.var(x, (0, 2)), BLD, (0, 2), 8),
    "variance, biased": (lambda x: torch.std(x, False), BLD, (0, 1, 2), 24),  # noqa: FBT003
    "norm": (lambda x: x.norm(2, -2), BLD, (1,), 3),
    "norm as function": (lambda x: torch.norm(x, dim=(1, 2)), BLD, (1, 2), 12),
    "vector norm": (lambda x: torch.linalg.vector_norm(x, 2, 0), BLD, (0,), 2),
    "logsumexp": (lambda x: x.logsumexp((0, 1)), BLD, (0, 1), 6),
    "softmax": (lambda x: x.softmax(-1), BLD, (2,), 4),
    "softmax as function": (lambda x: F.softmax(x, 1), BLD, (1,), 3),
    "log softmax": (lambda x: torch.log_softmax(x, dim=0), BLD, (0,), 2),
    "softmax module": (nn.Softmax(dim=-2), BLD, (1,), 3),
    "softmax of pixels": (nn.Softmax2d(), NCHW, (1,), 4),
    "softmax of pixels, no batch": (nn.Softmax2d(), BLD, (0,), 2),
    "layer norm": (nn.LayerNorm(4), BLD, (2,), 4),
    "layer norm of two": (lambda x: F.layer_norm(x, (3, 4)), BLD, (1, 2), 12),
    "rms norm": (nn.RMSNorm(4), BLD, (2,), 4),
    "group norm": (nn.GroupNorm(2, 4), NCHW, (1, 2, 3), 2 * 15),
    "group norm of one": (lambda x: F.group_norm(x, 1), NCHW, (1, 2, 3), 4 * 15),
    "group norm of each": (nn.GroupNorm(4, 4), NCHW, (2, 3), 15),
    "instance norm": (nn.InstanceNorm2d(4), NCHW, (2, 3), 15),
    "instance norm as function": (F.instance_norm, NCHW, (2, 3), 15),
    "batch norm, its own": (nn.BatchNorm2d(4, track_running_stats=False), NCHW, (0, 2, 3), 30),
    "batch norm of rows": (
        nn.BatchNorm1d(4, track_running_stats=False), (6, 4), (0,), 6,
    ),
}  # fmt: skip
"""A name -> the function, its input's shape, the axes, and elements a row (counted by hand)."""

STEPWISE: Mapping[str, tuple[Forward, tuple[int, ...], tuple[int, ...], int]] = {
    "max": (torch.max, BLD, (0, 1, 2), 24),
    "max of one": (lambda x: x.max(1)[0], BLD, (1,), 3),
    "amax": (lambda x: x.amax((0, -1)), BLD, (0, 2), 8),
    "argmin": (lambda x: torch.argmin(x, dim=-1), BLD, (2,), 4),
    "any": (lambda x: torch.any(x, 0), BLD, (0,), 2),
    "all": (lambda x: x.all(), BLD, (0, 1, 2), 24),
    "cumsum": (lambda x: torch.cumsum(x, 1), BLD, (1,), 3),
    "cummax": (lambda x: x.cummax(-1)[0], BLD, (2,), 4),
    "scalar": (lambda x: x.sum(), (), (), 1),
    "scalar softmax": (lambda x: x.softmax(-1), (), (), 1),
}
"""Likewise, where no derivative shows it."""

BY_KIND = {**DIFFERENTIABLE, **STEPWISE}

RECORDED: Mapping[str, tuple[Forward, tuple[int, ...], tuple[int, ...], int]] = {
    "normalize": (F.normalize, BLD, (1,), 3),
    "count": (lambda x: torch.count_nonzero(x, 2), BLD, (2,), 4),
    "trace": (torch.trace, (4, 4), (0, 1), 16),
    "minimum and maximum": (lambda x: x.aminmax(dim=1), BLD, (1,), 3),
    "variance and mean": (lambda x: torch.var_mean(x, 1), BLD, (1,), 3),
    "top": (lambda x: x.topk(2), BLD, (2,), 4),
    "top of one": (lambda x: x.topk(2, 1), BLD, (1,), 3),
    "sort": (lambda x: torch.sort(x, 0), BLD, (0,), 2),
    "sort of rows": (torch.msort, BLD, (0,), 2),
    "median": (torch.median, BLD, (0, 1, 2), 24),
    "median of one": (lambda x: x.median(1), BLD, (1,), 3),
    "kth": (lambda x: x.kthvalue(1), BLD, (2,), 4),
    "fft": (lambda x: torch.fft.fftn(x.to(torch.complex64), dim=(1, 2)), BLD, (1, 2), 12),
    "histogram": (lambda x: torch.histc(x, 10), BLD, (0, 1, 2), 24),
}
"""What only a recorded graph has as one reduction."""


@pytest.mark.parametrize("via", ["record", "module"])
@pytest.mark.parametrize("name", BY_KIND)
def test_what_a_call_reduces(name: str, via: str) -> None:
    function, shape, axes, row_numel = BY_KIND[name]
    op = the_reduction(function, shape, via)
    assert (op.axes, op.row_numel) == (axes, row_numel)


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_recorded_op_reduces(name: str) -> None:
    function, shape, axes, row_numel = RECORDED[name]
    op = the_reduction(function, shape, "record")
    assert (op.axes, op.row_numel) == (axes, row_numel)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_row_is_what_a_result_depends_on(name: str) -> None:
    # torch's own word: the elements of the input with a derivative, for each element of the result
    function, shape, axes, row_numel = DIFFERENTIABLE[name]
    torch.manual_seed(0)
    result = torch.autograd.functional.jacobian(function, torch.rand(shape) + 0.5)
    assert isinstance(result, Tensor)
    for derivative in result.reshape(-1, *shape):
        places = derivative.nonzero()
        assert len(places) == row_numel
        moved = [axis for axis in range(len(shape)) if len(set(places[:, axis].tolist())) > 1]
        assert moved == [axis for axis in axes if shape[axis] > 1]


@pytest.mark.parametrize(("rank", "axis"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_softmax_without_a_dimension_takes_the_one_that_torch_takes(rank: int, axis: int) -> None:
    shape = NCHW[:rank]
    rows = rows_of(Kind.SOFTMAX, OpClass.REDUCTION, Call((shape,), (shape,)), [tensor(shape)])
    assert rows == Rows((axis,), NCHW[axis])
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        given = F.softmax(torch.ones(shape))
    assert given.sum(axis).flatten()[0].item() == pytest.approx(1)
    assert given.flatten()[0].item() == pytest.approx(1 / NCHW[axis])


# --- what is no reduction, and what is not known --------------------------------------------


def tensor(shape: tuple[int, ...]) -> GraphTensor:
    return GraphTensor(0, "x", shape, "float32", Role.INPUT, 0, 0, (0,) * len(shape))


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (Kind.CUMULATIVE, {}),
        (Kind.LOGSUMEXP, {}),
        (Kind.CUMULATIVE, {"dim": 3}),  # of three dimensions
        (Kind.CUMULATIVE, {"dim": -4}),
        (Kind.SOFTMAX, {"dim": "channels"}),
        (Kind.LAYERNORM, {}),
        (Kind.GROUPNORM, {}),
        (Kind.BATCHNORM, {}),
        (Kind.INSTANCENORM, {}),  # with running statistics
        (Kind.SEARCH, {"dim": 1}),
        (Kind.DISTANCE, {}),
    ],
)
def test_what_the_arguments_do_not_say_is_not_known(
    kind: Kind, attributes: dict[str, object]
) -> None:
    call = Call((BLD,), (BLD,), {}, attributes)
    assert rows_of(kind, OpClass.REDUCTION, call, [tensor(BLD)]) == Rows()


def test_a_reduction_that_leaves_more_than_one_element_a_row_is_not_known() -> None:
    assert torch.all(torch.ones(BLD), dim=()).shape == BLD  # `sum` with no dimension takes all
    op = the_reduction(lambda x: torch.all(x, dim=()), BLD, "record")
    assert (op.axes, op.row_numel) == (None, None)


def test_axes_are_of_the_first_operand_or_not_known() -> None:
    call = Call((BLD,), (BLD,), {}, {"dim": 2})
    kind, reduction = Kind.SOFTMAX, OpClass.REDUCTION
    assert rows_of(kind, reduction, call, [tensor(BLD)]) == Rows((2,), 4)
    assert rows_of(kind, reduction, call, [tensor((4,)), tensor(BLD)]) == Rows()
    assert rows_of(kind, reduction, call, []) == Rows()
    assert rows_of(kind, OpClass.VIEW, call, [tensor(BLD)]) == Rows()


@pytest.mark.parametrize("via", ["record", "module"])
def test_running_statistics_reduce_nothing(via: str) -> None:
    norms = nn.Sequential(nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True))
    graph = capture(norms.eval(), input_shapes=(NCHW,), via=via)
    assert [op.axes for op in graph.ops if op.is_compute] == [None, None]
    graph = capture(norms.train(), input_shapes=(NCHW,), via=via)
    assert [op.axes for op in reductions(graph)] == [(0, 2, 3), (2, 3)]
    assert [op.row_numel for op in reductions(graph)] == [2 * 15, 15]


@pytest.mark.parametrize(("via", "axes"), [("module", (1, 2)), ("record", (2, 3))])
def test_an_instance_norm_without_a_batch_reduces_space(via: str, axes: tuple[int, ...]) -> None:
    op = the_reduction(nn.InstanceNorm2d(2), BLD, via)  # aten sees it with a batch of one
    assert (op.axes, op.row_numel) == (axes, 12)


@pytest.mark.parametrize("via", ["record", "module"])
def test_pooling_and_attention_have_no_axes(via: str) -> None:
    def forward(x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(F.max_pool2d(x, 2), 1)
        return F.scaled_dot_product_attention(pooled, pooled, pooled)

    graph = capture(Applied(forward).eval(), input_shapes=((2, 4, 6, 6),), via=via)
    classes = [op.op_class for op in graph.ops]
    assert classes == [OpClass.WINDOW, OpClass.WINDOW, OpClass.ATTENTION]
    assert all(op.axes is None and op.row_numel is None for op in graph.ops)


@pytest.mark.parametrize(
    ("kept", "axes", "row_numel"), [(0, (1,), 5), (1, (0,), 3), (-1, (0, 1), 15)]
)
def test_weight_norm_keeps_a_dimension_of_a_parameter(
    kept: int, axes: tuple[int, ...], row_numel: int
) -> None:
    # the weight is [3, 5]; a model that trains does not fold it. -1 keeps no dimension
    linear = parametrizations.weight_norm(nn.Linear(5, 3), dim=kept)
    graph = capture(linear.train(), input_shapes=((2, 5),))
    (op,) = reductions(graph)
    assert op.kind is Kind.NORMALIZE
    assert not op.inputs
    assert graph.tensors[op.parameters[0]].shape == (3, 5)
    assert (op.axes, op.row_numel) == (axes, row_numel)


# --- tables ---------------------------------------------------------------------------------


def test_every_reduction_has_a_rule_or_takes_two_tensors() -> None:
    without = {kind for kind, usual in CLASS_OF.items() if usual is OpClass.REDUCTION} - set(RULES)
    assert without == {Kind.DISTANCE, Kind.SEARCH, Kind.SOLVE_TRIANGULAR}


def test_the_arguments_of_every_reduction_have_names() -> None:
    # else `x.sum(1)` would be a sum of everything
    nameless = [
        name
        for name, kind in FUNCTIONS.items()
        if kind in RULES
        and (hasattr(torch, name) or hasattr(Tensor, name))
        and not (name in POSITIONS or name in BUILTIN_ARGUMENTS or kind in ARGUMENTS)
    ]
    assert nameless == []


# --- models ---------------------------------------------------------------------------------


def rows_in(graph: Graph) -> Counter[tuple[Kind, tuple[int, ...], tuple[int, ...] | None]]:
    """How often each kind reduces which axes of which shape; rows are whole in all of them."""
    count: Counter[tuple[Kind, tuple[int, ...], tuple[int, ...] | None]] = Counter()
    for op in reductions(graph):
        shape = graph.tensors[op.inputs[0]].shape
        assert op.axes is not None
        assert op.row_numel == prod(shape[axis] for axis in op.axes)
        count[op.kind, shape, op.axes] += 1
    return count


@pytest.mark.parametrize(
    ("name", "mode", "kind", "axes", "count"),
    [
        ("resnet18", "train", Kind.BATCHNORM, (0, 2, 3), 20),  # stem, 8 blocks of 2, 3 shortcuts
        ("vit_b_16", "eval", Kind.LAYERNORM, (2,), 25),  # 12 blocks of 2, and the last
        ("convnext_tiny", "eval", Kind.LAYERNORM, (3,), 23),  # stem, 18 blocks, 3 downs, head
        ("timm/efficientnet_b0", "eval", Kind.MEAN, (2, 3), 16),  # a squeeze in each block
    ],
)
def test_a_model_reduces_the_same_at_every_level(
    name: str, mode: str, kind: Kind, axes: tuple[int, ...], count: int
) -> None:
    record, export, module = (
        rows_in(capture(name, via=via, train=mode == "train"))
        for via in ("record", "export", "module")
    )
    assert record == export == module
    assert record.total() == count
    assert {(found, taken) for found, _, taken in record} == {(kind, axes)}


def test_swin_reduces_channels_and_its_recorded_attention_keys() -> None:
    record, module = (rows_in(capture("swin_t", via=via)) for via in ("record", "module"))
    softmax = record - module
    assert module - record == Counter()
    assert module.total() == 29  # patches, 12 blocks of 2, 3 mergings, and the last
    assert {(kind, axes) for kind, _, axes in module} == {(Kind.LAYERNORM, (3,))}
    assert softmax.total() == 12  # one a block, over the 49 keys of a window
    assert {(kind, shape[3], axes) for kind, shape, axes in softmax} == {(Kind.SOFTMAX, 49, (3,))}


@pytest.mark.parametrize("via", ["record", "export"])
def test_bert_in_steps_reduces_keys_and_channels(via: str) -> None:
    graph = capture("hf/bert", via=via, seq_len=16, attention="decomposed")
    assert rows_in(graph) == {
        (Kind.LAYERNORM, (1, 16, 768), (2,)): 26,  # embeddings, 12 layers of 2, the head
        (Kind.SOFTMAX, (1, 12, 16, 16), (3,)): 12,
    }


def test_llama_writes_its_norm_as_a_mean_over_channels() -> None:
    graph = capture("hf/llama", seq_len=16)
    # 32 layers of 2, and the last
    assert rows_in(graph) == {(Kind.MEAN, (1, 16, 4096), (2,)): 65}


def test_axes_survive_folding_and_the_file() -> None:
    linear = parametrizations.weight_norm(nn.Linear(5, 3))
    graph = capture(nn.Sequential(linear, nn.Softmax(-1)).eval(), input_shapes=((2, 5),))
    assert [op.axes for op in graph.folded if op.op_class is OpClass.REDUCTION] == [(1,)]
    assert [op.axes for op in reductions(graph)] == [(1,)]
    assert decode(encode(graph), "graph") == graph
