"""What the real Inductor makes of small programs, read op by op."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.recording.script import Script
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.validate.inductor import cache, nodes
from fuseline.validate.inductor.breaks import check_one_graph
from fuseline.validate.inductor.cache import cached_plan
from fuseline.validate.inductor.owners import Besides
from fuseline.validate.inductor.plan import RealPlan, read_plan
from fuseline.validate.inductor.read import Schedule, read_script
from fuseline.validate.inductor_oracle import read_partition

FLOAT = 4


class Of(nn.Module):
    """A function of tensors and of the modules it holds."""

    def __init__(self, function: Callable[..., Any], *held: nn.Module) -> None:
        super().__init__()
        self.held = nn.ModuleList(held)
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 - whatever it returns
        return self.function(self.held, *inputs)


def sourced(model: nn.Module, *inputs: torch.Tensor) -> Sourced:
    return Sourced(model.eval(), (inputs, {}), "model", "python", 1, "float32")


def script(model: nn.Module, *inputs: torch.Tensor) -> Script:
    return write_script(sourced(model, *inputs))


def kernels(plan: RealPlan, graph_script: Script) -> list[set[str]]:
    ops = graph_script.graph.ops
    return [
        {ops[op].name for op in group.ops if ops[op].is_compute}
        for group, kernel in zip(plan.plan.groups, plan.kernels, strict=True)
        if kernel is not None
    ]


def test_softmax_moves_what_inductors_own_test_states() -> None:
    written = script(Of(lambda _, x: torch.softmax(x, 1)), torch.zeros(10, 10))
    plan = read_plan(written)
    assert plan.launches == 1
    assert plan.nbytes == 200 * FLOAT  # 100 elements read, 100 written
    assert kernels(plan, written) == [{"softmax"}]


def test_a_sum_that_two_kernels_recompute_makes_a_cover() -> None:
    def skip(held: nn.ModuleList, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        total = x + y
        return total * held[0](torch.softmax(total, 1))

    written = script(Of(skip, nn.Linear(16, 16)), torch.zeros(8, 16), torch.zeros(8, 16))
    plan = read_plan(written)
    assert kernels(plan, written) == [{"add", "softmax"}, {"linear"}, {"add", "mul"}]
    assert plan.plan.is_cover
    add = next(op.id for op in written.graph.ops if op.name == "add")
    assert [group.recomputed for group in plan.plan.groups] == [(add,), (), (add,)]
    # 128 elements a tensor: x, y -> softmax; softmax, 16 x 16 + 16 -> linear; x, y, linear -> mul
    assert plan.nbytes == FLOAT * (3 * 128 + (2 * 128 + 272) + 4 * 128)
    assert cost(written.graph, plan.plan).nbytes == plan.nbytes


def test_copies_into_another_layout_are_kernels_besides() -> None:
    layers = nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3))
    written = script(layers, torch.zeros(1, 8, 12, 12))
    plain = read_plan(written, Schedule(layout_optimization=False))
    assert (plain.launches, plain.besides) == (3, ())
    plan = read_plan(written, Schedule(layout_optimization=True))
    assert [kernel.besides for kernel in plan.besides] == [Besides.LAYOUT] * 4
    # each read and written: the result, the weights, the image
    result, weight, image = 8 * 8 * 8, 8 * 8 * 3 * 3, 8 * 12 * 12
    assert sorted(kernel.nbytes for kernel in plan.besides) == [
        2 * FLOAT * numel for numel in (result, weight, weight, image)
    ]
    assert kernels(plan, written) == [{"conv2d"}, {"relu"}, {"conv2d_1"}]
    price = cost(written.graph, plan.plan)
    assert price.launches == plan.launches == 7
    assert price.extra_nbytes == sum(kernel.nbytes for kernel in plan.besides)


def test_on_a_gpu_a_float32_bias_is_added_by_the_kernel_after() -> None:
    written = script(nn.Sequential(nn.Linear(16, 16), nn.GELU()), torch.zeros(8, 16))
    plan = read_plan(written, Schedule("cuda"))
    assert kernels(plan, written) == [{"linear"}, {"gelu"}]
    linear, gelu = plan.kernels
    assert linear is not None
    assert gelu is not None
    assert (linear.parts, gelu.parts) == ((), linear.ops)
    on_cpu = read_plan(written)
    assert [kernel.parts for kernel in on_cpu.kernels if kernel] == [(), ()]


def test_what_the_graph_has_folded_is_made_at_run_time() -> None:
    def positions(held: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        return held[0](x) + held[1](torch.arange(8))

    written = script(Of(positions, nn.Linear(16, 16), nn.Embedding(8, 16)), torch.zeros(8, 16))
    assert next(op.name for op in written.graph.folded) == "arange"
    plan = read_plan(written)
    assert plan.launches == len(plan.besides) + len(kernels(plan, written))
    assert {"linear"} in kernels(plan, written)


def test_a_copy_that_changes_nothing_has_no_kernel() -> None:
    def copied(held: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        return held[0](F.relu(x).clone())

    written = script(Of(copied, nn.Linear(16, 16)), torch.zeros(8, 16))
    plan = read_plan(written)
    assert plan.launches == 2
    assert cost(written.graph, plan.plan).launches == 2


def test_a_real_plan_has_every_op() -> None:
    written = write_script(find_model("resnet18", Options(input_shapes=((1, 3, 64, 64),))))
    plan = read_plan(written, Schedule(layout_optimization=False))
    held = {op for group in plan.plan.groups for op in group.ops}
    assert held == set(range(len(written.graph.ops)))


# --- asked wrongly, kept, and left behind -------------------------------------------------------


def test_unknown_schedules_and_devices_are_one_line() -> None:
    with pytest.raises(InputError, match="unknown schedule 'cude': did you mean 'cuda'"):
        Schedule("cude")
    written = script(nn.Linear(16, 16), torch.zeros(8, 16))
    with pytest.raises(InputError, match="h100"):
        read_script(written, Schedule("cuda", "h10"))


def test_another_torch_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "TORCH", "9.9")
    with pytest.raises(InputError, match=r"read from torch 9\.9: this is torch 2\."):
        read_script(script(nn.ReLU(), torch.zeros(1)))


def test_a_graph_break_says_what_and_where() -> None:
    def talks(_: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        print(end="")  # noqa: T201 - this is what breaks the graph
        return x * 2

    def branches(_: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum().item() > 0 else -x

    check_one_graph(sourced(nn.Linear(4, 4), torch.zeros(4)))
    for function in (talks, branches):
        with pytest.raises(InputError, match=r"breaks the graph of 'model' at test_plan\.py:\d+"):
            check_one_graph(sourced(Of(function), torch.zeros(4)))


def test_a_plan_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    written = script(nn.Sequential(nn.Linear(16, 16), nn.ReLU()), torch.zeros(8, 16))
    asked = 0

    def read() -> RealPlan:
        nonlocal asked
        asked += 1
        return read_plan(written)

    first = cached_plan(written.graph, Schedule(), "2.13.0", read)
    assert cached_plan(written.graph, Schedule(), "2.13.0", read) == first
    assert asked == 1
    cached_plan(written.graph, Schedule(layout_optimization=False), "2.13.0", read)
    assert asked == 2
    for kept in tmp_path.iterdir():
        kept.write_bytes(b"{")  # damaged: read again
    assert cached_plan(written.graph, Schedule(), "2.13.0", read) == first
    assert asked == 3


def test_nothing_of_the_reading_is_left_behind() -> None:
    from torch._inductor import config

    names = ("_post_fusion_custom_pass", "cpu_backend", "force_disable_caches")
    before = [getattr(config, name) for name in names]
    layer, x = nn.Sequential(nn.Linear(4, 4), nn.GELU()).eval(), torch.randn(2, 4)
    read_plan(script(layer, x), Schedule("triton"))
    read_plan(script(layer, x), Schedule("cuda"))
    assert before == [getattr(config, name) for name in names]
    assert not torch.cuda.is_initialized()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(layer)(x), layer(x))


# --- whole models -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "launches", "read", "written"),
    [
        ("vit_b_16", 145, 529.6, 146.4),
        ("swin_t", 251, 329.4, 151.4),
        ("resnet50", 122, 254.7, 129.2),
        ("efficientnet_b0", 198, 95.8, 63.9),
    ],
)
def test_the_reference_figures(model: str, launches: int, read: float, written: float) -> None:
    plan = read_plan(write_script(find_model(model, Options())))
    every = [*(kernel for kernel in plan.kernels if kernel is not None), *plan.besides]
    assert plan.launches == launches
    assert round(sum(kernel.node.read_nbytes for kernel in every) / 1e6, 1) == read
    assert round(sum(kernel.node.written_nbytes for kernel in every) / 1e6, 1) == written


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", ["vit_b_16", "resnet50", "efficientnet_b0", "timm/convnext_tiny", "hf/bert"]
)
def test_a_recorded_program_compiles_as_the_model_does(model: str) -> None:
    from fuseline.frontends.record import with_values

    found = find_model(model, Options())
    plan = read_plan(write_script(found))
    valued = with_values(found)
    oracle = read_partition(valued.model, valued.inputs, layout_optimization=True)
    assert (plan.launches, plan.counted_nbytes) == (oracle.launches, oracle.nbytes)
