"""Figures in words: what a plan comes to, and what was assumed. Each sentence says what it counts,
and every percentage stands beside the two totals it is made of.
"""

from __future__ import annotations

from fuseline.costs import BANDS
from fuseline.hardware.device import Basis
from fuseline.report.rows.best import best_searched
from fuseline.report.rows.data import PlanRow, Result, Target
from fuseline.report.rows.device import RooflineRow
from fuseline.report.rows.doubts import doubts
from fuseline.report.units import count_of, giga, intensity, percent, size_in_words, time_in_words

_FLOPS = (
    "FLOPs are 2 x multiply-accumulates of contractions and attention; elementwise work, norms and "
    "pooling are other FLOPs, never mixed in."
)
_TRAFFIC = (
    "Traffic is by whole tensors, to and from device memory, nothing kept between kernels: the "
    "least that one kernel can move. A tiled kernel may read an operand again."
)

_EDGES = ", ".join(f"{above:g}" for _, above, _ in reversed(BANDS) if above)
"""Where one band of intensity ends and the next begins."""


def headlines(plan: PlanRow, result: Result) -> tuple[str, ...]:
    """What matters about one plan: launches, bytes, the bound, time, and what is not known."""
    said = [_launches(plan), _traffic(plan), _bound(plan, result), *_time(plan)]
    return (*said, *_doubts(plan))


def _launches(plan: PlanRow) -> str:
    fewer = plan.unfused_launches - plan.launches
    launches = count_of(plan.launches, "launch", "es")
    if not fewer:
        return f"{launches}, as many as without fusion."
    share = percent(abs(fewer), plan.unfused_launches)
    how = "fewer" if fewer > 0 else "more"
    return f"{launches} instead of {plan.unfused_launches:,}: {share} {how}."


def _traffic(plan: PlanRow) -> str:
    moved = f"{size_in_words(plan.traffic_bytes)} move to or from device memory"
    if not plan.saved_bytes:
        return f"{moved}, as without fusion."
    share = percent(abs(plan.saved_bytes), plan.unfused_traffic_bytes)
    how = "less" if plan.saved_bytes > 0 else "more"
    return f"{moved} instead of {size_in_words(plan.unfused_traffic_bytes)}: {share} {how}."


def _bound(plan: PlanRow, result: Result) -> str:
    least = result.graph.compulsory_bytes
    above = plan.traffic_bytes - least
    said = f"{size_in_words(least)} any partition must move; this one moves "
    said += f"{size_in_words(above)} more"
    if plan.proof is not None:
        searched = "It is" if plan.proof.objective == "bytes" else "In seconds it is"
        return f"{said}. {searched} {plan.proof.sentence}."
    best = best_searched(result.plans)
    if best is None or not best.traffic_bytes:
        return f"{said}."
    over = plan.traffic_bytes - best.traffic_bytes
    how = "above" if over >= 0 else "below"
    share = percent(abs(over), best.traffic_bytes)
    why = f": {_how_below(plan, best)}" if over < 0 else ""
    apart, theirs = map(size_in_words, (abs(over), best.traffic_bytes))
    return f"{said}, {apart} ({share}) {how} the {theirs} of '{best.label}'{why}."


def _how_below(plan: PlanRow, best: PlanRow) -> str:
    """How a plan can move less than the plan of a search."""
    if plan.kind == "cover":
        return "it computes some ops more than once"
    if best.proof is not None and not best.proof.is_optimal:
        return "that search ended early"
    return "it holds groups that those rules forbid"


def _time(plan: PlanRow) -> list[str]:
    time = plan.roofline
    if time is None:
        counts = ", ".join(f"{count} {band}" for band, count in plan.bottlenecks.counts.items())
        return [f"By FLOPs a byte, launches are: {counts}." if counts else "Nothing is launched."]
    shares = "; ".join(
        f"{share.bottleneck} {count_of(share.launches, 'launch', 'es')}, "
        f"{time_in_words(share.seconds)}"
        for share in sorted(time.shares, key=lambda share: -share.seconds)
    )
    return [_seconds(time), f"What bounds them: {shares}." if shares else "Nothing is launched."]


