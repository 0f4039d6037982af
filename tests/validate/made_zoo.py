"""A small sweep's folder with figures that can be checked on paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fuseline.report.rows.table import Measure
from fuseline.sweep.schema import COLUMNS, LISTS, zoo_of

H100, ORIN = "h100-sxm", "jetson-agx-orin-64gb"
UNFUSED = 1000  # bytes of every model without fusion

CNN = {"convolution_flops": 1000, "convolution_ops": 9}
VIT = {"matmul_flops": 900, "attention_flops": 95, "convolution_flops": 5, "attention_ops": 4}
LLM = {"matmul_flops": 980, "attention_flops": 20, "attention_ops": 4, "causal_flops": 990}

STRATEGIES = ("optimal", "tvm", "tensorrt", "onnxruntime", "inductor", "fusion")
MODELS: tuple[tuple[str, dict[str, int], tuple[int, ...]], ...] = (
    # model, its FLOPs, bytes by strategy
    ("resnet18", CNN, (400, 400, 400, 500, 600, 500)),
    ("resnet34", CNN, (500, 500, 550, 500, 600, 450)),
    ("resnet50", CNN, (600, 600, 600, 900, 660, 700)),
    ("timm/vit_base_patch16_224", VIT, (800, 880, 900, 960, 1000, 900)),
    ("timm/vit_small_patch16_224", VIT, (800, 840, 880, 960, 1000, 900)),
    ("timm/vit_tiny_patch16_224", VIT, (900, 990, 990, 990, 990, 950)),
    ("hf/llama", LLM, (880, 924, 924, 924, 968, 990)),
)
DECODE = (990, 995, 995, 995, 995, 1000)


Changed = Mapping[str | tuple[str, str], Mapping[str, object]]


def write_zoo(folder: Path, changed: Changed | None = None) -> Path:
    """The folder, families in it; `changed` has values that are to be others, of all rows of a
    model, or of a model and a strategy.
    """
    known = changed or {}
    rows = [
        row | dict(known.get(model, {})) | dict(known.get((model, str(row["strategy"])), {}))
        for model, flops, nbytes in MODELS
        for row in _rows(model, flops, nbytes)
    ]
    (folder / "results").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, _schema()), folder / "results" / "00000.parquet")
    return folder


def _family(model: str) -> str:
    return "resnet" if "resnet" in model else "llama" if "llama" in model else "vision_transformer"


def _rows(model: str, flops: dict[str, int], nbytes: tuple[int, ...]) -> list[dict[str, object]]:
    """Of a language model a decode step too, of others a batch of 64 that moves 100 bytes less."""
    is_llm = model == "hf/llama"
    other = (1, 127, DECODE) if is_llm else (64, None, tuple(count - 100 for count in nbytes))
    return [
        _row(model, flops, strategy, device, (batch, decode), traffic)
        for batch, decode, moved in ((1, None, nbytes), other)
        for strategy, traffic in zip(STRATEGIES, moved, strict=True)
        for device in (H100, ORIN)
    ]


def _row(  # noqa: PLR0917 - a row's parts
    model: str,
    flops: dict[str, int],
    strategy: str,
    device: str,
    way: tuple[int, int | None],
    traffic: int,
) -> dict[str, object]:
    batch, decode = way
    known: dict[str, object] = {column.name: _nothing(column.measure) for column in COLUMNS}
    known |= {column.name: [] for column in LISTS}
    return (
        known
        | flops
        | {
            "model": model, "family": _family(model), "zoo": zoo_of(model),
            "strategy": strategy, "batch": batch,
            "decode": decode, "device": device, "status": "ok", "reason": None, "seq_len": None,
            "dtype": "bfloat16", "rules": "T" if strategy == "optimal" else None,
            "is_optimal": True if strategy == "optimal" else None, "gap": None,
            "kind": "cover" if strategy == "inductor" else "partition",
            "input_shapes": "1x128" if model == "hf/llama" else "1x3x224x224",
            "flops": 1000, "causal_flops": flops.get("causal_flops", 1000),
            "traffic_bytes": traffic, "unfused_traffic_bytes": UNFUSED,
            "lower_bound_bytes": traffic if strategy == "optimal" else None,
            "memory_reduction": 1 - traffic / UNFUSED, "arithmetic_intensity": 1000 / traffic,
            "compulsory_bytes": 360, "parameter_bytes": 300, "unfused_launches": 100,
            "launches": 50, "fusion_efficiency": 2.0 if "resnet" in model else 1.25,
            "bottleneck": "launch" if device == H100 else "bandwidth",
            "illegal_groups": None if strategy == "inductor" else int(strategy == "fusion"),
        }
    )  # fmt: skip


def _nothing(measure: Measure) -> object:
    return 0 if measure.is_whole else None


def _schema() -> pa.Schema:
    types = {Measure.TEXT: pa.string(), Measure.YES: pa.bool_()}

    def kind(measure: Measure) -> pa.DataType:
        return types.get(measure, pa.int64() if measure.is_whole else pa.float64())

    plain = [pa.field(column.name, kind(column.measure)) for column in COLUMNS]
    lists = [
        pa.field(
            column.name,
            pa.list_(
                pa.struct([pa.field(each.name, kind(each.measure)) for each in column.fields])
            ),
        )
        for column in LISTS
    ]
    return pa.schema(
        [*plain, *lists, pa.field("family", pa.string())],
        metadata={"fuseline.environment": '{"code": "0", "torch": "2.13.0", "timm": "1.0.20"}'},
    )
