"""What the real Inductor makes of a recorded program: its kernels, before any code is generated.

A pass that Inductor calls once it has fused notes every scheduler node and stops the compilation
there. The program it compiles is the script of the capture, each node with the name of its op: so
that whoever reads a kernel knows which ops of the graph it computes. Nothing is run, parameters
have no memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.runtime.execute import values_returned
from fuseline.runtime.modules import build_module
from fuseline.validate.inductor.nodes import (
    AtenNode,
    KernelNode,
    check_torch,
    describe,
    lowered_nodes,
)

if TYPE_CHECKING:
    from torch import fx

    from fuseline.frontends.recording.script import Script

SCHEDULES = ("cpu", "triton", "cuda")
"""The CPU's schedule, Triton's on the CPU's lowerings, and that of a CUDA device."""

DEVICE = "h100-sxm"
"""The CUDA device whose schedule is read where none is named."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What Inductor is asked for: for whom, and whether it may lay convolutions out anew.

    `layout_optimization` None leaves that to Inductor, whose default it is.
    """

    target: str = "cpu"
    device: str = DEVICE
    layout_optimization: bool | None = None

    def __post_init__(self) -> None:
        if self.target not in SCHEDULES:
            hint = did_you_mean(self.target, SCHEDULES) or f": one of {', '.join(SCHEDULES)}"
            raise InputError(f"unknown schedule '{self.target}'{hint}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """What Inductor made: its kernels in the order they run, and every node that it lowered."""

    kernels: tuple[KernelNode, ...]
    nodes: tuple[AtenNode, ...]


class _Stop(BaseException):  # a plain exception would be swallowed
    """Ends a compilation once its kernels are known."""

    def __init__(self, compiled: Compiled) -> None:
        super().__init__()
        self.compiled = compiled


def read_script(script: Script, schedule: Schedule | None = None) -> Compiled:
    """The kernels that Inductor makes of a recorded script.

    Raises `InputError` under another torch, for an op without code, a device that is not known, and
    where Inductor cannot compile the program.
    """
    import torch

    schedule = schedule or Schedule()
    check_torch(torch.__version__)
    if script.missing:
        raise InputError(f"'{script.missing[0]}' has no code here, so nothing compiles it")
    program, inputs = _program(script)
    name = script.graph.source.name
    with (
        _asked(schedule) as mode,
        foreign_code(f"Inductor cannot compile '{name}'", passing=_is_stop),
    ):
        return _compile(program, inputs, schedule, mode)


def _program(script: Script) -> tuple[fx.GraphModule, list[Any]]:
    """The whole script as one module, and stand-ins of what it takes."""
    import torch

    steps = [step for step in script.steps if step.results or _writes(step.function)]
    takes = [*script.inputs, *script.held.values(), *script.constants]
    takes = list(dict.fromkeys(takes))
    tensors = script.graph.tensors
    storages: dict[int, torch.Tensor] = {}
    inputs: list[Any] = []
    for value in takes:
        tensor = tensors[value]
        storage = script.graph.storages[tensor.storage]
        dtype = getattr(torch, tensor.dtype)
        if storage.id not in storages:
            storages[storage.id] = torch.empty(storage.nbytes, dtype=torch.uint8, device="meta")
        meta = torch.empty(0, dtype=dtype, device="meta")
        base = storages[storage.id].untyped_storage()
        inputs.append(meta.set_(base, tensor.offset, tensor.shape, tensor.strides))
    returned = list(dict.fromkeys(values_returned(script)))
    return build_module(steps, takes, returned, "Model"), inputs


def _writes(function: object) -> bool:
    schema = getattr(function, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


@contextmanager
def _asked(schedule: Schedule) -> Generator[Any]:
    """A fake mode in which Inductor compiles for whom it is asked to."""
    import torch
    from torch._inductor import config
    from torch._subclasses.fake_tensor import FakeTensorMode

    options: dict[str, Any] = {"force_disable_caches": True}
    if schedule.layout_optimization is not None:
        options["layout_optimization"] = schedule.layout_optimization
    if schedule.target == "triton":
        options["cpu_backend"] = "triton"
    with torch.no_grad(), warnings.catch_warnings(), config.patch(options):
        warnings.simplefilter("ignore")  # torch's own deprecations, while it compiles
        if schedule.target == "cuda":
            from fuseline.validate.inductor.fake_cuda import fake_cuda

            with fake_cuda(schedule.device) as mode:
                yield mode
        else:
            from fuseline.validate.inductor.fake_cuda import stopped_quietly

            with stopped_quietly(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
                yield mode


def _compile(
    program: fx.GraphModule,
    inputs: Sequence[Any],
    schedule: Schedule,
    mode: Any,  # noqa: ANN401
) -> Compiled:
    import torch
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx

    if schedule.target == "cuda":
        from fuseline.validate.inductor.fake_cuda import to_cuda

        program, given = to_cuda(program, inputs, mode)
    else:
        from torch._subclasses.fake_tensor import FakeTensor

        given = [FakeTensor(mode, tensor, torch.device("cpu")) for tensor in inputs]
    with config.patch({"_post_fusion_custom_pass": _make_pass()}):
        try:
            compile_fx(program, given)
        except _Stop as stop:
            return stop.compiled
    raise InputError("Inductor compiled nothing of the program: it makes no kernel")


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, _Stop)


def _make_pass() -> object:
    from torch._inductor.custom_graph_pass import CustomSchedulerPass

    class Read(CustomSchedulerPass):
        """Notes the kernels and stops."""

        def __call__(self, nodes: list[Any]) -> list[Any]:
            raise _Stop(Compiled(describe(nodes), lowered_nodes()))

        def uuid(self) -> None:
            """Never cached."""

    return Read()
