"""A calibration as a device file."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fuseline.hardware.rates import RATE_KEYS
from fuseline.runtime.calibrate import Calibration, FittedRate

NAME = "calibrated-cpu"
_DIGITS = 4


def device_toml(found: Calibration, date: str) -> str:
    """The device file of what was measured on `date` (YYYY-MM-DD); `load_device` reads it."""
    return "\n".join((*_head(found, date), *_figures(found), *_rows(found)))


def _head(found: Calibration, date: str) -> Iterable[str]:
    machine = found.machine
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    said = f"measured by fuseline calibrate, torch {found.torch}, {threads}"
    yield f'name = "{NAME}"'
    yield f"title = {_text(f'{machine.model}, {threads}')}"
    yield f"vendor = {_text(machine.vendor)}"
    yield 'kind = "cpu"'
    yield f"architecture = {_text(machine.architecture)}"
    yield f"year = {date[:4]}"
    yield "notes = ["
    yield '    "Peaks and rates are what torch reaches here, not what the hardware could.",'
    yield "]"
    yield ""
    yield "[sources.calibrate]"
    yield f"title = {_text(said)}"
    yield f'date = "{date}"'
    yield ""
    yield "[sources.system]"
    yield 'title = "what the operating system says of this machine"'
    yield f'date = "{date}"'
    yield ""


def _figures(found: Calibration) -> Iterable[str]:
    yield "[matrix_ops_per_second]"
    for dtype, rate in found.gemm_flops:
        yield _measured(dtype, rate, "a product of two large square matrices")
    yield ""
    yield "[vector_ops_per_second]"
    for dtype, rate in found.vector_flops:
        yield _measured(dtype, rate, "multiplications of numbers in the near cache")
    yield ""
    yield "[memory]"
    yield _measured(
        "bandwidth_bytes_per_second", found.copy_bandwidth, "a copy of 400 MB: read and written"
    )
    yield ""
    if found.machine.shared_nbytes:
        yield "[cache]"
        yield f'capacity_nbytes = {{ value = {found.machine.shared_nbytes}, source = "system" }}'
        yield ""
    yield "[on_chip]"
    yield (
        f'cores = {{ value = {found.threads}, source = "calibrate", basis = "measured", '
        'note = "threads that were used" }'
    )
    yield ""
    yield "[launch]"
    yield _measured("eager_seconds", found.launch_seconds, "an addition of two numbers")
    yield _figure(
        "graph_seconds", found.launch_seconds, "assumed", "not measured: as eager, from Python"
    )
    yield ""


def _rows(found: Calibration) -> Iterable[str]:
    for rate in found.rates:
        yield "[[rates]]"
        yield f'kernel = "{rate.kernel.value}"'
        yield f'dtype = "{rate.dtype}"'
        yield f"launch_seconds = {_number(rate.fit.launch_seconds)}"
        for key, seconds in zip(RATE_KEYS, rate.fit.seconds_each, strict=True):
            if _matters(key, seconds):
                yield f"{key} = {_number(1 / seconds)}"
        yield f"near_nbytes = {found.near_nbytes}"
        yield 'source = "calibrate"'
        yield f"note = {_text(_note(rate))}"
        yield ""


def _matters(key: str, seconds: float) -> bool:
    """Whether it can be told from none: a byte at 10 TB/s or a FLOP at 1000 TFLOP/s cannot."""
    return seconds > (1e-15 if key.endswith("flops_per_second") else 1e-13)


def _note(rate: FittedRate) -> str:
    error = f"{100 * rate.fit.median_error:.1f}"
    return f"fitted to {rate.samples} microbenchmarks, median error {error} %"


def _measured(key: str, value: float, note: str) -> str:
    return _figure(key, value, "measured", note)


def _figure(key: str, value: float, basis: str, note: str) -> str:
    return (
        f'{key} = {{ value = {_number(value)}, source = "calibrate", basis = "{basis}", '
        f"note = {_text(note)} }}"
    )


def _number(value: float) -> str:
    """A TOML float of four digits.

    >>> _number(123456789.0), _number(4.56789e-06)
    ('1.235e+08', '4.568e-06')
    """
    return f"{value:.{_DIGITS - 1}e}"


def _text(value: str) -> str:
    """A TOML string: JSON's are among them."""
    return json.dumps(value, ensure_ascii=False)
