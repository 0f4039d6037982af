"""Random values: none is zero, what is tied stays tied, indices lie in their tables."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.sources.building import build_without_memory
from fuseline.frontends.sources.sourced import Sourced, empty
from fuseline.runtime import values
from fuseline.runtime.values import (
    check_memory,
    free_nbytes,
    index_bounds,
    parameter_nbytes,
    with_random_values,
)
from tests.runtime.small_models import Gated


def held(sourced: Sourced, name: str) -> torch.Tensor:
    """A parameter or buffer of the model by its name."""
    both = dict(sourced.model.named_parameters(remove_duplicate=False))
    return {**both, **dict(sourced.model.named_buffers())}[name]


def first_input(sourced: Sourced) -> torch.Tensor:
    (tensor,) = sourced.inputs[0]
    assert isinstance(tensor, torch.Tensor)
    return tensor


def named(construct: type[nn.Module], *inputs: torch.Tensor) -> Sourced:
    """A model as one that comes by name: on meta, and built anew with memory."""
    model = build_without_memory(construct, "made")
    assert all(parameter.is_meta for parameter in model.parameters())
    return Sourced(model, (inputs, {}), "made", "factory", 1, "float32")


class ZeroHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(64)
        self.head = nn.Linear(64, 64)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("table", torch.arange(5.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(x)) + self.table[0]


def test_no_parameter_is_zero_and_buffers_keep_their_values() -> None:
    made = with_random_values(named(ZeroHead, empty((2, 64))))
    assert all((parameter != 0).all() for parameter in made.model.parameters())
    assert held(made, "head.weight").std().item() == pytest.approx(1 / 8, rel=0.1)  # fan-in 64
    assert held(made, "norm.weight").mean().item() == pytest.approx(1.0, abs=0.1)
    assert held(made, "head.bias").abs().max() < 1
    assert held(made, "norm.running_var").min() >= 0.5
    assert held(made, "norm.running_mean").abs().max() > 0
    assert held(made, "table").tolist() == [0, 1, 2, 3, 4]
    assert first_input(made).std().item() == pytest.approx(1.0, rel=0.2)


def test_tied_weights_stay_tied_and_ids_lie_in_the_vocabulary() -> None:
    made = with_random_values(named(Gated, empty((8, 40), "int64")))
    assert held(made, "head.weight") is held(made, "embed.weight")
    ids = first_input(made)
    assert sorted(set(ids.flatten().tolist())) == list(range(11))  # of a vocabulary of 11


def test_the_same_seed_gives_the_same_values() -> None:
    first, again = (with_random_values(named(ZeroHead, empty((2, 64)))) for _ in range(2))
    other = with_random_values(named(ZeroHead, empty((2, 64))), seed=1)
    assert torch.equal(held(first, "head.weight"), held(again, "head.weight"))
    assert not torch.equal(held(first, "head.weight"), held(other, "head.weight"))


def test_the_callers_model_is_not_changed() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    made = with_random_values(
        Sourced(model, ((torch.ones(1, 2),), {}), "x", "python", 1, "float32")
    )
    assert torch.equal(model.weight, before)
    assert not torch.equal(held(made, "weight"), before)


def test_an_index_is_bounded_by_the_smallest_table_it_selects_from() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large, self.small = nn.Embedding(9, 2), nn.Embedding(4, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.large(ids) + self.small(ids.view(-1)).view(2, 3, 2)

    graph = write_script(named(Two, empty((2, 3), "int64"))).graph
    assert index_bounds(graph) == {0: 4}


def test_a_model_too_large_for_the_memory_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sourced = named(ZeroHead, empty((2, 64)))
    # weight 64 x 64, bias 64, norm 4 x 64, table 5 (4 bytes each), and a count of 8 bytes
    assert parameter_nbytes(sourced.model) == 4 * (64 * 64 + 64 + 4 * 64 + 5) + 8
    monkeypatch.setattr(values, "free_nbytes", lambda: 17_692 * 5 // 4 - 1)
    with pytest.raises(InputError, match=r"'made' needs 0\.0 GB of memory to run"):
        check_memory(sourced)
    monkeypatch.setattr(values, "free_nbytes", lambda: 17_692 * 5 // 4)
    check_memory(sourced)


def test_free_memory_is_a_number_of_bytes_or_unknown() -> None:
    free = free_nbytes()
    assert free is None or free > 1_000_000
