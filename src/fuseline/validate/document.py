"""What the seed document states, figure by figure, as it prints them."""

from __future__ import annotations

MODELS = (
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "swin_t",
    "swin_s",
    "swin_b",
    "efficientnet_b0",
    "resnet50",
)
"""The models of its tables."""

STATED: dict[str, dict[str, str]] = {
    "vit_b_16": {
        "FX nodes": "236",
        "operators": "216",
        "groups": "156",
        "fusion efficiency": "1.38x",
        "single-op groups": "120 (76.9%)",
        "launches saved": "60 of 216 (27.8%)",
        "traffic fused / unfused MB": "507 / 587",
        "memory reduction": "13.6%",
        "average AI": "0.48",
        "bottlenecks": "bandwidth 155 (99.4%), compute 1 (0.6%)",
        "traffic share attention / FFN / rest": "~40% / ~45% / ~15%",
        "kernels of a block: attention": "2 -> 1 (50%)",
        "kernels of a block: FFN": "6 -> 2 (66.7%)",
        "LayerNorm_MultiheadAttention": "12 x 2 ops, AI 0.0, saves 5.7%",
        "LayerNorm_Linear_GELU_+1more": "12 x 4 ops, AI 0.4, saves 30.4%",
        "Linear_Dropout": "12 x 2 ops, AI 0.4, saves 4.6%",
        "Unfused": "120 x 1 ops, AI 0.5, saves 0.0%",
    },
    "swin_t": {
        "FX nodes": "247",
        "operators": "173",
        "groups": "122",
        "fusion efficiency": "1.42x",
        "single-op groups": "95 (77.9%)",
        "memory reduction": "18.1%",
        "average AI": "0.19",
        "bottlenecks": "bandwidth ~99%, memory ~1%",
        "LayerNorm_Linear_GELU_+1more": "12 x 4 ops, AI 0.2, saves 43.2%",
        "Linear_Dropout": "12 x 2 ops, AI 0.2, saves 9.0%",
        "LayerNorm_Linear": "3 x 2 ops, AI 0.3, saves 21.4%",
        "Unfused": "95 x 1 ops, AI 0.2, saves 0.0%",
    },
    "efficientnet_b0": {
        "fusion efficiency": "3.51x",
        "memory reduction": "46.4%",
        "average AI": "11.0",
        "bottlenecks": "bandwidth 54%",
        "Conv2d_BatchNorm2d_SiLU_+3more": "AI 27.4",
    },
    "resnet50": {
        "fusion efficiency": "2.40x",
        "memory reduction": "24.2%",
        "average AI": "47.2",
        "bottlenecks": "compute 49%",
    },
}
"""Figures by model; the others of `MODELS` appear in ranges only."""

CNN_OVER_VIT = "EfficientNet-B0 over ViT-B/16: efficiency / memory reduction / AI"

RANGES: dict[str, str] = {
    "ViT fusion efficiency": "1.38-1.40x",
    "FFN (4 ops) memory saved": "30-43%",
    "Linear_Dropout memory saved": "4-9%",
    "LayerNorm_MultiheadAttention memory saved": "5-6%",
    CNN_OVER_VIT: "2.5x / 3.4x / 23x",
}
"""What it states over several models."""

WHY: dict[str, str] = {
    "groups": "The same; 'launches saved' says how many of them launch anything.",
    "single-op groups": "The count stands; most are views and control ops, which launch nothing.",
    "launches saved": "Views and control ops are no kernels: a launch needs a compute op.",
    "traffic fused / unfused MB": (
        "An intermediate costs a write and a read; views, eval-mode dropout and control ops move "
        "nothing; a tensor is read once by a group; buffers and method calls that copy are priced."
    ),
    "memory reduction": "It is (unfused - fused) / unfused of the right totals.",
    "average AI": (
        "FLOPs of the graph / traffic of the plan, with attention, every leading dimension of a "
        "Linear and groups counted right; a mean of ratios weighs a scalar as much as a GEMM."
    ),
    "kernels of a block: attention": "Compute ops alone.",
    "kernels of a block: FFN": "Eval-mode dropouts are views, not kernels.",
    "GFLOP": "Attention is not 0 FLOPs, and a Linear multiplies every token, not every image.",
    "bottlenecks": "Judged on right FLOPs and bytes, over launches alone.",
    "traffic share attention / FFN / rest": "Shares of the right traffic of the fused plan.",
}
"""One sentence on why a right figure differs; a pattern's is `PATTERN_WHY`."""

PATTERN_WHY = (
    "Saved is (unfused - fused) / unfused of the pattern's right traffic, and AI its FLOPs / "
    "traffic; eval-mode dropout was free before it was fused."
)

NOT_BORNE_OUT: dict[tuple[str, str], str] = {
    ("resnet50", "average AI"): "its own definitions give 41.42",
    ("resnet50", "bottlenecks"): "its own definitions give 28.8%",
    ("swin_t", "bottlenecks"): "the one group that is not bandwidth-bound is balanced",
    (
        "vit_b_16",
        "traffic share attention / FFN / rest",
    ): "its own definitions give the next column",
}
"""What the document states and its own definitions do not give."""
