"""`fuseline.toml`: the models a project checks, and what each may come to.

[defaults]                  # of every model, unless it says otherwise
device = "h100-sxm"

[[model]]
name = "net.py:make"        # anything that `fuseline partition` takes
strategy = "optimal"

[model.budget]              # the most that a figure may be
launches = 63
traffic_bytes = "508MB"     # decimal: 508,000,000 bytes
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fuseline.budgets.amounts import parse_amount
from fuseline.budgets.entries import Entry, Planning, label_of
from fuseline.budgets.figures import BY_NAME, hint_for
from fuseline.errors import InputError, did_you_mean
from fuseline.files import read_bytes
from fuseline.frontends import ATTENTIONS, VIAS
from fuseline.fusion import STRATEGIES
from fuseline.hardware.sizes import parse_size
from fuseline.report.captures import Capturing
from fuseline.report.rows.table import Measure

DEFAULT = Path("fuseline.toml")
"""Read where no other file is named."""

IMPLIED = {"unknown_ops": 0}
"""A budget unless a file says otherwise: an op that nothing prices is in no other figure."""

Parse = Callable[[object], object]


# --- values -----------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{value!r} is no text")
    return value


def _one_of(known: tuple[str, ...]) -> Parse:
    def parse(value: object) -> str:
        name = _text(value)
        if name not in known:
            hint = did_you_mean(name, known) or f": one of {', '.join(known)}"
            raise InputError(f"'{name}' is not known{hint}")
        return name

    return parse


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{value!r} is no whole number above 0")
    if value >= 1 << 63:
        raise InputError("so large a number makes no sense")
    return value


def _size(value: object) -> int:
    """Bytes of on-chip memory, as the option `--on-chip` takes them."""
    return parse_size(value) if isinstance(value, str) else _whole(value)


def _yes(value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is neither true nor false")
    return value


def _shapes(value: object) -> tuple[tuple[int, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(shape, list) for shape in value):
        raise InputError(f"{value!r} is no list of shapes: write [[1, 3, 224, 224]]")
    return tuple(tuple(_whole(size) for size in shape) for shape in value)


def _amount(measure: Measure) -> Parse:
    return lambda value: parse_amount(value, measure)


_CAPTURE: dict[str, Parse] = {
    "via": _one_of(VIAS),
    "batch": _whole,
    "dtype": _text,
    "input_shapes": _shapes,
    "seq_len": _whole,
    "decode": _whole,
    "train": _yes,
    "attention": _one_of(ATTENTIONS),
}
_PLANNING: dict[str, Parse] = {
    "strategy": _one_of(tuple(STRATEGIES)),
    "rules": _one_of(("R0", "A", "B", "T", "M")),
    "on_chip": _size,
    "objective": _one_of(("bytes", "seconds")),
    "device": _text,
    "launch": _one_of(("eager", "graph")),
    "tf32": _yes,
    "time_limit": _amount(Measure.SECONDS),
    "pair_rules": _text,
}
_OPTIONS = {**_CAPTURE, **_PLANNING}
_TABLES = ("budget", "tolerance")
_OF_DEFAULTS = (*_OPTIONS, *_TABLES)
_OF_MODEL = ("name", "label", *_OF_DEFAULTS)


# --- the file ---------------------------------------------------------------------------------


def read_config(path: Path) -> tuple[Entry, ...]:
    """The models of a configuration, in order.

    Raises `InputError` for a file that cannot be read, a key that is none, and a value that makes
    no sense: the file, the model, the key.
    """
    return parse_config(read_bytes(path), str(path))


def parse_config(content: bytes, origin: str) -> tuple[Entry, ...]:
    r"""The same of a file's content; `origin` names it in errors.

    >>> [entry] = parse_config(b'[[model]]\nname = "vit_b_16"\nbudget = {launches = 63}', "x")
    >>> entry.label, entry.budget
    ('vit_b_16, fusion', {'unknown_ops': 0, 'launches': 63})
    >>> parse_config(b'[[model]]\nname = "net"\nstratgy = "tvm"', "x")
    Traceback (most recent call last):
    fuseline.errors.InputError: 'x', model 'net': unknown key 'stratgy': did you mean 'strategy'?
    """
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # also for a number of thousands of digits
        raise InputError(f"'{origin}' is no TOML: {error}") from error
    with _within(f"'{origin}'"):
        _check_keys(document, ("defaults", "model"))
        defaults = document.get("defaults", {})
        models = document.get("model", [])
        if not isinstance(defaults, dict) or not isinstance(models, list):
            raise InputError("write [defaults] once, and [[model]] for each model")
        if not models:
            raise InputError("it names no model: write [[model]] with a name")
    with _within(f"'{origin}', defaults"):
        _check_keys(defaults, _OF_DEFAULTS)
    entries = []
    for number, model in enumerate(models, 1):
        named = isinstance(model, dict) and isinstance(model.get("name"), str)
        with _within(f"'{origin}', model " + (f"'{model['name']}'" if named else str(number))):
            entries.append(_entry(model, defaults))
    _check_labels(entries, origin)
    return tuple(entries)


def _entry(model: object, defaults: Mapping[str, object]) -> Entry:
    if not isinstance(model, dict):
        raise InputError("a model is a table: write [[model]]")
    _check_keys(model, _OF_MODEL)
    if "name" not in model:
        raise InputError("it has no name")
    name = _text(model["name"])
    options = {**defaults, **model}
    capture = Capturing(**_values(options, _CAPTURE))
    planning = Planning(**_values(options, _PLANNING))
    _check_launch(planning)
    tolerance, tolerances = _tolerance(options.get("tolerance", 0))
    budget = {**IMPLIED, **_budget(defaults), **_budget(model)}
    for figure in budget:
        if BY_NAME[figure].needs_device and planning.device is None:
            raise InputError(f'a budget of {figure} needs a device: add device = "NAME"')
    label = _text(model.get("label", label_of(name, capture, planning)))
    return Entry(name, label, capture, planning, budget, tolerance, tolerances)


def _check_launch(planning: Planning) -> None:
    if planning.device is None and (planning.launch != "eager" or planning.tf32):
        raise InputError('launch and tf32 say how a device runs: add device = "NAME"')


def check_entry(entry: Entry) -> None:
    """Raise `InputError` for an entry of a file in which a name is none, or a figure makes no
    sense. What a capture or a strategy refuses of its own is left to them.
    """
    asked = {key: getattr(entry.capture, key) for key in ("via", "seq_len", "decode", "attention")}
    asked |= {key: getattr(entry.planning, key) for key in ("strategy", "rules", "objective")}
    asked |= {"launch": entry.planning.launch}
    _values({key: value for key, value in asked.items() if value is not None}, _OPTIONS)
    _check_launch(entry.planning)
    for text in (entry.name, entry.label):
        _text(text)
    _figures(entry.budget, "budget")
    _figures(entry.tolerances, "tolerance")
    _tolerance(entry.tolerance)


def _values(options: Mapping[str, object], known: Mapping[str, Parse]) -> dict:
    """Those of the options that are known here, each as what it means."""
    found = {}
    for key, parse in known.items():
        if key in options:
            with _within(key):
                found[key] = parse(options[key])
    return found


def _budget(options: Mapping[str, object]) -> dict[str, int | float]:
    return _figures(options.get("budget", {}), "budget")


def _figures(table: object, what: str) -> dict[str, int | float]:
    """A table of figures, each limit as a number. `what` names it in errors."""
    if not isinstance(table, dict):
        raise InputError(f"{what} is a table: write [model.{what}]")
    found = {}
    for name, value in table.items():
        if name not in BY_NAME:
            raise InputError(f"{what}: unknown figure '{name}'{hint_for(name)}")
        measure = Measure.FRACTION if what == "tolerance" else BY_NAME[name].measure
        with _within(f"{what}, {name}"):
            found[name] = parse_amount(value, measure)
    return found


def _tolerance(value: object) -> tuple[float, dict[str, float]]:
    """One tolerance for all figures, or a table of them."""
    if isinstance(value, dict):
        return 0.0, {name: float(part) for name, part in _figures(value, "tolerance").items()}
    with _within("tolerance"):
        return float(parse_amount(value, Measure.FRACTION)), {}


def _check_keys(table: Mapping[str, object], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            figure = ": it is a figure, and belongs in budget" if key in BY_NAME else ""
            hint = figure or did_you_mean(key, known) or f": one of {', '.join(known)}"
            raise InputError(f"unknown key '{key}'{hint}")


def _check_labels(entries: list[Entry], origin: str) -> None:
    """Results and baselines go by label: no two models may share one."""
    seen = set()
    for entry in entries:
        if entry.label in seen:
            raise InputError(
                f"'{origin}': two models are called '{entry.label}': give each a label"
            )
        seen.add(entry.label)


@contextmanager
def _within(where: str) -> Generator[None]:
    """Say where in the file an error is."""
    try:
        yield
    except InputError as error:
        between = ", " if str(error).startswith("model ") else ": "
        raise InputError(f"{where}{between}{error}") from error
