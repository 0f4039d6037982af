"""Whether a plan computes its model: outputs and buffers held against the model's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

import torch
from torch import nn

from fuseline.errors import foreign_code
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.fakes import replace_tensors
from fuseline.frontends.sources.sourced import Inputs
from fuseline.runtime.execute import Executable, RunState

RTOL = {
    torch.float64: 32 * 1e-7,
    torch.complex128: 32 * 1e-7,
    torch.float32: 32 * 1.3e-6,
    torch.complex64: 32 * 1.3e-6,
    torch.float16: 4 * 1e-3,
    torch.bfloat16: 4 * 1.6e-2,
}
"""Of the largest magnitude of an output: how far a plan that computes in another order may be from
its model. `torch.testing` has 1e-7, 1.3e-6, 1e-3 and 1.6e-2 for one op; a network has hundreds in a
row: 32 times that, and 4 times for the halves, whose ops compute in float32.
"""


class Verdict(Enum):
    """What a comparison found, the worst last."""

    EQUAL = "equal"  # bit for bit
    CLOSE = "close"  # within the tolerance of the dtype
    VACUOUS = "vacuous"  # outputs that any plan would give
    NON_FINITE = "not finite"  # the model's own output is not finite: nothing is shown
    DIFFERENT = "different"

    @property
    def passes(self) -> bool:
        """Whether the plan is shown to compute its model."""
        return self in {Verdict.EQUAL, Verdict.CLOSE}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plan's results beside its model's.

    `max_difference` is the largest absolute difference of any element, `largest` the largest
    magnitude of the model's own. `tensors` were compared, buffers that a run writes included.
    `reason` is a sentence where the verdict is no pass.
    """

    verdict: Verdict
    max_difference: float
    largest: float
    tensors: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run left: its outputs, and the buffers and inputs that it wrote, by name."""

    outputs: tuple[torch.Tensor, ...]
    written: Mapping[str, torch.Tensor]


def run_model(model: nn.Module, inputs: Sequence[Inputs], *, seed: int = 0) -> tuple[Run, ...]:
    """The model on every one of `inputs`, as `check_plan` wants it. Its buffers are left as they
    were.

    Raises `InputError` where it fails.
    """

    def call(given: Inputs) -> object:
        with foreign_code(f"'{type(model).__name__}' cannot run on these inputs"), RunState():
            return model(*given[0], **given[1])

    return tuple(_run(call, model, given, seed) for given in inputs)


def check_plan(
    executable: Executable,
    model: nn.Module,
    inputs: Sequence[Inputs],
    wanted: Sequence[Run],
    *,
    exact: bool = True,
    seed: int = 0,
) -> Comparison:
    """Whether the plan gives what the model gave (`wanted`, of `run_model` under the same seed).

    `exact` asks for every bit; otherwise `RTOL` of the largest magnitude is allowed. Buffers that a
    run writes, running statistics say, are compared like outputs. Outputs that are the same for
    all inputs, or constant, prove nothing: the verdict is then `VACUOUS`.

    >>> from fuseline import capture, partition
    >>> from fuseline.runtime.execute import execute
    >>> model, x = nn.Linear(8, 4), torch.randn(2, 8)
    >>> plan = partition(capture(model, x), "tvm")
    >>> inputs = [((x,), {}), ((x + 1,), {})]
    >>> found = check_plan(execute(plan, model, x), model, inputs, run_model(model, inputs))
    >>> found.verdict, found.max_difference
    (<Verdict.EQUAL: 'equal'>, 0.0)
    """
    worst = check_call(executable, model, inputs, wanted, exact=exact, seed=seed)
    if worst.verdict is Verdict.DIFFERENT and not executable.keeps_draws:
        order = "its groups draw random numbers in another order than the model"
        return replace(worst, reason=f"{worst.reason}; {order}")
    return worst


def check_call(
    function: Callable[..., object],
    model: nn.Module,
    inputs: Sequence[Inputs],
    wanted: Sequence[Run],
    *,
    exact: bool,
    seed: int = 0,
) -> Comparison:
    """`check_plan` for anything that is called like the model and writes its buffers."""

    def call(given: Inputs) -> object:
        with RunState():
            return function(*given[0], **given[1])

    found = [_run(call, model, given, seed) for given in inputs]
    pairs = [
        _compare(ours, theirs, exact=exact) for ours, theirs in zip(found, wanted, strict=True)
    ]
    worst = _worst(pairs)
    reason = _vacuous(wanted, inputs) if worst.verdict.passes else ""
    return replace(worst, verdict=Verdict.VACUOUS, reason=reason) if reason else worst


def _run(call: Callable[[Inputs], object], model: nn.Module, given: Inputs, seed: int) -> Run:
    """One run on a copy of the inputs under `seed`; the model's buffers are put back.

    A buffer that is replaced, as a model does with a table that it makes at its first run, is put
    back too, and not compared: a plan writes tensors and binds no names.
    """
    places = [
        (module._buffers, name, f"{path}.{name}" if path else name)  # noqa: SLF001 - to put back
        for path, module in model.named_modules()
        for name in module._buffers  # noqa: SLF001
    ]
    before = [(held[name], _copy(held[name])) for held, name, _ in places]
    copied: Inputs = replace_tensors(given, lambda tensor: tensor.clone())
    torch.manual_seed(seed)
    outputs = tuple(tensor.detach().clone() for tensor in tensors_in(call(copied)))
    written: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for (held, name, path), (buffer, kept) in zip(places, before, strict=True):
            held[name] = buffer
            if buffer is not None and kept is not None and not _same(buffer, kept):
                written[path] = buffer.clone()
                buffer.copy_(kept)
    for place, (now, then) in enumerate(zip(tensors_in(copied), tensors_in(given), strict=True)):
        if not _same(now, then):
            written[f"input {place}"] = now
    return Run(outputs, written)


def _copy(buffer: torch.Tensor | None) -> torch.Tensor | None:
    return None if buffer is None else buffer.clone()


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.equal(left, right) or (
        left.is_floating_point()
        and left.shape == right.shape
        and torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
    )


# --- verdicts ---------------------------------------------------------------------------------


def _compare(ours: Run, theirs: Run, *, exact: bool) -> Comparison:
    """One run's outputs and written tensors, side by side."""
    count = len(theirs.outputs) + len(theirs.written)
    if len(ours.outputs) != len(theirs.outputs):
        return _different(f"{len(ours.outputs)} outputs instead of {len(theirs.outputs)}", count)
    if odd := sorted(ours.written.keys() ^ theirs.written.keys()):
        writer = "the plan" if odd[0] in ours.written else "the model"
        return _different(f"'{odd[0]}' is written by {writer} alone", count)
    named = [(f"output {place}", pair) for place, pair in
             enumerate(zip(ours.outputs, theirs.outputs, strict=True))]  # fmt: skip
    named += [(f"'{name}'", (ours.written[name], theirs.written[name])) for name in theirs.written]
    found = _worst([_compare_tensors(name, *pair, exact=exact) for name, pair in named])
    return Comparison(found.verdict, found.max_difference, found.largest, count, found.reason)


