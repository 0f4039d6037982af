"""torch.export's view of a model, held against what recording and module level give."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fuseline import InputError, capture
from fuseline.frontends.export import capture_export
from fuseline.frontends.module import capture_module
from fuseline.frontends.record import capture_record
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.frontends.sources.timm import build as build_timm
from fuseline.frontends.sources.torchvision import build as build_torchvision
from fuseline.frontends.sources.transformers.small import small_config
from fuseline.graph import Graph, Kind, OpClass, Role
from tests.zoo_names import NAMES

Ops = list[tuple[Kind, str, str]]


def _totals(graph: Graph) -> dict[str, int]:
    return {
        "flops": graph.flops,
        "folded_flops": graph.folded_flops,
        "other_flops": graph.other_flops,
        "parameter_bytes": graph.parameter_bytes,
        "compulsory_bytes": graph.compulsory_bytes,
        "unknown": len(graph.unknown_ops),
    }


def _ops(graph: Graph) -> Ops:
    return [(op.kind, op.module_path, op.module_class) for op in graph.ops if op.is_compute]


def _agree(exported: Graph, recorded: Graph) -> None:
    """Same totals, same compute ops in the same order, from the same modules."""
    assert _totals(exported) == _totals(recorded)
    assert _ops(exported) == _ops(recorded)


def _both(model: nn.Module, *inputs: object) -> tuple[Graph, Graph]:
    exported = capture(model, inputs, via="export")
    recorded = capture(model, inputs)
    assert exported.source.via == "export"
    return exported, recorded


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens))


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        x[:, :2] = 0
        x.relu_()
        self.seen.add_(x.sum(0))
        return x.add_(self.seen)


class Nested(nn.Module):
    def forward(self, pair: dict[str, list[Tensor]], *, scale: float) -> dict[str, Tensor]:
        first, second = pair["both"]
        return {"sum": (first + second) * scale}


class Masked(nn.Module):
    """A mask that needs no input, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(16, 48)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        places = torch.arange(x.shape[1])
        mask = places[:, None] >= places
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out.transpose(1, 2).flatten(2)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y = self.linear(x)
        with torch.no_grad():
            z = self.linear(x)
        return y.float() + z


PLAIN: list[tuple[Callable[[], nn.Module], tuple[object, ...]]] = [
    (Tied, (torch.zeros(2, 5, dtype=torch.long),)),
    (InPlace, (torch.empty(3, 4),)),
    (Masked, (torch.empty(2, 6, 16),)),
    (Mixed, (torch.empty(2, 8),)),
    (lambda: nn.LSTM(8, 16, 2, batch_first=True).eval(), (torch.empty(2, 5, 8),)),
    (
        lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval(),
        (torch.empty(2, 6, 16),),
    ),
    (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.1)).train(),
        (torch.empty(2, 3, 8, 8),),
    ),
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2), (torch.empty(1, 4, 5, 5),)),
]


@pytest.mark.parametrize(
    ("make", "inputs"), PLAIN, ids=["tied", "in-place", "masked", "autocast", "lstm", "encoder",
                                    "train", "transposed"],
)  # fmt: skip
def test_export_and_record_give_one_graph(
    make: Callable[[], nn.Module], inputs: tuple[object, ...]
) -> None:
    model = make()
    before = list(model.state_dict().values())
    exported, recorded = _both(model, *inputs)
    _agree(exported, recorded)
    assert exported.source.mode == recorded.source.mode
    after = list(model.state_dict().values())
    assert all(old.data_ptr() == new.data_ptr() for old, new in zip(before, after, strict=True))


def test_a_tied_weight_counts_once() -> None:
    graph = capture(Tied(), torch.zeros(2, 5, dtype=torch.long), via="export")
    assert graph.parameter_bytes == 50 * 16 * 4
    assert sum(tensor.role is Role.PARAMETER for tensor in graph.tensors) == 1


def test_autocast_holds_in_its_region() -> None:
    graph = capture(Mixed(), torch.empty(2, 8), via="export")
    first, second = (op for op in graph.ops if op.kind is Kind.LINEAR)
    assert graph.tensors[first.outputs[0]].dtype == "bfloat16"
    assert graph.tensors[second.outputs[0]].dtype == "float32"


def test_inputs_and_outputs_may_be_nested() -> None:
    pair = {"both": [torch.empty(2, 3), torch.empty(2, 3)]}
    graph = capture(Nested(), {"pair": pair, "scale": 2.0}, via="export")
    assert [op.kind for op in graph.ops] == [Kind.ADD, Kind.MUL]
    assert graph.source.input_shapes == ((2, 3), (2, 3))
    assert [t.name for t in graph.tensors if t.role is Role.INPUT] == ["input", "input_1"]


def test_attention_may_be_decomposed() -> None:
    fused = capture(Masked(), torch.empty(2, 6, 16), via="export")
    parts = capture(Masked(), torch.empty(2, 6, 16), via="export", attention="decomposed")
    assert fused.flops == parts.flops
    assert Kind.SOFTMAX in {op.kind for op in parts.ops}
    assert Kind.SOFTMAX not in {op.kind for op in fused.ops}


