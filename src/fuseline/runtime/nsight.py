"""Bytes that a GPU's kernels move, by Nsight Compute, joined to the groups of a plan.

`ncu` runs a command that marks every group with an NVTX range, and reports each kernel's traffic to
device memory and to the L2 cache: small activations stay in L2, so both tiers are of interest.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fuseline.errors import InputError
from fuseline.frontends.sources.sourced import Inputs
from fuseline.runtime.execute import Executable, RunState, run_stage

DRAM_READ, DRAM_WRITTEN, L2 = "dram__bytes_read.sum", "dram__bytes_write.sum", "lts__t_bytes.sum"
METRICS = (DRAM_READ, DRAM_WRITTEN, L2)

_UNITS = {"byte": 1, "Kbyte": 10**3, "Mbyte": 10**6, "Gbyte": 10**9, "Tbyte": 10**12}
_MARK = "fuseline group "
_MARKED = re.compile(rf"{_MARK}(\d+)")
_COLUMNS = ("ID", "Kernel Name", "Metric Name", "Metric Unit", "Metric Value")


@dataclass(frozen=True, slots=True)
class KernelTraffic:
    """One kernel that ran in the range of `place`, a group's place in its plan [bytes]."""

    place: int
    name: str
    dram_read_nbytes: int
    dram_written_nbytes: int
    l2_nbytes: int


@dataclass(frozen=True, slots=True)
class GroupTraffic:
    """What the kernels of one group moved together [bytes]."""

    place: int
    kernels: int
    dram_nbytes: int
    l2_nbytes: int


def profile(command: Sequence[str], *, seconds: float = 600.0) -> tuple[KernelTraffic, ...]:
    """The traffic of every kernel that `command` runs inside a group's range.

    Raises `InputError` where there is no `ncu`, or it fails: reading counters may need a right
    that only an administrator can give.
    """
    ncu = shutil.which("ncu")
    if ncu is None:
        raise InputError("Nsight Compute (ncu) is not on the path: it reads a GPU's counters")
    asked = [
        ncu,
        "--csv",
        "--nvtx",
        "--print-nvtx-rename",
        "kernel",
        "--metrics",
        ",".join(METRICS),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - ncu as found, and our own command
            [*asked, *command], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"Nsight Compute did not end within {seconds:.0f} s") from error
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line.startswith("==ERROR==")]
        last = said[0].removeprefix("==ERROR==") if said else (done.stderr.strip() or "no word why")
        raise InputError(f"Nsight Compute failed: {last.splitlines()[-1].strip()}")
    return read_csv(done.stdout)


def read_csv(text: str) -> tuple[KernelTraffic, ...]:
    """Kernels of `ncu --csv`: a row a kernel and metric, after lines that are no CSV.

    A kernel belongs to the group whose mark any of its cells bears; those without one are left out.

    Raises `InputError` for a table without the columns or metrics that are needed.
    """
    lines = text.splitlines()
    first = next((place for place, line in enumerate(lines) if line.startswith('"ID"')), None)
    if first is None:
        raise InputError("Nsight Compute printed no table of kernels")
    table = csv.DictReader(io.StringIO("\n".join(lines[first:])))
    missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(f"Nsight Compute's table has no column '{missing[0]}'")
    kernels: dict[str, tuple[int, str]] = {}
    figures: dict[str, dict[str, int]] = {}
    for row in table:
        marked = next((m for cell in row.values() if (m := _MARKED.search(cell or ""))), None)
        if marked is None:
            continue
        kernels.setdefault(row["ID"], (int(marked[1]), row["Kernel Name"]))
        figures.setdefault(row["ID"], {})[row["Metric Name"]] = _nbytes(row)
    return tuple(
        KernelTraffic(place, name, *(_figure(figures[number], metric, name) for metric in METRICS))
        for number, (place, name) in kernels.items()
    )


def join(kernels: Sequence[KernelTraffic]) -> Mapping[int, GroupTraffic]:
    """Traffic of each group that launched a kernel, by its place."""
    found: dict[int, GroupTraffic] = {}
    for kernel in kernels:
        before = found.get(kernel.place, GroupTraffic(kernel.place, 0, 0, 0))
        found[kernel.place] = GroupTraffic(
            kernel.place,
            before.kernels + 1,
            before.dram_nbytes + kernel.dram_read_nbytes + kernel.dram_written_nbytes,
            before.l2_nbytes + kernel.l2_nbytes,
        )
    return found


def run_marked(executable: Executable, inputs: Inputs) -> None:
    """One run on CUDA with a range around every group: what `profile`'s command does.

    A run before it goes unmarked, so that compilation and set-up are in no range.
    """
    executable(*inputs[0], **inputs[1])
    torch.cuda.synchronize()
    values = executable.start(*inputs)
    with RunState():
        for stage, run in zip(executable.stages, executable.runs, strict=True):
            with torch.cuda.nvtx.range(f"{_MARK}{stage.place}"):
                run_stage(stage, run, values)
    torch.cuda.synchronize()


def _nbytes(row: Mapping[str, str]) -> int:
    unit, value = row["Metric Unit"], row["Metric Value"].replace(",", "")
    if unit not in _UNITS:
        raise InputError(f"Nsight Compute gives '{row['Metric Name']}' in '{unit}', not in bytes")
    try:
        return round(float(value) * _UNITS[unit])
    except ValueError as error:
        raise InputError(
            f"Nsight Compute has no figure for '{row['Metric Name']}': '{value}'"
        ) from error


def _figure(figures: Mapping[str, int], metric: str, kernel: str) -> int:
    if metric not in figures:
        raise InputError(f"Nsight Compute has no '{metric}' for kernel '{kernel}'")
    return figures[metric]
