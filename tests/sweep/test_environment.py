"""What figures depend on beside the job."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fuseline.sweep import environment


def test_versions_are_those_installed() -> None:
    found = environment.here()
    assert found["torch"] == version("torch")
    assert found["transformers"] == version("transformers")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert len(found["code"]) == 16


def test_a_package_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_PACKAGES", ("torch", "no-such-package"))
    assert environment.here().keys() == {"python", "fuseline", "code", "captures", "torch"}


def test_nothing_is_imported_for_it() -> None:
    said = "import sys, fuseline.sweep.environment as e; e.here(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def digests(scratch: Path, files: dict[str, str]) -> dict[str, str]:
    folder = scratch / str(len(list(scratch.iterdir())))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return environment._digests(folder)  # noqa: SLF001 - `here` reads the package itself


def test_code_is_told_by_its_content_and_place(tmp_path: Path) -> None:
    def code(files: dict[str, str]) -> str:
        return digests(tmp_path, files)["code"]

    one = {"graph/a.py": "x = 1", "hardware/h.toml": "y = 2"}
    assert code(one) == code(one)
    assert code(one) == code({**one, "cli/shown.py": "z", "graph/notes.txt": "z"})
    others = (
        {**one, "graph/a.py": "x = 2"}, {**one, "hardware/h.toml": "y = 3"},
        {**one, "graph/b.py": ""}, {"graph/b.py": "x = 1", "hardware/h.toml": "y = 2"},
    )  # fmt: skip
    assert len({code(one), *map(code, others)}) == 5


def test_differences_name_both_sides() -> None:
    ours = {"torch": "2.13.0", "timm": "1.0", "code": "ab"}
    assert not environment.difference(ours, dict(ours))
    assert environment.difference(ours, {**ours, "torch": "2.12.1"}) \
        == "torch 2.13.0 here, 2.12.1 there"  # fmt: skip
    assert environment.difference(ours, {"torch": "2.13.0", "code": "ab"}) \
        == "timm 1.0 here, none there"  # fmt: skip


def test_what_captures_is_told_apart_from_what_plans(tmp_path: Path) -> None:
    one = {"graph/a.py": "x = 1", "fusion/b.py": "y = 2", "report/captures.py": "z = 3"}
    before = digests(tmp_path, one)["captures"]
    assert digests(tmp_path, {**one, "fusion/b.py": "y = 3"})["captures"] == before
    assert digests(tmp_path, {**one, "graph/a.py": "x = 2"})["captures"] != before
    assert digests(tmp_path, {**one, "report/captures.py": "z = 4"})["captures"] != before
    ours = {"torch": "2.13.0", "code": "ab", "captures": "cd", "highspy": "1.15"}
    assert environment.capturing(ours) == {"torch": "2.13.0", "captures": "cd"}
