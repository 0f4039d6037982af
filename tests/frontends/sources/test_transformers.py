from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fuseline.errors import InputError
from fuseline.frontends.sources.sourced import Options, Sourced

pytest.importorskip("transformers")

from fuseline.frontends.sources import transformers
from fuseline.frontends.sources.transformers.small import small_config


def built(family: str, task: str | None = None, **options: Any) -> Sourced:  # noqa: ANN401
    config = small_config(family)
    return transformers.build_config(config, f"hf/{family}", Options(**options), task)


def keywords(sourced: Sourced) -> dict[str, object]:
    args, kwargs = sourced.inputs
    assert args == ()
    return kwargs


def tensor(sourced: Sourced, name: str) -> torch.Tensor:
    value = keywords(sourced)[name]
    assert isinstance(value, torch.Tensor)
    return value


def test_a_text_family_gets_ids_and_says_what_was_chosen() -> None:
    sourced = built("llama", batch=2, seq_len=16)
    ids = tensor(sourced, "input_ids")
    assert tuple(ids.shape) == (2, 16)
    assert ids.dtype is torch.int64
    assert ids.is_meta
    assert keywords(sourced)["use_cache"] is False
    assert sourced.notes[:2] == ("head class LlamaForCausalLM", "sequence length 16")
    count = sum(parameter.numel() for parameter in sourced.model.parameters())
    assert sourced.notes[2].startswith(f"{count:,} parameters, num_hidden_layers ")
    assert (sourced.source, sourced.batch, sourced.dtype) == ("transformers", 2, "float32")
    assert not sourced.model.training
    assert all(parameter.is_meta for parameter in sourced.model.parameters())


def test_the_dtype_asked_for_is_built() -> None:
    sourced = built("llama", dtype="bfloat16")
    assert {p.dtype for p in sourced.model.parameters()} == {torch.bfloat16}
    assert sourced.dtype == "bfloat16"


def test_grouped_experts_are_built_in_bfloat16_and_it_is_said() -> None:
    sourced = built("mixtral")
    assert sourced.dtype == "bfloat16"
    assert any("grouped matmul" in note for note in sourced.notes)


@pytest.mark.parametrize(
    ("family", "task", "head"),
    [
        ("bert", None, "BertForMaskedLM"),
        ("bert", "causal-lm", "BertLMHeadModel"),
        ("bart", None, "BartForConditionalGeneration"),
        ("vit", None, "ViTForImageClassification"),
    ],
)
def test_the_head_is_the_whole_family(family: str, task: str | None, head: str) -> None:
    assert built(family, task).notes[0] == f"head class {head}"


def test_an_encoder_decoder_gets_ids_for_both() -> None:
    sourced = built("t5", seq_len=8)
    assert tuple(tensor(sourced, "input_ids").shape) == (1, 8)
    assert tuple(tensor(sourced, "decoder_input_ids").shape) == (1, 8)


def test_an_image_family_gets_an_image() -> None:
    assert tuple(tensor(built("vit", batch=3), "pixel_values").shape) == (3, 3, 224, 224)


def test_speech_layouts_are_found_by_trying() -> None:
    assert tuple(tensor(built("whisper"), "input_features").shape) == (1, 80, 3000)
    assert tensor(built("wav2vec2"), "input_values").dim() == 2


def test_text_with_an_image_has_a_placeholder_for_each_token_of_it() -> None:
    sourced = built("llava", seq_len=8)
    ids = tensor(sourced, "input_ids")
    assert tuple(ids.shape) == (1, 576 + 8)  # 336 / 14 = 24 patches a side
    assert not ids.is_meta
    assert int((ids == ids[0, 0]).sum()) == 576
    assert "sequence length 584, 576 of them for images or sound" in sourced.notes


def test_a_grid_is_a_real_tensor() -> None:
    grid = tensor(built("qwen2_vl"), "image_grid_thw")
    assert grid.tolist() == [[1, 16, 16]]


