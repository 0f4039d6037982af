"""timm by name: inputs of the size each model was made for, and what is refused."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from fuseline import InputError
from fuseline.frontends import model_names
from fuseline.frontends.sources import timm as zoo
from fuseline.frontends.sources import zoos
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options


def test_the_names_read_from_the_sources_are_those_registered() -> None:
    registered = zoo.import_timm().list_models()
    assert model_names("timm") == sorted(f"timm/{name}" for name in registered)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("timm/resnet18", (1, 3, 224, 224)),
        ("timm/vit_tiny_patch16_384", (1, 3, 384, 384)),
        ("timm/test_convnext3", (1, 3, 160, 160)),
        ("timm/naflexvit_base_patch16_gap", (1, 3, 384, 384)),
    ],
)
def test_a_model_has_an_image_of_its_size(name: str, shape: tuple[int, ...]) -> None:
    sourced = find_model(name, Options())
    ((image,), keywords) = sourced.inputs
    assert isinstance(image, Tensor)
    assert (tuple(image.shape), keywords) == (shape, {})
    assert (sourced.name, sourced.source, sourced.dtype) == (name, "timm", "float32")
    assert not sourced.model.training
    assert all(parameter.is_meta for parameter in sourced.model.parameters())


def test_the_tag_of_weights_may_follow_a_name() -> None:
    head = find_model("timm/vit_tiny_patch16_224.augreg_in21k", Options()).model.head
    assert isinstance(head, torch.nn.Linear)
    assert head.out_features == 21_843


def test_options_reach_the_model_and_its_image() -> None:
    sourced = find_model("timm/test_vit", Options(batch=3, dtype="float16", train=True))
    ((image,), _) = sourced.inputs
    assert isinstance(image, Tensor)
    assert (image.shape[0], image.dtype, sourced.batch) == (3, torch.float16, 3)
    assert {p.dtype for p in sourced.model.parameters()} == {torch.float16}
    assert sourced.model.training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet18x", "unknown model 'timm/resnet18x': did you mean 'timm/resnet18'?"),
        ("timm/", "unknown model 'timm/'"),
        ("timm/hf-hub:someone/model", "unknown model 'timm/hf-hub:someone/model'"),
    ],
)
def test_an_unknown_name_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        find_model(name, Options())
    assert str(caught.value).startswith(message)


def test_an_unknown_tag_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^'timm/resnet18.nothing' cannot be built: "):
        find_model("timm/resnet18.nothing", Options())


def test_timm_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoos, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        find_model("timm/resnet18", Options())
    assert str(caught.value) == "timm is not installed: pip install 'fuseline[zoo]'"


def test_naming_no_timm_model_imports_no_timm() -> None:
    import subprocess

    code = (
        "import sys; from fuseline.frontends import model_names; model_names('timm'); "
        "from fuseline.frontends.sources.find import find_model; "
        "print([name for name in ('timm', 'transformers', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_every_architecture_has_its_smallest_model() -> None:
    smallest = zoo.architectures()
    assert "timm/test_vit" in smallest
    assert len(smallest) == len(set(smallest))
    assert set(smallest) <= set(model_names("timm"))
    registry = zoo.import_timm().models._registry  # noqa: SLF001
    files = {registry._model_to_module[name.removeprefix("timm/")] for name in smallest}  # noqa: SLF001
    assert files == set(registry._module_to_models)  # noqa: SLF001 - no file is left out
