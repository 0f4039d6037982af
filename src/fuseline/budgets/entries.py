"""What is to be checked: a model, how it is captured and partitioned, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from fuseline.fusion import READS_RULES
from fuseline.report.captures import Capturing


@dataclass(frozen=True, slots=True)
class Planning:
    """How a plan is made and timed, in the words of the command line. `on_chip` in bytes, and
    `time_limit` in seconds.
    """

    strategy: str = "fusion"
    rules: str = "T"
    on_chip: int | None = None
    objective: str = "bytes"
    device: str | None = None
    launch: str = "eager"
    tf32: bool = False
    time_limit: float = 60.0
    pair_rules: str = "tflite-cpu"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model to check. `name` is as it was written, `label` tells it from all others.

    `budget` has the most that a figure may be, by its name. `tolerance` is how much more than a
    baseline's a figure may be, as a part of that; `tolerances` of single figures.
    """

    name: str
    label: str
    capture: Capturing = field(default_factory=Capturing)
    planning: Planning = field(default_factory=Planning)
    budget: dict[str, int | float] = field(default_factory=dict)
    tolerance: float = 0.0
    tolerances: dict[str, float] = field(default_factory=dict)

    def tolerance_of(self, figure: str) -> float:
        """How much worse than a baseline a figure may be, as a part of it."""
        return self.tolerances.get(figure, self.tolerance)


def label_of(name: str, capture: Capturing, planning: Planning) -> str:
    """A name for what is checked, from what differs from the defaults.

    >>> label_of("vit_b_16", Capturing(batch=8), Planning("optimal", device="h100-sxm"))
    'vit_b_16, batch 8, optimal (T), h100-sxm'
    """
    strategy = planning.strategy
    if strategy in READS_RULES:
        strategy = f"{strategy} ({planning.rules})"
    if strategy == "pairs":
        strategy = f"{strategy} ({planning.pair_rules})"
    shapes = " ".join("x".join(map(str, shape)) for shape in capture.input_shapes)
    words = (
        name,
        capture.via and f"via {capture.via}",
        capture.batch and f"batch {capture.batch}",
        capture.dtype,
        shapes,
        capture.seq_len and f"{capture.seq_len} tokens",
        capture.decode and f"decode {capture.decode}",
        capture.train and "train",
        capture.attention and f"attention {capture.attention}",
        strategy,
        planning.on_chip and f"{planning.on_chip:,} bytes on chip",
        planning.objective != "bytes" and f"least {planning.objective}",
        planning.device,
        planning.launch != "eager" and f"launched by {planning.launch}",
        planning.tf32 and "tf32",
    )
    return ", ".join(word for word in words if word)
