from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.sweep.lock import FolderLock

HOLDER = """
import sys, time
from pathlib import Path
from fuseline.sweep.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(InputError) as told:
        FolderLock(tmp_path)
    assert f"'{tmp_path}/' is in use by another sweep (process {os.getpid()} on " in str(told.value)


def test_it_is_given_back(tmp_path: Path) -> None:
    with FolderLock(tmp_path) as first:
        first.close()  # twice does no harm
        second = FolderLock(tmp_path)
        second.close()
    assert (tmp_path / "lock").read_text().startswith("process ")


def test_a_killed_holder_holds_no_more(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"process {holder.pid} on "):
            FolderLock(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with FolderLock(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / "lock").read_text()
