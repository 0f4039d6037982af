"""What is asked of a sweep, in the words of the command line or of a file -> a `Sweep`, checked.

Nothing is captured here and no zoo is imported, so that whatever is wrong is said before any work.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from itertools import product
from pathlib import Path

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import ATTENTIONS, VIAS, check_via
from fuseline.frontends.sources import zoos
from fuseline.fusion import choose_strategies
from fuseline.fusion.ladder.rules import rule_set
from fuseline.fusion.pair_rules import load_pair_rules
from fuseline.hardware import DEVICES, load_device
from fuseline.hardware.sizes import parse_size
from fuseline.report.captures import Capturing, is_graph_file, matching_models
from fuseline.sweep.grids import Grid, Planning, Sweep, in_both

DTYPES = ("float32", "float16", "bfloat16", "float64")
"""What a model can be cast to: `frontends.sources.inputs` has the same, and imports torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Models in every way under every plan. The names are those of the options of `fuseline sweep`;
    every value is as a user wrote it.
    """

    models: tuple[str, ...]
    without: tuple[str, ...] = ()
    batch: tuple[int, ...] = ()
    dtype: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    seq_len: tuple[int, ...] = ()
    decode: tuple[int, ...] = ()
    train: bool = False
    attention: str | None = None
    strategy: tuple[str, ...] = ("fusion",)
    device: tuple[str, ...] = ()
    rules: tuple[str, ...] = ("T",)
    on_chip: str | None = None
    objective: str = "bytes"
    launch: str = "eager"
    tf32: bool = False
    time_limit: float = 60.0
    pair_rules: str = "tflite-cpu"


def sweep_of(tables: Iterable[Asked], origin: str = "") -> Sweep:
    """Everything asked for, names resolved and repetitions dropped. `origin` is the file that the
    tables are from; errors name it, and the table.

    Raises `InputError` for a model, dtype, device, strategy or rung that is none, with the nearest
    one; for options that do not go together; and for a job that is asked for twice.

    >>> sweep = sweep_of([Asked(models=("resnet1*", "resnet18"), device=("orin-agx",))])
    >>> [(grid.models, grid.planning.devices) for grid in sweep.grids]
    [(('resnet101', 'resnet152', 'resnet18'), ('jetson-agx-orin-64gb',))]
    """
    grids: list[Grid] = []
    tables_of: list[int] = []
    for number, asked in enumerate(tables, 1):
        with _naming(f"'{origin}', [[sweep]] {number}: " if origin else ""):
            for grid in _grids_of(asked):
                _check_once(grid, zip(grids, tables_of, strict=True))
                grids.append(grid)
                tables_of.append(number)
    return Sweep(tuple(grids), tuple(sorted(_digests(grids))))


@contextmanager
def _naming(where: str) -> Generator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}{error}") from error


def _check_once(grid: Grid, others: Iterable[tuple[Grid, int]]) -> None:
    """Raises `InputError` where a table asks for a job that one before it asks for."""
    for other, table in others:
        if twice := in_both(other, grid):
            raise InputError(f"{twice} is asked for in [[sweep]] {table} too")


def _grids_of(asked: Asked) -> Iterator[Grid]:
    """One grid; two where tokens are asked for, which only transformers' models have."""
    models, planning = _models_of(asked.models, asked.without), _planning_of(asked)
    plain, tokens = _ways_of(asked)
    _check_fixed(models, plain)
    of_tokens = [model for model in models if takes_tokens(model)] if tokens else []
    theirs = frozenset(of_tokens)
    others = tuple(model for model in models if model not in theirs)
    if tokens and not of_tokens:
        raise InputError(
            "--seq-len and --decode concern models of transformers (hf/FAMILY, or a config.json), "
            "and there is none"
        )
    if others:
        yield Grid(others, plain, planning)
    if of_tokens:
        yield Grid(tuple(of_tokens), tokens, planning)


def takes_tokens(model: str) -> bool:
    """Whether a sequence length can be asked of a model: one of transformers.

    >>> takes_tokens("hf/bert"), takes_tokens("timm/resnet18")
    (True, False)
    """
    return model.startswith("hf/") or zoos.is_transformers_config(Path(model))


# --- models ---------------------------------------------------------------------------------


def _models_of(words: Iterable[str], without: Iterable[str] = ()) -> tuple[str, ...]:
    """Every model that is named or matched, once, under one name; but those `without` names."""
    known: dict[str, frozenset[str]] = {}
    found = dict.fromkeys(name for word in words for name in _matching(word, known))
    if not found:
        raise InputError("no models: name them, as --models resnet50 or --models 'timm/*'")
    for word in without:
        for name in _matching(word, known):
            found.pop(name, None)
    if not found:
        raise InputError("no models: --without leaves none")
    return tuple(found)


def _matching(word: str, known: dict[str, frozenset[str]]) -> Iterator[str]:
    for model in matching_models(word, None):
        name = model.removeprefix("torchvision/")
        _check_model(name, known)
        yield name


def _check_model(name: str, known: dict[str, frozenset[str]]) -> None:
    """Refuse a name that means nothing. `known` are the names of the zoos looked at so far."""
    if path := _file_of(name):
        if not path.is_file():
            raise InputError(f"'{path}' does not exist")
        if path.suffix == ".py" and ".py:" not in name:
            raise InputError(f"'{name}' is a file: name its function too, as {name}:FACTORY")
        return
    prefix, slash, _ = name.partition("/")
    zoo = prefix if slash else zoos.ZOOS[0]
    if zoo not in zoos.ZOOS:
        raise InputError(
            f"unknown model '{name}': a name of the hub needs a download; pass its config.json, or "
            "a family such as hf/llama, or timm/NAME"
        )
    if zoo not in known:
        known[zoo] = frozenset(zoos.names(zoo))
    bare = name.split(".", maxsplit=1)[0] if zoo == "timm" else name  # a tag of weights follows
    if bare not in known[zoo]:
        hint = did_you_mean(bare, known[zoo]) or ": 'fuseline models' lists them"
        raise InputError(f"unknown model '{name}'{hint}")


