"""timm's models by name, built without memory, with the image each was made for."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import nn

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends.sources import torchvision, zoos
from fuseline.frontends.sources.building import build_without_memory
from fuseline.frontends.sources.inputs import prepare
from fuseline.frontends.sources.sourced import Options, Sourced, empty

PREFIX = "timm/"
_SMALL_FIRST = (
    "test", "atto", "zepto", "femto", "pico", "nano", "xxt", "xxtiny", "xtiny", "tiny", "xxs",
    "xs", "mini", "little", "small", "s", "t", "base", "medium", "m", "b", "large", "l", "xl",
    "xlarge", "huge", "h", "giant", "g",
)  # fmt: skip
"""Words for sizes in names. Only the order in which models are built depends on them."""


def import_timm() -> ModuleType:
    """`timm`, which imports torchvision where that is installed, matched to torch first.

    Raises `InputError` where timm is not installed.
    """
    zoos.check_installed("timm")
    if zoos.installed("torchvision"):
        torchvision.import_models()
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise InputError(f"timm cannot be imported: {error}") from error


def model_names() -> list[str]:
    """Names of timm's models as `timm/NAME`, sorted.

    Raises `InputError` where timm is not installed.
    """
    return zoos.names("timm")


def build(name: str, options: Options) -> Sourced:
    """The model that `timm/NAME` means, on meta, and one image of the size it was made for.

    Raises `InputError` for an unknown name, with the nearest known one.
    """
    bare = name.removeprefix(PREFIX)
    model = build_model(bare)
    config: Any = model.pretrained_cfg
    example = ((empty((1, *config["input_size"])),), {})
    return prepare(model, example, options, name=name, source="timm")


def build_model(name: str) -> nn.Module:
    """The model without weights, in eval mode, on meta. `name` may end in the tag of its weights.

    Raises `InputError` for an unknown name, with the nearest known one.
    """
    timm = import_timm()
    entrypoint = name.split(".", maxsplit=1)[0]  # what follows is a tag, which may change the head
    if not timm.is_model(entrypoint):
        raise InputError(f"unknown model 'timm/{name}'{_hint(entrypoint)}")

    def construct() -> object:
        return timm.create_model(name, pretrained=False)

    return build_without_memory(construct, PREFIX + name).eval()


def architectures() -> list[str]:
    """The smallest model of every architecture in timm, as `timm/NAME`, sorted.

    An architecture is a pair of module file and model class; the smallest model registers the
    fewest parameters while it is built. All are built on meta, each until it has more parameters
    than the smallest of its kind so far.
    """
    timm = import_timm()
    registry = timm.models._registry  # noqa: SLF001 - says which file a model is from
    smallest: dict[tuple[str, str], tuple[int, str]] = {}  # (file, class) -> (parameters, name)
    least: dict[tuple[str, str], int] = {}  # (file, first class seen) -> parameters
    for name in sorted(timm.list_models(), key=_likely_size):
        file = registry._model_to_module[name]  # noqa: SLF001
        counter = _Counter(file, least)

        def construct(name: str = name, counter: _Counter = counter) -> object:
            counter.restart()  # a model that fails on meta is built a second time
            return timm.create_model(name, pretrained=False)

        with _counting(counter):
            try:
                model = build_without_memory(construct, name)
            except _TooManyError:
                continue
        least[file, counter.kind] = counter.parameters
        kind = (file, type(model).__name__)
        smallest[kind] = min((counter.parameters, name), smallest.get(kind, (sys.maxsize, name)))
    return sorted(PREFIX + name for _, name in smallest.values())


class _TooManyError(InputError):
    """The model under construction is not the smallest of its kind."""


class _Counter:
    """Parameters registered while one model is built."""

    def __init__(self, file: str, least: dict[tuple[str, str], int]) -> None:
        self.parameters = 0
        self.kind = ""  # class of the first module: the model's own, or that of its first part
        self._file, self._least = file, least

    def restart(self) -> None:
        """Count from 0."""
        self.parameters, self.kind = 0, ""

    def begin(self, module: nn.Module) -> None:
        """Note the first module."""
        self.kind = self.kind or type(module).__name__

    def count(self, parameter: nn.Parameter) -> None:
        """Add a parameter; stop the construction where it is one too many."""
        self.parameters += parameter.numel()
        if self.parameters > self._least.get((self._file, self.kind), sys.maxsize):
            raise _TooManyError("more parameters than the smallest of its kind")


@contextmanager
def _counting(counter: _Counter) -> Generator[None]:
    """Tell `counter` of every module begun and parameter registered."""
    register, begin = nn.Module.register_parameter, nn.Module.__init__

    def begin_and_tell(self: nn.Module, *args: object, **kwargs: object) -> None:
        counter.begin(self)
        begin(self, *args, **kwargs)

    def register_and_count(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        if param is not None:
            counter.count(param)

    nn.Module.__init__ = begin_and_tell
    nn.Module.register_parameter = register_and_count
    try:
        yield
    finally:
        nn.Module.__init__, nn.Module.register_parameter = begin, register


def _likely_size(name: str) -> tuple[int, list[int], str]:
    """A guess from the name's words and numbers; only how soon building stops depends on it."""
    ranks = [_SMALL_FIRST.index(word) for word in name.split("_") if word in _SMALL_FIRST]
    unknown = len(_SMALL_FIRST) // 2
    return min(ranks, default=unknown), [int(digits) for digits in re.findall(r"\d+", name)], name


def _hint(name: str) -> str:
    known = [PREFIX + each for each in zoos.timm_names()]
    return did_you_mean(PREFIX + name, known)
