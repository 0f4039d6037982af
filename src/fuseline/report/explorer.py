"""Plans as graphs for Google's Model Explorer: a graph a plan, layers for modules and kernels, and
node data to colour them by. Written without its package, which is large; `fuseline[explorer]` has
it, to open them with.

Model Explorer cuts a layer's path at "/", takes what follows the last ";" only, and marks ids of
layers with a word of its own. Layers' names are free of all three: "|" and "," stand in, as its
pictures have ASCII only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isfinite
from zlib import crc32

import msgspec

from fuseline.report.colours import SOFT, STRONG
from fuseline.report.rows import MemberRow, PlanRow
from fuseline.report.rows.doubts import doubts
from fuseline.report.rows.explorer import ExplorerRows, LayerRow, NodeRow
from fuseline.report.rows.ops import OpRow
from fuseline.report.text import visible

_LIMIT = 80  # characters of a name in the picture; the attributes have all of them
_STAND_INS = str.maketrans({"/": "|", ";": ","})
_LAYER_MARK = "___group___"

_Json = dict[str, object]


def encode_explorer(rows: tuple[ExplorerRows, ...]) -> bytes:
    """All plans as the graphs of one file (UTF-8 JSON), a node or a layer a line."""
    graphs = (_graph(name, row) for name, row in zip(_names(rows), rows, strict=True))
    return b"[" + b",\n".join(graphs) + b"]\n"


def encode_overlays(rows: tuple[ExplorerRows, ...]) -> dict[str, bytes]:
    """Node data to colour the graphs of `encode_explorer` by, a file each, by name. Every kernel
    has one value, at the op that stands for it, so that sums over a layer are the layer's.
    """
    overlays = {
        "traffic_bytes": _gradient("traffic_bytes", rows, STRONG["bandwidth"]),
        "arithmetic_intensity": _gradient("arithmetic_intensity", rows, STRONG["compute"]),
        "bottleneck": _categories(rows),
    }
    if any(row.plan.seconds is not None for row in rows):
        overlays["seconds"] = _gradient("seconds", rows, STRONG["launch"])
    return {name: msgspec.json.encode(data) + b"\n" for name, data in overlays.items()}


def _names(rows: Sequence[ExplorerRows]) -> list[str]:
    """The graphs' ids: the strategies, numbered where one comes twice."""
    seen: Counter[str] = Counter()
    names = []
    for row in rows:
        seen[row.plan.label] += 1
        times = seen[row.plan.label]
        names.append(visible(row.plan.label) + (f" [{times}]" if times > 1 else ""))
    return names


def _graph(name: str, rows: ExplorerRows) -> bytes:
    nodes = b",\n".join(msgspec.json.encode(_node(node)) for node in rows.nodes)
    layers = b",\n".join(
        msgspec.json.encode(_namespace(layer.layers))
        + b":"
        + msgspec.json.encode(dict(_layer_texts(rows, layer)))
        for layer in rows.layers
    )
    start = b'{"id":' + msgspec.json.encode(name) + b',"nodes":[\n'
    return start + nodes + b'\n],"groupNodeAttributes":{\n' + layers + b"\n}}"


def _namespace(layers: Sequence[str]) -> str:
    return "/".join(_component(name) for name in layers)


def _component(name: str) -> str:
    r"""One layer's name as part of a path. What is cut stays distinct by a checksum; a backslash
    at the end would escape the path's own "/".

    >>> _component("a/b;c\\")
    'a|b,c|'
    >>> len(_component("x" * 10_000)), _component("x" * 100) == _component("x" * 101)
    (80, False)
    """
    shown = visible(name).translate(_STAND_INS).replace(_LAYER_MARK, "__group__") or "-"
    if shown.endswith("\\"):
        shown = f"{shown[:-1]}|"
    return _cut(shown, f" {crc32(shown.encode()):08x}")


def _cut(text: str, mark: str = "") -> str:
    """At most `_LIMIT` characters, `mark` the last of them where some are left out."""
    if len(text) <= _LIMIT:
        return text
    ending = f"...{mark}"
    return text[: _LIMIT - len(ending)] + ending


def _node(node: NodeRow) -> _Json:
    return {
        "id": node.id,
        "label": _cut(visible(node.label)),
        "namespace": _namespace(node.layers),
        "attrs": _pairs(_node_texts(node)),
        "incomingEdges": [
            {
                "sourceNodeId": source.node,
                "sourceNodeOutputId": "in place" if source.output is None else str(source.output),
                "targetNodeInputId": str(place),
            }
            for place, source in enumerate(node.sources)
        ],
        "outputsMetadata": [
            {"id": str(place), "attrs": _pairs(_tensor_texts(tensor))}
            for place, tensor in enumerate(_results(node))
        ],
    }


def _results(node: NodeRow) -> tuple[str, ...]:
    """The tensors that leave a node; of an output of the graph, the one that enters it."""
    if node.op is not None:
        return node.op.outputs
    return (node.port.tensor,) if node.port else ()


