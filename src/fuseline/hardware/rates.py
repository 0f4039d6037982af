"""Measured rates: what a kernel of each class costs on a device, term by term.

A data sheet says what no kernel reaches, and how far each stays below it differs: a depthwise
convolution reaches a tenth of the rate of a dense one. A calibrated device has a row a class:

    seconds = launch + FLOPs / a + other FLOPs / b + rows / c + bytes read / d + parameter bytes / e
              + bytes written / f + (all bytes - near_nbytes, where positive) / g

The terms add up: on a CPU the same cores compute and move. Rows are those of a reduction: elements
that share one statistic. The last term is what a kernel pays for moving more than the near cache
holds. A rate that is None costs nothing beside the others.
`fuseline calibrate` fits the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.hardware.source import Source


class KernelClass(Enum):
    """Kernels that a library runs alike. The values are the names in device files."""

    CONVOLUTION = "convolution"  # dense, a window of more than one tap
    THIN_CONVOLUTION = "thin_convolution"  # dense, of a few input channels: a network's first
    POINTWISE_CONVOLUTION = "pointwise_convolution"
    DEPTHWISE_CONVOLUTION = "depthwise_convolution"
    GROUPED_CONVOLUTION = "grouped_convolution"
    LINEAR = "linear"  # rows times one matrix
    MATMUL = "matmul"  # a matrix for every batch
    ATTENTION = "attention"
    ARITHMETIC = "arithmetic"  # add, multiply, compare, into a new tensor
    ARITHMETIC_IN_PLACE = "arithmetic_in_place"
    ACTIVATION = "activation"  # clamps and their kin, into a new tensor
    ACTIVATION_IN_PLACE = "activation_in_place"
    HARDSWISH = "hardswish"  # piecewise polynomials
    GELU = "gelu"
    SIGMOID = "sigmoid"  # one exponential an element
    TANH = "tanh"
    POWER = "power"
    BATCHNORM = "batchnorm"
    LAYERNORM = "layernorm"
    SOFTMAX = "softmax"
    REDUCTION = "reduction"
    MAXPOOL = "maxpool"
    AVGPOOL = "avgpool"
    ADAPTIVE_POOL = "adaptive_pool"
    COPY = "copy"  # runs of neighbours stay together
    TRANSPOSITION = "transposition"  # the last dimension of what is read is not the fastest
    SHIFT = "shift"  # pad, roll
    CONCATENATION = "concatenation"
    GATHER = "gather"


RATE_KEYS = (
    "flops_per_second",
    "other_flops_per_second",
    "rows_per_second",
    "reads_bytes_per_second",
    "parameters_bytes_per_second",
    "writes_bytes_per_second",
    "far_bytes_per_second",
)
"""What a row may give besides its launch: `Rate`'s fields and `Amounts.terms`, in their order."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a kernel does: work [FLOP], rows, and bytes moved, each priced at a rate of its own."""

    flops: int
    other_flops: int
    rows: int
    reads: int
    parameters: int
    writes: int

    def far(self, near_nbytes: int) -> int:
        """Bytes moved beyond what the near cache holds."""
        return max(0, self.reads + self.parameters + self.writes - near_nbytes)

    def terms(self, near_nbytes: int) -> tuple[int, ...]:
        """What each rate of `RATE_KEYS` prices, in that order."""
        worked = (self.flops, self.other_flops, self.rows)
        return (*worked, self.reads, self.parameters, self.writes, self.far(near_nbytes))


@dataclass(frozen=True, slots=True)
class Rate:
    """One row: the terms of a kernel of class `kernel` that computes in `dtype`.

    `launch_seconds` is what the smallest such kernel takes. `note` says what it was fitted to.
    """

    kernel: KernelClass
    dtype: str
    launch_seconds: float
    flops_per_second: float | None
    other_flops_per_second: float | None
    rows_per_second: float | None
    reads_bytes_per_second: float | None
    parameters_bytes_per_second: float | None
    writes_bytes_per_second: float | None
    far_bytes_per_second: float | None
    near_nbytes: int
    source: Source
    note: str = ""

    def figures(self) -> tuple[float | None, ...]:
        """The rates, in the order of `RATE_KEYS`."""
        return (
            self.flops_per_second,
            self.other_flops_per_second,
            self.rows_per_second,
            self.reads_bytes_per_second,
            self.parameters_bytes_per_second,
            self.writes_bytes_per_second,
            self.far_bytes_per_second,
        )

    def work_seconds(self, amounts: Amounts) -> tuple[float, float]:
        """Seconds of FLOPs, and of other FLOPs and rows."""
        return (
            _term(amounts.flops, self.flops_per_second),
            _term(amounts.other_flops, self.other_flops_per_second)
            + _term(amounts.rows, self.rows_per_second),
        )

    def memory_seconds(self, amounts: Amounts) -> float:
        """Seconds of bytes read, of parameters, of bytes written and of far bytes, together."""
        return (
            _term(amounts.reads, self.reads_bytes_per_second)
            + _term(amounts.parameters, self.parameters_bytes_per_second)
            + _term(amounts.writes, self.writes_bytes_per_second)
            + _term(amounts.far(self.near_nbytes), self.far_bytes_per_second)
        )

    def seconds(self, amounts: Amounts) -> float:
        """All terms of one kernel.

        >>> from fuseline.hardware.source import Source
        >>> source = Source("me", "measured", "", "2026")
        >>> rates = (1e9, None, None, 1e9, 5e8, None, 1e8)
        >>> row = Rate(KernelClass.LINEAR, "float32", 1e-6, *rates, near_nbytes=1800, source=source)
        >>> round(row.seconds(Amounts(4000, 7, 0, 1000, 1000, 0)) * 1e6, 3)  # 1 + 4 + 1 + 2 + 2 us
        10.0
        """
        return self.launch_seconds + sum(self.work_seconds(amounts)) + self.memory_seconds(amounts)


def _term(amount: int, rate: float | None) -> float:
    return 0.0 if rate is None else amount / rate
