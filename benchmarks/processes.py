"""Commands, run and measured: CPU seconds of the process and its children, and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time (user and system) and peak resident memory of one run, or the medians of many."""

    seconds: float
    mebibytes: float


def run_once(command: list[str]) -> Usage:
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # reaped here, not by Popen
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{errors.read()}")
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def run_for_json(command: list[str]) -> dict[str, float]:
    """What the command prints: one JSON object of figures."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def run_interleaved(commands: list[list[str]], times: int) -> list[Usage]:
    """Median usage of each command; they take turns, so that drift hits them alike."""
    rounds = [[run_once(command) for command in commands] for _ in range(times)]
    return [
        Usage(median(u.seconds for u in usages), median(u.mebibytes for u in usages))
        for usages in zip(*rounds, strict=True)
    ]
