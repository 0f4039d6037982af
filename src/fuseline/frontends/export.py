"""Captured with torch.export: the exported graph, run under the recorder.

Export traces the model on fake CPU tensors, as the recorder does, and keeps `linear` and
`scaled_dot_product_attention` whole: its default decompositions are not applied.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import torch
from torch import nn
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export.graph_signature import ConstantArgument, ExportGraphSignature, InputKind
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.program import Given, Program, record_program
from fuseline.frontends.recording.runner import casts_in_place, no_fast_path
from fuseline.frontends.recording.script import Lines, Script
from fuseline.frontends.sources.sourced import Inputs, Sourced
from fuseline.graph import Graph, Role, Source

ROLES = {
    InputKind.PARAMETER: Role.PARAMETER,
    InputKind.BUFFER: Role.BUFFER,
    InputKind.CONSTANT_TENSOR: Role.CONSTANT,
}
_MODEL = "model"


def capture_export(sourced: Sourced, *, decomposed: bool = False) -> Graph:
    """Export the model and return the graph of what was exported.

    Code that asks whether it is being exported takes that branch: transformers passes attention a
    mask it has made, where a recording shows `is_causal`.

    Raises `InputError` where torch.export does not take the model or its inputs.
    """
    return _run_exported(sourced, decomposed=decomposed, lines=None).graph


def script_export(sourced: Sourced, *, decomposed: bool = False) -> Script:
    """The exported program with every call written down; its result is a tuple of tensors.

    Raises what `capture_export` raises.
    """
    return _run_exported(sourced, decomposed=decomposed, lines=Lines())


def _run_exported(sourced: Sourced, *, decomposed: bool, lines: Lines | None) -> Script:
    model, name = sourced.model, sourced.name
    given = _tensors(sourced.inputs)
    exported = _exported(sourced, given)
    shapes = [tuple(tensor.shape) for tensor in given]
    source = Source(
        name=name,
        source=sourced.source,
        via="export",
        mode="train" if any(module.training for module in model.modules()) else "eval",
        batch=sourced.batch,
        dtype=sourced.dtype,
        input_shapes=tuple(shapes),
        notes=sourced.notes,
    )
    program = _program(exported, model, given)
    return run_program(program, source, decomposed=decomposed, lines=lines)


def run_program(
    program: Program, source: Source, *, decomposed: bool, lines: Lines | None = None
) -> Script:
    """`record_program`, where what cannot run is refused in one line."""
    with foreign_code(f"'{source.name}' cannot run as exported (try --via record)"), quiet():
        return record_program(program, source, decomposed=decomposed, lines=lines)


@contextmanager
def quiet() -> Generator[None]:
    """torch's export logs, warns and prints at length; what matters is in the error it raises."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


# --- exporting ------------------------------------------------------------------------------


class _Flat(nn.Module):
    """The model from tensors to tensors: inputs and outputs of any type may be nested in them."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.model = model
        self._inputs = inputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        following = iter(tensors)
        args, kwargs = replace_tensors(self._inputs, lambda _: next(following))
        return tuple(tensors_in(self.model(*args, **kwargs)))


class _ExportFakes(Fakes):
    """Stand-ins in a fake mode that export can trace in; those of parameters are parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = FakeTensorMode(
            allow_non_fake_inputs=True,
            export=True,
            shape_env=ShapeEnv(tracked_fakes=[], trace_asserts=True),
        )
        self._parameters: dict[int, nn.Parameter] = {}

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """The fake tensor that stands for this one; a parameter stands for a parameter."""
        made = super().twin(tensor)
        if not isinstance(tensor, nn.Parameter) or type(tensor) is FakeTensor:
            return made
        if id(tensor) not in self._parameters:
            self._parameters[id(tensor)] = nn.Parameter(made, tensor.requires_grad)
        return self._parameters[id(tensor)]


def _tensors(inputs: Inputs) -> list[torch.Tensor]:
    """Every tensor of the inputs, in the order in which `replace_tensors` meets them."""
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    replace_tensors(inputs, note)
    return found


def _exported(sourced: Sourced, given: list[torch.Tensor]) -> torch.export.ExportedProgram:
    fakes, model = _ExportFakes(), sourced.model
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in given)
    with ExitStack() as stack:
        stack.enter_context(
            foreign_code(
                f"'{sourced.name}' cannot be exported on inputs {shapes} (try --via record)"
            )
        )
        stack.enter_context(quiet())
        stack.enter_context(no_fast_path())
        stack.enter_context(torch.no_grad())
        stack.enter_context(fakes.in_place_of(model))
        stack.enter_context(_flat_weights(model))
        stack.enter_context(casts_in_place())
        # Without a tracing context export makes a fake mode of its own, which refuses our fakes.
        stack.enter_context(tracing(TracingContext(fakes.mode)))
        inputs = tuple(fakes.twin(tensor) for tensor in given)
        return torch.export.export(_Flat(model, sourced.inputs), inputs, strict=False)


@contextmanager
def _flat_weights(model: nn.Module) -> Generator[None]:
    """Recurrent modules list their weights a second time: that list too holds the stand-ins."""
    recurrent: list[Any] = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
    kept = [module._flat_weights for module in recurrent]  # noqa: SLF001 - torch's own list
    try:
        for module in recurrent:
            module._flat_weights = [  # noqa: SLF001
                getattr(module, name, None)
                for name in module._flat_weights_names  # noqa: SLF001
            ]
        yield
    finally:
        for module, weights in zip(recurrent, kept, strict=True):
            module._flat_weights = weights  # noqa: SLF001


def _program(
    exported: torch.export.ExportedProgram, model: nn.Module, given: list[torch.Tensor]
) -> Program:
    """What was exported, its placeholders given the model's own tensors."""
    held: dict[str, Any] = {
        f"{_MODEL}.{path}.{name}" if path else f"{_MODEL}.{name}": tensor
        for path, module in model.named_modules(remove_duplicate=False)
        for where in (module._parameters, module._buffers)  # noqa: SLF001
        for name, tensor in where.items()
    }
    return Program(
        module=exported.graph_module,
        given=givens(exported.graph_signature, {**exported.constants, **held}, given, _MODEL),
        prefix=_MODEL,
        trusted=True,
    )


def givens(
    signature: ExportGraphSignature,
    held: dict[str, Any],
    inputs: Sequence[object],
    prefix: str = "",
) -> tuple[Given, ...]:
    """A `Given` for every placeholder of the signature, in order.

    `inputs` are what is passed to the program: tensors, and numbers where sizes are inputs.
    """
    made: list[Given] = []
    following = iter(inputs)
    for spec in signature.input_specs:
        name = (spec.target or "").removeprefix(f"{prefix}.")
        if spec.kind is InputKind.USER_INPUT:
            if isinstance(spec.arg, ConstantArgument):  # fixed when the program was exported
                made.append(Given("", None, spec.arg.value))
                continue
            value = next(following)
            count = sum(given.role is Role.INPUT for given in made)
            label = f"input_{count}" if count else "input"
            role = Role.INPUT if isinstance(value, torch.Tensor) else None
            made.append(Given(label, role, value))
        elif spec.kind in ROLES:
            made.append(Given(name, ROLES[spec.kind], held[str(spec.target)]))
        else:
            raise InputError(f"an input of the program is a {spec.kind.name}, which is no tensor")
    return tuple(made)
