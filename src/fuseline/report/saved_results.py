"""Results that were written earlier (`fuseline partition --json`), read as ways to compare."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.files import read_bytes
from fuseline.report.rows.data import SCHEMA, GraphRow, ModelRow, PlanRow
from fuseline.report.rows.ways import Way

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_APART = {"patterns": [], "refusals": [], "members": []}
"""Keys of a plan that a comparison does not read."""


class _Head(msgspec.Struct):
    schema: str = ""


class _Document(msgspec.Struct):
    model: ModelRow
    graph: GraphRow
    plans: list[dict[str, object]]


def is_result_file(name: str) -> bool:
    """Whether a file says that it is a result; a saved graph says something else."""
    path = Path(name)
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        head = msgspec.json.decode(path.read_bytes(), type=_Head)
    except (*_UNREADABLE, OSError):
        return False
    return head.schema.partition("/")[0] == SCHEMA.partition("/")[0]


def ways_of_result(name: str) -> tuple[Way, ...]:
    """Every plan of a result file, with its totals.

    Raises `InputError` for a file that is damaged, of another version, or without a plan.
    """
    content = read_bytes(Path(name))
    try:
        schema = msgspec.json.decode(content, type=_Head).schema
        if schema != SCHEMA:
            raise InputError(f"'{name}' has schema '{schema}'; this version reads '{SCHEMA}'")
        document = msgspec.json.decode(content, type=_Document)
        plans = [msgspec.convert({**plan, **_APART, **_infinite(plan)}, PlanRow)
                 for plan in document.plans]  # fmt: skip
    except _UNREADABLE as error:
        raise InputError(f"'{name}' is no result that can be read: {error}") from error
    if not plans:
        raise InputError(f"'{name}' holds no plan to compare")
    rooms = {plan.device: plan.memory.capacity_bytes for plan in plans if plan.memory}
    return tuple(
        Way(name, document.model, document.graph, plan, plan.memory, rooms.get(plan.device))
        for plan in plans
    )


def _infinite(plan: dict[str, object]) -> dict[str, object]:
    """JSON has no infinity: the intensity of work without traffic is written as null."""
    null = plan.get("arithmetic_intensity", 0) is None
    return {"arithmetic_intensity": float("inf")} if null else {}
