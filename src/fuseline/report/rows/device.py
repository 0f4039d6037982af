"""What a device makes of a plan, and what is proven about it, as rows."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.costs import Fit, PlanTime
from fuseline.plan import Proof
from fuseline.report.units import count_of, fraction


@dataclass(frozen=True, slots=True)
class PeakRow:
    """The rate at which contractions of a dtype were priced, and how the device reaches it."""

    dtype: str
    flops_per_second: float
    how: str
    ridge_point: float


@dataclass(frozen=True, slots=True)
class ShareRow:
    """Launches that one bottleneck bounds, and their seconds together."""

    bottleneck: str
    launches: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheRow:
    """The last-level cache as a second tier: bytes read from it, bytes that still cross to device
    memory. `seconds` (pipelined) is null where no source gives the cache's bandwidth.
    """

    capacity_bytes: int
    hit_bytes: int
    memory_bytes: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RooflineRow:
    """A plan's time. `summed_seconds` adds every launch overhead; in `pipelined_seconds` those are
    hidden that pass while the device works, where they do at all (`overlapped`). `rated`: by rates
    measured on the device, terms added, and so no lower bound; else by its peaks.
    `attained_fraction` is of the contractions' peak.
    """

    device: str
    launch: str
    rated: bool
    overlapped: bool
    device_seconds: float
    summed_seconds: float
    pipelined_seconds: float
    attained_fraction: float
    unknown_ops: int
    launches_without_vector_rate: int
    peaks: tuple[PeakRow, ...]
    shares: tuple[ShareRow, ...]
    cache: CacheRow | None


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """What a plan needs of the device's memory; `fits` is null where its capacity is not known."""

    parameter_bytes: int
    activations_peak_bytes: int
    input_bytes: int
    total_bytes: int
    capacity_bytes: int | None
    fits: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class ProofRow:
    """What is proven of a searched plan: `bound` is the least `objective` (bytes or picoseconds)
    of any partition legal under the rules; `gap` is (value - bound) / bound.
    """

    rules: str
    on_chip_bytes: int | None
    objective: str
    value: int
    bound: int | None
    gap: float | None
    is_optimal: bool
    candidates: int
    cuts: int
    sentence: str


def roofline_row(time: PlanTime) -> RooflineRow:
    """A plan's time as a row."""
    rated = any(group.is_rated for group in time.groups)
    cache = None
    if time.cache is not None:
        hits = sum(time.cache.hit_nbytes)
        tier = time.cache
        cache = CacheRow(tier.capacity_nbytes, hits, tier.memory_nbytes, tier.pipelined_seconds)
    return RooflineRow(
        device=time.device,
        launch=time.launch,
        rated=rated,
        overlapped=time.pipelined_seconds < time.summed_seconds,
        device_seconds=time.device_seconds,
        summed_seconds=time.summed_seconds,
        pipelined_seconds=time.pipelined_seconds,
        attained_fraction=time.attained_fraction,
        unknown_ops=time.unknown_ops,
        launches_without_vector_rate=time.groups_without_vector_rate,
        peaks=tuple(
            PeakRow(peak.dtype, peak.flops_per_second, peak.how, peak.ridge_point)
            for peak in time.peaks
        ),
        shares=tuple(
            ShareRow(share.bottleneck.value, share.groups, share.seconds) for share in time.shares
        ),
        cache=cache,
    )


def memory_row(fit: Fit) -> MemoryRow:
    """What a plan needs of memory as a row."""
    return MemoryRow(
        fit.parameters,
        fit.activations_peak,
        fit.inputs,
        fit.total,
        fit.capacity,
        fit.fits,
        fit.sentence,
    )


def proof_row(proof: Proof, compulsory: int) -> ProofRow:
    """What is proven, in figures and in a sentence; compulsory bytes are a bound in any case."""
    bound = proof.bound
    if proof.objective == "bytes":
        bound = max(proof.bound or 0, compulsory)
    gap = (proof.value - bound) / bound if bound else None
    return ProofRow(
        rules=proof.rules,
        on_chip_bytes=proof.on_chip,
        objective=proof.objective,
        value=proof.value,
        bound=bound,
        gap=gap,
        is_optimal=proof.is_optimal or gap == 0,
        candidates=proof.groups,
        cuts=proof.cuts,
        sentence=_sentence(proof, gap),
    )


def _sentence(proof: Proof, gap: float | None) -> str:
    within = f"rules {proof.rules}"
    if proof.on_chip is not None:
        within += f" and {proof.on_chip:,} bytes on chip"
    what = "moves fewer bytes" if proof.objective == "bytes" else "takes less time"
    if proof.is_optimal or gap == 0:
        return (
            f"optimal: no partition legal under {within} {what} (no op computed twice, traffic by "
            f"whole tensors); {count_of(proof.groups, 'group')} weighed"
        )
    if gap is None:
        return f"not proven: the search under {within} ended early, and has no bound"
    whole = "" if proof.is_complete else ", and not every group was looked at"
    return f"not proven optimal under {within}: within {fraction(gap)} of what any can do{whole}"
