"""Plans of the zoos' models run: `make check-all`. Minutes."""

from __future__ import annotations

import pytest

from fuseline.runtime.numerics import Comparison
from tests.runtime.zoo_plans import check_strategies
from tests.zoo_names import NAMES

TIMM = (
    "beit_base_patch16_224", "convit_tiny", "crossvit_tiny_240", "cspnext_tiny",
    "deepseek_vit_412m_enc", "densenet121", "edgenext_xx_small", "efficientvim_m1",
    "efficientvit_l1", "fasternet_t0", "gcvit_xxtiny", "ghostnet_050", "hardcorenas_b",
    "hrnet_w18_small", "inception_resnet_v2", "lcnetv2_small", "levit_128s",
    "mobilenetv3_small_050", "mobilevit_xxs", "nasnetalarge", "pit_ti_224", "pvt_v2_b0",
    "rdnet_tiny", "repvit_m1", "resnetv2_18", "samvit_base_patch16_224", "shvit_s1",
    "swiftformer_xs", "swinv2_tiny_window16_256", "test_convnext", "test_nfnet",
    "test_vit_relpos", "tresnet_m", "visformer_tiny", "vitamin_small_224",
    "xcit_nano_12_p8_224",
)  # fmt: skip
"""Every third architecture of timm, in alphabetical order."""

HF = (
    "afmoe", "bamba", "bros", "cohere_compass_text", "data2vec-vision",
    "embedding_gemma2", "falcon_mamba", "gemma3n", "gpt-sw3",
    "granitemoe_swa", "hy_v4_vl", "instructblip", "lasr_ctc", "metaclip_2",
    "mistral4", "moshi", "nemo_speechlm", "olmo_hybrid", "plbart",
    "pp_ocrv6_tiny_rec", "qwen3_5_moe_text", "recurrent_gemma",
    "sam3_lite_text_text_model", "siglip", "switch_transformers", "ultrabert", "vilt",
    "wavlm",
)  # fmt: skip
"""Every twentieth family of transformers, likewise, but for four that cannot run:
dinat needs a package, no rule makes inputs of patchtst, and the default configurations of
glm4v_moe_text and llava_next contradict themselves (sizes, a token id).
"""

COMPILED = (
    "squeezenet1_0", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "convnext_tiny",
    "efficientnet_b0", "vit_b_16", "timm/test_vit", "timm/levit_128s", "hf/bert", "hf/gpt2",
    "hf/llama",
)  # fmt: skip


def failures(found: dict[str, Comparison | str]) -> dict[str, object]:
    return {
        strategy: each
        for strategy, each in found.items()
        if isinstance(each, str) or not each.verdict.passes
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *(f"timm/{n}" for n in TIMM), *(f"hf/{n}" for n in HF)])
def test_every_plan_of_a_zoo_model_equals_it(name: str) -> None:
    assert failures(check_strategies(name)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_plans_compiled_group_by_group_are_within_the_tolerance(name: str) -> None:
    found = check_strategies(name, strategies=("fusion",), compiled=True)
    assert failures(found) == {}