def _file_of(name: str) -> Path | None:
    """The file that a model's name is of; None where it is a name of a zoo.

    >>> _file_of("net.py:make"), _file_of("timm/resnet50.a1_in1k")
    (PosixPath('net.py'), None)
    """
    if ".py:" in name:
        return Path(name[: name.index(".py:") + 3])
    path = Path(name)
    return path if path.suffix in (".py", ".pt2", ".json", ".zst") else None


def _check_fixed(models: Iterable[str], ways: tuple[Capturing, ...]) -> None:
    """Refuse options for files that hold a capture already."""
    for model in models:
        is_program = model.endswith(".pt2")
        for way in ways if is_program or is_graph_file(model) else ():
            asked = (way.batch, way.dtype, way.train or None)
            if any(asked) or (not is_program and way != Capturing()):
                what = "an exported program" if is_program else "a saved graph"
                raise InputError(
                    f"'{model}' is {what}: how it was captured is fixed; sweep it without --batch, "
                    "--dtype, --train, or in a table of its own (--jobs)"
                )
            if is_program and way.via == "module":
                raise InputError(f"'{model}' is an exported program: it has no modules to trace")


# --- ways -----------------------------------------------------------------------------------


def _ways_of(asked: Asked) -> tuple[tuple[Capturing, ...], tuple[Capturing, ...]]:
    """The ways of models without tokens, and of those with them (none where none are asked for).

    What is the default anyway is left out, so that it has one id however it was said.
    """
    _check_ways(asked)
    attention = asked.attention if asked.attention != ATTENTIONS[0] else None
    vias = [None if via == VIAS[0] else via for via in asked.via]
    plain = [
        Capturing(via, batch, dtype, train=asked.train, attention=attention)
        for via, dtype, batch in product(
            dict.fromkeys(vias or (None,)), dict.fromkeys(asked.dtype or (None,)),
            dict.fromkeys(asked.batch or (None,)),
        )
    ]  # fmt: skip
    # a decode step is one token after so many: it has no length of its own
    lengths = [
        *((length, None) for length in dict.fromkeys(asked.seq_len)),
        *((None, cached) for cached in dict.fromkeys(asked.decode)),
    ]
    tokens = [
        Capturing(way.via, way.batch, way.dtype, (), length, cached, way.train, way.attention)
        for way, (length, cached) in product(plain, lengths)
    ]
    return tuple(plain), tuple(tokens)


def _check_ways(asked: Asked) -> None:
    for via in asked.via:
        check_via(via)
    for dtype in asked.dtype:
        if dtype not in DTYPES:
            hint = did_you_mean(dtype, DTYPES) or f": one of {', '.join(DTYPES)}"
            raise InputError(f"unknown dtype '{dtype}'{hint}")
    for name, numbers in (
        ("batch", asked.batch), ("seq-len", asked.seq_len), ("decode", asked.decode),
    ):  # fmt: skip
        for number in numbers:
            if not 1 <= number < 1 << 31:
                raise InputError(f"{name} {number} is not a positive number below 2^31")
    if asked.attention is not None and asked.attention not in ATTENTIONS:
        hint = did_you_mean(asked.attention, ATTENTIONS) or f": one of {', '.join(ATTENTIONS)}"
        raise InputError(f"unknown attention '{asked.attention}'{hint}")
    if asked.attention == "decomposed" and "module" in asked.via:
        raise InputError("module level shows attention as one op: decompose it via record")


# --- plans ----------------------------------------------------------------------------------


def _planning_of(asked: Asked) -> Planning:
    """How plans are made, devices under their own names."""
    devices = {name: load_device(name) for name in asked.device}
    for device in devices.values():
        device.launch_seconds(asked.launch)  # an unknown mode is refused here
    if not devices and (asked.launch != "eager" or asked.tf32):
        raise InputError("--launch and --tf32 say how a device runs: add --device NAME")
    names = (name if _is_file(name) else device.name for name, device in devices.items())
    load_pair_rules(asked.pair_rules)
    planning = Planning(
        strategies=choose_strategies(asked.strategy),
        devices=tuple(dict.fromkeys(names)),
        rules=tuple(rule_set(name).name for name in dict.fromkeys(asked.rules)),
        on_chip=None if asked.on_chip is None else parse_size(asked.on_chip),
        objective=asked.objective,
        launch=asked.launch,
        tf32=asked.tf32,
        search_seconds=asked.time_limit,
        pair_rules=asked.pair_rules,
    )
    if not planning.strategies:
        raise InputError("no strategies: name them, as --strategy fusion")
    planning.units()  # settings that make no sense are refused here
    return planning


def _is_file(name: str) -> bool:
    """Whether a device or a backend's rules are named by path."""
    return name not in DEVICES and (name.endswith(".toml") or "/" in name)


# --- files ----------------------------------------------------------------------------------


def _digests(grids: Iterable[Grid]) -> set[tuple[str, str]]:
    """Every file that a grid names, with the SHA-256 of its content."""
    found: set[tuple[str, str]] = set()
    for grid in grids:
        named = (*grid.planning.devices, grid.planning.pair_rules)
        paths = [Path(name) for name in named if _is_file(name)]
        paths += [path for model in grid.models if (path := _file_of(model))]
        found |= {(str(path), _digest(path)) for path in paths}
    return found


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
