"""Fuseline: which operators fuse into which kernels, what that costs, and why not more.

>>> import fuseline
>>> [name for name in fuseline.STRATEGIES if name.startswith("t")]
['tensorrt', 'tvm']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseline.costs import Call, cost, register_op
from fuseline.errors import InputError
from fuseline.frontends import capture
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Graph, OpClass, load, save
from fuseline.hardware import DEVICES, Device, load_device
from fuseline.plan import Plan
from fuseline.report import notebook as _notebook  # noqa: F401 - plans show themselves by it
from fuseline.report.compare import compare

if TYPE_CHECKING:
    from torch import nn

    from fuseline.runtime.execute import Executable

__version__ = "0.1.0"

__all__ = [
    "DEVICES",
    "STRATEGIES",
    "Call",
    "Device",
    "Graph",
    "InputError",
    "OpClass",
    "Plan",
    "__version__",
    "capture",
    "compare",
    "cost",
    "execute",
    "load",
    "load_device",
    "partition",
    "register_op",
    "save",
]


def execute(
    plan: Plan,
    model: nn.Module,
    inputs: object,
    *,
    graph: Graph | None = None,
    via: str = "record",
    attention: str = "fused",
    compiled: bool = False,
) -> Executable:
    """Make `plan` a callable that computes `model`, group by group, with the model's own weights.

    Args:
        plan: of any strategy, for the graph that `capture(model, inputs, via)` gives.
        model: with its weights. It is not changed, beyond what its own forward changes.
        inputs: example inputs, as for `capture`: a tensor, a tuple, keywords, or (tuple, dict).
        graph: the graph the plan is for; refused where the model gives another one.
        via: the frontend it was captured with: `record`, `module` or `export`.
        attention: as it was captured.
        compiled: compile each group by itself with Inductor, instead of running its ops eagerly.

    Raises:
        InputError: the plan is for another graph; its groups form a cycle (named); the model holds
            an op that cannot be run, or has no values.

    >>> import torch
    >>> model, x = torch.nn.Linear(8, 4), torch.ones(2, 8)
    >>> plan = partition(capture(model, x), "tvm")
    >>> torch.equal(execute(plan, model, x)(x), model(x))
    True
    """
    from fuseline import runtime

    return runtime.execute(
        plan, model, inputs, graph=graph, via=via, attention=attention, compiled=compiled
    )
