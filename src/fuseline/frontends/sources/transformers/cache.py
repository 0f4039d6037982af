"""The step that makes one token after many: its cache is an input.

A cache is filled by one run on fake tensors, which settles the shape of every layer's keys and
values (or states), and is then set to hold the tokens asked for, its tensors on meta.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.sources.sourced import Options
from fuseline.frontends.sources.transformers.complete import Config
from fuseline.frontends.sources.transformers.inputs import (
    make_inputs,
)
from fuseline.frontends.sources.transformers.probe import attempt, run_fake, to_meta
from fuseline.frontends.sources.transformers.request import (
    Kwargs,
    Made,
    Request,
    request,
    token_limit,
    try_call,
)

CONCATENATES = "the cache concatenates: priced as captured"


def decode_inputs(
    model: nn.Module,
    config: Config,
    options: Options,
    dtype: torch.dtype,
    name: str,
) -> Made:
    """One token, `[batch, 1]`, and a cache of `options.decode` tokens before it.

    The keys and values of a static cache are `[batch, heads, decode + 1, head size]` on meta, as
    `cache.layers[i].keys` and `.values`; its lengths are real tensors. An encoder-decoder gets the
    encoder's output too.

    Raises `InputError` for a model without a cache, or one whose table of positions is shorter.
    """
    ask = request(model, config, options, dtype, name)
    past = options.decode or 0
    key = next((key for key in ("cache", "past_key_values") if key in ask.names), None)
    if key is None:
        raise InputError(f"'{name}' has no cache: its head {type(model).__name__} takes none")
    token_limit(ask, past + 1)
    given, wrap = _encoded(ask, options) if "decoder_input_ids" in ask.names else _plain(ask)
    note = f"one token after {past} cached ones"
    for make, notes in ((_static, ()), (_dynamic, (CONCATENATES,))):
        cache = attempt(lambda make=make: wrap(lambda: make(config, past)))
        if isinstance(cache, Exception):
            continue  # a configuration that does not say how many layers keep one
        with_cache = given | {key: cache, "use_cache": True}
        if "use_cache" not in ask.names and not _takes_keywords(model):
            del with_cache["use_cache"]
        filled = attempt(lambda given=with_cache: _fill(ask, given, key))
        if filled is not None and not isinstance(filled, Exception):
            _set_past(filled, past)
            ready = with_cache | {key: filled}
            if "attention_mask" in ask.names and try_call(ask, copy.deepcopy(ready)) is not None:
                # some families read the mask's length where they could have asked the cache
                ready["attention_mask"] = ask.real([1] * (past + 1))
            return Made(ready, (note, *notes), batch=ask.batch)
    raise InputError(f"'{name}' has no cache that {type(model).__name__} takes for one more token")


def _takes_keywords(model: nn.Module) -> bool:
    kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _plain(ask: Request) -> tuple[Kwargs, Callable[[Callable[[], Any]], Any]]:
    if "input_ids" not in ask.names:
        raise InputError(f"'{ask.name}' makes no tokens: {type(ask.model).__name__} has no cache")
    return {"input_ids": ask.ids(1)}, lambda make: make()


def _encoded(ask: Request, options: Options) -> tuple[Kwargs, Callable[[Callable[[], Any]], Any]]:
    """The encoder's output in place of its input, and a cache for both kinds of attention."""
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache

    whole = make_inputs(
        ask.model, ask.config, Options(options.batch, options.dtype, seq_len=options.seq_len),
        ask.dtype, ask.name,
    ).kwargs  # fmt: skip
    encoder: Any = ask.model.get_encoder()  # type: ignore[not-callable] - not all modules have it
    takes = inspect.signature(encoder.forward).parameters
    given = {name: value for name, value in whole.items() if name in takes}
    with foreign_code(f"'{ask.name}': its encoder failed"):
        states = to_meta(run_fake(ask.model, lambda fake: tuple(encoder(**fake(given)).values())))
    from transformers.modeling_outputs import BaseModelOutput

    output = BaseModelOutput(last_hidden_state=states[0])
    return (
        {"decoder_input_ids": ask.ids(1), "encoder_outputs": output},
        lambda make: EncoderDecoderCache(make(), DynamicCache()),
    )


def _static(config: Config, past: int) -> Any:  # noqa: ANN401 - a Cache
    from transformers.cache_utils import StaticCache

    return StaticCache(config=config, max_cache_len=past + 1)


def _dynamic(config: Config, past: int) -> Any:  # noqa: ANN401, ARG001 - a Cache, as `_static`
    from transformers.cache_utils import DynamicCache

    return DynamicCache(config=config)


def _fill(ask: Request, kwargs: Kwargs, key: str) -> Any:  # noqa: ANN401 - a Cache or None
    """Run one token through, so that every layer has its tensors; then move them to meta."""

    def call(fake: Callable[[Any], Any]) -> None:
        ask.model(**fake({name: value for name, value in kwargs.items() if name != key}), **cache)

    cache = {key: kwargs[key]}
    run_fake(ask.model, call)
    filled = kwargs[key]
    return filled if any(_layer_tensors(layer) for layer in _layers(filled)) else None


def _layers(cache: Any) -> list[Any]:  # noqa: ANN401 - a Cache
    both = [
        getattr(cache, name, None) for name in ("self_attention_cache", "cross_attention_cache")
    ]
    return [layer for each in both if each is not None for layer in each.layers] or list(
        getattr(cache, "layers", [])
    )


def _layer_tensors(layer: Any) -> list[torch.Tensor]:  # noqa: ANN401 - a cache layer
    return [
        leaf for leaf in tree_leaves(vars(layer)) if isinstance(leaf, torch.Tensor) and leaf.dim()
    ]


def _set_past(cache: Any, past: int) -> None:  # noqa: ANN401 - a Cache
    """Every layer holds `past` tokens: its tensors on meta, its lengths as values.

    Growing keys and values are lengthened from the one token that filled them; a sliding window
    holds no more than its width. What attends to an encoder stays as long as the encoder made it.
    """
    crossed = {
        id(layer) for layer in getattr(getattr(cache, "cross_attention_cache", None), "layers", [])
    }
    for layer in _layers(cache):
        held = vars(layer)
        for name, value in list(held.items()):
            held[name] = to_meta(value)
        if id(layer) not in crossed:
            _set_lengths(held, past)
            if "max_cache_len" not in held:
                _lengthen(held, past)


def _set_lengths(held: dict[str, Any], past: int) -> None:
    """A layer's count of tokens, which it keeps as a tensor, a number or both."""
    for name in ("cumulative_length", "indexer_cumulative_length", "cumulative_length_int"):
        if isinstance(held.get(name), torch.Tensor):
            held[name] = torch.tensor(past)
        elif isinstance(held.get(name), int):
            held[name] = past


def _lengthen(held: dict[str, Any], past: int) -> None:
    """Growing keys and values, from one token to as many as the layer would hold."""
    window = held.get("sliding_window")
    most = past if window is None else min(past, window - 1)
    for name, axis in (("keys", -2), ("values", -2), ("indexer_keys", 1)):
        value = held.get(name)
        if isinstance(value, torch.Tensor) and value.dim():
            shape = list(value.shape)
            shape[axis] = most
            held[name] = torch.empty(shape, dtype=value.dtype, device="meta")