class Loop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda y: y @ y, lambda y: y + 1, (x,)) * 2


def test_a_higher_order_operator_is_unknown() -> None:
    graph = capture(Loop(), torch.empty(4, 4), via="export")
    (unknown,) = graph.unknown_ops
    assert (unknown.target, unknown.op_class) == ("higher_order::cond", OpClass.OPAQUE)
    assert graph.dependences[-1] == (unknown.id,)


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else x * 2


class Caching(nn.Module):
    """Keeps what it made, on itself and in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "double" not in self.cache:
            self.cache["double"] = self.weight * 2
        self.last = x + self.cache["double"]
        return self.last


@pytest.mark.parametrize("via", ["record", "export"])
def test_a_model_keeps_nothing_of_being_captured(via: str) -> None:
    model = Caching()
    first = capture(model, torch.empty(4), via=via)
    assert model.cache == {}
    assert not hasattr(model, "last")
    assert model(torch.zeros(4)).tolist() == [2.0] * 4
    assert first.parameter_bytes == 4 * 4


def test_what_cannot_be_exported_is_refused_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as raised:
        capture(Deciding(), torch.empty(4), via="export")
    assert "'Deciding' cannot be exported on inputs (4,) (try --via record)" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


# --- the zoos -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_warnings() -> None:
    warnings.filterwarnings("ignore", message="torchvision does not match")


TIMM = (
    "resnet50", "convnext_tiny", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256",
    "mobilenetv3_large_100", "deit3_small_patch16_224", "beit_base_patch16_224",
    "cait_xxs24_224", "crossvit_tiny_240", "davit_tiny", "edgenext_small", "efficientformer_l1",
    "eva02_tiny_patch14_224", "focalnet_tiny_srf", "gcvit_tiny", "ghostnet_100", "hrnet_w18",
    "inception_v4", "levit_128", "maxvit_tiny_tf_224", "mobilevit_s", "mobilevitv2_100",
    "mvitv2_tiny", "nfnet_f0", "pit_s_224", "poolformer_s12", "pvt_v2_b0", "repvgg_a2",
    "res2net50_26w_4s", "resnest50d", "rexnet_100", "skresnet50", "tnt_s_patch16_224",
    "twins_svt_small", "vit_base_patch16_siglip_224", "volo_d1_224", "xcit_tiny_12_p16_224",
    "fastvit_t8", "hiera_tiny_224", "vitamin_small_224", "halonet26t", "lambda_resnet26t",
    "botnet26t_256", "sequencer2d_s", "convmixer_768_32", "resnetv2_50x1_bit",
    "samvit_base_patch16", "mambaout_tiny", "rdnet_tiny",
)  # fmt: skip
TRANSFORMERS = (
    "llama", "gpt2", "mistral", "mixtral", "qwen2", "qwen3_moe", "gemma2", "gemma3_text", "phi3",
    "falcon", "bloom", "opt", "gpt_neox", "gptj", "bert", "roberta", "albert", "deberta-v2",
    "t5", "bart", "whisper", "wav2vec2", "vit", "swin", "convnext", "segformer", "detr", "clip",
    "siglip", "blip", "mamba", "rwkv", "xlnet", "modernbert", "deepseek_v3", "gpt_oss", "llava",
)  # fmt: skip


def _sourced(name: str) -> Sourced:
    return (build_timm if name.startswith("timm/") else build_torchvision)(name, Options())


def _three_agree(name: str) -> None:
    sourced = _sourced(name)
    exported, recorded = capture_export(sourced), capture_record(sourced)
    _agree(exported, recorded)
    try:
        module = capture_module(sourced)
    except InputError:
        return  # torch.fx takes fewer models
    assert exported.flops == module.flops
    assert exported.parameter_bytes == module.parameter_bytes


@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "mobilenet_v3_small", "resnet18", "vit_b_16", "timm/test_vit",
             "timm/resnet10t", "timm/mixer_s32_224"],
)  # fmt: skip
def test_three_views_agree(name: str) -> None:
    _three_agree(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *(f"timm/{name}" for name in TIMM)])
def test_three_views_agree_on_the_zoos(name: str) -> None:
    _three_agree(name)


@pytest.mark.slow
def test_a_shared_module_goes_by_its_first_path_in_a_recording_alone() -> None:
    sourced = _sourced("timm/coat_lite_tiny")
    exported, recorded = capture_export(sourced), capture_record(sourced)
    assert _totals(exported) == _totals(recorded)
    assert [kind for kind, _, _ in _ops(exported)] == [kind for kind, _, _ in _ops(recorded)]


@pytest.mark.slow
@pytest.mark.parametrize("family", TRANSFORMERS)
def test_export_and_record_agree_on_transformers(family: str, tmp_path: Path) -> None:
    """Masks apart: transformers makes them as tensors where it is exported."""
    path = str(tmp_path / "config.json")
    small_config(family).to_json_file(path, use_diff=False)
    sourced = find_model(path, Options())
    exported, recorded = capture_export(sourced), capture_record(sourced)
    assert exported.flops == recorded.flops
    assert exported.folded_flops == recorded.folded_flops
    assert exported.parameter_bytes == recorded.parameter_bytes
    assert not exported.unknown_ops
