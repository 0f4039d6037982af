"""Which attention kernel torch runs on a CUDA device: its own choice, for devices not at hand.

Torch asks the device's library, which a build for the CPU does not have. The conditions here are
those that its documentation and refusals state; among kernels that serve, torch prefers the first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

aten = torch.ops.aten

_DIMS = 4
_WIDEST_HEAD = 256
"""Elements of a head up to which the flash kernel serves."""

_ALIGNMENT = 8
"""Elements that heads (flash) and rows of a mask (efficient) are padded to a multiple of."""

_VECTOR_NBYTES = 16
"""What the tensor cores' loads of the efficient kernel are aligned to."""

_HALVES = (torch.float16, torch.bfloat16)
_AMPERE = (8, 0)


@dataclass(frozen=True, slots=True)
class Attention:
    """One call of `scaled_dot_product_attention`: [..., heads, tokens, width] each."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    dropout: float
    is_causal: bool
    scale: float | None
    grouped: bool

    @property
    def is_plain(self) -> bool:
        """Whether all three are [batch, heads, tokens, width], of one batch and not empty."""
        tensors = (self.query, self.key, self.value)
        return (
            all(tensor.dim() == _DIMS and tensor.numel() for tensor in tensors)
            and all(tensor.stride(-1) == 1 for tensor in tensors)
            and self.query.size(0) == self.key.size(0) == self.value.size(0)
            and self.key.size(1) == self.value.size(1)
        )


def _flash_serves(call: Attention, capability: tuple[int, int]) -> bool:
    widths = {call.query.size(-1), call.key.size(-1), call.value.size(-1)}
    square = call.query.size(-2) == call.key.size(-2)
    return (
        capability >= _AMPERE
        and call.query.dtype in _HALVES
        and call.mask is None
        and call.is_plain
        and len(widths) == 1
        and max(widths) <= _WIDEST_HEAD
        and (square or not call.is_causal)
        and (call.grouped or call.query.size(1) == call.key.size(1))
    )


def _efficient_serves(call: Attention, capability: tuple[int, int]) -> bool:
    dtype = call.query.dtype
    known = (torch.float32, torch.float16)
    if dtype not in (known if capability < _AMPERE else (*known, torch.bfloat16)):
        return False
    on_tensor_cores = capability >= _AMPERE or dtype in _HALVES
    alignment = _VECTOR_NBYTES // dtype.itemsize if on_tensor_cores else 1
    return (
        call.is_plain
        and call.query.size(1) == call.key.size(1)
        and call.query.size(-1) == call.key.size(-1)
        and call.query.size(-1) % alignment == 0
        and call.value.size(-1) % alignment == 0
    )


def _flash(call: Attention) -> torch.Tensor:
    """Heads are padded to a multiple of 8 and cut again, scaled as if they had not been."""
    width = call.query.size(-1)
    padding = -width % _ALIGNMENT
    query, key, value = (
        F.pad(tensor, (0, padding)) if padding else tensor
        for tensor in (call.query, call.key, call.value)
    )
    scale = width**-0.5 if call.scale is None else call.scale
    out = aten._scaled_dot_product_flash_attention(  # noqa: SLF001
        query, key, value, call.dropout, call.is_causal, scale=scale
    )[0]
    return out[..., :width] if padding else out


def _efficient(call: Attention) -> torch.Tensor:
    """The mask is spread over batch and heads; rows that are not aligned are copied to be so."""
    mask = call.mask
    if mask is not None:
        mask = _aligned(mask)
        mask = mask.expand(*call.query.shape[:2], call.query.size(-2), call.key.size(-2))
    with_gradient = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (call.query, call.key, call.value)
    )
    return aten._scaled_dot_product_efficient_attention(  # noqa: SLF001
        call.query, call.key, call.value, mask, with_gradient,
        call.dropout, call.is_causal, scale=call.scale,
    )[0]  # fmt: skip


def _aligned(mask: torch.Tensor) -> torch.Tensor:
    strides = zip(mask.shape[:-1], mask.stride()[:-1], strict=True)
    if mask.stride(-1) == 1 and all(n == 1 or step % _ALIGNMENT == 0 for n, step in strides):
        return mask
    length = mask.size(-1)
    return F.pad(mask, (0, -length % _ALIGNMENT))[..., :length]


def _steps(call: Attention) -> torch.Tensor:
    """What torch does where no kernel serves: matmul, softmax, matmul."""
    return aten._scaled_dot_product_attention_math(  # noqa: SLF001
        call.query, call.key, call.value, call.mask, call.dropout, call.is_causal,
        scale=call.scale, enable_gqa=call.grouped,
    )[0]  # fmt: skip


def _as_added(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """A mask of truths as one that is added to the scores."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    never = torch.full((), float("-inf"), dtype=dtype, device=mask.device)
    return torch.where(mask, 0.0, never)


_KERNELS: tuple[
    tuple[Callable[[Attention, tuple[int, int]], bool], Callable[..., torch.Tensor]], ...
]
_KERNELS = (
    # may it serve this call on this capability --> run it
    (_flash_serves, _flash),
    (_efficient_serves, _efficient),
)


@contextmanager
def attention_on(capability: tuple[int, int]) -> Generator[None]:
    """Attention of CUDA tensors as a device of this compute capability runs it."""

    def attend(  # noqa: PLR0917 - the signature of torch's op
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,  # noqa: FBT001, FBT002
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        mask = _as_added(attn_mask, query.dtype)
        call = Attention(query, key, value, mask, dropout_p, is_causal, scale, enable_gqa)
        for serves, run in _KERNELS:
            if serves(call, capability):
                return run(call)
        return _steps(call)

    with torch.library._scoped_library("aten", "IMPL") as library:  # noqa: SLF001
        library.impl("scaled_dot_product_attention", attend, "AutogradCUDA")
        yield
