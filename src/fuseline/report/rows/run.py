"""A run as rows, and as a JSON document: what was checked and measured of each plan."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fuseline.report.rows import ModelRow

SCHEMA = "fuseline.run/1"


@dataclass(frozen=True, slots=True)
class OutputRow:
    """Outputs held against the model's own.

    `verdict` is `equal` (bit for bit), `close` (within the tolerance), `vacuous`, `not finite` or
    `different`; the last three are no pass, and `reason` says why. `largest` is the largest
    magnitude of the model's own outputs, `max_difference` the largest absolute difference.
    """

    verdict: str
    passes: bool
    max_difference: float | None
    largest: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class SecondsRow:
    """Seconds of the rounds: the least, and the quartiles."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float


@dataclass(frozen=True, slots=True)
class RunRow:
    """One thing that ran: the model (`eager`), a plan, or the whole graph by Inductor.

    `kind` is `model`, `plan`, `compiled plan` or `whole graph`. `relative` is the median seconds
    over those of the model. `predicted_seconds` is the plan's on the device, launches hidden.
    """

    name: str
    kind: str
    groups: int | None
    launches: int | None
    output: OutputRow | None
    seconds: SecondsRow | None
    relative: float | None
    predicted_seconds: float | None


@dataclass(frozen=True, slots=True)
class GroupRunRow:
    """One of a plan's slowest groups: measured beside predicted, by its place in the plan.

    `traffic_bytes` is the model of whole tensors. `dram_bytes` and `l2_bytes` are what a GPU's
    kernels moved, where they were counted.
    """

    plan: str
    group: int
    ops: tuple[str, ...]
    seconds: SecondsRow
    predicted_seconds: float | None
    traffic_bytes: int
    dram_bytes: int | None
    l2_bytes: int | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything `fuseline run` found. `notes` say what was not measured, and why."""

    schema: str
    fuseline: str
    torch: str
    model: ModelRow
    torch_device: str
    device: str | None
    threads: int
    rounds: int
    inputs: int
    seed: int
    tolerance: str
    runs: tuple[RunRow, ...]
    groups: tuple[GroupRunRow, ...]
    notes: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether every plan gave what the model gives."""
        return all(row.output.passes for row in self.runs if row.output is not None)


def encode_run(result: RunResult) -> bytes:
    """The result as an indented JSON document (UTF-8, ends with a newline)."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"
