"""The JSON result: the rows, key for key."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fuseline.report.rows import Result
from fuseline.report.rows.explain import ExplanationRow, MissedPairRow
from fuseline.report.rows.what_if import WhatIfRow


def encode(
    result: Result,
    explained: tuple[ExplanationRow, ...] = (),
    missed: tuple[tuple[str, tuple[MissedPairRow, ...]], ...] = (),
    what_ifs: tuple[WhatIfRow, ...] = (),
    agreement: dict[str, object] | None = None,
) -> bytes:
    """The result as an indented JSON document (UTF-8, ends with a newline).

    What was asked for besides the plans has keys of its own: `explanations`, `missed`, `what_ifs`,
    and `agreement` where a plan was held against a compiler's.
    """
    document = msgspec.to_builtins(result)
    for plan in document["plans"]:
        plan["refusals"] = _renamed(plan["refusals"])
    if explained:
        document["explanations"] = msgspec.to_builtins(explained)
        for row in document["explanations"]:
            row["refusals"] = _renamed(row["refusals"])
    if missed:
        document["missed"] = [
            {"strategy": strategy, "pairs": _renamed(msgspec.to_builtins(pairs))}
            for strategy, pairs in missed
        ]
    if what_ifs:
        document["what_ifs"] = msgspec.to_builtins(what_ifs)
    if agreement is not None:
        document["agreement"] = agreement
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _renamed(found: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """`from` is a Python keyword, so no field's name."""
    return [{"from": row.pop("from_"), **row} for row in found]
