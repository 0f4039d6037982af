"""A plan as a callable: its groups one after another, each a module of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import fx, nn

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.recording.fakes import replace_leaves, replace_tensors
from fuseline.frontends.recording.runner import no_fast_path
from fuseline.frontends.recording.script import Script, Step, Value
from fuseline.frontends.sources.inputs import prepare
from fuseline.frontends.sources.sourced import Options
from fuseline.graph import Graph, Tensor
from fuseline.plan import Plan
from fuseline.runtime.compiled import Compiler
from fuseline.runtime.draws import draw_states, restoring_steps
from fuseline.runtime.modules import build_module, values_in
from fuseline.runtime.order import Schedule, schedule

Run = Callable[..., Sequence[torch.Tensor]]
"""What runs a stage: the tensors it takes -> those it leaves."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One group that runs: its place in the plan, its module, the values it takes and leaves.

    `last` are values that nothing later takes: their memory goes once the stage has run.
    `is_launched` says that one of its ops is a compute op.
    """

    place: int
    module: fx.GraphModule
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    last: tuple[int, ...]
    is_launched: bool


@dataclass(frozen=True, slots=True)
class Executable:
    """A plan that runs: called like the model, it returns what the model returns.

    It holds the model's own parameters and buffers: what training or loading writes into them is
    seen, and what the model would write (running statistics) it writes. Folded ops ran once, when
    it was made.

    `draws` are the ops that draw random numbers, in the order of the model, where the groups cannot
    keep it: each is then given the generator as the model would. Without `keeps_draws` (compiled,
    and no order of the groups is that of the model) random numbers are others than the model's.
    """

    plan: Plan
    script: Script
    stages: tuple[Stage, ...]
    runs: tuple[Run, ...]
    known: Mapping[int, Any]
    draws: tuple[Step, ...]
    keeps_draws: bool

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - as the model
        """Run every group. Raises `InputError` for inputs of other shapes or dtypes."""
        values = self.start(args, kwargs)
        after = torch.get_rng_state() if self.draws else None
        with RunState():
            for stage, run in zip(self.stages, self.runs, strict=True):
                run_stage(stage, run, values)
        if after is not None:
            torch.set_rng_state(after)
        return self.finish(values)

    def start(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[int, Any]:
        """Everything known before the first group runs, by value."""
        passed: list[torch.Tensor] = []
        replace_tensors((args, dict(kwargs)), lambda tensor: passed.append(tensor) or tensor)
        _check_inputs(self.script, passed)
        with RunState():
            states = draw_states(self.draws, self.script.graph)
        return {**self.known, **dict(zip(self.script.inputs, passed, strict=True)), **states}

    def finish(self, values: Mapping[int, Any]) -> Any:  # noqa: ANN401 - as the model
        """What the model returns, from what the groups left."""
        return replace_leaves(self.script.result, Value, lambda leaf: values[leaf.number])


class RunState:
    """No gradients, and attention as its own kernels, as the model was captured."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(torch.no_grad())
        self._stack.enter_context(no_fast_path())
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()


def run_stage(stage: Stage, run: Run, values: dict[int, Any]) -> None:
    """Run one group on what is known, and forget what nothing later takes."""
    made = run(*[values[value] for value in stage.inputs])
    values.update(zip(stage.outputs, made, strict=True))
    for value in stage.last:
        values.pop(value, None)


def execute(
    plan: Plan,
    model: nn.Module,
    inputs: object,
    *,
    graph: Graph | None = None,
    via: str = "record",
    attention: str = "fused",
    compiled: bool = False,
) -> Executable:
    """Make `plan` a callable that computes `model`, group by group.

    Args:
        plan: of any strategy, for the graph that `capture(model, inputs, via)` gives.
        model: with its weights. It is not changed, beyond what its own forward changes.
        inputs: example inputs, as for `capture`: a tensor, a tuple, keywords, or (tuple, dict).
        graph: the graph the plan is for; refused where the model gives another one.
        via: the frontend it was captured with: `record`, `module` or `export`. An exported model
            returns the tensors of its result as a tuple.
        attention: as it was captured.
        compiled: compile each group by itself with Inductor, instead of running its ops eagerly.

    Raises:
        InputError: the plan is for another graph; its groups form a cycle (named); the model holds
            an op that cannot be run, or has no values.

    >>> from fuseline import capture, partition
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU()).eval()
    >>> x = torch.ones(2, 8)
    >>> plan = partition(capture(model, x), "tvm")
    >>> torch.equal(execute(plan, model, x)(x), model(x))
    True
    """
    sourced = prepare(model, inputs, Options(), name=type(model).__name__, source="python")
    script = write_script(sourced, via, attention)
    return execute_script(plan, script, model, graph=graph, compiled=compiled)


def execute_script(
    plan: Plan,
    script: Script,
    model: nn.Module,
    *,
    graph: Graph | None = None,
    compiled: bool = False,
) -> Executable:
    """`execute` for a model whose script is known: several plans share one.

    Raises what `execute` raises.
    """
    if script.missing:
        raise InputError(f"'{script.missing[0]}' cannot be run here, so no plan with it can")
    _check_plan(plan, script.graph, graph)
    known = _held(script, model)
    steps = {step.name: step for step in script.steps}
    _run_folded(script, steps, known)
    found = schedule(script.graph, plan)
    draws = (
        ()
        if found.keeps_draws or compiled or _device(known).type != "cpu"  # whose generator it is
        else tuple(steps[op.name] for op in script.graph.ops if op.id in found.draws)
    )
    stages = _stages(found, script, steps, restoring_steps(draws), set(known))
    compiler = Compiler()
    runs: tuple[Run, ...] = tuple(
        compiler.lazily(stage.module) if compiled and stage.is_launched else stage.module
        for stage in stages
    )
    return Executable(plan, script, stages, runs, known, draws, found.keeps_draws or bool(draws))


