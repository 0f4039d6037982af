"""A sweep in a process of its own, to be killed: `python -m tests.sweep.sweep_process FOLDER KIND`.

`short`, `long`: captures of 32 jobs each, in two and in eight files, without torch. `real`:
classifiers of torchvision; graphs are kept in `graphs` beside the folder, if that is there. `hang`:
one task without end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fuseline.report.captures import Capturing
from fuseline.sweep.drive import drive
from fuseline.sweep.environment import here
from fuseline.sweep.grids import Grid, Planning, Sweep
from fuseline.sweep.local import LocalExecutor, Work
from fuseline.sweep.store import Store
from fuseline.sweep.tasks import Caching, Limits
from tests.sweep import fake_work

_NAMES = ("alexnet", "resnet18", "squeezenet1_1", "mnasnet0_5", "shufflenet_v2_x0_5", "nowhere")
_CAPTURES = {"short": 160, "long": 960, "hang": 1}
_DEVICES = ("h100-sxm", "orin-agx")


def sweep_of(kind: str) -> tuple[Sweep, Work | None]:
    """What is done, and by whom."""
    if kind == "real":
        ways = tuple(Capturing(batch=batch) for batch in (1, 2, 3))
        return Sweep((Grid(_NAMES, ways, Planning(("fusion", "extended"), _DEVICES)),)), None
    models = tuple(f"model{number}" for number in range(_CAPTURES[kind]))
    strategies = tuple(f"strategy{number}" for number in range(16))
    grid = Grid(models, (Capturing(batch=1),), Planning(strategies, _DEVICES))
    return Sweep((grid,)), fake_work.hang if kind == "hang" else fake_work.briefly


def main(folder: Path, kind: str) -> None:
    """Begin the sweep, or go on with it."""
    sweep, work = sweep_of(kind)
    graphs = folder.with_name("graphs")
    with Store.open(folder, sweep, here()) as store:
        drive(
            store,
            LocalExecutor(2, folder / "running", work),
            limits=Limits(),
            caching=Caching(str(graphs) if graphs.is_dir() else None),
            environment=here(),
            tell=lambda _: None,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
