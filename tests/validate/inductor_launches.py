"""What Inductor's scheduler makes of a program of aten ops, for a CPU or an absent GPU."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

from fuseline.validate.inductor.fake_cuda import fake_cuda, stopped_quietly, to_cuda


class Launch(NamedTuple):
    """One launch: a library's kernel or "loops", what it is made of, and the bytes it moves."""

    call: str
    targets: tuple[str, ...]
    nbytes: int


class Stop(BaseException):
    """Ends a compilation at the scheduler, with its launches."""

    def __init__(self, launches: list[Launch]) -> None:
        super().__init__()
        self.launches = launches


def _noting_pass() -> object:
    from torch._inductor.custom_graph_pass import CustomSchedulerPass

    class Note(CustomSchedulerPass):
        def __call__(self, nodes: list[Any]) -> list[Any]:
            raise Stop(
                [
                    _launch(node)
                    for node in nodes
                    if type(node).__name__ != "NopKernelSchedulerNode"
                    and type(node.node).__name__ != "MultiOutput"
                ]
            )

        def uuid(self) -> None:
            pass

    return Note()


def _launch(node: Any) -> Launch:  # noqa: ANN401 - Inductor's own classes
    parts = [part.node for part in node.get_nodes() if part.node]
    targets = {str(origin.target) for part in parts for origin in part.get_origins()}
    moved = node.get_read_write_buffer_accesses(include_reads=True, include_writes=False)
    written = node.get_read_write_buffer_accesses(include_reads=False, include_writes=True)
    return Launch(
        getattr(node.node, "python_kernel_name", None) or "loops",
        tuple(sorted(targets)),
        sum(moved.values()) + sum(written.values()),
    )


def kernels(
    program: fx.GraphModule, inputs: list[Any], device: str, **settings: object
) -> list[Launch]:
    """The launches that Inductor makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # likewise, while it is imported
        from torch._inductor import config
        from torch._inductor.compile_fx import compile_fx

    options: dict[str, Any] = {
        "_post_fusion_custom_pass": _noting_pass(), "force_disable_caches": True, **settings
    }  # fmt: skip
    with torch.no_grad(), warnings.catch_warnings(), config.patch(options):
        warnings.simplefilter("ignore")  # torch's own deprecations, while it compiles
        try:
            if device == "cpu":
                with stopped_quietly(), FakeTensorMode(allow_non_fake_inputs=True):
                    compile_fx(program, [_fake(value) for value in inputs])
            else:
                with fake_cuda(device) as mode:
                    compile_fx(*to_cuda(program, inputs, mode))
        except Stop as stop:
            return stop.launches
    raise AssertionError("it compiled to the end")


def _fake(value: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