# --- what can be run --------------------------------------------------------------------------


def _check_plan(plan: Plan, found: Graph, wanted: Graph | None) -> None:
    ops = {op for group in plan.groups for op in group.ops}
    if ops - set(range(len(found.ops))) or len(ops) < len(found.ops):
        raise InputError(
            f"the plan is for another graph: it places {len(ops)} ops, the model has "
            f"{len(found.ops)}"
        )
    if wanted is None:
        return
    for ours, theirs in zip(wanted.ops, found.ops, strict=False):
        if (ours.name, ours.target) != (theirs.name, theirs.target):
            raise InputError(
                f"the graph is not the model's: it has '{ours.name}' where the model has "
                f"'{theirs.name}'"
            )


def _check_inputs(script: Script, passed: Sequence[torch.Tensor]) -> None:
    if len(passed) != len(script.inputs):
        raise InputError(
            f"the plan takes {len(script.inputs)} distinct tensors, as it was captured: "
            f"got {len(passed)}"
        )
    wanted = script.graph.source.input_shapes
    for place, (tensor, shape) in enumerate(zip(passed, wanted, strict=False)):
        if tuple(tensor.shape) != shape:
            raise InputError(
                f"input {place} is {tuple(tensor.shape)}: the plan was captured on {shape}"
            )


def _held(script: Script, model: nn.Module) -> dict[int, Any]:
    """The model's own parameters, buffers and other tensors, by value."""
    named = dict(model.named_parameters(remove_duplicate=False))
    named |= dict(model.named_buffers(remove_duplicate=False))
    known: dict[int, Any] = dict(script.constants)
    for name, value in script.held.items():
        if name not in named:
            raise InputError(f"the model has no parameter or buffer '{name}'")
        known[value] = named[name]
    for name, tensor in named.items():
        if tensor.is_meta:
            raise InputError(f"'{name}' is on meta: a plan runs on a model that has its values")
    return known


def _run_folded(script: Script, steps: Mapping[str, Step], known: dict[int, Any]) -> None:
    """Run what needs no input, once; what it leaves is known from then on."""
    folded = [steps[op.name] for op in script.graph.folded]
    if not folded:
        return
    takes = _taken(folded)
    made = [value for step in folded for _, value in step.results]
    device = _device(known)
    given = [
        known[value] if value in known else _unwritten(script.graph.tensors[value], device)
        for value in takes
    ]
    with RunState():
        results = build_module(folded, takes, made, "Folded")(*given)
    known.update(zip(made, results, strict=True))


def _device(known: Mapping[int, Any]) -> torch.device:
    return next((value.device for value in known.values()), torch.device("cpu"))


def _unwritten(tensor: Tensor, device: torch.device) -> torch.Tensor:
    """For an activation that a folded op takes: its shape and dtype are all that is read of it."""
    dtype = getattr(torch, tensor.dtype)
    return torch.empty_strided(tensor.shape, tensor.strides, dtype=dtype, device=device)


# --- stages -----------------------------------------------------------------------------------


def _taken(steps: Iterable[Step]) -> list[int]:
    """Values that the steps take and do not make, in order, each once."""
    made: set[int] = set()
    taken: dict[int, None] = {}
    for step in steps:
        for value in values_in((step.args, step.kwargs)):
            if value not in made:
                taken[value] = None
        made.update(value for _, value in step.results)
    return list(taken)


def _stages(
    found: Schedule,
    script: Script,
    steps: Mapping[str, Step],
    before: Mapping[str, Step],
    known: set[int],
) -> tuple[Stage, ...]:
    """The groups that run, in order; a step of `before` goes before the op of its name."""
    ops = script.graph.ops
    by_place = {place: _steps(found.ops[place], script, steps, before) for place in found.order}
    takes = {place: _taken(group) for place, group in by_place.items()}
    last_reader: dict[int, int] = {}
    for turn, place in enumerate(found.order):
        last_reader |= dict.fromkeys(takes[place], turn)
    for value in values_returned(script):
        last_reader[value] = len(found.order)
    dying: dict[int, list[int]] = defaultdict(list)
    for value, turn in last_reader.items():
        if value not in known:
            dying[turn].append(value)
    stages = []
    for turn, place in enumerate(found.order):
        leaves = tuple(
            value
            for op in found.ops[place]
            if found.provider[op] == place
            for _, value in steps[ops[op].name].results
            if last_reader.get(value, -1) > turn
        )
        module = build_module(by_place[place], takes[place], leaves)
        launched = any(ops[op].is_compute for op in found.ops[place])
        stages.append(
            Stage(place, module, tuple(takes[place]), leaves, tuple(dying[turn]), launched)
        )
    return tuple(stages)


def _steps(
    ops: Sequence[int], script: Script, steps: Mapping[str, Step], before: Mapping[str, Step]
) -> list[Step]:
    found: list[Step] = []
    for op in ops:
        name = script.graph.ops[op].name
        if name in before:
            found.append(before[name])
        found.append(steps[name])
    return found


def values_returned(script: Script) -> list[int]:
    """Values in what the model returns, in order."""
    found: list[int] = []
    replace_leaves(script.result, Value, lambda leaf: found.append(leaf.number))
    return found
