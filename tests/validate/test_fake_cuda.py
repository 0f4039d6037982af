"""A GPU's schedule without a GPU: what Inductor makes of programs, and that nothing is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from fuseline.errors import InputError
from fuseline.hardware.load import DEVICES, load_device
from fuseline.validate.inductor import fake_cuda as module
from fuseline.validate.inductor.fake_cuda import (
    DEVICE,
    fake_cuda,
    patches,
    to_cuda,
)
from fuseline.validate.inductor.fake_cuda_properties import CAPABILITIES, fake_properties
from tests.validate.inductor_launches import Stop, kernels

aten = torch.ops.aten


def program(body: Callable[..., Any], count: int, *held: torch.Tensor) -> fx.GraphModule:
    """A program of `count` inputs: `body` is given them and adds to the graph by calling ops."""
    root, graph = torch.nn.Module(), fx.Graph()
    inputs = [graph.placeholder(f"x{number}") for number in range(count)]
    for number, tensor in enumerate(held):
        root.register_buffer(f"held{number}", tensor)
    constants = [graph.get_attr(f"held{number}") for number in range(len(held))]
    graph.output((body(graph.call_function, *inputs, *constants),))
    return fx.GraphModule(root, graph)


def linear_then_norm(call: Any, x: Any, weight: Any, bias: Any) -> Any:  # noqa: ANN401
    y = call(aten.linear.default, (x, weight, bias))
    return call(aten.layer_norm.default, (y, [64]))


def linear_then_relu(call: Any, x: Any, weight: Any, bias: Any) -> Any:  # noqa: ANN401
    return call(aten.relu.default, (call(aten.linear.default, (x, weight, bias)),))


_LINEAR = [torch.empty(8, 32), torch.empty(64, 32), torch.empty(64)]


def attend(options: dict[str, bool], call: Any, *tensors: Any) -> Any:  # noqa: ANN401
    return call(aten.scaled_dot_product_attention.default, tensors, options)


def test_half_precision_keeps_the_bias_in_the_product_and_single_takes_it_out() -> None:
    linear = program(linear_then_relu, 3)
    (product, relu) = kernels(linear, [tensor.half() for tensor in _LINEAR], "h100-sxm")
    assert product.call == "extern_kernels.addmm"
    assert relu[:2] == ("loops", ("aten.relu.default",))
    (product, relu) = kernels(linear, _LINEAR, "h100-sxm")
    assert product.call == "extern_kernels.mm"
    assert relu[:2] == ("loops", ("aten.add.Tensor", "aten.relu.default"))  # and the bias


H, S, B = torch.float16, torch.float32, torch.bfloat16


@pytest.mark.parametrize(
    ("device", "dtype", "queries", "mask", "options", "kernel"),
    [
        ("h100-sxm", H, (2, 16, 64), None, {}, "flash"),
        ("a100", B, (2, 16, 64), None, {}, "flash"),
        ("t4", H, (2, 16, 64), None, {}, "efficient"),  # flash is for 8.0 and above
        ("h100-sxm", S, (2, 16, 64), None, {}, "efficient"),
        ("h100-sxm", H, (2, 16, 64), H, {}, "efficient"),  # flash takes no mask
        ("h100-sxm", H, (2, 16, 64), torch.bool, {}, "efficient"),
        ("h100-sxm", H, (2, 16, 264), None, {}, "efficient"),  # flash: heads of up to 256
        ("h100-sxm", H, (2, 16, 20), None, {}, "flash"),  # padded to 24
        ("h100-sxm", H, (2, 16, 64), None, {"is_causal": True}, "flash"),
        ("h100-sxm", H, (2, 8, 64), None, {"is_causal": True}, "efficient"),  # not square
        ("h100-sxm", H, (8, 16, 64), None, {"enable_gqa": True}, "flash"),
        ("h100-sxm", S, (8, 16, 64), None, {"enable_gqa": True}, None),  # no kernel: steps
        ("h100-sxm", torch.float64, (2, 16, 64), None, {}, None),
        ("t4", H, (2, 16, 20), None, {}, None),  # efficient: multiples of 8 elements
    ],
)
def test_attention_runs_as_the_device_chooses(  # noqa: PLR0917 - a table of cases
    device: str,
    dtype: torch.dtype,
    queries: tuple[int, ...],
    mask: torch.dtype | None,
    options: dict[str, bool],
    kernel: str | None,
) -> None:
    kept = torch.empty(1, 2, 16, queries[-1], dtype=dtype)  # keys and values: 2 heads, 16 tokens
    tensors = [torch.empty(1, *queries, dtype=dtype), kept, kept]
    if mask is not None:
        tensors.append(torch.empty(16, 16, dtype=mask))
    attention = program(partial(attend, options), len(tensors))
    called = Counter(launch.call for launch in kernels(attention, tensors, device))
    if kernel is None:
        assert called["extern_kernels.bmm"] == 2  # scores and values
        return
    assert called[f"torch.ops.aten._scaled_dot_product_{kernel}_attention.default"] == 1
    padded = 3 if queries[-1] % 8 else 0  # query, key and value, in one kernel or each in its own
    assert called["loops"] <= padded + (mask is torch.bool)  # which becomes one to add


def test_a_tensor_that_says_cpu_is_made_on_the_device() -> None:
    def body(call: Any, x: Any) -> Any:  # noqa: ANN401
        places = call(aten.arange.default, (16,), {"device": torch.device("cpu")})
        ones = call(aten.ones.default, ([16],))
        moved = call(aten._to_copy.default, (x,), {"device": torch.device("cpu")})  # noqa: SLF001
        return call(aten.add.Tensor, (call(aten.mul.Tensor, (moved, ones)), places))

    # ones are folded into nothing, positions are an index: one kernel
    assert [launch.call for launch in kernels(program(body, 1), [torch.empty(16)], "t4")] == [
        "loops"
    ]


def test_what_a_program_holds_becomes_an_input_after_its_own() -> None:
    held = program(lambda call, x, c: call(aten.add.Tensor, (x, c)), 1, torch.ones(2, 1))
    for node in held.graph.nodes:
        node.meta["custom"] = {"op": node.name}
    with fake_cuda("l4") as mode:
        moved, inputs = to_cuda(held, [torch.empty_strided((2, 3), (1, 2))], mode)
    assert [node.op for node in moved.graph.nodes] == [
        "placeholder", "placeholder", "call_function", "output"
    ]  # fmt: skip
    assert [(type(value), value.device) for value in inputs] == [(FakeTensor, DEVICE)] * 2
    assert [(value.shape, value.stride()) for value in inputs] == [
        ((2, 3), (1, 2)), ((2, 1), (1, 1))
    ]  # fmt: skip
    assert [node.meta["custom"]["op"] for node in moved.graph.nodes] == [
        node.name for node in held.graph.nodes
    ]


def _originals() -> list[tuple[str, str, object]]:
    """What `fake_cuda` replaces, found as the places hold it, not bound."""
    return [
        (patch.owner, patch.name, vars(patch.place).get(patch.name))
        for patch in patches(fake_properties("h100-sxm"))
    ]


def _patterns() -> list[dict[Any, int]]:
    from torch._inductor.fx_passes import joint_graph, post_grad

    passes = (*joint_graph.pass_patterns, *post_grad.pass_patterns)
    return [{key: len(found) for key, found in one.patterns.items() if found} for one in passes]


def _guard() -> object:
    return module._guard_registry()[1]  # noqa: SLF001


def test_nothing_stays_behind_and_inductor_compiles_for_the_cpu_as_before() -> None:
    from torch._dynamo.device_interface import CudaInterface
    from torch._inductor.fx_passes import joint_graph, post_grad
    from torch._inductor.runtime.hints import DeviceProperties
    from torch._inductor.utils import get_max_num_sms

    post_grad.lazy_init()
    linear = program(linear_then_norm, 3)
    before_on_cpu = kernels(linear, _LINEAR, "cpu")
    before, patterns, guard = _originals(), _patterns(), _guard()
    attention = torch._C._dispatch_dump("aten::scaled_dot_product_attention")  # noqa: SLF001
    functions = (joint_graph.lazy_init, joint_graph.UniformValueConstantFolder)
    assert len(kernels(linear, _LINEAR, "h100-sxm")) == 2
    assert len(before) == 39
    for (owner, name, was), (_, _, now) in zip(before, _originals(), strict=True):
        assert now is was, f"{owner}.{name}"
    assert _patterns() == patterns
    assert _guard() == guard
    assert torch._C._dispatch_dump("aten::scaled_dot_product_attention") == attention  # noqa: SLF001
    assert (joint_graph.lazy_init, joint_graph.UniformValueConstantFolder) == functions
    assert DeviceProperties.create.cache_info().currsize == 0  # type: ignore[attr-defined]
    assert get_max_num_sms.cache_info().currsize == 0
    assert torch.cuda.is_available() is CudaInterface.is_available()
    assert kernels(linear, _LINEAR, "cpu") == before_on_cpu
    doubled = torch.compile(lambda x: x * 2 + 1, backend="aot_eager")(torch.ones(3))
    assert doubled.tolist() == [3.0, 3.0, 3.0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_there_is_a_gpu_inside_only() -> None:
    with fake_cuda("a100") as mode:
        assert torch.cuda.get_device_capability() == (8, 0)
        assert torch.empty(2, device="cuda").device == DEVICE
        assert mode is not None
    assert not torch.cuda.is_available()
    if torch.backends.cuda.is_built():  # then torch has a guard of its own
        return
    with FakeTensorMode(), pytest.raises(RuntimeError, match="not linked with support for cuda"):
        torch.empty(2, device=DEVICE).copy_(torch.empty(2, device=DEVICE))


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop, ValueError])
def test_nothing_stays_behind_an_error(error: type[BaseException]) -> None:
    before, guard = _originals(), _guard()
    with pytest.raises(error), fake_cuda("t4"):
        raise error([]) if error is Stop else error
    assert all(now is was for (*_, was), (*_, now) in zip(before, _originals(), strict=True))
    assert _guard() == guard


def test_the_schedule_does_not_depend_on_what_was_compiled_before() -> None:
    x = torch.empty(4, 2, 32, 64, dtype=torch.float16)

    def scaled(call: Any, q: Any, k: Any, v: Any) -> Any:  # noqa: ANN401
        scores = call(aten.matmul.default, (q, call(aten.transpose.int, (k, -2, -1))))
        weights = call(aten.softmax.int, (call(aten.div.Tensor, (scores, 8.0)), -1))
        return call(aten.matmul.default, (weights, v))

    steps = program(scaled, 3)
    first = kernels(steps, [x] * 3, "h100-sxm")
    kernels(steps, [x] * 3, "cpu")
    assert kernels(steps, [x] * 3, "h100-sxm") == first
    # Inductor knows attention by its steps and calls the device's kernel for it
    assert [launch.call for launch in first] == [
        "torch.ops.aten._scaled_dot_product_flash_attention.default"
    ]


def test_the_plain_route_needs_no_patch() -> None:
    launches = kernels(program(linear_then_norm, 3), _LINEAR, "cpu", cpu_backend="triton")
    assert [launch.call for launch in launches] == ["extern_kernels.addmm", "loops"]


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
def test_every_row_is_a_device_that_fuseline_knows(name: str) -> None:
    device, properties = load_device(name), fake_properties(name)
    assert device.vendor == "NVIDIA"
    assert properties.total_memory == device.memory_nbytes
    assert properties.multi_processor_count > 1
    assert properties.max_threads_per_multi_processor % properties.warp_size == 0


def test_every_nvidia_device_is_a_row_but_the_one_whose_sources_disagree() -> None:
    nvidia = {name for name in DEVICES if load_device(name).vendor == "NVIDIA"}
    assert nvidia - set(CAPABILITIES) == {"jetson-thor-t5000"}


def test_figures_of_a_device() -> None:
    # T4: 40 multiprocessors of 1024 threads and 64 KiB, all of which a block may have
    t4 = fake_properties("T4")
    assert (t4.capability, t4.multi_processor_count) == ((7, 5), 40)
    assert t4.max_threads_per_multi_processor == 1024
    assert t4.shared_memory_per_block_optin == 65_536
    # H100: 228 KiB, of which CUDA keeps one
    assert fake_properties("h100").shared_memory_per_block_optin == 227 * 1024


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("h10", r"not known for device 'h10': did you mean 'h100'\?$"),
        ("mi300x", r"not known for device 'mi300x': one of a10, a100-40gb-sxm, .*v100-32gb-sxm$"),
    ],
)
def test_another_device_is_refused_in_one_line(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said), fake_cuda(name):
        pass


def test_what_inductor_does_not_compile_for_a_device_is_refused_in_one_line() -> None:
    inputs = [tensor.bfloat16() for tensor in _LINEAR]
    said = r"compiles no bfloat16 for NVIDIA T4 \(compute capability 7\.5\): use float16"
    with pytest.raises(InputError, match=said):
        kernels(program(linear_then_relu, 3), inputs, "t4")


def test_another_torch_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REGISTRY", "no_such_symbol")
    before = _originals()
    with pytest.raises(InputError, match="has no registry of device guards"), fake_cuda("t4"):
        pass
    assert all(now is was for (*_, was), (*_, now) in zip(before, _originals(), strict=True))
    monkeypatch.setattr(module.sys, "platform", "win32")
    with pytest.raises(InputError, match="on Linux and macOS only: this is win32"), fake_cuda("t4"):
        pass
