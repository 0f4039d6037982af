"""Names, factories and options: what is taken, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from fuseline import InputError, capture
from fuseline.frontends import model_names

FACTORIES = """
import torch
from torch import nn

WIDTH = 3
net = nn.Linear(4, WIDTH)

def plain(): return nn.Linear(4, WIDTH)
def paired(width=2): return nn.Linear(4, width), torch.zeros(5, 4)
def keyed(): return nn.Bilinear(4, 4, 2), {"input1": torch.zeros(5, 4), "input2": torch.ones(5, 4)}
def raises(): raise RuntimeError("no weights\\nhere")
def nothing(): return None
def needs(width): return nn.Linear(4, width)
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(FACTORIES)
    return str(path)


def refusal(name: str, shapes: tuple[tuple[int, ...], ...] = ((1, 4),)) -> str:
    with pytest.raises(InputError) as caught:
        capture(name, input_shapes=shapes)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_factories(file: str) -> None:
    plain = capture(f"{file}:plain", input_shapes=((2, 4),))
    assert (plain.flops, plain.source.source) == (2 * 2 * 4 * 3, "factory")
    assert plain.source.name == f"{file}:plain"
    assert capture(f"{file}:net", input_shapes=((1, 4),)).flops == 24
    paired = capture(f"{file}:paired")
    assert (paired.flops, paired.source.batch) == (2 * 5 * 4 * 2, 5)
    assert capture(f"{file}:paired", batch=1).flops == 16
    # 5 rows x 2 outputs x (16 + 4)
    assert capture(f"{file}:keyed").flops == 2 * 10 * 20


def test_a_factory_that_raises(file: str) -> None:
    assert refusal(f"{file}:raises") == f"'{file}:raises' failed: RuntimeError: no weights"


def test_a_factory_that_returns_no_module(file: str) -> None:
    assert refusal(f"{file}:nothing") == (
        f"'{file}:nothing' returned NoneType, not a torch.nn.Module or (module, example inputs)"
    )


def test_a_factory_that_is_not_there(file: str) -> None:
    assert refusal(f"{file}:pair") == f"'{file}' has no 'pair': did you mean 'paired'?"
    assert refusal(f"{file}:zzz") == f"'{file}' has no 'zzz'"


def test_a_factory_that_needs_arguments(file: str) -> None:
    assert refusal(f"{file}:needs") == (
        f"'{file}:needs' takes arguments; a factory is called with none"
    )


def test_a_factory_that_is_a_number(file: str) -> None:
    assert refusal(f"{file}:WIDTH") == f"'{file}:WIDTH' is int, not a function that makes a model"


def test_a_factory_without_inputs(file: str) -> None:
    assert refusal(f"{file}:plain", ()) == (
        f"'{file}:plain' comes without example inputs: give its input shapes, "
        "or have a factory return (model, inputs)"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.py"
    assert refusal(f"{missing}:net") == f"'{missing}' does not exist"
    missing.mkdir()
    assert refusal(f"{missing}:net") == f"'{missing}' is no file"


@pytest.mark.parametrize(
    ("content", "error"), [("def net(:\n", "SyntaxError"), ("import nowhere_at_all\n", "Module")]
)
def test_a_file_that_cannot_be_imported(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(content)
    assert refusal(f"{path}:net").startswith(f"'{path}' cannot be imported: {error}")


def test_an_unknown_model_has_a_hint() -> None:
    with pytest.raises(
        InputError, match=r"^unknown model 'vit_b16': did you mean 'vit_b_16'\?$"
    ) as caught:
        capture("vit_b16")
    assert "\n" not in str(caught.value)
    assert "vit_b_16" in model_names()


def test_unknown_options_are_one_line() -> None:
    net, shapes = nn.Linear(4, 4), ((2, 4),)
    with pytest.raises(InputError, match=r"^unknown dtype 'float31': did you mean 'float\d\d'\?$"):
        capture(net, input_shapes=shapes, dtype="float31")
    with pytest.raises(InputError, match=r"^unknown dtype 'q': one of float32, float16, "):
        capture(net, input_shapes=shapes, dtype="q")
    with pytest.raises(InputError, match=r"^batch 0 is not a positive number below 2\^31$"):
        capture(net, input_shapes=shapes, batch=0)
    with pytest.raises(InputError, match=r"^input shape \(2, 0\) has a size that is not positive$"):
        capture(net, input_shapes=((2, 0),))
    with pytest.raises(InputError, match=r"^unknown frontend 'modul'.*'module'\?$"):
        capture(net, input_shapes=shapes, via="modul")
    with pytest.raises(InputError, match=r"^'resnet18' brings its own inputs"):
        capture("resnet18", inputs=(1,))
    with pytest.raises(InputError, match=r"^'Linear' comes without example inputs: "):
        capture(net)