def test_decoding_has_a_static_cache_as_inputs() -> None:
    sourced = built("llama", decode=10, batch=2)
    cache = keywords(sourced)["cache"]
    layer = cache.layers[0]  # type: ignore[attr-defined]
    assert tuple(tensor(sourced, "input_ids").shape) == (2, 1)
    assert layer.keys.is_meta
    assert tuple(layer.keys.shape) == (2, 32 // 4, 11, 128)
    assert tuple(layer.values.shape) == tuple(layer.keys.shape)
    assert int(layer.cumulative_length) == 10
    assert keywords(sourced)["use_cache"] is True
    assert "one token after 10 cached ones" in sourced.notes


def test_decoding_an_encoder_decoder_reads_the_encoders_output() -> None:
    sourced = built("t5", decode=10, seq_len=6)
    cache = keywords(sourced)["cache"]
    assert cache.self_attention_cache.layers[0].keys.shape[-2] == 11  # type: ignore[attr-defined]
    assert cache.cross_attention_cache.layers[0].keys.shape[-2] == 6  # type: ignore[attr-defined]
    assert keywords(sourced)["encoder_outputs"].last_hidden_state.is_meta  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("vit", {"decode": 4}, "'hf/vit' has no cache"),
        ("gpt2", {"seq_len": 2000}, "'hf/gpt2' has 1024 positions"),
        ("gpt2", {"decode": 1024}, "'hf/gpt2' has 1024 positions"),
    ],
)
def test_what_a_model_cannot_take_is_refused(
    family: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        built(family, **options)


def test_rotary_positions_have_no_table() -> None:
    notes = built("llama", seq_len=3000).notes
    assert "sequence length 3000 (beyond the 2048 that the configuration names)" in notes


def test_input_shapes_are_positional() -> None:
    sourced = built("llama", input_shapes=((4, 32),))
    (ids,), _ = sourced.inputs
    assert isinstance(ids, torch.Tensor)
    assert (tuple(ids.shape), ids.dtype, sourced.batch) == ((4, 32), torch.int64, 4)


def test_names_are_families() -> None:
    names = transformers.model_names()
    assert names == sorted(names)
    assert {"hf/llama", "hf/bert", "hf/qwen2_vl"} <= set(names)
    assert "llama" in transformers.families()["causal-lm"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf/lama", "unknown family 'lama': did you mean 'llama'?"),
        ("hf/meta-llama/Llama-3", "no download: pass a config.json, or a family such as hf/llama"),
        ("missing/config.json", "no download: pass a config.json"),
    ],
)
def test_names_that_cannot_be_built(name: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        transformers.build(name, Options())
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not readable JSON"),
        ("[]", 'names no "model_type"'),
        ('{"model_type": "lama"}', "unknown family 'lama': did you mean 'llama'?"),
        ('{"model_type": "mine", "auto_map": {"AutoModel": "a.B"}}', "needs code from the hub"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "is no llama configuration"),
    ],
)
def test_configurations_that_cannot_be_read(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        transformers.build(str(path), Options())
    assert sentence in str(refused.value)


def test_a_configuration_file_is_built(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    content = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "vocab_size": 100}
    content |= {"num_attention_heads": 4, "intermediate_size": 128}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert transformers.is_config_file(str(path))
    sourced = transformers.build(str(path), Options())
    assert sourced.name == str(path)
    assert sum(p.numel() for p in sourced.model.parameters()) < 100_000


def test_a_small_configuration_keeps_the_grouping_of_heads_and_every_kind_of_layer() -> None:
    qwen = small_config("qwen3_next")
    assert set(qwen.layer_types) == {"linear_attention", "full_attention"}
    assert len(qwen.layer_types) == qwen.num_hidden_layers
    gemma = small_config("gemma2")
    assert gemma.num_attention_heads // gemma.num_key_value_heads == 2