def tolerance_text(dtype: str) -> str:
    """What a compiled plan of a model of `dtype` is allowed, in words.

    >>> tolerance_text("float32")
    '4.2e-05 of the largest output'
    """
    return f"{RTOL[getattr(torch, dtype)]:.1e} of the largest output"


def _compare_tensors(
    name: str, ours: torch.Tensor, theirs: torch.Tensor, *, exact: bool
) -> Comparison:
    if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
        said = " instead of ".join(f"{t.dtype} {tuple(t.shape)}" for t in (ours, theirs))
        return _different(f"{name} is {said}", 1)
    if not theirs.numel():
        return Comparison(Verdict.EQUAL, 0.0, 0.0, 1)
    if not torch.isfinite(theirs).all():
        return Comparison(
            Verdict.NON_FINITE, float("nan"), float("nan"), 1,
            f"{name} of the model itself is not finite",
        )  # fmt: skip
    wide = torch.complex128 if theirs.is_complex() else torch.float64
    largest = float(theirs.to(wide).abs().max())
    if torch.equal(ours, theirs):
        return Comparison(Verdict.EQUAL, 0.0, largest, 1)
    difference = float((ours.to(wide) - theirs.to(wide)).abs().max())
    allowed = 0.0 if exact else RTOL.get(theirs.dtype, 0.0) * largest
    if difference <= allowed:
        return Comparison(Verdict.CLOSE, difference, largest, 1)
    reason = f"{name} differs by {difference:.2g}"
    if not exact:
        reason += f", {allowed:.2g} being allowed"
    return Comparison(Verdict.DIFFERENT, difference, largest, 1, reason)


def _different(reason: str, tensors: int) -> Comparison:
    return Comparison(Verdict.DIFFERENT, float("inf"), float("nan"), tensors, reason)


def _worst(found: Sequence[Comparison]) -> Comparison:
    """The one with the worst verdict, and of these with the largest difference; the largest
    magnitude is that of all.
    """
    if not found:
        return Comparison(Verdict.VACUOUS, 0.0, 0.0, 0, "the model returns no tensor")
    severity = list(Verdict)
    worst = max(found, key=lambda each: (severity.index(each.verdict), each.max_difference))
    return replace(worst, largest=max(each.largest for each in found))


def _vacuous(wanted: Sequence[Run], inputs: Sequence[Inputs]) -> str:
    """Why outputs like these prove nothing, or an empty string."""
    outputs = [tensor for run in wanted for tensor in run.outputs if tensor.numel() > 1]
    if outputs and all((tensor == tensor.flatten()[0]).all() for tensor in outputs):
        return "every output of the model is constant: any plan would give it"
    differ = any(
        not _all_same(tensors_in(left), tensors_in(right)) for left, right in pairwise(inputs)
    )
    if differ and all(_all_same(left.outputs, right.outputs) for left, right in pairwise(wanted)):
        return "the model gives the same output for every input: any plan would give it"
    return ""


def _all_same(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(map(_same, left, right))
