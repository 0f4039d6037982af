"""Whether torch.compile takes a model as one graph; if not, what breaks it and where."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fuseline.errors import InputError

if TYPE_CHECKING:
    from fuseline.frontends.sources.sourced import Sourced

_PLACE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')


class _Stop(BaseException):  # a plain exception would be taken for a failure of the backend
    """Ends a compilation once the model is known to be one graph."""


def check_one_graph(sourced: Sourced) -> None:
    """Trace the model as torch.compile does, on stand-ins, and compile nothing.

    Raises `InputError` where its graph breaks: what broke it, and the file, line and function.
    """
    import torch
    from torch._dynamo.exc import TorchDynamoException

    from fuseline.frontends.recording.fakes import Fakes, replace_tensors

    fakes, model = Fakes(), sourced.model
    torch._dynamo.reset()  # noqa: SLF001 - torch offers no other way to forget a compilation
    with torch.no_grad(), _quiet(), fakes.in_place_of(model):
        args, kwargs = replace_tensors(sourced.inputs, fakes.pass_on)
        try:
            torch.compile(model, backend=_stop, fullgraph=True)(*args, **kwargs)
        except _Stop:
            return
        except TorchDynamoException as error:
            raise InputError(_sentence(sourced.name, str(error))) from error
        finally:
            torch._dynamo.reset()  # noqa: SLF001


def _stop(*_: Any) -> Any:  # noqa: ANN401 - a backend's own signature
    raise _Stop


def _sentence(name: str, said: str) -> str:
    """One line of Dynamo's many: the cause, and the user's line that it names last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    places = list(_PLACE.finditer(said))
    where = ""
    if places:
        file, line, function = places[-1].group("file", "line", "function")
        where = f" at {file.rpartition('/')[2]}:{line}, in {function}"
    return (
        f"torch.compile breaks the graph of '{name}'{where}: {lines[0]} (Inductor's kernels are "
        "read from models that are one graph)"
    )


@contextmanager
def _quiet() -> Generator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
