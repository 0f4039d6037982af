from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from fuseline.errors import InputError
from fuseline.report.captures import Capturing
from fuseline.sweep.cluster import RayExecutor, check_cluster, find_cluster, on_this_machine
from fuseline.sweep.drive import drive
from fuseline.sweep.environment import here
from fuseline.sweep.grids import Grid, Planning, Sweep
from fuseline.sweep.store import Counts, Store
from fuseline.sweep.tasks import (
    Began,
    Caching,
    Ended,
    Event,
    Limits,
    Made,
    Outcome,
    Row,
    Status,
    Task,
    Uncaptured,
)
from fuseline.sweep.work import work
from tests.sweep import fake_work
from tests.sweep.fake_work import task_of
from tests.sweep.test_local import DEATHS, only, outcomes

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """A cluster of one machine, with a CPU."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fuseline[sweep,ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster(head: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Two machines with a CPU each, though both are this one."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if not head.worker_nodes:
        head.add_node(num_cpus=1)
    return head


def machine() -> str:
    """Which of the two it is: each has a raylet."""
    return os.environ["RAY_RAYLET_PID"]


# --- what a worker does in these tests ------------------------------------------------------


def meet(task: Task) -> Iterator[Event]:
    """Say in the folder that the model names which machine has the task; be done with it once the
    folder holds `go`.
    """
    folder = Path(task.capture.model)
    yield Began(None)
    (folder / f"{task.capture.number} {machine()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    yield Uncaptured(Status.REFUSED, machine())
    yield Ended(0.5, 1.0, 100, cached=False)


def kill_supervisor(task: Task) -> Iterator[Event]:
    """End the process that Ray knows of."""
    del task
    yield Began(None)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)


def met(folder: Path) -> dict[int, str]:
    """The machine of every task that began."""
    pairs = (path.name.split() for path in folder.iterdir() if path.name != "go")
    return {int(number): where for number, where in pairs}


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


# --- deaths ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_tasks_die_as_on_one_machine_and_the_others_are_done(cluster: Cluster) -> None:
    dying = ("segfault", "exit 0", "hang", "50 GB", "odd error")
    models = [each for name in dying for each in (name, "fine", "fine")]
    tasks = (task_of(model, number) for number, model in enumerate(models))
    with RayExecutor(cluster.address, work=fake_work.work) as executor:
        assert executor.slots == 4  # two CPUs, and two that wait
        found = list(outcomes(executor, tasks))
        assert executor.wait(0.01) is None
    assert sorted(outcome.task.capture.number for outcome in found) == list(range(len(models)))
    for outcome in found:
        if (model := outcome.task.capture.model) == "fine":
            assert outcome.death is None
            assert outcome.events[-1] == Ended(0.5, 1.0, 100, cached=False)
            continue
        assert outcome.death is not None
        assert (outcome.death.status, outcome.death.reason) == DEATHS[model]
        first, second, made, last = outcome.events
        assert (first, second, last) == (Began(None), Began(0), Began(1))
        assert isinstance(made, Made)


def test_a_machine_is_lost_and_its_task_is_done_by_another(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lost,) = cluster.worker_nodes
    with RayExecutor(cluster.address, work=meet) as executor:
        for number in range(2):
            executor.submit(task_of(str(tmp_path), number))
        while len(set(met(tmp_path).values())) < 2:  # one on each machine
            assert executor.wait(0.05) is None
        raylet = str(lost.all_processes["raylet"][0].process.pid)
        (number,) = (number for number, where in met(tmp_path).items() if where == raylet)
        cluster.remove_node(lost, allow_graceful=False)
        outcome = next_of(executor)
        assert outcome.task.capture.number == number
        assert outcome.death is not None
        assert not outcome.death.is_blamed
        executor.submit(outcome.task)
        (tmp_path / "go").touch()
        done = [next_of(executor), next_of(executor)]
    assert capsys.readouterr().out == ""  # where Ray would say it, and our results go
    assert [outcome.death for outcome in done] == [None, None]
    assert {outcome.task.capture.number for outcome in done} == {0, 1}


def next_of(executor: RayExecutor) -> Outcome:
    while (outcome := executor.wait(1.0)) is None:
        pass
    return outcome


@pytest.mark.slow
def test_leaving_ends_everything_and_a_lost_supervisor_is_blamed_on_nobody(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", str(cluster.address))
    with RayExecutor(None, work=kill_supervisor) as executor:
        death = only(executor, task_of("any")).death
        assert death is not None
        assert (death.reason, death.is_blamed) == ("its Ray worker was lost", False)
    note = tmp_path / "process"
    with RayExecutor(None, work=fake_work.note_and_hang) as executor:
        executor.submit(task_of(str(note), seconds=1000.0))
        while not (note.exists() and note.read_text()):
            assert executor.wait(0.05) is None
    process = int(note.read_text())
    while is_alive(process):  # it looks for its parent now and then
        time.sleep(0.05)


# --- a sweep --------------------------------------------------------------------------------

PLANNING = Planning(("unfused", "fusion"), ("h100-sxm",))
SWEEP = Sweep(
    (
        Grid(
            ("squeezenet1_1", "no_such_model", "mnasnet0_5"),
            (Capturing(batch=1), Capturing(batch=2)),
            PLANNING,
        ),
    )
)


def rows_here(sweep: Sweep) -> list[Row]:
    """What the sweep comes to in this process."""
    found: list[Row] = []
    for number in range(sweep.captures):
        task = Task(sweep.capture(number), (0, 1), Limits(), Caching(None), here())
        events = list(work(task))
        rows = [row for event in events if isinstance(event, Made) for row in event.rows]
        found += rows
    return found


@pytest.mark.slow
def test_a_sweep_whose_machine_is_lost_has_the_rows_of_one_process(
    cluster: Cluster, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    lost = list(cluster.worker_nodes)

    def lose(counts: Counts) -> None:
        if counts.done_captures >= 2 and lost:
            cluster.remove_node(lost.pop(), allow_graceful=False)

    with Store.open(tmp_path / "zoo", SWEEP, here()) as store:
        drive(
            store, RayExecutor(cluster.address), limits=Limits(), caching=Caching(None),
            environment=here(), tell=lose,
        )  # fmt: skip
        counts = store.counts()
    assert not lost
    assert counts.done_captures == SWEEP.captures
    table = pq.read_table(tmp_path / "zoo" / "results").to_pylist()
    assert len(table) == SWEEP.jobs
    found = [tuple(row.values()) for row in table if row["status"] == "ok"]
    assert len(found) == 8
    assert found == rows_here(SWEEP)
    refused = [row["model"] for row in table if row["status"] == "refused"]
    assert refused == ["no_such_model"] * 4


# --- what ends a sweep ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_machine_with_other_files_or_versions_is_named(cluster: Cluster, tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text("width = 3")
    files = [(str(net), sha256(b"width = 4").hexdigest()), (str(tmp_path / "gone.py"), "0")]
    with RayExecutor(cluster.address, files, fake_work.work) as executor:
        for model, message in {
            f"{net}:make": r"machine '.+': '.*net.py' is another file than the driver's",
            f"{tmp_path}/gone.py:make": r"machine '.+': '.*gone.py': No such file or directory: ",
            "other versions": r"machine '.+': a worker has other versions: torch 1 here",
        }.items():
            with pytest.raises(InputError, match=message):
                only(executor, task_of(model))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "'nonsense' is no address of a Ray cluster: HOST:PORT"),
        ("ray://here:10001", "is no address of a Ray cluster"),
        ("127.0.0.1:1", "no Ray cluster at '127.0.0.1:1': Connection refused"),
        ("127.0.0.1:99999", "no Ray cluster at '127.0.0.1:99999'"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(address: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_cluster(address)


@pytest.mark.parametrize("found", [None, "127.0.0.1:1"])
def test_a_cluster_that_has_ended_is_one_line(
    found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fuseline[sweep,ray]'")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    where = "ray._private.services"
    monkeypatch.setattr(f"{where}.find_gcs_addresses", set[str])
    monkeypatch.setattr(f"{where}.find_bootstrap_address", lambda _: found)  # what Ray noted
    with pytest.raises(
        InputError, match=r"^no Ray cluster .*'ray start --head' begins one"
    ) as told:
        check_cluster("auto")
    assert "ConnectionError" not in str(told.value)
    with pytest.raises(InputError, match="no Ray cluster"), RayExecutor("auto"):
        pass


@pytest.mark.parametrize("error", [RuntimeError("Version mismatch"), SystemExit(15)])
def test_a_cluster_that_does_not_take_us_is_one_line(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fuseline[sweep,ray]'")

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ray.init", fail)
    monkeypatch.setattr("fuseline.sweep.cluster.find_cluster", lambda address: address)
    with pytest.raises(InputError, match="no Ray cluster at 'h:1'"), RayExecutor("h:1"):
        pass


def test_a_cluster_without_a_cpu_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'fuseline[sweep,ray]'")
    machines = [{"NodeID": "head", "Alive": True, "Resources": {}}]
    monkeypatch.setattr("ray.nodes", lambda: machines)
    where = SimpleNamespace(get_node_id=lambda: "head")
    monkeypatch.setattr("ray.get_runtime_context", lambda: where)
    monkeypatch.setattr("fuseline.sweep.cluster.SLOTS_SECONDS", 0.0)
    told: list[str] = []
    executor = RayExecutor("h:1", tell=told.append)
    assert [executor.slots, executor.slots] == [2, 2]
    assert told == ["no CPU in the cluster yet: 'ray start --address HEAD:6379' adds some"]
    machines.append({"NodeID": "other", "Alive": True, "Resources": {"CPU": 8.0}})
    assert executor.slots == 10
    assert len(told) == 1


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'fuseline\[sweep,ray\]'"), RayExecutor(None):
        pass


def test_a_cache_in_a_home_is_in_the_home_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(SWEEP.capture(0), (0,), Limits(), Caching("~/$SCRATCH/graphs"), {})
    monkeypatch.setenv("HOME", "/homes/me")
    monkeypatch.setenv("SCRATCH", "fast")
    assert on_this_machine(task).caching.folder == "/homes/me/fast/graphs"
