"""Small models of the families that there are, and random programs that write in place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fuseline.frontends.sources.transformers.heads import import_transformers

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


class Convolutional(nn.Module):
    """A residual block, a depthwise one with squeeze and excitation, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.SiLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.relu_(self.body(x) + x)
        x = self.depthwise(x)
        x = x * self.squeeze(x)
        return self.head(x.mean((2, 3)))


class Patches(nn.Module):
    """A vision transformer of one layer, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=0.2, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.head(self.encoder(x)[:, 0])


class Windows(nn.Module):
    """Attention in windows that are rolled, with a table of relative positions."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(9, 2))
        places = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij"))
        apart = places.flatten(1)[:, :, None] - places.flatten(1)[:, None] + 1
        self.register_buffer("index", apart[0] * 3 + apart[1])

    def forward(self, x: Tensor) -> Tensor:
        batch, side = x.shape[0], x.shape[1]
        windows = torch.roll(self.norm(x), (-1, -1), (1, 2))
        windows = windows.view(batch, side // 2, 2, side // 2, 2, 8).permute(0, 1, 3, 2, 4, 5)
        q, k, v = self.qkv(windows.reshape(-1, 4, 8)).view(-1, 4, 3, 2, 4).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(4, 4, 2).permute(2, 0, 1)
        weights = ((q * 4**-0.5) @ k.transpose(-2, -1) + bias[None]).softmax(-1)
        mixed = self.out((weights @ v).transpose(1, 2).reshape(-1, 4, 8))
        mixed = mixed.view(batch, side // 2, side // 2, 2, 2, 8).permute(0, 1, 3, 2, 4, 5)
        return x + torch.roll(mixed.reshape(x.shape), (1, 1), (1, 2))


def gpt2() -> nn.Module:
    transformers = import_transformers()
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=2, n_head=2)
    config._attn_implementation = "sdpa"  # noqa: SLF001 - as transformers' own loader sets it
    return transformers.GPT2LMHeadModel(config)


class DropPath(nn.Module):
    """Residual branches that are dropped at random, a row of the batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: Tensor) -> Tensor:
        for branch in self.branches:
            y = functional.gelu(branch(x))
            if self.training:
                keep = x.new_empty(x.shape[0], 1).bernoulli_(0.5)
                y = y * keep.div_(0.5)
            x = self.norm(x + functional.dropout(y, 0.3, self.training))
        return x


class Gated(nn.Module):
    """Two branches that meet, several results, and a tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.gate, self.up = nn.Linear(6, 12, bias=False), nn.Linear(6, 12, bias=False)
        self.down = nn.Linear(12, 6, bias=False)
        self.norm = nn.RMSNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> dict[str, object]:
        x = self.embed(ids)
        x = x + self.down(functional.silu(self.gate(self.norm(x))) * self.up(self.norm(x)))
        return {"logits": self.head(x), "hidden": (x, x.mean(-1))}


def images() -> Inputs:
    return (torch.randn(2, 3, 16, 16),), {}


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Inputs]]] = {
    "convolutional": (Convolutional, images),
    "patches": (Patches, images),
    "windows": (Windows, lambda: ((torch.randn(2, 4, 4, 8),), {})),
    "gpt2": (
        gpt2,
        lambda: ((), {"input_ids": torch.randint(50, (2, 7)), "use_cache": False}),
    ),
    "drop path": (DropPath, lambda: ((torch.randn(4, 6),), {})),
    "gated": (Gated, lambda: ((torch.randint(11, (2, 5)),), {})),
}


# --- random programs ---------------------------------------------------------------------------


def _write_slice(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z[1:3].mul_(y[:2])
    z.t()[0].add_(1)
    return z


def _halves(x: Tensor, y: Tensor) -> Tensor:
    first, _ = x.chunk(2)
    return torch.cat([first, y[2:]])


def _write_operand(x: Tensor, y: Tensor) -> Tensor:
    other = y.clone()  # which may be a view of x
    x.mul_(0.5).add_(other, alpha=0.25)
    return x


def _write_rows(x: Tensor, y: Tensor) -> Tensor:
    x[0] = y[1].clone()
    x[2, 1:].sin_()
    return x


Step = Callable[[Tensor, Tensor], Tensor]
PURE: tuple[Step, ...] = (
    lambda x, y: x + y,
    lambda x, y: torch.sin(x * y),
    lambda x, y: torch.tanh(x @ y),
    lambda x, _: functional.relu(x),
    lambda x, _: functional.layer_norm(x, (4,)),
    lambda x, y: x.softmax(-1) - y.mean(0, keepdim=True),
    lambda x, _: x.t(),
    lambda x, _: x.reshape(2, 8).sigmoid().reshape(4, 4),
    lambda x, y: torch.where(x > y, x, y),
    lambda x, y: torch.stack([x, y]).amax(0),
    _halves,
)
WRITES: tuple[Step, ...] = (
    lambda x, _: functional.dropout(x, 0.3),
    lambda x, _: x * torch.rand_like(x),
    _write_slice,
    _write_operand,
    _write_rows,
)


class Program(nn.Module):
    """Steps drawn at random, on values drawn from those that are there: aliases among them."""

    def __init__(self, seed: int, steps: tuple[Step, ...]) -> None:
        super().__init__()
        draw = random.Random(seed)  # noqa: S311 - programs, no secrets
        self.steps = [(draw.choice(steps), draw.random(), draw.random()) for _ in range(14)]
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values = [x * 1, functional.linear(x, self.weight)]
        for step, left, right in self.steps:
            pair = (values[int(place * len(values))] for place in (left, right))
            values.append(step(*pair))
        self.seen.add_(values[-1].mean(0))
        return tuple(values[-3:])
