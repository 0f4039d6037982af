"""This machine as a device: its peaks, and the rates of its kernels, from microbenchmarks alone.

1. Peaks: a large product a dtype, a copy far beyond the caches, arithmetic in the near cache, and
   the smallest op there is.
2. Rates: some 500 single ops of made-up shapes, in passes; of each the least time; a row for each
   class of kernels is fitted to its ops (`calibrate_fit.py`).

No model is run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fuseline.costs.kernel_classes import kernel_class
from fuseline.costs.rated import op_amounts
from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends import write_script
from fuseline.frontends.sources.inputs import prepare
from fuseline.frontends.sources.sourced import Options
from fuseline.fusion import partition
from fuseline.hardware.rates import KernelClass
from fuseline.runtime.calibrate_bench import Bench, Micro, micros
from fuseline.runtime.calibrate_fit import Fit, Sample, fit
from fuseline.runtime.calibrate_machine import Machine, this_machine
from fuseline.runtime.calibrate_timing import clock_for, steady, time_groups
from fuseline.runtime.execute import execute_script

DTYPES = ("float32", "bfloat16", "float16", "float64")
"""What can be calibrated."""

Report = Callable[[str, float], None]
"""Told what is measured, and the share of it that is done."""

SECONDS = 25.0
"""Most time for the passes of one dtype; peaks take shares of it."""

_SIDE = 1500  # of the matrices whose product gives the peak
_COPIED_NBYTES = 400_000_000
_NEAR_ELEMENTS = 60_000  # two such vectors lie in a near cache
_PASSES = 40


@dataclass(frozen=True, slots=True)
class FittedRate:
    """A row: its class and dtype, the fit, and how many microbenchmarks it rests on."""

    kernel: KernelClass
    dtype: str
    fit: Fit
    samples: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured. Rates are per second; `gemm_flops` and `vector_flops` by dtype."""

    machine: Machine
    threads: int
    torch: str
    gemm_flops: tuple[tuple[str, float], ...]
    vector_flops: tuple[tuple[str, float], ...]
    copy_bandwidth: float
    launch_seconds: float
    near_nbytes: int
    rates: tuple[FittedRate, ...]


def calibrate(
    dtypes: tuple[str, ...] = ("float32",),
    threads: int | None = None,
    *,
    seconds: float | None = None,
    report: Report | None = None,
    benchmarks: tuple[Micro, ...] | None = None,
) -> Calibration:
    """Measure this machine's CPU.

    Args:
        dtypes: what to measure rates for, of `DTYPES`.
        threads: those that torch runs on; its own default where None.
        seconds: most time for the passes of each dtype, beside about 10 to get ready; `SECONDS`
            where None.
        report: told how far it is.
        benchmarks: other microbenchmarks than `micros()`.

    Raises:
        InputError: an unknown dtype, no thread, or ops that do not run here in that dtype.
    """
    for dtype in dtypes:
        if dtype not in DTYPES:
            hint = did_you_mean(dtype, DTYPES) or f": one of {', '.join(DTYPES)}"
            raise InputError(f"cannot calibrate '{dtype}'{hint}")
    threads = torch.get_num_threads() if threads is None else threads
    if threads < 1:
        raise InputError(f"--threads is {threads}: at least 1")
    tell = report or (lambda _what, _share: None)
    seconds = SECONDS if seconds is None else seconds
    machine = this_machine()
    near = machine.near_nbytes_per_core * threads
    with steady(threads), torch.inference_mode():
        tell("peaks", 0.0)
        gemm = tuple((dtype, _gemm_peak(dtype, seconds)) for dtype in dict.fromkeys(dtypes))
        vector = tuple((dtype, _vector_peak(dtype, seconds)) for dtype in ("float32",))
        bandwidth, launch = _copy_bandwidth(seconds), _launch_seconds(seconds)
    rates: list[FittedRate] = []
    for dtype in dict.fromkeys(dtypes):
        with foreign_code(f"'{dtype}' cannot be calibrated on this machine"), steady(threads):
            samples = _samples(dtype, benchmarks or micros(), seconds, tell)
        rates += (
            FittedRate(kernel, dtype, fit(found, near), len(found))
            for kernel, found in samples.items()
        )
    version = str(torch.__version__)
    return Calibration(
        machine, threads, version, gemm, vector, bandwidth, launch, near, tuple(rates)
    )


def _samples(
    dtype: str, benchmarks: tuple[Micro, ...], seconds: float, tell: Report
) -> dict[KernelClass, list[Sample]]:
    """Every microbenchmark's amounts and least seconds, by class."""
    tell(f"{dtype} kernels", 0.0)
    bench = Bench(benchmarks, getattr(torch, dtype)).eval()
    script = write_script(
        prepare(bench, bench.examples, Options(), name="microbenchmarks", source="python")
    )
    graph = script.graph
    plan = partition(graph, "unfused")
    best = time_groups(
        execute_script(plan, script, bench),
        (bench.examples, {}),
        passes=_PASSES,
        seconds=seconds,
        produced=True,
        report=lambda share: tell(f"{dtype} kernels", share),
    )
    found: dict[KernelClass, list[Sample]] = defaultdict(list)
    for group, took in zip(plan.groups, best, strict=True):
        op = graph.ops[group.ops[0]]
        kernel = kernel_class(graph, op) if op.is_compute else None
        if kernel is not None:
            found[kernel].append(Sample(op_amounts(graph, op), took))
    return dict(sorted(found.items(), key=lambda item: list(KernelClass).index(item[0])))


# --- peaks ------------------------------------------------------------------------------------


def _gemm_peak(dtype: str, seconds: float) -> float:
    """FLOP/s of a large square product."""
    with foreign_code(f"'{dtype}' cannot be multiplied on this machine"):
        a = torch.rand(_SIDE, _SIDE).to(getattr(torch, dtype))
        b = torch.rand(_SIDE, _SIDE).to(getattr(torch, dtype))
        return 2 * _SIDE**3 / _least(lambda: torch.mm(a, b), passes=12, seconds=seconds / 8)


def _vector_peak(dtype: str, seconds: float) -> float:
    """Operations/s of a multiplication of numbers that lie in the near cache."""
    x = torch.rand(_NEAR_ELEMENTS, dtype=getattr(torch, dtype))
    out = torch.empty_like(x)
    took = _least(lambda: torch.mul(x, x, out=out), passes=3000, seconds=seconds / 12)
    return _NEAR_ELEMENTS / took


def _copy_bandwidth(seconds: float) -> float:
    """Bytes/s read and written by a copy that no cache holds."""
    source = torch.ones(_COPIED_NBYTES // 4)
    target = torch.zeros_like(source)
    took = _least(lambda: target.copy_(source), passes=12, seconds=seconds / 12)
    return 2 * source.nbytes / took


def _launch_seconds(seconds: float) -> float:
    """Seconds of an addition of one number to another: all of it overhead."""
    x = torch.ones(1)
    return _least(lambda: torch.add(x, x), passes=20_000, seconds=seconds / 50)


def _least(call: Callable[[], object], *, passes: int, seconds: float) -> float:
    """The least seconds of one call."""
    clock, begin, best = clock_for(torch.get_num_threads()), time.perf_counter(), float("inf")
    call()
    for _ in range(passes):
        start = clock()
        call()
        best = min(best, clock() - start)
        if time.perf_counter() - begin > seconds:
            break
    return best
