"""Compilers that fuse by a closed table of patterns: ONNX Runtime and TensorRT."""

from __future__ import annotations

from fuseline.fusion.tables.onnxruntime import LEVELS, count_nodes, onnxruntime
from fuseline.fusion.tables.tensorrt import tensorrt

__all__ = ["LEVELS", "count_nodes", "onnxruntime", "tensorrt"]
