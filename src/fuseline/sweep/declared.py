"""A file of jobs -> what is asked: TOML, `[[sweep]]` tables with keys named as the options."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec

from fuseline.errors import InputError, did_you_mean
from fuseline.files import read_bytes
from fuseline.sweep.asked import Asked

KEYS = {field.name.replace("_", "-"): field for field in fields(Asked)}
"""Keys of a table: `seq-len` is the option `--seq-len`."""
_SEVERAL = frozenset(name for name, field in KEYS.items() if str(field.type).startswith("tuple"))


def read_jobs(path: Path) -> tuple[Asked, ...]:
    """The tables of a file. Raises `InputError`, naming file, table and key, for one that is
    missing, not TOML, or has a key or a value that is none.
    """
    return parse_jobs(read_bytes(path), str(path))


def parse_jobs(content: bytes, origin: str) -> tuple[Asked, ...]:
    r"""The tables of TOML `content`; `origin` names it in errors.

    >>> parse_jobs(b'[[sweep]]\nmodels = "resnet18"\nbatch = [1, 64]', "jobs.toml")[0].batch
    (1, 64)
    """
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{origin}' is not TOML: {error}") from error
    for key in document:
        if key != "sweep":
            raise InputError(f"'{origin}': {key} is unknown: jobs are in [[sweep]] tables")
    tables = document.get("sweep", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"'{origin}': sweep is not a list of tables, [[sweep]] each")
    if not tables:
        raise InputError(f"'{origin}' has no [[sweep]] table")
    return tuple(_asked(table, f"'{origin}', [[sweep]] {n}") for n, table in enumerate(tables, 1))


def _asked(table: dict[str, object], where: str) -> Asked:
    """One table; what a list is asked of may be one value."""
    for key in table:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f": one of {', '.join(KEYS)}"
            raise InputError(f"{where}: {key} is unknown{hint}")
    if "models" not in table:
        raise InputError(f"{where}: models is missing")
    values = {
        KEYS[key].name: [value] if key in _SEVERAL and not isinstance(value, list) else value
        for key, value in table.items()
    }
    if isinstance(nbytes := values.get("on_chip"), int) and not isinstance(nbytes, bool):
        values["on_chip"] = str(nbytes)
    try:
        return msgspec.convert(values, Asked)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$.").replace("_", "-")
        raise InputError(f"{where}: {key}: {what[:1].lower()}{what[1:]}") from error
