"""A model, its plans and the whole graph by Inductor: each checked, then all timed in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.recording.fakes import replace_tensors
from fuseline.frontends.recording.script import Script
from fuseline.frontends.sources.sourced import Inputs, Sourced
from fuseline.plan import Plan
from fuseline.runtime.compiled import check_compiler, compile_whole
from fuseline.runtime.execute import Executable, execute_script
from fuseline.runtime.measure import Contender
from fuseline.runtime.numerics import Comparison, Run, check_call, check_plan, run_model
from fuseline.runtime.values import make_inputs, with_random_values


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model with values on a device, its script, inputs to try, and what it gives on them."""

    sourced: Sourced
    script: Script
    inputs: tuple[Inputs, ...]
    wanted: tuple[Run, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Something that ran and was held against the model. `executable` is None for a whole graph."""

    name: str
    kind: str
    plan: Plan | None
    executable: Executable | None
    comparison: Comparison
    contender: Contender


def prepare_run(
    sourced: Sourced, via: str, attention: str, *, torch_device: str, inputs: int, seed: int
) -> Prepared:
    """Give the model random values, write its script, and run it on so many inputs.

    Raises `InputError` where it does not fit, cannot be captured, or fails.
    """
    made = _to_device(with_random_values(sourced, seed), torch_device)
    script = write_script(made, via, attention)
    more = (make_inputs(sourced, seed + place) for place in range(1, inputs))
    several = (made.inputs, *(_moved(each, torch_device) for each in more))
    return Prepared(made, script, several, run_model(made.model, several, seed=seed), seed)


def check_one(prepared: Prepared, plan: Plan, name: str, *, exact: bool, compiled: bool) -> Checked:
    """Run a plan, eagerly or compiled group by group, and hold it against the model.

    Raises `InputError` where the plan cannot run, or a group cannot be compiled.
    """
    model = prepared.sourced.model
    if compiled and not next(model.parameters(), torch.empty(0)).is_cuda:
        check_compiler()
    executable = execute_script(plan, prepared.script, model, compiled=compiled)
    found = check_plan(
        executable, model, prepared.inputs, prepared.wanted, exact=exact, seed=prepared.seed
    )
    kind = "compiled plan" if compiled else "plan"
    return Checked(name, kind, plan, executable, found, _contender(name, executable, prepared))


def check_whole(prepared: Prepared, name: str) -> Checked:
    """The whole model by Inductor, held against it.

    Raises `InputError` where there is no compiler, or Inductor does not take the model.
    """
    if not next(prepared.sourced.model.parameters(), torch.empty(0)).is_cuda:
        check_compiler()
    model = prepared.sourced.model
    torch._dynamo.reset()  # noqa: SLF001 - plans compiled before count towards its limit
    whole = compile_whole(model)
    found = _compiled_foreign(
        lambda: check_call(
            whole, model, prepared.inputs, prepared.wanted, exact=False, seed=prepared.seed
        )
    )
    return Checked(name, "whole graph", None, None, found, _contender(name, whole, prepared))


def eager(prepared: Prepared) -> Contender:
    """The model itself, to be timed."""
    return _contender("eager", prepared.sourced.model, prepared)


def _compiled_foreign(check: Callable[[], Comparison]) -> Comparison:
    from torch._dynamo.exc import TorchDynamoException

    try:
        return check()
    except TorchDynamoException as error:  # Inductor's errors are among them
        said = str(error).strip().splitlines()[0]
        raise InputError(f"Inductor does not take the whole model: {said}") from error


def _contender(name: str, function: Callable[..., object], prepared: Prepared) -> Contender:
    args, kwargs = prepared.inputs[0]
    return Contender(name, lambda: function(*args, **kwargs))


def _to_device(sourced: Sourced, torch_device: str) -> Sourced:
    if torch_device == "cpu":
        return sourced
    model = sourced.model.to(torch_device)
    return replace(sourced, model=model, inputs=_moved(sourced.inputs, torch_device))


def _moved(inputs: Inputs, torch_device: str) -> Inputs:
    moved: Inputs = replace_tensors(inputs, lambda tensor: tensor.to(torch_device))
    return moved
