"""Names, factories and options: what is taken, and the one line for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fuseline import InputError, capture
from fuseline.frontends import model_names
from fuseline.frontends.sources import zoos
from fuseline.frontends.sources.find import find_model, prepare
from fuseline.frontends.sources.sourced import Options

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
def nested(): return nn.Linear(4, WIDTH), ([torch.zeros(5, 4), (torch.zeros(5),)], {"k": 1})
def valued():
    print("called")
    width = int(torch.linspace(1, 3, 3)[-1])
    return nn.Linear(4, width), torch.zeros(5, 4)
def unready():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).eval()
    return net, torch.zeros(1, 4)
def counted():
    print("called")
    return nn.Linear(4, WIDTH), torch.zeros(5, 4)
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


def test_a_factory_is_run_once_or_again_with_values(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    once = find_model(f"{file}:counted", Options())
    assert capsys.readouterr().err.count("called") == 1
    again = find_model(f"{file}:valued", Options())  # reads a value, which meta has not
    assert capsys.readouterr().err.count("called") == 2
    for sourced in (once, again):
        assert isinstance(sourced.model, nn.Linear)
        assert sourced.model.out_features == 3
        assert sourced.model.weight.is_meta


def test_nested_inputs_take_the_batch_and_dtype(file: str) -> None:
    sourced = find_model(f"{file}:nested", Options(batch=2, dtype="float16"))
    first, (second,) = sourced.inputs[0]  # type: ignore[misc]  # a list and a tuple, as given
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert (tuple(first.shape), tuple(second.shape)) == ((2, 4), (2,))
    assert first.dtype == second.dtype == torch.float16
    assert sourced.inputs[1] == {"k": 1}
    assert sourced.batch == 2


def test_train_mode_is_asked_for(file: str) -> None:
    name = f"{file}:unready"
    assert not find_model(name, Options()).model.training
    trained = find_model(name, Options(train=True)).model
    assert all(module.training for module in trained.modules())


def test_a_model_from_python_is_not_changed() -> None:
    net = nn.Linear(4, 4)
    image = torch.ones(2, 4)
    same = prepare(net, image, Options(), name="net", source="python")
    assert same.model is net
    assert same.inputs[0][0] is image  # its values may matter
    half = prepare(net, image, Options(dtype="float16"), name="net", source="python")
    assert half.model is not net
    assert (net.weight.dtype, net.weight.is_meta) == (torch.float32, False)
    assert all(p.is_meta and p.dtype is torch.float16 for p in half.model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18", "timm/resnet18", "FILE:net"])
@pytest.mark.parametrize("option", ["seq_len", "decode"])
def test_lengths_are_for_sequences(name: str, option: str, file: str) -> None:
    name = name.replace("FILE", file)
    with pytest.raises(InputError) as caught:
        find_model(name, Options(seq_len=8) if option == "seq_len" else Options(decode=8))
    assert str(caught.value).startswith(f"'{name}' takes no {option}: only models of transformers ")


def test_a_length_is_positive() -> None:
    with pytest.raises(InputError, match=r"^seq_len 0 is not a positive number below 2\^31$"):
        find_model("hf/llama", Options(seq_len=0))


def test_which_json_is_a_transformers_config(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    for content, expected in {
        '{"hidden_size": 8, "model_type": "llama"}': True,
        '{"schema": "fuseline.graph/1", "graph": {}}': False,
        '{"model_type": 3}': False,
        "[1]": False,
        '{"model_type": "llama"': False,
        '{"schema":"fuseline.graph/1","graph":' + "[" * 100_000: False,
    }.items():
        path.write_text(content)
        assert zoos.is_transformers_config(path) is expected, content[:40]
    with pytest.raises(InputError, match=r"some.json' is no transformers configuration: it has no"):
        find_model(str(path), Options())
    assert not zoos.is_transformers_config(tmp_path / "none.json")


def test_an_unknown_zoo_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^unknown zoo 'tim': did you mean 'timm'\?$"):
        model_names("tim")
    with pytest.raises(InputError, match=r"^unknown zoo 'zzz': one of torchvision, timm, hf$"):
        model_names("zzz")


@pytest.mark.parametrize(
    ("name", "shape"), [("vit_b_16", (1, 3, 225, 225)), ("timm/test_vit", (1, 3, 100, 100))]
)
def test_a_wrong_image_is_one_line(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        capture(name, via="module", input_shapes=(shape,))
    assert "\n" not in str(caught.value)
