"""The JSON result: the rows, key for key."""

from __future__ import annotations

import msgspec

from fuseline.report.rows import Result


def encode(result: Result) -> bytes:
    """The result as an indented JSON document (UTF-8, ends with a newline)."""
    document = msgspec.to_builtins(result)
    for plan in document["plans"]:
        # `from` is a Python keyword, so no field's name
        plan["refusals"] = [{"from": row.pop("from_"), **row} for row in plan["refusals"]]
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
