"""A CUDA device that is not there, as far as Inductor's scheduler asks for one.

Inductor compiles fake CUDA tensors up to its scheduler without a GPU, a driver or Triton, if torch
answers as it would beside the device: what it is, that Triton is there, and which attention kernel
it runs. `fake_cuda` gives those answers and takes every one of them back, however it is left.

What only a run on the device can tell is not answered: whether padding a matrix pays is measured by
Inductor on the spot, and here nothing is padded. Kernels are never written, let alone run.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fuseline.errors import InputError
from fuseline.validate.inductor.fake_attention import attention_on
from fuseline.validate.inductor.fake_cuda_properties import FakeProperties, fake_properties
from fuseline.validate.inductor.fake_patterns import patterns_of_one_device, uniform_values_on_cpu

DEVICE = torch.device("cuda", 0)
"""Where the tensors of a program are under `fake_cuda`."""


@dataclass(frozen=True, slots=True)
class Patch:
    """`name` of `owner` (module, or module:class) is `value` meanwhile."""

    owner: str
    name: str
    value: Any

    @property
    def place(self) -> object:
        """The module or class that holds it."""
        module, _, attribute = self.owner.partition(":")
        found = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found


_INTERFACE = "torch._dynamo.device_interface:CudaInterface"
_ASKS_FOR_TRITON = (
    "torch.utils._triton",
    "torch._inductor.compile_fx",
    "torch._inductor.fx_passes.pad_mm",
    "torch._inductor.kernel.mm_grouped",
    "torch._inductor.runtime.autotune_cache",
    "torch._inductor.scheduler",
)
"""Modules that hold `has_triton` by name."""

_WARNS_OF_TF32 = ("torch._inductor.compile_fx", "torch._inductor.fx_passes.fuse_attention")
_OTHER_GPUS = ("torch.mps", "torch.xpu", "torch.mtia")
_REMEMBER_THE_DEVICE = (
    # functions that keep what they once found out about the device
    ("torch._inductor.utils", "get_gpu_type"),
    ("torch._inductor.utils", "get_max_num_sms"),
    ("torch._inductor.utils", "is_big_gpu"),
    ("torch._inductor.utils", "using_b200"),
    ("torch._inductor.kernel.mm", "_is_sm7x_or_older_gpu"),
    ("torch._inductor.runtime.hints:DeviceProperties", "create"),
    ("torch.utils._triton", "_device_supports_tma"),
    ("torch.utils._triton", "has_datacenter_blackwell_tma_device"),
    ("torch.utils._triton", "has_triton_experimental_host_tma"),
    ("torch.utils._triton", "has_triton_stable_tma_api"),
    ("torch.utils._triton", "has_triton_tensor_descriptor_host_tma"),
    ("torch.utils._triton", "has_triton_tma"),
    ("torch.utils._triton", "has_triton_tma_device"),
)


def _always(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


def patches(properties: FakeProperties) -> tuple[Patch, ...]:
    """Every answer that torch gives otherwise meanwhile."""
    answers = {
        "_exchange_device": 0,
        "_lazy_init": None,
        "_maybe_exchange_device": 0,
        "current_device": 0,
        "device_count": 1,
        "get_device_capability": properties.capability,
        "get_device_name": properties.name,
        "get_device_properties": properties,
        "get_rng_state": torch.empty(0, dtype=torch.uint8),
        "is_available": True,
        "is_bf16_supported": properties.major >= 8,  # noqa: PLR2004 - Ampere brought bfloat16
        "mem_get_info": (properties.total_memory, properties.total_memory),
        "memory_allocated": 0,
        "set_rng_state": None,
        "synchronize": None,
    }
    captured = {
        # what the class took from torch.cuda when it was made --> its own name for it
        "_exchange_device": "exchange_device",
        "_maybe_exchange_device": "maybe_exchange_device",
        "current_device": "current_device",
        "device_count": "device_count",
        "get_device_properties": "get_device_properties",
        "is_bf16_supported": "is_bf16_supported",
        "memory_allocated": "memory_allocated",
        "synchronize": "synchronize",
    }
    return (
        *(Patch("torch.cuda", name, _always(value)) for name, value in answers.items()),
        *(
            Patch(_INTERFACE, own, staticmethod(_always(answers[name])))
            for name, own in captured.items()
        ),
        Patch(_INTERFACE, "get_raw_stream", staticmethod(_always(0))),
        Patch(_INTERFACE, "raise_if_triton_unavailable", staticmethod(_always(None))),
        Patch("torch._subclasses.fake_tensor:FakeTensorMode", "avoid_device_init", value=True),
        Patch("torch._dynamo.device_interface", "caching_worker_device_properties", {}),
        Patch("torch._dynamo.device_interface", "caching_worker_current_devices", {}),
        *(Patch(module, "has_triton", _always(value=True)) for module in _ASKS_FOR_TRITON),
        *(Patch(module, "_warn_tf32_disabled", _always(value=None)) for module in _WARNS_OF_TF32),
        *(Patch(module, "is_available", _always(value=False)) for module in _OTHER_GPUS),
    )


@contextmanager
def fake_cuda(device: str) -> Generator[FakeTensorMode]:
    """Torch as it is beside `device`, and a fake mode that is entered: its tensors may be on CUDA.

    For Inductor alone, not for Dynamo: hand the program to `compile_fx`.

        with fake_cuda("h100-sxm") as mode:
            program, inputs = to_cuda(program, inputs, mode)
            compile_fx(program, inputs)  # with a pass that stops it before it writes kernels

    The whole process sees the device meanwhile, other threads too. Afterwards everything is as it
    was, also where a real CUDA device is at hand, which is neither asked nor used. Raises
    `InputError` for a device that `fake_properties` does not know.
    """
    properties = fake_properties(device)
    answers = patches(properties)
    _import_quietly(answers)
    with ExitStack() as stack:
        stack.callback(_forget_the_device)  # the last to run: once torch tells the truth again
        stack.enter_context(patterns_of_one_device())
        for patch in answers:
            stack.enter_context(mock.patch.object(patch.place, patch.name, patch.value))
        _forget_the_device()
        stack.enter_context(_device_guard())
        stack.enter_context(attention_on(properties.capability))
        stack.enter_context(uniform_values_on_cpu())
        stack.enter_context(_nothing_measured())
        stack.enter_context(stopped_quietly())
        yield stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))


def _import_quietly(answers: Sequence[Patch]) -> None:
    """Import what is to be patched: torch warns of itself while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for owner in (
            *(patch.owner for patch in answers),
            *(row[0] for row in _REMEMBER_THE_DEVICE),
        ):
            importlib.import_module(owner.partition(":")[0])


