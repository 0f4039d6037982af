"""What a comparison says of plans that compute the model, and of those that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fuseline.runtime.numerics import RTOL, Comparison, Verdict, check_call, run_model

X = torch.tensor([[1.0, -2.0, 4.0]])
INPUTS = [((X,), {}), ((X + 1,), {})]


class Function(nn.Module):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def compare(
    model: Callable[[Tensor], object], plan: Callable[[Tensor], object], *, exact: bool = True
) -> Comparison:
    module = Function(model)
    return check_call(plan, module, INPUTS, run_model(module, INPUTS), exact=exact)


def test_equal_outputs_are_equal() -> None:
    assert compare(torch.sin, torch.sin) == Comparison(
        Verdict.EQUAL, 0.0, float(torch.sin(X + 1).abs().max()), 1
    )


def test_the_largest_difference_is_told() -> None:
    found = compare(torch.abs, lambda x: x.abs() + torch.tensor([0.0, 0.5, 0.25]))
    assert (found.verdict, found.max_difference) == (Verdict.DIFFERENT, 0.5)
    assert found.reason == "output 0 differs by 0.5"
    assert not found.verdict.passes


def test_the_tolerance_goes_by_the_largest_output() -> None:
    """The largest output is 5: 32 x 1.3e-6 x 5 = 2.08e-4 is allowed."""
    assert RTOL[torch.float32] == 32 * 1.3e-6
    near = compare(torch.abs, lambda x: x.abs() + 1.2e-4, exact=False)
    assert near.verdict is Verdict.CLOSE
    assert near.verdict.passes
    far = compare(torch.abs, lambda x: x.abs() + 4e-4, exact=False)
    assert far.verdict is Verdict.DIFFERENT
    assert "being allowed" in far.reason


def test_constant_outputs_prove_nothing() -> None:
    found = compare(torch.zeros_like, torch.zeros_like)
    assert found.verdict is Verdict.VACUOUS
    assert "constant" in found.reason


def test_outputs_that_do_not_depend_on_the_input_prove_nothing() -> None:
    """As under a head of zeros: what comes out is its bias."""
    found = compare(lambda x: x * 0 + torch.arange(3.0), lambda x: x * 0 + torch.arange(3.0))
    assert found.verdict is Verdict.VACUOUS
    assert "same output for every input" in found.reason


def test_outputs_that_are_not_finite_prove_nothing() -> None:
    found = compare(torch.log, torch.log)
    assert found.verdict is Verdict.NON_FINITE
    assert "of the model itself" in found.reason


def test_a_missing_output_another_shape_and_another_dtype_are_told() -> None:
    missing = compare(lambda x: (x, x + 1), lambda x: (x,))
    assert missing.reason == "1 outputs instead of 2"
    shaped = compare(torch.sin, lambda x: x.sin()[0])
    assert shaped.reason == "output 0 is torch.float32 (3,) instead of torch.float32 (1, 3)"
    typed = compare(torch.sin, lambda x: x.sin().double())
    assert typed.verdict is Verdict.DIFFERENT


def test_random_numbers_come_from_one_seed() -> None:
    assert compare(nn.functional.dropout, nn.functional.dropout).verdict is Verdict.EQUAL


def test_running_statistics_are_compared_and_put_back() -> None:
    norm = nn.BatchNorm1d(3).train()
    inputs = [((torch.randn(4, 3),), {}), ((torch.randn(4, 3),), {})]
    wanted = run_model(norm, inputs)
    assert sorted(wanted[0].written) == ["num_batches_tracked", "running_mean", "running_var"]
    assert norm.running_mean.tolist() == [0.0, 0.0, 0.0]  # type: ignore[union-attr]
    assert check_call(norm, norm, inputs, wanted, exact=True).verdict is Verdict.EQUAL

    def forgetful(x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True)

    found = check_call(forgetful, norm, inputs, wanted, exact=True)
    assert found.reason == "'num_batches_tracked' is written by the model alone"


def test_a_buffer_that_is_replaced_is_put_back_and_not_compared() -> None:
    class Lazy(nn.Module):
        table: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            if len(self.table) != 3:
                self.table = torch.arange(3.0)
            return x + self.table

    model = Lazy()
    wanted = run_model(model, INPUTS)
    assert wanted[0].written == {}
    assert model.table.tolist() == [0.0]
    found = check_call(lambda x: x + torch.arange(3.0), model, INPUTS, wanted, exact=True)
    assert found.verdict is Verdict.EQUAL


def test_a_written_input_is_compared() -> None:
    found = compare(lambda x: x.mul_(2), lambda x: x * 2)
    assert found.reason == "'input 0' is written by the model alone"
    assert X.tolist() == [[1.0, -2.0, 4.0]]


@pytest.mark.parametrize("verdict", Verdict)
def test_only_equal_and_close_pass(verdict: Verdict) -> None:
    assert verdict.passes == (verdict in {Verdict.EQUAL, Verdict.CLOSE})
