"""Calibration: the fit by hand, the device file it writes, and a short run of the real thing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from fuseline.cli import cli, run
from fuseline.costs.kernel_classes import kernel_class
from fuseline.errors import InputError
from fuseline.frontends import capture
from fuseline.hardware import KernelClass, load_device
from fuseline.hardware.load import parse_device
from fuseline.hardware.rates import Amounts
from fuseline.runtime import calibrate as calibration
from fuseline.runtime.calibrate import Calibration, FittedRate, calibrate
from fuseline.runtime.calibrate_bench import Bench, micros
from fuseline.runtime.calibrate_fit import Fit, Sample, fit
from fuseline.runtime.calibrate_machine import Machine
from fuseline.runtime.calibrate_micro import Micro
from fuseline.runtime.calibrate_timing import steady
from fuseline.runtime.calibrate_toml import device_toml

SMALL = (
    *(Micro(functional.relu, ((n, 100),)) for n in (10, 100, 1000)),
    *(Micro(functional.linear, ((n, 64),), ((32, 64), (32,))) for n in (2, 20, 200)),
)


def test_the_fit_finds_the_terms_that_made_the_seconds() -> None:
    amounts = [
        Amounts(flops, 0, 0, reads, 0, 0)
        for flops, reads in ((1000, 10_000), (50_000, 1000), (200_000, 90_000), (7000, 7000))
    ]
    # 2 us, 1 FLOP/ns, 4 bytes/ns, and 1 byte/ns beyond 50,000 bytes
    samples = [
        Sample(a, 2e-6 + a.flops * 1e-9 + a.reads * 0.25e-9 + max(0, a.reads - 50_000) * 1e-9)
        for a in amounts
    ]
    found = fit(samples, 50_000)
    assert found.launch_seconds == pytest.approx(2e-6)
    assert found.seconds_each == pytest.approx((1e-9, 0, 0, 0.25e-9, 0, 0, 1e-9), abs=1e-15)
    assert found.median_error == pytest.approx(0, abs=1e-9)


def test_one_disturbed_measurement_does_not_bend_the_fit() -> None:
    amounts = [Amounts(0, 0, 0, n, 0, 0) for n in (1000, 2000, 4000, 8000, 16_000)]
    samples = [Sample(a, 1e-6 + a.reads * 1e-9) for a in amounts]
    samples[2] = Sample(amounts[2], 50e-6)
    found = fit(samples, 10**9)
    assert found.launch_seconds == pytest.approx(1e-6)
    assert found.seconds_each[3] == pytest.approx(1e-9)


def test_the_device_file_says_what_was_measured() -> None:
    machine = Machine('A "fast" CPU', "Me", "x86_64", 1 << 20, 8 << 20)
    row = FittedRate(
        KernelClass.LINEAR, "float32", Fit(4e-6, (1e-11, 0, 1e-8, 2e-10, 0, 0, 5e-10), 0.0312), 36
    )
    found = Calibration(
        machine, 2, "2.13.0", (("float32", 2e11),), (("float32", 1e10),), 3e10, 2e-6, 2 << 20,
        (row,),
    )  # fmt: skip
    device = parse_device(device_toml(found, "2026-02-03").encode(), "mine.toml")
    assert device.title == 'A "fast" CPU, 2 threads'
    assert (device.kind, device.year, device.cache_nbytes) == ("cpu", 2026, 8 << 20)
    assert device.matrix_peak("float32").flops_per_second == 2e11
    assert device.vector_peak("float32").flops_per_second == 1e10
    assert (device.bandwidth, device.launch_seconds("eager")) == (3e10, 2e-6)
    titles = {figure.source.title for figure in device.figures if figure.source.key == "calibrate"}
    assert titles == {"measured by fuseline calibrate, torch 2.13.0, 2 threads"}
    (rate,) = device.rates
    assert (rate.kernel, rate.dtype) == (KernelClass.LINEAR, "float32")
    assert (rate.launch_seconds, rate.flops_per_second) == (4e-6, 1e11)
    assert (rate.rows_per_second, rate.reads_bytes_per_second) == (1e8, 5e9)
    assert (rate.far_bytes_per_second, rate.near_nbytes) == (2e9, 2 << 20)
    assert (rate.other_flops_per_second, rate.writes_bytes_per_second) == (None, None)
    assert rate.note == "fitted to 36 microbenchmarks, median error 3.1 %"


def test_a_short_calibration_rates_the_classes_that_it_ran() -> None:
    told: list[float] = []
    found = calibrate(
        ("float32",), 1, seconds=0.2, report=lambda _what, share: told.append(share),
        benchmarks=SMALL,
    )  # fmt: skip
    assert [(rate.kernel, rate.samples) for rate in found.rates] == [
        (KernelClass.LINEAR, 3),
        (KernelClass.ACTIVATION, 3),
    ]
    assert all(rate.fit.launch_seconds + sum(rate.fit.seconds_each) > 0 for rate in found.rates)
    assert found.gemm_flops[0][1] > 1e9
    assert 0 < found.launch_seconds < 1e-3
    assert told[-1] == 1.0


def test_the_state_of_torch_is_put_back() -> None:
    before = torch.get_num_threads()
    with steady(before + 1):
        assert torch.get_num_threads() == before + 1
        assert float(torch.tensor([1e-40]) * 1.0) == 0.0
    assert torch.get_num_threads() == before
    assert float(torch.tensor([1e-40]) * 1.0) != 0.0


@pytest.mark.parametrize(
    ("dtypes", "threads", "said"),
    [
        (("float23",), 1, "cannot calibrate 'float23': did you mean 'float32'?"),
        (("int8",), 1, "cannot calibrate 'int8': one of float32, bfloat16, float16, float64"),
        (("float32",), 0, "--threads is 0: at least 1"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    dtypes: tuple[str, ...], threads: int, said: str
) -> None:
    with pytest.raises(InputError) as raised:
        calibrate(dtypes, threads)
    assert str(raised.value) == said


def test_the_command_writes_a_device_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calibration, "micros", lambda: SMALL)
    monkeypatch.setattr(calibration, "SECONDS", 0.2)
    path = tmp_path / "mine.toml"
    assert run(cli, ["calibrate", "-o", str(path), "--threads", "1"]) == 0
    assert f"wrote {path}" in capsys.readouterr().err
    assert {rate.kernel for rate in load_device(path).rates} == {
        KernelClass.LINEAR,
        KernelClass.ACTIVATION,
    }


def test_an_interrupted_calibration_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> tuple[Micro, ...]:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "micros", interrupted)
    monkeypatch.setattr(calibration, "SECONDS", 0.2)
    assert run(cli, ["calibrate", "-o", str(tmp_path / "mine.toml"), "--threads", "1"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "said"),
    [("mine.json", "'mine.json' is no device file"), ("no/where/mine.toml", "cannot write")],
)
def test_a_place_that_cannot_be_written_is_refused_before_measuring(
    output: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["calibrate", "-o", output]) == 2
    assert said in capsys.readouterr().err


def test_microbenchmarks_are_the_same_every_time_and_within_bounds() -> None:
    first, second = micros(), micros()
    assert [(m.inputs, m.held) for m in first] == [(m.inputs, m.held) for m in second]
    assert len(first) > 500


@pytest.mark.slow
def test_every_class_has_microbenchmarks_enough_to_fit() -> None:
    bench = Bench(micros(), torch.float32).eval()
    graph = capture(bench, bench.examples)
    counts = Counter(kernel_class(graph, op) for op in graph.ops if op.is_compute)
    assert counts.keys() == set(KernelClass)
    assert min(counts.values()) >= 7
