"""What a reduction reduces: the dimensions of its input that share one statistic.

    mean(x[N, C, H, W], (2, 3))    -->   axes (2, 3), rows of H*W
    layer_norm(x[N, L, D], (D,))   -->   axes (2,), rows of D
    group_norm(x[N, C, H, W], G)   -->   axes (1, 2, 3), rows of C/G*H*W

Nothing is guessed: where the arguments do not say, it is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from fuseline.costs.flops import Call
from fuseline.graph import Kind, OpClass, Tensor

Axes = Iterable[int] | None
Rule = Callable[[Call], Axes]


@dataclass(frozen=True, slots=True)
class Rows:
    """`Op.axes` and `Op.row_numel` of one op."""

    axes: tuple[int, ...] | None = None
    numel: int | None = None


POSITIONS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("softmax", "log_softmax", "sum", "prod", "any", "all", "logsumexp", "mean", "var", "std",
         "var_mean", "std_mean", "max", "min", "amax", "amin", "argmax", "argmin", "cumsum",
         "cumprod", "cummax", "cummin"),
        ("input", "dim"),
    ),
    **dict.fromkeys(("norm", "linalg_vector_norm"), ("input", "p", "dim")),
}  # fmt: skip
"""Leading argument names of reductions that are built in, or methods: they have no signature."""

MODULE_TRAITS: Mapping[str, Mapping[str, object]] = {
    "Softmax2d": {"dim": -3},
    **{f"InstanceNorm{spatial}d": {"spatial": spatial} for spatial in (1, 2, 3)},
}
"""What a module's name says that its attributes do not."""

_SHRINKING = frozenset(
    {Kind.SUM, Kind.MEAN, Kind.VARIANCE, Kind.NORM, Kind.LOGSUMEXP, Kind.EXTREMUM}
)
"""Kinds that leave one element a row."""


def rows_of(kind: Kind, op_class: OpClass, call: Call, operands: Sequence[Tensor]) -> Rows:
    """What the op reduces. `operands` are its inputs, or its parameters where it has none.

    Empty where the op is no reduction, where its arguments do not say, and where the tensor that
    it reduces is not its first operand (`weight_norm` of a parameter with a computed gain).
    """
    if op_class is not OpClass.REDUCTION or kind not in RULES or not call.inputs:
        return Rows()
    source = call.source
    axes = _counted_from_zero(RULES[kind](call), len(source))
    if axes is None or not operands or operands[0].shape != source:
        return Rows()
    numel = prod(source[axis] for axis in axes)
    if kind is Kind.GROUPNORM and axes[0] == 1:  # a row is a block of the channels
        numel //= _groups(call)
    if kind in _SHRINKING and (not call.outputs or call.out * numel != prod(source)):
        return Rows()  # `torch.all(x, dim=())` reduces nothing, where `sum` reduces all
    return Rows(axes, numel)


def _counted_from_zero(axes: Axes, rank: int) -> tuple[int, ...] | None:
    """Negative dimensions from the end, in order; the one "dimension" of a scalar is none."""
    if axes is None:
        return None
    given = set(axes)
    if any(not -max(rank, 1) <= axis < max(rank, 1) for axis in given):
        return None
    return tuple(sorted({axis % rank for axis in given})) if rank else ()


# --- what arguments say ---------------------------------------------------------------------


def _given(call: Call) -> Axes:
    """The argument `dim`, or `axis` as numpy names it; an empty list is as good as none."""
    given = call.attributes.get("dim", call.attributes.get("axis"))
    if isinstance(given, int) and not isinstance(given, bool):  # `x.var(False)` has no `dim`
        return (given,)
    if isinstance(given, (list, tuple)) and given:
        return tuple(given) if all(isinstance(axis, int) for axis in given) else None
    return None


def _is_silent(call: Call) -> bool:
    """Whether no dimension is named: None, an empty list, or `x.var(unbiased)`."""
    given = call.attributes.get("dim", call.attributes.get("axis"))
    return given is None or isinstance(given, bool) or given in ([], ())


def _every(call: Call) -> Axes:
    return range(len(call.source))


