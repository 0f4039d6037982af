"""Every strategy's plan of small models runs, and gives what the model gives, bit for bit."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import pytest
import torch
from torch import nn

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.recording.fakes import replace_tensors
from fuseline.frontends.recording.script import Script
from fuseline.frontends.sources.sourced import Sourced
from fuseline.fusion import STRATEGIES, partition
from fuseline.plan import Group, Plan
from fuseline.runtime.execute import execute_script
from fuseline.runtime.measure import threads
from fuseline.runtime.numerics import Verdict, check_plan, run_model
from fuseline.runtime.values import with_random_values
from tests.frontends.recording.test_replay import CASES, Case
from tests.runtime.small_models import MODELS, PURE, WRITES, Inputs, Program


@pytest.fixture(autouse=True)
def _one_thread() -> Generator[None]:
    """Models as small as these are faster so, where other tests run beside them."""
    with threads(1):
        yield


def sourced(model: nn.Module, inputs: Inputs) -> Sourced:
    return Sourced(model, inputs, type(model).__name__, "python", 1, "float32")


def another(inputs: Inputs) -> Inputs:
    """Inputs of other values, the same tensor where they have the same one twice."""
    made: Inputs = replace_tensors(
        inputs, lambda x: torch.randn_like(x) if x.is_floating_point() else (x + 1) % 3
    )
    return made


def check(
    script: Script,
    model: nn.Module,
    inputs: Inputs,
    strategies: Iterable[str] = STRATEGIES,
    *,
    exact: bool = True,
) -> None:
    several = [inputs, another(inputs)]
    wanted = run_model(model, several, seed=3)
    for strategy in strategies:
        plan = partition(script.graph, strategy)
        found = check_plan(
            execute_script(plan, script, model), model, several, wanted, exact=exact, seed=3
        )
        assert found.verdict.passes, (strategy, found)
        assert not exact or found.verdict is Verdict.EQUAL


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", MODELS)
def test_plans_of_every_family_equal_the_model(name: str, mode: str) -> None:
    construct, make_inputs = MODELS[name]
    torch.manual_seed(0)
    made = with_random_values(sourced(construct().train(mode == "train"), make_inputs()))
    check(write_script(made), made.model, made.inputs)


@pytest.mark.parametrize("via", ["module", "export"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "gpt2"])
def test_plans_by_every_frontend_equal_the_model(name: str, via: str) -> None:
    construct, make_inputs = MODELS[name]
    torch.manual_seed(0)
    made = with_random_values(sourced(construct().eval(), make_inputs()))
    check(write_script(made, via), made.model, made.inputs, ("extended", "inductor", "optimal"))


@pytest.mark.parametrize("name", ["patches", "gpt2"])
def test_decomposed_attention_is_within_the_tolerance(name: str) -> None:
    construct, make_inputs = MODELS[name]
    made = with_random_values(sourced(construct().eval(), make_inputs()))
    script = write_script(made, "record", "decomposed")
    assert not any(op.name.startswith("scaled_dot") for op in script.graph.ops)
    check(script, made.model, made.inputs, ("fusion", "optimal"), exact=False)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plans_of_what_goes_wrong_equal_the_model(case: Case, mode: str) -> None:
    case.model.train(mode == "train")
    made = sourced(case.model, (case.inputs, {}))
    check(write_script(made), made.model, made.inputs)


@pytest.mark.parametrize("seed", range(8))
def test_plans_of_random_programs_equal_the_model(seed: int) -> None:
    made = sourced(Program(seed, PURE), ((torch.randn(4, 4),), {}))
    check(write_script(made), made.model, made.inputs)


@pytest.mark.parametrize("seed", range(16))
def test_partitions_of_programs_that_write_and_draw_equal_the_model(seed: int) -> None:
    """Writes through aliases, random numbers, a buffer that is written. A cover takes what is
    written in place for a new tensor, as Inductor does: it may be no order that runs in place.
    """
    made = sourced(Program(seed, (*PURE, *WRITES)), ((torch.randn(4, 4),), {}))
    partitions = [name for name in STRATEGIES if name != "inductor"]
    check(write_script(made), made.model, made.inputs, partitions)


def test_an_illegal_plan_is_refused_with_its_cycle() -> None:
    """`relu` and `add` in one group, `sin` between them in another: each waits for the other."""

    class Diamond(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.relu()
            return x + x.sin()

    made = sourced(Diamond(), ((torch.ones(3),), {}))
    script = write_script(made)
    assert [op.name for op in script.graph.ops] == ["relu", "sin", "add"]
    plan = Plan("mine", (Group(0, (0, 2), ""), Group(1, (1,), "")), ())
    with pytest.raises(InputError, match="form a cycle") as raised:
        execute_script(plan, script, made.model)
    assert "group 0 needs 'sin' of group 1 for 'add'" in str(raised.value)
    assert "group 1 needs 'relu' of group 0 for 'sin'" in str(raised.value)


def test_a_plan_for_another_graph_is_refused() -> None:
    made = sourced(nn.Sequential(nn.ReLU(), nn.Tanh()), ((torch.ones(3),), {}))
    plan = Plan("mine", (Group(0, (0,), ""),), ())
    with pytest.raises(InputError, match="it places 1 ops, the model has 2"):
        execute_script(plan, write_script(made), made.model)


def test_inputs_of_other_shapes_are_refused() -> None:
    made = sourced(nn.ReLU(), ((torch.ones(3),), {}))
    script = write_script(made)
    found = execute_script(partition(script.graph, "unfused"), script, made.model)
    with pytest.raises(InputError, match=r"input 0 is \(4,\): the plan was captured on \(3,\)"):
        found(torch.ones(4))
    with pytest.raises(InputError, match=r"takes 1 distinct tensors.*got 2"):
        found(torch.ones(3), torch.ones(3))


def test_trained_weights_are_seen() -> None:
    model = nn.Linear(2, 2)
    made = sourced(model, ((torch.ones(1, 2),), {}))
    script = write_script(made)
    found = execute_script(partition(script.graph, "unfused"), script, model)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.bias.fill_(1.0)
    assert found(torch.ones(1, 2)).tolist() == [[7.0, 7.0]]  # 3 + 3 + 1
