"""The rule that says what kind of network a row is of, on models whose kind is known."""

from __future__ import annotations

import duckdb
import pytest

from fuseline.errors import InputError
from fuseline.frontends import capture
from fuseline.graph import Graph, Kind
from fuseline.report.rows.ways import shapes_text
from fuseline.sweep.schema import ATTENTIONS, CONVOLUTIONS, DEPTHWISE, MATMULS
from fuseline.validate.zoo_classes import BEGINNING, CLASSES, SHOWN

FIGURES = (
    "flops", "causal_flops", "convolution_flops", "depthwise_flops", "matmul_flops",
    "attention_ops", "softmax_ops", "input_shapes",
)  # fmt: skip
_IMAGE = "1x3x224x224"
_CACHED = "1x1, 1x32x1025x128"

# fmt: off
KNOWN: tuple[tuple[str, int | None, str, tuple[int | str, ...]], ...] = (
    # model, cached tokens, class, figures as captured (FLOPs in millions)
    ("vgg16", None, "CNN", (30941, 30941, 30693, 0, 247, 0, 0, _IMAGE)),
    ("alexnet", None, "CNN", (1429, 1429, 1311, 0, 117, 0, 0, _IMAGE)),
    ("mobilenet_v2", None, "CNN", (601, 601, 561, 37, 3, 0, 0, _IMAGE)),
    ("convnext_tiny", None, "CNN", (8911, 8911, 440, 148, 8323, 0, 0, _IMAGE)),
    ("halonet26t", None, "hybrid", (6000, 6000, 5916, 0, 84, 0, 3, "1x3x256x256")),
    ("maxvit_tiny", None, "hybrid", (11000, 11000, 3800, 116, 6700, 22, 0, _IMAGE)),
    ("vit_b_16", None, "ViT", (35128, 35128, 231, 0, 33466, 12, 0, _IMAGE)),
    ("swin_t", None, "ViT", (8981, 8981, 29, 0, 8952, 0, 12, _IMAGE)),
    ("mixer_b16", None, "no attention", (25000, 25000, 231, 0, 24769, 0, 0, _IMAGE)),
    ("mamba", None, "no attention", (9000, 9000, 0, 20, 8980, 0, 0, "1x128")),
    ("bert", None, "encoder", (28000, 28000, 0, 0, 27400, 12, 0, "1x128")),
    ("wav2vec2", None, "encoder", (13000, 13000, 5057, 0, 7865, 12, 0, "1x16000")),
    ("gpt2", None, "LLM prefill", (32000, 31700, 0, 0, 31400, 12, 0, "1x128")),
    ("t5", None, "LLM prefill", (20000, 20000, 0, 0, 19240, 18, 0, "1x128, 1x128")),
    ("t5", 127, "LLM decode", (100, 100, 0, 0, 84, 12, 0, _CACHED)),
)
# fmt: on


def classes_of(
    rows: list[tuple[str, int | None, tuple[int | str, ...]]],
) -> dict[tuple[str, int | None], str]:
    """Model and cached tokens -> class, of rows that have only the figures that the rule reads."""
    named = ", ".join(f"? as {figure}" for figure in FIGURES)
    other = (
        "'optimal' as strategy, 'T' as rules, true as is_optimal, 'ok' as status, 1 as batch, "
        "'bfloat16' as dtype, 1 as traffic_bytes, 1 as unfused_traffic_bytes, null as seq_len, "
        "0 as folded_flops, 0 as unknown_ops, "
        "'h100-sxm' as device"
    )
    one = f"select ? as model, ?::bigint as decode, {named}, {other}"
    values = [value for model, decode, figures in rows for value in (model, decode, *figures)]
    with duckdb.connect() as connection:
        connection.execute(
            f"create table results as {' union all '.join([one] * len(rows))}", values
        )
        found = connection.execute(
            f"{BEGINNING} select model, decode, class from zoo"  # noqa: S608 - ours
        )
        return {(model, decode): name for model, decode, name in found.fetchall()}


def figures_of(graph: Graph) -> tuple[int | str, ...]:
    """As a sweep's row has them."""

    def flops(kinds: frozenset[Kind]) -> int:
        return sum(op.work.flops for op in graph.ops if op.kind in kinds)

    def ops(kinds: frozenset[Kind]) -> int:
        return sum(op.kind in kinds for op in graph.ops)

    return (
        graph.flops, graph.causal_flops, flops(CONVOLUTIONS), flops(DEPTHWISE), flops(MATMULS),
        ops(ATTENTIONS), ops(frozenset({Kind.SOFTMAX})), shapes_text(graph.source.input_shapes),
    )  # fmt: skip


def test_models_whose_class_is_known() -> None:
    found = classes_of([(m, d, figures) for m, d, _, figures in KNOWN])
    assert found == {(model, decode): name for model, decode, name, _ in KNOWN}


def test_no_name_is_read() -> None:
    """The same figures under other names; but that a decode step is one of the same model."""
    names = {model: f"net{place}" for place, model in enumerate(dict.fromkeys(k[0] for k in KNOWN))}
    rows = [(names[model], decode, figures) for model, decode, _, figures in KNOWN]
    found = classes_of(rows)
    assert found == {(names[model], decode): name for model, decode, name, _ in KNOWN}


def test_every_class_is_shown_and_known() -> None:
    names = {each.name for each in CLASSES}
    assert set(SHOWN) == names == {name for _, _, name, _ in KNOWN}
    assert CLASSES[-1].when == "true"  # whatever is left


CAPTURED = (
    ("resnet18", None, "CNN"), ("vgg11", None, "CNN"), ("mobilenet_v2", None, "CNN"),
    ("efficientnet_b0", None, "CNN"), ("convnext_tiny", None, "CNN"),
    ("timm/poolformer_s12", None, "CNN"), ("timm/skresnet18", None, "CNN"),
    ("timm/coatnet_0_rw_224", None, "hybrid"), ("timm/mobilevit_s", None, "hybrid"),
    ("timm/halonet26t", None, "hybrid"), ("maxvit_t", None, "hybrid"),
    ("timm/levit_128", None, "hybrid"), ("timm/efficientformer_l1", None, "hybrid"),
    ("vit_b_16", None, "ViT"), ("swin_t", None, "ViT"), ("timm/deit_tiny_patch16_224", None, "ViT"),
    ("timm/vit_tiny_patch16_224", None, "ViT"), ("hf/vit", None, "ViT"),
    ("timm/mixer_b16_224", None, "no attention"), ("timm/resmlp_12_224", None, "no attention"),
    ("hf/bert", None, "encoder"), ("hf/distilbert", None, "encoder"),
    ("hf/gpt2", None, "LLM prefill"), ("hf/llama", None, "LLM prefill"),
    ("hf/t5", None, "LLM prefill"), ("hf/t5", 127, "LLM decode"), ("hf/llama", 127, "LLM decode"),
)  # fmt: skip


@pytest.mark.slow
def test_captures_of_models_whose_class_is_known() -> None:
    rows = []
    for model, decode, _ in CAPTURED:
        try:
            graph = capture(model, decode=decode)
        except InputError as error:
            pytest.fail(f"{model}: {error}")
        rows.append((model, decode, figures_of(graph)))
    found = classes_of(rows)
    assert found == {(model, decode): name for model, decode, name in CAPTURED}