def _given_or_every(call: Call) -> Axes:
    return _every(call) if _is_silent(call) else _given(call)


def _given_or_last(call: Call) -> Axes:
    if call.flag("flattens") and _is_silent(call):
        return _every(call)
    return (-1,) if _is_silent(call) else _given(call)


def _softmax(call: Call) -> Axes:
    """Without `dim` torch takes the first of 0, 1 or 3 dimensions, else the second."""
    if not _is_silent(call):
        return _given(call)
    return (0,) if len(call.source) in (0, 1, 3) else (1,)


def _normalize(call: Call) -> Axes:
    """The second dimension unless told; weight norm: all but the one it keeps, -1 keeping none."""
    if "v" not in call.named:
        return (1,) if _is_silent(call) else _given(call)
    kept = call.attributes.get("dim", 0)
    return [axis for axis in range(len(call.named["v"])) if axis != kept]


def _trailing(call: Call) -> Axes:
    """As many of the last dimensions as `normalized_shape` has."""
    normalized = call.attributes.get("normalized_shape")
    if isinstance(normalized, int):
        return (-1,)
    return range(-len(normalized), 0) if isinstance(normalized, (list, tuple)) else None


def _groups(call: Call) -> int:
    groups = call.attributes.get("num_groups", call.attributes.get("group"))
    return groups if isinstance(groups, int) else 0


def _of_groups(call: Call) -> Axes:
    """All but the batch; where every channel is a group of its own, its pixels alone."""
    if len(call.source) < 2 or not _groups(call):  # noqa: PLR2004 - batch and channels
        return None
    return range(2 if _groups(call) == call.source[1] else 1, len(call.source))


def _of_instances(call: Call) -> Axes:
    """The dimensions in space. A module may leave the batch out; the functions may not."""
    if not call.flag("use_statistics_of_input"):
        return None
    spatial = call.attributes.get("spatial", len(call.source) - 2)
    return range(-spatial, 0) if isinstance(spatial, int) else None


def _of_batch(call: Call) -> Axes:
    if not call.flag("use_statistics_of_input"):
        return None
    return [axis for axis in range(len(call.source)) if axis != 1]


RULES: Mapping[Kind, Rule] = {
    Kind.LAYERNORM: _trailing,  # layer_norm(x[N, L, D], (D,))      --> 2
    Kind.RMSNORM: _trailing,  # rms_norm(x[N, L, D], (L, D))        --> 1, 2
    Kind.GROUPNORM: _of_groups,  # group_norm(x[N, C, H, W], G)     --> 1, 2, 3 in blocks of C/G
    Kind.INSTANCENORM: _of_instances,  # instance_norm(x[N, C, H, W])  --> 2, 3
    Kind.BATCHNORM: _of_batch,  # batch_norm(x[N, C, H, W], train)  --> 0, 2, 3
    Kind.NORMALIZE: _normalize,  # normalize(x[N, D])               --> 1
    Kind.SOFTMAX: _softmax,  # softmax(x[N, H, L, L], -1)           --> 3
    Kind.SUM: _given_or_every,  # sum(x[N, D])                      --> 0, 1
    Kind.MEAN: _given_or_every,  # mean(x[N, C, H, W], (2, 3))      --> 2, 3
    Kind.VARIANCE: _given_or_every,  # var(x[N, D], 1)              --> 1
    Kind.NORM: _given_or_every,  # norm(x[N, D], 2, -1)             --> 1
    Kind.EXTREMUM: _given_or_every,  # amax(x[N, D], 0)             --> 0
    Kind.LOGSUMEXP: _given,  # logsumexp(x[N, D], 1)                --> 1
    Kind.CUMULATIVE: _given,  # cumsum(x[N, D], -1)                 --> 1
    Kind.FFT: _given,  # _fft_c2c(x[N, H, W], [1, 2])               --> 1, 2
    Kind.SORT: _given_or_last,  # topk(x[N, D], 5)                  --> 1
    Kind.HISTOGRAM: _every,  # histc(x[N, D])                       --> 0, 1
}
"""Which dimensions a kind reduces. Distances, bisections and triangular solves have no row: each
takes an element of its result from two tensors.
"""
