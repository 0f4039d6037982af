"""Synthetic graphs of any length: transformer blocks with a squeeze-excitation each."""

from __future__ import annotations

from fuseline.graph import Builder, Graph, Kind, Origin, Role

_TOKENS, _POOLED = (1, 197, 768), (1, 1, 768)


def make_chain(ops: int) -> Graph:
    """A chain of 13-op blocks, at least `ops` long: forks, residual joins and a method call."""
    build = Builder()
    x = build.tensor("x", _TOKENS, role=Role.INPUT)
    while len(build.ops) < ops:
        x = _excite(build, _feed_forward(build, x))
    return build.finish([x])


def _feed_forward(build: Builder, x: int) -> int:
    y = _op(build, Kind.LAYERNORM, "LayerNorm", [x])
    y = _op(build, Kind.LINEAR, "Linear", [y], weight=True)
    y = _op(build, Kind.GELU, "GELU", [y])
    y = _op(build, Kind.CONTIGUOUS, "contiguous", [y], origin=Origin.METHOD)
    y = _op(build, Kind.LINEAR, "Linear", [y], weight=True)
    y = _op(build, Kind.DROPOUT, "Dropout", [y])
    return _op(build, Kind.ADD, "add", [x, y])


def _excite(build: Builder, x: int) -> int:
    y = _op(build, Kind.ADAPTIVEAVGPOOL, "AdaptiveAvgPool2d", [x], _POOLED)
    y = _op(build, Kind.CONV2D_POINTWISE, "Conv2d", [y], _POOLED, weight=True)
    y = _op(build, Kind.SILU, "SiLU", [y], _POOLED)
    y = _op(build, Kind.CONV2D_POINTWISE, "Conv2d", [y], _POOLED, weight=True)
    y = _op(build, Kind.SIGMOID, "Sigmoid", [y], _POOLED)
    return _op(build, Kind.MUL, "mul", [y, x])


def _op(
    build: Builder,
    kind: Kind,
    target: str,
    inputs: list[int],
    shape: tuple[int, ...] = _TOKENS,
    *,
    weight: bool = False,
    origin: Origin = Origin.MODULE,
) -> int:
    name = f"{target.lower()}_{len(build.ops)}"
    weights = [build.tensor(f"{name}.weight", (768, 768), role=Role.PARAMETER)] if weight else []
    return build.op(
        name, kind, inputs=inputs, parameters=weights, shape=shape, target=target, origin=origin
    )
