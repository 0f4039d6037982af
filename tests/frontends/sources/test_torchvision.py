"""torchvision's families: names, inputs, and its operators where its build does not match."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fuseline import InputError
from fuseline.frontends.sources import torchvision, torchvision_ops, zoos
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced


def shapes(sourced: Sourced) -> list[object]:
    """Shapes of the arguments; those of a list of images as a list."""
    return [
        tuple(value.shape) if isinstance(value, Tensor) else [tuple(image.shape) for image in value]  # type: ignore[attr-defined]
        for value in sourced.inputs[0]
    ]


def test_the_names_read_from_the_sources_are_those_registered() -> None:
    models = torchvision.import_models()
    assert torchvision.model_names() == models.list_models()
    for family in ("detection", "segmentation", "video", "optical_flow", "quantization"):
        module = getattr(models, family)
        assert zoos.torchvision_names(family) == models.list_models(module=module)
    assert len(zoos.torchvision_names("")) == 80


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("resnet18", "", [(1, 3, 224, 224)]),
        ("inception_v3", "", [(1, 3, 224, 224)]),
        ("regnet_y_400mf", "", [(1, 3, 224, 224)]),
        ("quantized_resnet18", "quantization", [(1, 3, 224, 224)]),
        ("lraspp_mobilenet_v3_large", "segmentation", [(1, 3, 520, 520)]),
        ("r3d_18", "video", [(1, 3, 16, 112, 112)]),
        ("mvit_v2_s", "video", [(1, 3, 16, 224, 224)]),
        ("raft_small", "optical_flow", [(1, 3, 520, 960), (1, 3, 520, 960)]),
        ("retinanet_resnet50_fpn", "detection", [[(3, 800, 800)]]),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", "detection", [[(3, 320, 320)]]),
        ("ssd300_vgg16", "detection", [[(3, 300, 300)]]),
        ("ssdlite320_mobilenet_v3_large", "detection", [[(3, 320, 320)]]),
    ],
)
def test_a_family_has_its_inputs(name: str, family: str, expected: list[object]) -> None:
    sourced = find_model(f"torchvision/{name}", Options())
    assert torchvision.family_of(name) == family
    assert shapes(sourced) == expected
    assert (sourced.name, sourced.source, sourced.batch) == (name, "torchvision", 1)
    assert all(parameter.is_meta for parameter in sourced.model.parameters())
    assert not sourced.model.training


def test_batch_shapes_and_dtype_reach_every_family() -> None:
    half = find_model("raft_small", Options(batch=2, dtype="bfloat16"))
    assert shapes(half) == [(2, 3, 520, 960)] * 2
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    assert half.dtype == "bfloat16"
    one_shape = find_model("raft_small", Options(input_shapes=((1, 3, 128, 256),)))
    assert shapes(one_shape) == [(1, 3, 128, 256)] * 2
    name = "ssd300_vgg16"
    two = find_model(name, Options(batch=2))
    assert (shapes(two), two.batch) == ([[(3, 300, 300)] * 2], 2)
    sizes = find_model(name, Options(input_shapes=((3, 64, 32), (3, 32, 64))))
    assert (shapes(sizes), sizes.batch) == ([[(3, 64, 32), (3, 32, 64)]], 2)
    stacked = find_model(name, Options(input_shapes=((4, 3, 64, 32),)))
    assert shapes(stacked) == [[(3, 64, 32)] * 4]


def test_train_mode_is_taken_by_all_but_detectors() -> None:
    assert find_model("resnet18", Options(train=True)).model.training
    with pytest.raises(InputError, match=r"^'ssd300_vgg16' takes targets in train mode: "):
        find_model("ssd300_vgg16", Options(train=True))


def test_a_quantizable_model_says_that_it_is_float() -> None:
    (note,) = find_model("quantized_resnet18", Options()).notes
    assert note == "the float model, as it is before it is quantized"


def test_torchvision_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoos, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^torchvision is not installed: pip install 'fuseline\["):
        torchvision.model_names()


def test_a_name_that_timm_has_is_said() -> None:
    with pytest.raises(InputError, match=r"^unknown model 'convnextv2_nano': .* 'timm/convnextv2_"):
        find_model("convnextv2_nano", Options())


# --- operators in Python --------------------------------------------------------------------


def test_nms_keeps_the_best_of_what_overlaps() -> None:
    # Common area 1 of 4 + 4 - 1: overlap 1/7. The third box is the first moved by a tenth.
    boxes = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 2, 2.1]], dtype=torch.float32)
    scores = torch.tensor([0.8, 0.7, 0.9])
    assert torchvision_ops.nms(boxes, scores, 0.5).tolist() == [2, 1]
    assert torchvision_ops.nms(boxes, scores, 0.1).tolist() == [2]
    assert torchvision_ops.nms(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize("sampling", [2, -1])
@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_is_torchvisions_own(sampling: int, aligned: bool) -> None:  # noqa: FBT001
    import importlib

    torchvision.import_models()
    whole = importlib.import_module("torchvision.ops.roi_align")._roi_align.__wrapped__  # noqa: SLF001
    random = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 20, 30, generator=random)
    starts = torch.rand(16, 2, generator=random) * 20
    ends = starts + 1 + torch.rand(16, 2, generator=random) * 15
    which = torch.randint(0, 2, (16, 1), generator=random)
    rois = torch.cat([which, starts, ends], dim=1)
    given = (image, rois, 0.5, 7, 5, sampling, aligned)
    torch.testing.assert_close(torchvision_ops.roi_align(*given), whole(*given))


class _Names(TorchDispatchMode):
    """Names of the ops that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(  # type: ignore[override]
        self, func: object, types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> object:
        self.seen.add(str(func))
        return func(*args, **(kwargs or {}))  # type: ignore[operator]


def test_a_detector_runs_and_a_mode_sees_torchvisions_operators() -> None:
    models = torchvision.import_models()
    torch.manual_seed(0)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    model = models.get_model(
        name, weights=None, weights_backbone=None, box_score_thresh=0.0, min_size=96
    ).eval()
    with torch.inference_mode(), _Names() as names:
        (found,) = model([torch.rand(3, 96, 96)])
    assert found["boxes"].shape == (100, 4)
    assert {"torchvision.nms.default", "torchvision.roi_align.default"} <= names.seen
