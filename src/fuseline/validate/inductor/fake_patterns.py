"""Passes of Inductor over a graph that would keep the device they ran for, or touch it."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_TRACED_ONCE = (
    ("pad_mm", "_pad_mm_init"),
    ("fuse_attention", "_sfdp_init"),
    ("misc_patterns", "_misc_patterns_init"),
)
"""Modules of Inductor's passes, and what registers patterns there once for each device."""


@contextmanager
def patterns_of_one_device() -> Generator[None]:
    """Let Inductor look for the patterns of the fake device alone; later, for those from before.

    It traces them on the first program of a device and keeps them behind those of the devices it
    compiled for already, in whose programs they would then be found as well.
    """
    from torch._inductor import fx_passes, pattern_matcher
    from torch._inductor.fx_passes import (
        fuse_attention,  # noqa: F401 - found by name below
        joint_graph,
        misc_patterns,  # noqa: F401
        pad_mm,  # noqa: F401
        post_grad,
    )

    post_grad.lazy_init()  # of no device, and once a process: before anything is put aside
    every_device = inspect.unwrap(joint_graph.lazy_init)
    with ExitStack() as stack:
        for module, name in _TRACED_ONCE:
            place = getattr(fx_passes, module)
            stack.enter_context(mock.patch.object(place, name, getattr(place, name).__wrapped__))
        again = pattern_matcher.init_once_fakemode(every_device)
        stack.enter_context(mock.patch.object(joint_graph, "lazy_init", again))
        for found in joint_graph.pass_patterns:
            _put_aside(stack, found, pattern_matcher.ReplacementPatternEntry)
        for found in post_grad.pass_patterns:
            _put_aside(stack, found, ())
        yield


def _put_aside(stack: ExitStack, found: Any, left_out: Any) -> None:  # noqa: ANN401
    """Replace what a pass looks for by a copy without entries of type `left_out`."""
    patterns: defaultdict[Any, list[Any]] = defaultdict(list)
    for key, entries in found.patterns.items():
        patterns[key] = [entry for entry in entries if not isinstance(entry, left_out)]
    seen: defaultdict[str, list[str | None]] = defaultdict(list)
    if not left_out:
        seen.update({key: list(graphs) for key, graphs in found.seen_patterns.items()})
    stack.enter_context(mock.patch.object(found, "patterns", patterns))
    stack.enter_context(mock.patch.object(found, "seen_patterns", seen))


class _OnCpu(TorchDispatchMode):
    """Ops that would make or take a tensor on a device make it on the CPU."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        return func(*_on_cpu(args), **_on_cpu(kwargs or {}))


def _on_cpu(value: Any) -> Any:  # noqa: ANN401 - arguments of any op
    cpu = torch.device("cpu")
    return pytree.tree_map_only(torch.device, lambda _: cpu, value)


@contextmanager
def uniform_values_on_cpu() -> Generator[None]:
    """Let Inductor find tensors of one value with a CPU tensor of one element.

    It does so with real tensors on the device of the program. What it puts in their place is made
    on that device all the same.
    """
    from torch._inductor.fx_passes import joint_graph

    class OnCpu(joint_graph.UniformValueConstantFolder):
        """The same, under `_OnCpu`."""

        def __init__(self, *args: Any) -> None:  # noqa: ANN401
            with _OnCpu():
                super().__init__(*args)

        def run(self) -> Any:  # noqa: ANN401
            with _OnCpu():
                return super().run()

    with mock.patch.object(joint_graph, "UniformValueConstantFolder", OnCpu):
        yield