def _pairs(texts: Iterator[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in texts]


def _tensor_texts(tensor: str) -> Iterator[tuple[str, str]]:
    """`shape` is the key whose value edges show."""
    shape, _, dtype = tensor.rpartition(" ")
    yield "shape", shape
    yield "dtype", dtype


def _node_texts(node: NodeRow) -> Iterator[tuple[str, str]]:
    if node.port is not None:
        yield "name", visible(node.port.name)
        yield "tensor", node.port.tensor
        yield "tensor_bytes", _figure(node.port.tensor_bytes)
    if node.op is not None:
        yield from _op_texts(node.op)
    if node.kernel is not None:
        yield "kernel", visible(node.kernel_name)
        for key, text in _kernel_texts(node.kernel):
            yield f"kernel {key}", text


def _op_texts(op: OpRow) -> Iterator[tuple[str, str]]:
    yield "name", visible(op.name)
    yield "target", visible(op.target)
    yield "kind", op.kind
    yield "class", op.op_class
    yield "module", visible(op.module)
    yield "module_class", visible(op.module_class)
    yield "inputs", ", ".join(op.inputs)
    yield "outputs", ", ".join(op.outputs)
    yield "flops", "unknown" if op.unknown else _figure(op.flops)
    yield "other_flops", "unknown" if op.unknown else _figure(op.other_flops)
    yield "traffic_bytes alone", _figure(op.traffic_bytes)


def _kernel_texts(kernel: MemberRow) -> Iterator[tuple[str, str]]:
    """Figures of one launched group."""
    yield "flops", _figure(kernel.flops)
    yield "other_flops", _figure(kernel.other_flops)
    if kernel.unknown_ops:
        yield "unknown_ops", _figure(kernel.unknown_ops)
    yield "traffic_bytes", _figure(kernel.traffic_bytes)
    yield "read_bytes", _figure(kernel.read_bytes)
    yield "parameter_bytes", _figure(kernel.parameter_bytes)
    yield "written_bytes", _figure(kernel.written_bytes)
    yield "saved_bytes", _figure(kernel.saved_bytes)
    yield "arithmetic_intensity", f"{kernel.arithmetic_intensity:,.2f}"
    yield "bottleneck", kernel.bottleneck
    terms = (
        ("seconds", kernel.seconds),
        ("compute_seconds", kernel.compute_seconds),
        ("vector_seconds", kernel.vector_seconds),
        ("bandwidth_seconds", kernel.bandwidth_seconds),
        ("launch_seconds", kernel.launch_seconds),
    )
    for name, seconds in terms:
        if seconds is not None:
            yield name, f"{seconds:.4g}"
    if kernel.alone:
        yield "alone", visible(kernel.alone)


def _layer_texts(rows: ExplorerRows, layer: LayerRow) -> Iterator[tuple[str, str]]:
    if not layer.layers:
        yield from _plan_texts(rows.model, rows.plan)
    elif layer.kernel is not None:
        yield "pattern", visible(layer.kernel.pattern)
        yield "module", visible(layer.kernel.module)
        yield from _kernel_texts(layer.kernel)
    else:
        yield "launches", _figure(layer.launches)
        yield "flops", _figure(layer.flops)
        yield "other_flops", _figure(layer.other_flops)
        yield "traffic_bytes", _figure(layer.traffic_bytes)
        yield "saved_bytes", _figure(layer.saved_bytes)
        if layer.seconds is not None:
            yield "seconds", f"{layer.seconds:.4g}"


def _plan_texts(model: str, plan: PlanRow) -> Iterator[tuple[str, str]]:
    yield "model", visible(model)
    yield "strategy", visible(plan.label)
    if left_out := doubts(plan):
        yield "left out", "; ".join(left_out)
    if plan.device is not None:
        yield "device", visible(plan.device)
    yield "launches", _figure(plan.launches)
    yield "unfused_launches", _figure(plan.unfused_launches)
    yield "flops", _figure(plan.flops)
    yield "other_flops", _figure(plan.other_flops)
    if plan.unknown_ops:
        yield "unknown_ops", _figure(plan.unknown_ops)
    yield "traffic_bytes", _figure(plan.traffic_bytes)
    yield "unfused_traffic_bytes", _figure(plan.unfused_traffic_bytes)
    if plan.extra_launches:  # kernels that no op stands for, and no node
        yield "extra_launches", _figure(plan.extra_launches)
        yield "extra_traffic_bytes", _figure(plan.extra_traffic_bytes)
    if plan.roofline is not None:
        yield "summed_seconds", f"{plan.roofline.summed_seconds:.4g}"
        yield "pipelined_seconds", f"{plan.roofline.pipelined_seconds:.4g}"


def _figure(value: int) -> str:
    return f"{value:,}"


def _kernels(rows: ExplorerRows) -> Iterator[tuple[str, MemberRow]]:
    """Each kernel with the node that stands for it."""
    for node in rows.nodes:
        if node.stands_for_kernel and node.kernel is not None:
            yield node.id, node.kernel


def _gradient(field: str, rows: Sequence[ExplorerRows], colour: str) -> _Json:
    """A figure of each kernel, from white to `colour`."""
    stops = [{"stop": 0, "bgColor": "#ffffff"}, {"stop": 1, "bgColor": colour}]
    hidden: _Json = {"hideAggregatedStats": ["sum"]} if field == "arithmetic_intensity" else {}
    return {
        name: {
            "name": field,
            "results": {
                node: {"value": getattr(kernel, field)}
                for node, kernel in _kernels(row)
                if _is_known(getattr(kernel, field))
            },
            "gradient": stops,
            **hidden,
        }
        for name, row in zip(_names(rows), rows, strict=True)
    }


def _is_known(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _categories(rows: Sequence[ExplorerRows]) -> _Json:
    return {
        name: {
            "name": "bottleneck",
            "results": {
                node: {"value": kernel.bottleneck, "bgColor": SOFT[kernel.bottleneck]}
                for node, kernel in _kernels(row)
            },
            "hideInAggregatedStatsTable": True,
            "showExpandedSummaryOnGroupNode": True,
            "showLabelCountColumnsInChildrenStatsTable": True,
        }
        for name, row in zip(_names(rows), rows, strict=True)
    }