def _nothing_measured() -> Any:  # noqa: ANN401 - a context manager that torch does not type
    from torch._inductor import config

    return config.patch({"shape_padding": False})


@contextmanager
def stopped_quietly() -> Generator[None]:
    """Let nothing stay of compilations that are stopped: Inductor leaves an empty folder of each.

    `fake_cuda` does it; for routes without it that stop as early. Inductor's remarks on a device
    too small for autotuning, which is off, are not printed.
    """
    with (
        TemporaryDirectory(prefix="fuseline-", ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": folder}),
        mock.patch.object(logging.getLogger("torch._inductor.utils"), "disabled", new=True),
    ):
        yield


def _forget_the_device() -> None:
    for owner, name in _REMEMBER_THE_DEVICE:
        getattr(Patch(owner, name, None).place, name).cache_clear()


# --- c10's device guard -------------------------------------------------------------------------

_CUDA = 1
"""`c10::DeviceType::CUDA`, and its place in the registry of guards."""

_REGISTRY = "_ZN3c104impl26device_guard_impl_registryE"
_LIBRARIES = {"linux": "libc10.so", "darwin": "libc10.dylib"}
_SLOTS = 64
"""More than a guard has virtual functions."""


@contextmanager
def _device_guard() -> Generator[None]:
    """Let ops take fake CUDA tensors: they ask c10's guard of CUDA which device is current.

    A torch built for the CPU has none. Torch puts a guard that does nothing in the place of one
    that counts no devices: so that is what it finds here, for as long as it takes to replace it.
    """
    registry = _guard_registry()
    before = registry[_CUDA]
    no_devices = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
    address = ctypes.cast(no_devices, ctypes.c_void_p).value
    functions = (ctypes.c_void_p * _SLOTS)(*[address] * _SLOTS)
    guard = ctypes.c_void_p(ctypes.addressof(functions))
    try:
        registry[_CUDA] = ctypes.addressof(guard)
        torch._C._ensureCUDADeviceGuardSet()  # noqa: SLF001
        yield
    finally:
        registry[_CUDA] = before


def _guard_registry() -> Any:  # noqa: ANN401 - an array of pointers; ctypes has no type for it
    """c10's guards by device type. Raises `InputError` where torch's C++ names are others."""
    name = _LIBRARIES.get(sys.platform)
    if name is None:
        raise InputError(
            f"a GPU's schedule is read on Linux and macOS only: this is {sys.platform}"
        )
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
    try:
        return (ctypes.c_void_p * (_CUDA + 1)).in_dll(library, _REGISTRY)
    except ValueError:
        raise InputError(
            f"torch's {name} has no registry of device guards: not torch 2.13"
        ) from None


# --- a program moved there ----------------------------------------------------------------------


def to_cuda(
    program: torch.fx.GraphModule, inputs: Sequence[Any], mode: FakeTensorMode
) -> tuple[torch.fx.GraphModule, list[Any]]:
    """A copy of a program of aten ops with everything on the fake device, and inputs for it.

    Inputs may be real, fake or meta: shapes, strides and dtypes are kept. Device arguments that say
    CPU, and those that ops which make tensors leave out, become CUDA. Tensors that the program
    holds become inputs, after its own. Meta of nodes stays, but for the values `val` and
    `example_value`. Raises `InputError` for bfloat16 where Inductor does not compile it.
    """
    graph, copies = torch.fx.Graph(), {}
    made = [_on_cuda(value, mode) for value in inputs]
    nodes = list(program.graph.nodes)
    for node in (node for node in nodes if node.op == "placeholder"):
        copies[node] = _copy(graph, node, copies)
    for node in nodes:
        if node.op == "placeholder":
            continue
        held = _held(program, node)
        if held is None:
            copies[node] = _copy(graph, node, copies)
        else:
            copies[node] = graph.placeholder(node.name)
            copies[node].meta = dict(node.meta)
            made.append(_on_cuda(held, mode))
    _placeholders_first(graph)
    moved = torch.fx.GraphModule(program, graph)
    return moved, made


def _copy(
    graph: torch.fx.Graph, node: torch.fx.Node, copies: dict[torch.fx.Node, torch.fx.Node]
) -> torch.fx.Node:
    copy = graph.node_copy(node, copies.__getitem__)
    copy.meta = {key: v for key, v in node.meta.items() if key not in ("val", "example_value")}
    if node.op == "call_function":
        copy.args = _moved(copy.args)
        copy.kwargs = _moved(copy.kwargs)
        if _makes_a_tensor(node):
            copy.kwargs = {**copy.kwargs, "device": DEVICE}
    return copy


def _moved(value: Any) -> Any:  # noqa: ANN401 - arguments of any op
    return torch.fx.node.map_aggregate(
        value,
        lambda item: DEVICE if isinstance(item, torch.device) and item.type == "cpu" else item,
    )


def _makes_a_tensor(node: torch.fx.Node) -> bool:
    """Whether it is an op that takes a device, is given none, and no tensor whose it could keep."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or node.kwargs.get("device") is not None:
        return False
    takes = {argument.name: str(argument.type) for argument in schema.arguments}
    return "device" in takes and not any("Tensor" in kind for kind in takes.values())


def _held(program: torch.fx.GraphModule, node: torch.fx.Node) -> torch.Tensor | None:
    """The tensor that a `get_attr` node reads; None for every other node."""
    if node.op != "get_attr":
        return None
    found = functools.reduce(getattr, str(node.target).split("."), program)
    return found if isinstance(found, torch.Tensor) else None


def _placeholders_first(graph: torch.fx.Graph) -> None:
    late = [node for node in graph.nodes if node.op == "placeholder"]
    first = next((node for node in graph.nodes if node.op != "placeholder"), None)
    if first is None:
        return
    for node in late:
        first.prepend(node)


def _on_cuda(value: Any, mode: FakeTensorMode) -> Any:  # noqa: ANN401 - an input of any type
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported():
        name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        raise InputError(
            f"Inductor compiles no bfloat16 for {name} (compute capability {major}.{minor}): "
            "use float16 or float32"
        )
    with mode:
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=DEVICE)