def _seconds(time: RooflineRow) -> str:
    summed = time_in_words(time.summed_seconds)
    if time.rated:
        return f"{summed} on {time.device}, by rates measured on it, kernel after kernel."
    if not time.overlapped:
        return f"At least {summed} on {time.device}, kernel after kernel."
    return (
        f"At least {time_in_words(time.pipelined_seconds)} on {time.device} where launches "
        f"overlap the device's work; {summed} one after the other."
    )


def _doubts(plan: PlanRow) -> list[str]:
    said = [f"{clause[:1].upper()}{clause[1:]}." for clause in doubts(plan)]
    if plan.illegal_groups:
        groups = count_of(plan.illegal_count or 0, "group")
        theirs, saved = map(size_in_words, (plan.illegal_saved_bytes, plan.saved_bytes))
        said.append(
            f"{groups} of these are no kernel under {_rules_of(plan)}; of the {saved} saved "
            f"{theirs} are theirs."
        )
    if plan.extra_launches:
        kernels = count_of(plan.extra_launches, "kernel")
        moved = size_in_words(plan.extra_traffic_bytes)
        said.append(f"{kernels} of these compute no op of the model and move {moved}.")
    return said


def _rules_of(plan: PlanRow) -> str:
    """The rung by which groups are judged: that of the search, or else T."""
    return f"rules {plan.proof.rules}" if plan.proof else "rules T of the ladder"


def assumptions(result: Result, target: Target | None) -> tuple[str, ...]:
    """What every figure of a report rests on."""
    model, graph = result.model, result.graph
    said = [
        f"Captured via {model.via} in {model.mode} mode, batch {model.batch}, {model.dtype}.",
        *(f"{note[:1].upper()}{note[1:]}." for note in model.notes),
        _FLOPS,
        _TRAFFIC,
    ]
    if graph.causal_flops != graph.flops:
        said.append(
            f"Causal attention is counted in full; {graph.causal_flops:,} FLOPs where masks let it "
            "look."
        )
    if graph.folded_ops:
        count = sum(row.count for row in graph.folded_ops)
        once = f"{count_of(count, 'compute op')} that need no input run once, ahead of time"
        if graph.folded_flops:
            once += f"; their {giga(graph.folded_flops)} GFLOP are in the model's and in no plan's"
        said.append(f"{once}.")
    if target is None:
        said.append(
            f"No device was named: groups are in bands of FLOP/byte ({_EDGES}), not in seconds."
        )
    else:
        said.extend(_device(target, result))
    return tuple(said)


def _device(target: Target, result: Result) -> list[str]:
    device = target.device
    times = [plan.roofline for plan in result.plans if plan.roofline]
    rated = any(time.rated for time in times)
    said = [
        (
            f"Times are by rates measured on {device.title}, for each class of kernels: launch, "
            "FLOPs, other FLOPs, rows and bytes added up. They are estimates, no lower bound."
            if rated
            else f"Times are a roofline of {device.title}, a lower bound: the largest of FLOPs / "
            "peak, other FLOPs / vector peak and bytes / bandwidth, and the launch."
        ),
        "Launches are issued one by one (eager)."
        if target.launch == "eager"
        else f"Launches are by '{target.launch}'.",
    ]
    if times and not rated:
        said.extend(
            f"Contractions of {peak.dtype} at {peak.flops_per_second / 1e12:,.1f} TFLOP/s "
            f"({peak.how}), ridge point {intensity(peak.ridge_point)} FLOP/byte."
            for peak in times[0].peaks
        )
    assumed = sum(figure.basis is Basis.ASSUMED for figure in device.figures)
    if assumed:
        said.append(
            f"Of this device's {len(device.figures)} figures {assumed} "
            f"{'is' if assumed == 1 else 'are'} assumed: no source gives "
            f"{'it' if assumed == 1 else 'them'}."
        )
    return said
