"""The recorder against real execution, on models made of what goes wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fuseline.frontends.nested import tensors_in
from fuseline.frontends.record import own_held, own_inputs
from fuseline.frontends.recording.recorder import Recorder, Recording
from fuseline.frontends.recording.runner import no_fast_path
from tests.frontends.recording.replay import replay, write_down


class F(nn.Module):
    """A function of tensors as a model."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: object) -> object:
        return self.function(*args)


@dataclass
class Case:
    name: str
    model: nn.Module
    inputs: tuple[object, ...]


def _write_through_views(x: Tensor) -> Tensor:
    y = x * 1
    y[:, 1].add_(1)
    y.t().mul_(2)
    y[0, ::2] = y[1, ::2]
    y[2:].copy_(y[:2])
    return y + x


def _out_arguments(x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    torch.mul(x, 2, out=out)
    torch.add(out, x, out=out)
    return out


def _select_and_scatter(x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    y = x.clone()
    y[index] = 0
    y.index_add_(0, index, x[index])
    z = torch.zeros_like(x).scatter_(0, index[:, None].expand(-1, x.shape[1]), x)
    w = x.index_copy(0, index, x.flip(0)[: len(index)])
    return y, z, w, x.gather(0, index[:, None].repeat(1, 3))


def _fills(x: Tensor) -> tuple[Tensor, ...]:
    y = x.clone()
    y.fill_diagonal_(0.0)
    y.index_fill_(0, torch.tensor([1]), 2.0)
    z = torch.zeros(4, 4).fill_(x.mean())
    return y, z, torch.index_fill(x, 0, torch.tensor([0]), 1.0), torch.fill(x, 3.0), torch.median(x)


def _several_results(x: Tensor) -> dict[str, object]:
    first, second = x.split(2, dim=-1)
    values, places = x.topk(2)
    return {
        "split": (first, second),
        "topk": [values, places],
        "max": x.max(dim=0),
        "sort": x.sort(descending=True),
        "var": torch.var_mean(x, dim=1),
        "chunk": x.chunk(2),
        "unbind": x.unbind(0),
    }


def _constants(x: Tensor) -> Tensor:
    steps = torch.arange(x.shape[-1], device=x.device)
    mask = steps[None, :] > steps[:, None]
    if mask.any() and int(steps.max()) == x.shape[-1] - 1 and steps.tolist()[0] == 0:
        x = x.masked_fill(mask[0], 0.5)
    return x + torch.linspace(0, 1, x.shape[-1]) + torch.tensor([1.0, 2.0, 3.0, 4.0])


def _strides(x: Tensor) -> tuple[Tensor, ...]:
    return (
        x.unfold(1, 2, 1).sum(-1),
        x.as_strided((2, 2), (1, 2)) * 2,
        x[None].expand(3, -1, -1).reshape(-1, 4),
        x.t().contiguous().view(-1),
        x.contiguous() + x.reshape(4, 4),
        torch.roll(x, 1, 0).flip(1),
    )


def _rotary(x: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    angles = torch.polar(torch.ones(2), torch.arange(2.0))
    return torch.view_as_real(pairs * angles).flatten(-2)


def _spectrum(x: Tensor) -> Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x) * 2) + torch.fft.fft(x).real


def _images(x: Tensor) -> tuple[Tensor, ...]:
    grid = torch.zeros(1, 5, 5, 2)
    return (
        functional.interpolate(x, scale_factor=2, mode="bilinear"),
        functional.interpolate(x, size=(5, 7), mode="bicubic"),
        functional.interpolate(x, scale_factor=2),
        functional.grid_sample(x, grid, align_corners=False),
        functional.pad(x, (1, 1, 1, 1), mode="reflect"),
        functional.pad(x, (0, 1), value=3),
        functional.pixel_shuffle(x, 2),
        functional.max_pool2d(x, 2),
        functional.avg_pool2d(x, 3, stride=1, padding=1),
        functional.adaptive_avg_pool2d(x, (3, 2)),
        functional.unfold(x, 2),
        functional.fold(functional.unfold(x, 2), (8, 8), 2),
        functional.conv_transpose2d(x, torch.ones(4, 2, 3, 3), stride=2),
        functional.local_response_norm(x, 3),
    )


def _products(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return (
        torch.einsum("bij,bkj->bik", x, y),
        x @ y.transpose(1, 2),
        torch.baddbmm(torch.ones(2, 3, 5), x, y.transpose(1, 2)),
        torch.tensordot(x, y, dims=([2], [2])),
        torch.bmm(x, y.transpose(1, 2)).softmax(-1),
        torch.cdist(x, y),
        torch.outer(x[0, 0], y[0, 0]),
        functional.cosine_similarity(x[:, :1], y[:, :1], dim=-1),
    )


def _attention(**options: object) -> Callable[[Tensor], Tensor]:
    def attend(x: Tensor) -> Tensor:
        q = x.unflatten(-1, (4, 2)).transpose(1, 2)
        k = v = x[..., :4].unflatten(-1, (2, 2)).transpose(1, 2)
        if not options.get("enable_gqa"):
            k = v = q
        made: dict[str, Any] = {name: o() if callable(o) else o for name, o in options.items()}
        attended = functional.scaled_dot_product_attention(q, k, v, **made)
        return attended.transpose(1, 2).reshape(x.shape)

    return attend


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("table", torch.arange(12.0).view(3, 4))
        self.scale = nn.Parameter(torch.ones(4))
        self.plain = torch.full((4,), 0.5)  # neither parameter nor buffer

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.table[0] * (self.scale.abs() / self.scale.sum())
        return self.head(x * self.plain)


class Standardised(nn.Module):
    """Weight standardisation: a subgraph of weights alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        weight = (self.weight - mean) / self.weight.std((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight).relu_()


def _encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _drop_path(x: Tensor) -> Tensor:
    keep = x.new_empty(x.shape[0], 1).bernoulli_(0.9)
    return x + functional.gelu(x) * keep.div_(0.9)


pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
X = torch.randn(4, 4)
TOKENS = torch.randn(2, 5, 8)
CASES = [
    Case("writes through views", F(_write_through_views), (X,)),
    Case("out arguments", F(_out_arguments), (X,)),
    Case("select and scatter", F(_select_and_scatter), (X[:, :3], torch.tensor([2, 0]))),
    Case("fills", F(_fills), (X,)),
    Case("several results", F(_several_results), (X,)),
    Case("constants", F(_constants), (X,)),
    Case("strides", F(_strides), (torch.randn(4, 4)[:, :4],)),
    Case("rotary", F(_rotary), (torch.randn(2, 3, 4),)),
    Case("spectrum", F(_spectrum), (X,)),
    Case("images", F(_images), (torch.randn(1, 4, 8, 8),)),
    Case("products", F(_products), (torch.randn(2, 3, 4), torch.randn(2, 5, 4))),
    Case("attention", F(_attention()), (TOKENS,)),
    Case("causal", F(_attention(is_causal=True)), (TOKENS,)),
    Case("grouped", F(_attention(enable_gqa=True, scale=0.3)), (TOKENS,)),
    Case("masked", F(_attention(attn_mask=lambda: torch.zeros(5, 5))), (TOKENS,)),
    Case("bool mask", F(_attention(attn_mask=lambda: torch.eye(5).bool())), (TOKENS,)),
    Case("shared", Shared(), (torch.tensor([[1, 2, 6]]),)),
    Case("standardised", Standardised(), (torch.randn(1, 3, 6, 6),)),
    Case("multi-head", nn.MultiheadAttention(8, 2, batch_first=True), (TOKENS, TOKENS, TOKENS)),
    Case("encoder", _encoder(), (TOKENS,)),
    Case("lstm", nn.LSTM(8, 6, 2, bidirectional=True, proj_size=3), (TOKENS,)),
    Case("gru", nn.GRU(8, 6, batch_first=True), (TOKENS,)),
    Case("rnn cell", nn.RNNCell(8, 6), (TOKENS[0],)),
    Case("norms", nn.Sequential(nn.GroupNorm(1, 5), nn.LayerNorm(8), nn.RMSNorm(8)), (TOKENS,)),
    Case("batch norm", nn.Sequential(nn.Conv1d(5, 5, 3), nn.BatchNorm1d(5)), (TOKENS,)),
    Case("bag", nn.EmbeddingBag(9, 4), (torch.tensor([[1, 2], [3, 8]]),)),
    Case("drop path", F(_drop_path), (X,)),
    Case("dropout", nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU(inplace=True)), (X,)),
]


def _cases() -> list[Case]:
    trained = [copy.deepcopy(case) for case in CASES]
    for case in trained:
        case.name += ", train"
        case.model.train()
    return [*(Case(c.name, c.model.eval(), c.inputs) for c in CASES), *trained]


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_replayed_ops_give_the_models_outputs(case: Case) -> None:
    script = write_down(case.model, (case.inputs, {}))
    inputs, again = copy.deepcopy((case.inputs, case.inputs))
    twin = copy.deepcopy(case.model)
    torch.manual_seed(0)
    with torch.inference_mode(), no_fast_path():
        wanted = tensors_in(case.model(*inputs))
    torch.manual_seed(0)
    found = replay(script, twin, (again, {}))
    assert len(found) == len({id(tensor) for tensor in wanted})
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    for left, right in zip(case.model.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(left, right)  # running statistics are written too


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case.name)
def test_the_same_ops_are_seen_on_fake_and_on_real_tensors(case: Case) -> None:
    script = write_down(case.model, (case.inputs, {}))
    fake = script.graph
    noted = {op.name: op for op in (*fake.ops, *fake.folded)}
    recording = Recording()
    model = copy.deepcopy(case.model)
    with torch.inference_mode(), no_fast_path():
        own_held(recording, model, None)
        inputs, _, _ = own_inputs(recording, (copy.deepcopy(case.inputs), {}), None)
        with Recorder(recording, None, decomposed=False):
            model(*inputs[0])
    real = recording.table.build
    assert [step.name for step in script.steps] == [op.name for op in real.ops]
    for theirs in real.ops:
        ours = noted[theirs.name]
        assert (ours.kind, ours.op_class, ours.work) == (theirs.kind, theirs.op_class, theirs.work)
        for left, right in zip(ours.outputs, theirs.outputs, strict=True):
            ours_out, theirs_out = fake.tensors[left], real.tensors[right]
            assert (ours_out.shape, ours_out.dtype) == (theirs_out.shape, theirs_out.dtype)


@pytest.mark.parametrize(
    "case", [c for c in CASES if "scaled" in c.name or c.name in {
        "attention", "causal", "grouped", "masked", "bool mask", "multi-head", "encoder"}],
    ids=lambda case: case.name,
)  # fmt: skip
def test_decomposed_attention_computes_attention(case: Case) -> None:
    model = case.model.eval()
    script = write_down(model, (case.inputs, {}), decomposed=True)
    names = [step.name for step in script.steps]
    assert not any(name.startswith("scaled_dot") for name in names)
    with torch.inference_mode(), no_fast_path():
        wanted = tensors_in(model(*case.inputs))
    for ours, theirs in zip(replay(script, model, (case.inputs, {})), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
