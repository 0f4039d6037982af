"""A million jobs on a cluster, on paper: from what the zoo took, and from the simulated driver.

Nothing here is measured anew: captures are those of docs/zoo (`make zoo`), the driver is
sweep_scale.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from sweep_scale import Scaled
from tables import section, table

ZOO = Path(__file__).resolve().parents[1] / "docs" / "zoo"
JOBS = 1_000_000
CPUS = (16, 64, 256, 1024)
RAY_SECONDS = 0.0012  # of the driver's CPU, a task: measured for docs/cluster.md
DOLLARS_A_CPU_HOUR = 0.05  # an assumption, to be replaced by your own
GRAPH_NBYTES = 64_000  # the mean of 2,262 graphs of the zoo, as they lie in the cache


@dataclass(frozen=True, slots=True)
class Zoo:
    """What the sweep of the zoos took."""

    captures: int
    jobs: int
    cpu_seconds: float
    longest_seconds: float
    slow_share: float  # of the CPU seconds, by the slowest hundredth of the captures
    peak_gigabytes: float
    cached: int  # captures whose graph was there already


def zoo() -> Zoo:
    query = f"""
        with c as (select *, row_number() over (order by cpu_seconds desc) as place
                   from read_parquet('{ZOO}/captures/*.parquet'))
        select count(*), sum(jobs), sum(cpu_seconds), max(seconds),
            sum(cpu_seconds) filter (place <= (select count(*) from c) / 100) / sum(cpu_seconds),
            max(peak_bytes) / 1e9, count(*) filter (cached)
        from c"""  # noqa: S608 - our own path
    found = duckdb.connect().execute(query).fetchone()
    if found is None:
        raise SystemExit(f"{ZOO} has no captures: make zoo")
    return Zoo(*found)


def row(cpus: int, work: float, driver: float, longest: float) -> tuple[str, ...]:
    """Wall time on so many CPUs: the work shared out, the driver alone, or the longest capture."""
    bounds = {"the work": work / cpus, "the driver": driver, "the longest capture": longest}
    name = max(bounds, key=bounds.__getitem__)
    return f"{cpus:,}", f"{bounds[name] / 3600:.2f}", name


@section
def plan_section(driven: Scaled) -> Iterator[str]:
    took = zoo()
    captures = JOBS * took.captures / took.jobs
    work = captures * took.cpu_seconds / took.captures
    keeping = JOBS * driven.cpu_seconds / driven.jobs
    driver = keeping + captures * RAY_SECONDS
    yield "\n## A million jobs on a cluster, on paper\n"
    yield (
        f"The [zoo](zoo.md) took {took.cpu_seconds:,.0f} CPU seconds in its workers for "
        f"{took.captures:,} captures and {took.jobs:,} jobs: "
        f"{took.cpu_seconds / took.captures:.1f} a capture of "
        f"{took.jobs / took.captures:.0f} jobs. Of {took.cached:,} the graph was in the cache: a "
        f"first sweep takes longer for those. {JOBS:,} jobs like these are {captures:,.0f} "
        f"captures and {work / 3600:,.0f} CPU hours ({work / 3600 * DOLLARS_A_CPU_HOUR:,.0f} "
        f"dollars where a CPU hour costs {DOLLARS_A_CPU_HOUR}: an assumption). Their rows are "
        f"{JOBS * driven.result_nbytes / driven.jobs / 1e9:.2f} GB of Parquet, and "
        f"{JOBS * driven.folder_nbytes / driven.jobs / 1e9:.2f} GB with the state. The driver "
        f"takes {keeping:,.0f} CPU seconds for the store (making the rows included, which workers "
        f"do in truth) and {captures * RAY_SECONDS:,.0f} for Ray.\n"
    )
    yield from table(
        ("CPUs", "hours", "bound by"),
        [row(cpus, work, driver, took.longest_seconds) for cpus in CPUS],
    )
    yield (
        "\nWhat would break first, in this order:\n\n"
        f"1. **The tail.** The slowest hundredth of the captures took {took.slow_share:.0%} of "
        f"the CPU seconds, the longest {took.longest_seconds:.0f} s. Captures are handed out in "
        "the order of their names, so that a giant may come last, and the others wait.\n"
        f"2. **Memory of the workers.** The largest held {took.peak_gigabytes:.1f} GB: "
        "`--job-memory` is on top of what the tasks before have left it with. A machine may meet "
        "several at once: give Ray fewer CPUs.\n"
        f"3. **The cache of graphs**, at about {GRAPH_NBYTES / 1000:.0f} kB each "
        f"{captures * GRAPH_NBYTES / 1e9:.1f} GB: more than its 2 GB, so that the oldest go. It "
        "serves later sweeps; this one needs none (`--no-cache`).\n"
        f"4. **The driver**, one process: from {work / driver:,.0f} CPUs it is the slower part. "
        "Several sweeps into several folders, whose files one query reads together, share it "
        "out.\n"
        "5. **The head of the cluster**, if it is lost: the sweep ends, and the same command goes "
        f"on; {driven.again_seconds:.1f} s for {driven.jobs:,} jobs, in proportion to them."
    )
