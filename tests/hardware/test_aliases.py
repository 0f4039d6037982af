"""Short names of devices: each means one device, and is no device's own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuseline import hardware
from fuseline.cli import run
from fuseline.cli.devices import command
from fuseline.errors import InputError
from fuseline.hardware import DEVICES, load_device
from fuseline.hardware.load import aliases, parse_device

T4 = (Path(hardware.__file__).parent / "devices" / "t4.toml").read_text()


def test_every_short_name_is_one_devices_alone() -> None:
    listed = [alias for name in DEVICES for alias in load_device(name).aliases]
    assert len(set(listed)) == len(listed) == len(aliases())
    assert not set(listed) & set(DEVICES)
    for alias, name in aliases().items():
        assert alias in load_device(name).aliases
        assert load_device(alias) == load_device(name)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("orin-agx", "jetson-agx-orin-64gb"), ("b200", "b200-sxm"), ("trillium", "tpu-v6e")],
)
def test_what_people_say(alias: str, name: str) -> None:
    assert load_device(alias).name == name


@pytest.mark.parametrize("word", ["a100", "h100", "v100", "orin-nano", "gaudi"])
def test_what_several_devices_could_mean_is_no_short_name(word: str) -> None:
    with pytest.raises(InputError, match=f"unknown device '{word}'"):
        load_device(word)


def test_a_typing_error_in_a_short_name() -> None:
    with pytest.raises(InputError, match="did you mean 'orin-agx'"):
        load_device("orin-axg")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"short"', "'t4.toml': aliases is not a list of names"),
        ('["Orin AGX"]', "'t4.toml': aliases are not lower-case words joined by '-'"),
    ],
)
def test_what_is_no_name_is_refused(value: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_device(f"aliases = {value}\n{T4}".encode(), "t4.toml")
    assert str(caught.value) == said


def test_devices_are_listed_with_their_short_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, []) == 0
    assert "orin-agx (jetson-agx-orin-64gb)" in capsys.readouterr().out
    assert run(command, ["orin-agx"]) == 0
    assert "also orin-agx, agx-orin" in capsys.readouterr().out
