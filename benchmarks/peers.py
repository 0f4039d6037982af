"""Public FLOP counters on the same models: what each counts, and what it costs.

Each peer runs as its documentation says, in eval mode, and is imported when it is called. One that
is not installed raises ImportError; one that fails on a model says so in the table.
"""

from __future__ import annotations

import contextlib
import copy
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fuseline
from fuseline.frontends.sources.torchvision import import_models

MODELS = ("vit_b_16", "swin_t", "resnet50", "efficientnet_b0", "resnext50_32x4d")
IMAGE = (3, 224, 224)


@dataclass(frozen=True, slots=True)
class Peer:
    """A counter: `unit` is what it reports, `scale` turns that into FLOPs."""

    name: str
    unit: str
    scale: int
    count: Callable[[nn.Module], int]


@dataclass(frozen=True, slots=True)
class Count:
    """FLOPs of a model and the CPU seconds of the second call, or why there are none."""

    model: str
    peer: Peer
    flops: int = 0
    seconds: float = 0.0
    failure: str = ""


def _fuseline(model: nn.Module) -> int:
    return fuseline.capture(model, input_shapes=((1, *IMAGE),)).flops


def _fvcore(model: nn.Module) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, torch.zeros(1, *IMAGE))
    quiet = analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(
        enabled=False
    )
    return quiet.total()


def _calflops(model: nn.Module) -> int:
    from calflops import calculate_flops

    flops, _, _ = calculate_flops(
        model=model,
        input_shape=(1, *IMAGE),
        print_results=False,
        print_detailed=False,
        output_as_string=False,
    )
    return int(flops)


def _torchinfo(model: nn.Module) -> int:
    from torchinfo import summary

    return summary(model, input_size=(1, *IMAGE), verbose=0).total_mult_adds


def _ptflops(model: nn.Module) -> int:
    from ptflops import get_model_complexity_info

    macs, _ = get_model_complexity_info(
        model, IMAGE, as_strings=False, print_per_layer_stat=False, verbose=False
    )
    if macs is None:
        raise RuntimeError("it reports none")
    return int(macs)


def _torch_real(model: nn.Module) -> int:
    return _torch(model, torch.zeros(1, *IMAGE))


def _torch_meta(model: nn.Module) -> int:
    return _torch(model.to("meta"), torch.zeros(1, *IMAGE, device="meta"))


def _torch(model: nn.Module, image: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops()


PEERS = (
    Peer("fuseline", "FLOPs", 1, _fuseline),
    Peer("fvcore", "MACs", 2, _fvcore),
    Peer("calflops", "FLOPs", 1, _calflops),
    Peer("torchinfo", "MACs", 2, _torchinfo),
    Peer("ptflops", "MACs", 2, _ptflops),
    Peer("torch FlopCounterMode, CPU", "FLOPs", 1, _torch_real),
    Peer("torch FlopCounterMode, meta", "FLOPs", 1, _torch_meta),
)


def count_all() -> list[Count]:
    """Every model by every peer, Fuseline first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = import_models()
        found = []
        for name in MODELS:
            model = models.get_model(name, weights=None).eval()
            found += [_count(name, model, peer) for peer in PEERS]
        return found


def _count(name: str, model: nn.Module, peer: Peer) -> Count:
    model = copy.deepcopy(model)  # some peers leave hooks or methods behind
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            peer.count(model)
            start = time.process_time()
            counted = peer.count(model)
            seconds = time.process_time() - start
    except ImportError:
        return Count(name, peer, failure="not installed")
    except Exception as error:  # noqa: BLE001 - a peer may raise anything; it is shown
        return Count(name, peer, failure=f"{type(error).__name__}: {str(error).splitlines()[:1]}")
    return Count(name, peer, counted * peer.scale, seconds)
