"""What the figures of a plan leave out: said beside them in every format."""

from __future__ import annotations

from fuseline.report.rows.data import PlanRow
from fuseline.report.units import count_of


def doubts(plan: PlanRow) -> tuple[str, ...]:
    """What no figure of `plan` has in it, each as a clause of its own; none where all is known."""
    said = []
    if plan.unknown_ops:
        ops = count_of(plan.unknown_ops, "unknown op")
        what = "FLOPs and time leave" if plan.roofline else "FLOPs leave"
        said.append(f"{what} out {ops}, whose bytes are those of inputs and outputs")
    unrated = plan.roofline.launches_without_vector_rate if plan.roofline else 0
    if unrated:
        launches = count_of(unrated, "launch", "es")
        said.append(
            f"time leaves out other FLOPs of {launches}: no source gives this device's rate"
        )
    if plan.hidden_bytes:
        said.append(
            f"attention is one op at module level: at least {plan.hidden_bytes:,} bytes that move "
            "inside it are in no figure"
        )
    return tuple(said)
