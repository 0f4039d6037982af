"""What a folder was begun with, and whether a sweep may go on there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.report.captures import Capturing
from fuseline.sweep import environment
from fuseline.sweep.grids import Grid, Planning, Sweep
from fuseline.sweep.schema import SCHEMA
from fuseline.sweep.trouble import damaged

OWN = frozenset(
    {
        "lock",
        "state.sqlite",
        "state.sqlite-wal",
        "state.sqlite-shm",
        "results",
        "captures",
        "running",
    }
)
"""What a sweep puts into its folder."""

_FEW = 4  # names in a message


@dataclass(frozen=True, slots=True)
class Begun:
    """What a sweep was begun with."""

    sweep: Sweep
    environment: dict[str, str]

    def meta(self) -> dict[str, str]:
        """As the state keeps it."""
        return {
            "schema": SCHEMA,
            "sweep": msgspec.json.encode(self.sweep).decode(),
            "environment": msgspec.json.encode(self.environment, order="sorted").decode(),
        }


def begun_of(meta: Mapping[str, str], folder: Path) -> Begun:
    """What `Begun.meta` was. Raises `InputError` for another schema, and for what is damaged."""
    if (schema := meta.get("schema")) != SCHEMA:
        raise InputError(
            f"'{folder}/' holds '{schema}', and this Fuseline goes on with '{SCHEMA}' alone: "
            "use the version that began it, or another folder"
        )
    try:
        return Begun(
            msgspec.json.decode(meta["sweep"], type=Sweep),
            msgspec.json.decode(meta["environment"], type=dict[str, str]),
        )
    except (KeyError, msgspec.DecodeError) as error:  # a ValidationError is one
        raise damaged(folder, f"no sweep in it: {error}") from error


@dataclass(frozen=True, slots=True)
class Done:
    """How much of a folder's sweep is done."""

    captures: int
    jobs: int


def look(folder: Path) -> tuple[Sweep, Done]:
    """What a folder was begun with, and how far it is; nothing is written, nor is it held. Raises
    `InputError` where there is none.
    """
    check_folder(folder, is_new=False)
    path = (folder / "state.sqlite").absolute()
    # Without a log beside it nobody is writing; sqlite would make one even to read.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)) as base:
            meta = dict(base.execute("SELECT name, value FROM meta"))
            (counted,) = base.execute("SELECT count(*), coalesce(sum(jobs), 0) FROM captures")
    except sqlite3.Error as error:
        raise damaged(folder, str(error)) from error
    return begun_of(meta, folder).sweep, Done(*counted)


def check_folder(folder: Path, *, is_new: bool) -> None:
    """Raises `InputError` where a sweep may not be begun (`is_new`) or go on in a folder."""
    if not folder.exists():
        if is_new:
            return
        raise InputError(f"there is no '{folder}/': no sweep to go on with")
    if not folder.is_dir():
        raise InputError(f"'{folder}' is a file: a sweep needs a folder")
    if (folder / "state.sqlite").exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in OWN)
    foreign += [f"results/{path.name}" for path in (folder / "results").glob("*")]
    if foreign:
        raise InputError(
            f"'{folder}/' holds other things ({_listed(foreign)}) and no state.sqlite of a sweep: "
            "name a new folder, or an empty one"
        )
    if not is_new:
        raise InputError(f"'{folder}/' holds no sweep to go on with")


def check_begun(
    begun: Begun, sweep: Sweep | None, environment_now: Mapping[str, str], folder: Path
) -> None:
    """Raises `InputError` where the sweep or what it depends on is not what it was."""
    if sweep is not None:
        check_same(begun.sweep, sweep, folder)
    # A sweep that is asked for anew has read its files just now.
    now = None if sweep is None else dict(sweep.files)
    for path, digest in begun.sweep.files:
        if (_digest(path) if now is None else now.get(path)) != digest:
            raise InputError(
                f"'{path}' has changed since the sweep in '{folder}/' began: put it back as it "
                "was, or name another folder"
            )
    if words := environment.difference(environment_now, begun.environment):
        raise InputError(
            f"'{folder}/' was begun with another environment ({words}): "
            "go on with that one, or name another folder"
        )


def check_same(begun: Sweep, sweep: Sweep, folder: Path) -> None:
    """Raises `InputError` where other jobs are asked for than a folder was begun with."""
    if words := _difference(begun, sweep):
        raise InputError(
            f"'{folder}/' was begun with {words}: ask for the same, or name another folder"
        )


def _digest(path: str) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read '{path}', which the sweep needs: {error.strerror}"
        ) from error


# --- differences in words -------------------------------------------------------------------


def _difference(begun: Sweep, now: Sweep) -> str:
    """What differs first, in few words; empty where only files' contents may."""
    if len(begun.grids) != len(now.grids):
        return f"jobs in {len(begun.grids)} grids, and now there are {len(now.grids)}"
    for number, (before, after) in enumerate(zip(begun.grids, now.grids, strict=True), 1):
        if before != after:
            where = f" (grid {number})" if len(now.grids) > 1 else ""
            return _of_grids(before, after) + where
    return ""


def _of_grids(before: Grid, after: Grid) -> str:
    if before.models != after.models:
        return _two("models", before.models, after.models)
    for field in fields(Planning):
        name = field.name
        if (old := getattr(before.planning, name)) != (new := getattr(after.planning, name)):
            return _two(_OPTIONS[name], _said(old), _said(new))
    for field in fields(Capturing):
        old, new = (
            tuple(dict.fromkeys(getattr(way, field.name) for way in grid.ways))
            for grid in (before, after)
        )
        if old != new:
            return _two(_OPTIONS.get(field.name, field.name), *map(_said, (old, new)))
    return f"{len(before.ways)} ways of capture, and now there are other {len(after.ways)}"


_OPTIONS = {
    "strategies": "--strategy", "devices": "--device", "rules": "--rules", "on_chip": "--on-chip",
    "objective": "--objective", "launch": "--launch", "tf32": "--tf32",
    "search_seconds": "--time-limit", "pair_rules": "--pair-rules", "via": "--via",
    "batch": "--batch", "dtype": "--dtype", "seq_len": "--seq-len", "decode": "--decode",
    "train": "--train", "attention": "--attention",
}  # fmt: skip
"""Fields of `Planning` and `Capturing`, as a user says them."""


def _said(value: object) -> tuple[object, ...]:
    """Values in the words of the command line.

    >>> _said((True, False)), _said(60.0), _said(None)
    (('given', 'not given'), ('60',), (None,))
    """
    values = value if isinstance(value, tuple) else (value,)
    return tuple(
        ("given" if each else "not given") if isinstance(each, bool)
        else f"{each:g}" if isinstance(each, float) else each
        for each in values
    )  # fmt: skip


def _two(what: str, old: Sequence[object], new: Sequence[object]) -> str:
    """Both, where they are short; else what is in one alone."""
    if len(old) <= _FEW and len(new) <= _FEW:
        return f"{what} {_listed(old)}, and now it is {_listed(new)}"
    before, after = set(old), set(new)
    gone = [value for value in old if value not in after]
    came = [value for value in new if value not in before]
    if not gone and not came:
        return f"{what} in another order"
    lost = f"; now without {_listed(gone)}" if gone else ""
    more = f"; now with {_listed(came)} too" if came else ""
    return f"{len(old)} {what}{lost}{more}"


def _listed(values: Iterable[object]) -> str:
    words = ["none" if value in (None, ()) else str(value) for value in values] or ["none"]
    rest = len(words) - _FEW
    return ", ".join(words[:_FEW]) + (f" and {rest} more" if rest > 0 else "")
