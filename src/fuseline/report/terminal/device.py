"""What a device makes of plans, in a terminal."""

from __future__ import annotations

from rich.console import Console

from fuseline.report.rows import PlanRow, Result
from fuseline.report.rows.device import PeakRow, RooflineRow
from fuseline.report.terminal import print_pairs, print_table
from fuseline.report.units import giga, megabytes, microseconds, percent


def print_device(console: Console, plan: PlanRow) -> None:
    """Seconds, what bounds them, the cache and the memory of one plan; and what is proven of it."""
    if plan.proof is not None:
        print_pairs(console, "Proof", [("bound", plan.proof.sentence)])
    if plan.roofline is None:
        return
    time = plan.roofline
    pairs = [
        ("time", f"{microseconds(time.summed_seconds)} us, every launch counted in full"),
        ("launches hidden", _pipelined(time)),
        ("contractions", f"{time.attained_fraction:.1%} of their peak over that time"),
        *((f"peak {peak.dtype}", _peak(peak)) for peak in time.peaks),
    ]  # fmt: skip
    if time.cache is not None:
        pairs.append(("last-level cache", _cache(time)))
    if plan.memory is not None:
        pairs.append(("memory", plan.memory.sentence))
    pairs += [("note", said) for said in _left_out(time)]
    print_pairs(console, f"On {time.device}, launched by {time.launch}", pairs)


def _peak(peak: PeakRow) -> str:
    rate = giga(round(peak.flops_per_second))
    return f"{rate} GFLOP/s, ridge {peak.ridge_point:,.0f} FLOP/byte ({peak.how})"


def _pipelined(time: RooflineRow) -> str:
    if time.launch == "graph":
        return "none: a replayed graph pays each in full"
    return (
        f"{microseconds(time.pipelined_seconds)} us where the host runs ahead, "
        f"{microseconds(time.device_seconds)} us of it work"
    )


def _cache(time: RooflineRow) -> str:
    cache = time.cache
    if cache is None:
        return ""
    seconds = "its bandwidth is in no source"
    if cache.seconds is not None:
        seconds = f"{microseconds(cache.seconds)} us then"
    return (
        f"{megabytes(cache.hit_bytes)} MB read from its {megabytes(cache.capacity_bytes)} MB, "
        f"{megabytes(cache.memory_bytes)} MB left to memory; {seconds}"
    )


def _left_out(time: RooflineRow) -> list[str]:
    said = []
    if time.unknown_ops:
        said.append(f"times leave out the work of {time.unknown_ops} unknown ops")
    if time.launches_without_vector_rate:
        count = time.launches_without_vector_rate
        said.append(f"other work of {count} launches is left out: no source gives its rate")
    return said


def print_times(console: Console, result: Result) -> None:
    """Strategies side by side on the device: seconds, what bounds them, whether they fit."""
    timed = [(plan, plan.roofline) for plan in result.plans if plan.roofline is not None]
    if not timed:
        return
    terms = ("compute", "vector", "bandwidth", "launch", "unknown")
    shown = [
        term
        for term in terms
        if any(share.bottleneck == term for _, time in timed for share in time.shares)
    ]
    first = timed[0][1]
    lines = []
    for plan, time in timed:
        counts = {share.bottleneck: share.launches for share in time.shares}
        cache = "-" if time.cache is None else megabytes(time.cache.memory_bytes)
        lines.append(
            (
                plan.label,
                microseconds(time.summed_seconds),
                microseconds(time.pipelined_seconds),
                percent(round(time.pipelined_seconds * 1e12),
                        round(first.pipelined_seconds * 1e12)),
                f"{time.attained_fraction:.1%}",
                *(str(counts.get(term, 0)) for term in shown),
                cache,
                "-" if plan.memory is None else ("yes" if plan.memory.fits else
                                                 "?" if plan.memory.fits is None else "no"),
            )
        )  # fmt: skip
    columns = ("strategy", "us summed", "us pipelined", f"of {timed[0][0].label}", "of peak",
               *(f"{term}-bound" for term in shown), "MB past cache", "fits")  # fmt: skip
    print_table(console, f"On {first.device}, launched by {first.launch}", columns, lines)
