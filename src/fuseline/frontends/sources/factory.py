"""`FILE.py:FACTORY`: a user's function that makes a model. Naming one runs the file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from torch import nn

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends.sources import torchvision
from fuseline.frontends.sources.building import construct_without_memory, remember


def run_factory(name: str) -> tuple[nn.Module, object]:
    """Run FILE.py and call its FACTORY, which returns a model or (model, example inputs).

    It is called with meta as the default device, and once more on the CPU where that fails; its
    parameters have no memory either way.

    Raises `InputError` for a file that cannot be imported, or a factory that makes no model.
    """
    file, _, factory_name = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(
            f"'{file}' does not exist" if not path.exists() else f"'{file}' is no file"
        )
    module = _load(path)
    factory = getattr(module, factory_name, None)
    if factory is None:
        callables = [key for key, value in vars(module).items() if callable(value)]
        raise InputError(f"'{file}' has no '{factory_name}'{did_you_mean(factory_name, callables)}")
    if isinstance(factory, nn.Module):
        return factory, None
    if not callable(factory):
        raise InputError(f"'{name}' is {type(factory).__name__}, not a function that makes a model")
    if inspect.isfunction(factory) and _needs_arguments(factory):
        raise InputError(f"'{name}' takes arguments; a factory is called with none")

    def construct() -> object:
        with _beside(path.parent):
            return factory()

    made = construct_without_memory(construct, f"'{name}' failed")
    model, example = _pair(made)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"'{name}' returned {type(model).__name__}, not a torch.nn.Module "
            "or (module, example inputs)"
        )
    remember(model, lambda: _pair(construct())[0])
    return model, example


def _load(path: Path) -> ModuleType:
    """Run a file as a module."""
    spec = importlib.util.spec_from_file_location(f"fuseline_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with foreign_code(f"'{path}' cannot be imported"), _beside(path.parent):
        try:
            spec.loader.exec_module(module)
        except RuntimeError as error:
            if torchvision.MISMATCH not in str(error):
                raise
            torchvision.import_models()  # leaves stubs for what the file could not import
            spec.loader.exec_module(module)
    return module


def _pair(made: object) -> tuple[object, object]:
    """(model, example inputs) from what a factory returned."""
    return made if isinstance(made, tuple) and len(made) == 2 else (made, None)  # noqa: PLR2004


@contextmanager
def _beside(folder: Path) -> Generator[None]:
    """Run a user's file as `python FILE` would find its neighbours; what it prints is no result."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(str(folder.resolve()))


def _needs_arguments(factory: Callable[..., object]) -> bool:
    parameters = inspect.signature(factory).parameters.values()
    return any(
        p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
