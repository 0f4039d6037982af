"""A sweep of torchvision's classifiers against single commands: docs/sweep-speed.md.

python benchmarks/sweep.py [--every N]

All 80 classifiers x 3 strategies x 2 devices in one `fuseline sweep`, without its cache of graphs;
beside it the same jobs of every Nth model (8th by default) as single commands, in the same run: one
command a job, and one for all that one command can do, three strategies on a device. What the
driver of 100,000 and of 1,000,000 jobs takes is measured by sweep_scale.py; what a cluster would
take for them is worked out by sweep_plan.py.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import duckdb

import fuseline
from fuseline.frontends.sources import zoos
from processes import run_once
from sweep_plan import plan_section
from sweep_scale import SIZES, scale_section, scaled
from tables import table

REPORT = Path(__file__).resolve().parents[1] / "docs" / "sweep-speed.md"
FUSELINE = str(Path(sys.executable).with_name("fuseline"))
STRATEGIES = ("fusion", "inductor", "optimal")
DEVICES = ("h100-sxm", "jetson-agx-orin-64gb")


def options(flag: str, values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in (flag, value)]


@dataclass(frozen=True, slots=True)
class Swept:
    """One sweep: wall and CPU seconds of driver and workers, and the driver's own peak."""

    seconds: float
    cpu_seconds: float
    driver_mebibytes: float
    worker_mebibytes: float
    rows: int


def sweep(models: tuple[str, ...], out: Path) -> Swept:
    command = [
        FUSELINE, "sweep", "--no-cache", "-o", str(out), *options("--models", models),
        *options("--strategy", STRATEGIES), *options("--device", DEVICES),
    ]  # fmt: skip
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while (waited := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        peak = peak_of(process.pid) or peak
        time.sleep(0.1)
    process.returncode = os.waitstatus_to_exitcode(waited[1])
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    used = waited[2]
    rows = asked(out / "results", "count(*)", "status = 'ok'")
    worker = asked(out / "captures", "max(peak_bytes)", "true")
    return Swept(
        time.monotonic() - started, used.ru_utime + used.ru_stime, peak, worker / 2**20, rows
    )


def asked(folder: Path, what: str, where: str) -> int:
    """One figure of the rows in a folder."""
    query = f"select {what} from read_parquet('{folder}/*.parquet') where {where}"  # noqa: S608 - our own words
    found = duckdb.connect().execute(query).fetchone()
    return int(found[0]) if found else 0


def peak_of(pid: int) -> float | None:
    """The most resident memory that a process has had [MiB], its children apart."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else None


def singles(models: tuple[str, ...]) -> tuple[float, float]:
    """CPU seconds a model: a command a job; and a command for every strategy on one device."""
    each = together = 0.0
    for model in models:
        for device in DEVICES:
            for strategy in STRATEGIES:
                each += cpu(model, (strategy,), device)
            together += cpu(model, STRATEGIES, device)
        click.echo(f"  {model}: single commands measured", err=True)
    return each / len(models), together / len(models)


def cpu(model: str, strategies: tuple[str, ...], device: str) -> float:
    asked = options("--strategy", strategies)
    return run_once([FUSELINE, "partition", model, *asked, "--device", device]).seconds


def document(models: tuple[str, ...], swept: Swept, sample: int, each: float, few: float) -> str:
    mine = swept.cpu_seconds / len(models)
    jobs = len(models) * len(STRATEGIES) * len(DEVICES)
    if swept.rows != jobs:
        raise SystemExit(f"{swept.rows} rows of {jobs}")
    lines = table(
        ("", "CPU s a model", "ratio"),
        [
            ("`fuseline sweep`, one command for all", f"{mine:.2f}", "1"),
            (
                f"single commands, three strategies each ({sample} models)",
                f"{few:.2f}",
                f"{few / mine:.1f}",
            ),
            (f"single commands, a job each ({sample} models)", f"{each:.2f}", f"{each / mine:.1f}"),
        ],
    )
    return "\n".join(lines) + (
        f"\n\n{len(models)} models x {len(STRATEGIES)} strategies x {len(DEVICES)} devices = "
        f"{jobs} jobs, every one with its row: {swept.seconds:.0f} s on {os.cpu_count()} cores, "
        f"{len(models) / swept.seconds * 60:.0f} models a minute, {swept.cpu_seconds:.0f} CPU "
        f"seconds in all. Peak memory: driver {swept.driver_mebibytes:.0f} MiB, largest worker "
        f"{swept.worker_mebibytes:.0f} MiB.\n\nAt least 4x less CPU than a command a job: "
        f"{'met' if each >= 4 * mine else '**missed**'}; than a command "
        f"for all strategies on a device: {'met' if few >= 4 * mine else '**missed**'}.\n"
    )  # fmt: skip


@click.command(help=__doc__)
@click.option("--every", default=8, show_default=True, help="Single commands of every Nth model.")
def main(every: int) -> None:
    models = tuple(zoos.torchvision_names(""))
    with tempfile.TemporaryDirectory() as folder:
        swept = sweep(models, Path(folder) / "out")
    sample = models[::every]
    each, few = singles(sample)
    sizes = [scaled(jobs) for jobs in SIZES]
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchvision", "pebble")
    )
    REPORT.write_text(
        "# What a sweep costs\n\n"
        f"Written by `make bench` (benchmarks/sweep.py) on {datetime.now(UTC):%Y-%m-%d}, "
        f"{os.cpu_count()} cores, fuseline {fuseline.__version__}, {versions}.\n\n"
        "## Against single commands\n\n"
        + document(models, swept, len(sample), each, few)
        + scale_section(sizes)
        + plan_section(sizes[-1])
    )


if __name__ == "__main__":
    main()
