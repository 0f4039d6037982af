"""torchvision's classifiers: hand-checked totals fast, every model and every promise slow."""

from __future__ import annotations

import pytest

import fuseline
from fuseline.graph.files import find_fault
from tests.test_promises import EVERY, hold
from tests.zoo_names import NAMES

FLOPS = {  # 2 x the multiply-accumulates of the seed document and the papers
    "vit_b_16": 35_127_656_448,
    "swin_t": 8_981_133_312,
    "resnet50": 8_178_368_512,
    "efficientnet_b0": 771_629_504,
    "resnext50_32x4d": 8_460_959_744,
}


@pytest.mark.parametrize("name", FLOPS)
def test_known_totals_and_promises(name: str) -> None:
    graph = fuseline.capture(name)
    assert graph.flops == FLOPS[name]
    assert graph.unknown_ops == ()
    for strategy in EVERY.values():
        hold(graph, strategy(graph))


@pytest.mark.slow
def test_every_classifier_is_in_the_list() -> None:
    from fuseline.frontends.sources.zoos import torchvision_names

    assert tuple(torchvision_names("")) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_classifier(name: str) -> None:
    import torch

    from fuseline.frontends.sources.torchvision import build_model
    from tests.flop_counter import counted_flops

    image = torch.empty(1, 3, 224, 224, device="meta")
    counted = counted_flops(build_model(name).to("meta"), image)
    for via in ("record", "module"):
        graph = fuseline.capture(name, via=via)
        assert graph.unknown_ops == ()
        assert find_fault(graph) is None
        assert graph.flops == counted
        for strategy in EVERY.values():
            hold(graph, strategy(graph))
