"""A model with random values that hide nothing: no parameter is zero, and every input differs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from math import prod, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.record import capture_record
from fuseline.frontends.recording.fakes import replace_tensors
from fuseline.frontends.sources.building import rebuild_with_values
from fuseline.frontends.sources.sourced import Inputs, Sourced
from fuseline.graph import Graph, Kind, Role

_BIASES = ("bias", "_bias")
_RUNNING_MEAN, _RUNNING_VARIANCE = "running_mean", "running_var"
_BESIDES_PARAMETERS = 1.25  # a run holds activations and folded weights too


def with_random_values(sourced: Sourced, seed: int = 0) -> Sourced:
    """The model in memory with every parameter random and not zero, and inputs that can be run.

    A matrix is drawn from a normal distribution over the square root of its fan-in, a vector near
    1, a bias near 0, so that activations stay finite through many layers. Running means and
    variances are random too; other buffers keep what the constructor gave them. Tied parameters
    stay tied. The caller's model is not changed.

    Raises `InputError` where the model does not fit the memory that is free, or cannot be built.
    """
    check_memory(sourced)
    inputs = make_inputs(sourced, seed)
    with foreign_code(f"'{sourced.name}' cannot be built with values"):
        model = rebuild_with_values(sourced.model)
    _fill(model, torch.Generator().manual_seed(seed))
    return Sourced(
        model=model,
        inputs=inputs,
        name=sourced.name,
        source=sourced.source,
        batch=sourced.batch,
        dtype=sourced.dtype,
        notes=sourced.notes,
    )


def make_inputs(sourced: Sourced, seed: int) -> Inputs:
    """Inputs of the shapes of `sourced`: floats are normal, indices lie within the tables they
    select from, other whole numbers keep the values the source gives, or are 1.
    """
    generator = torch.Generator().manual_seed(seed)
    place = iter(range(sys.maxsize))
    bounds = index_bounds(capture_record(sourced)) if _needs_bounds(sourced) else {}

    def draw(tensor: torch.Tensor) -> torch.Tensor:
        bound = bounds.get(next(place))
        if tensor.is_floating_point() or tensor.is_complex():
            return _normal(tensor, generator)
        if not tensor.is_meta:
            return tensor.detach().clone()
        if bound is None:
            return torch.ones(tensor.shape, dtype=tensor.dtype)
        return torch.randint(bound, tensor.shape, generator=generator).to(tensor.dtype)

    args, kwargs = replace_tensors(sourced.inputs, draw)
    return tuple(args), dict(kwargs)


def index_bounds(graph: Graph) -> Mapping[int, int]:
    """For each input (by place) that selects rows of embeddings: the rows that all of them have."""
    inputs = [tensor for tensor in graph.tensors if tensor.role is Role.INPUT]
    by_storage = {tensor.storage: place for place, tensor in enumerate(inputs)}
    bounds: dict[int, int] = {}
    for op in graph.ops:
        if op.kind not in {Kind.EMBEDDING, Kind.EMBEDDING_BAG}:
            continue
        tables = {gather.tensor for gather in op.gathers}
        rows = min((graph.tensors[table].shape[0] for table in tables), default=1)
        for value in op.inputs:
            place = by_storage.get(graph.tensors[value].storage)
            if place is not None and value not in tables:
                bounds[place] = min(rows, bounds.get(place, rows))
    return bounds


def parameter_nbytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers, each storage once."""
    held = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return sum(tensor.nbytes for tensor in held.values())


def check_memory(sourced: Sourced) -> None:
    """Refuse a model whose parameters, and a quarter besides, exceed the memory that is free."""
    need = int(parameter_nbytes(sourced.model) * _BESIDES_PARAMETERS)
    free = free_nbytes()
    if free is not None and need > free:
        raise InputError(
            f"'{sourced.name}' needs {need / 1e9:.1f} GB of memory to run (its parameters and a "
            f"quarter besides), and {free / 1e9:.1f} GB are free: take a smaller model, or "
            "--dtype bfloat16"
        )


def free_nbytes() -> int | None:
    """Bytes of memory that a process may still take; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _needs_bounds(sourced: Sourced) -> bool:
    found: list[bool] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor.is_meta and not tensor.is_floating_point())
        return tensor

    replace_tensors(sourced.inputs, note)
    return any(found)


# --- parameters and buffers -----------------------------------------------------------------


def _fill(model: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter its random values, in place: what is tied stays tied."""
    filled: dict[int, torch.Tensor] = {}  # by the tensor that was there before
    with torch.no_grad():
        for held, name, tensor in list(_places(model)):
            if id(tensor) not in filled:
                # one on meta: a constructor put it there by itself
                filled[id(tensor)] = made = _from_meta(tensor) if tensor.is_meta else tensor
                drawn = _drawn(name, tensor, generator)
                if drawn is not None:
                    made.copy_(drawn)
            held[name] = filled[id(tensor)]


def _places(model: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    for module in model.modules():
        for held in (module._parameters, module._buffers):  # noqa: SLF001 - where they are held
            for name, tensor in list(held.items()):
                if isinstance(tensor, torch.Tensor):
                    yield held, name, tensor


def _from_meta(tensor: torch.Tensor) -> torch.Tensor:
    made = torch.zeros(tensor.shape, dtype=tensor.dtype)
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _drawn(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
    """Random values for what `name` holds; None for what keeps its own."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    if name == _RUNNING_VARIANCE:
        return torch.rand(tensor.shape, generator=generator) + 0.5
    if not isinstance(tensor, nn.Parameter) and name != _RUNNING_MEAN:
        return None
    normal = _normal(tensor, generator)
    if name == _RUNNING_MEAN or (name.endswith(_BIASES) and tensor.dim() < 2):  # noqa: PLR2004
        return normal * 0.1
    if tensor.dim() < 2:  # noqa: PLR2004 - a weight of a norm, a scale
        return normal * 0.1 + 1
    return normal / sqrt(prod(tensor.shape[1:]) or 1)


def _normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Normal values in memory, with the strides of `like` where it is dense."""
    dtype = torch.complex64 if like.is_complex() else torch.float32
    drawn = torch.randn(like.shape, generator=generator, dtype=dtype)
    return torch.empty_like(like, device="cpu", requires_grad=False).copy_(drawn)
