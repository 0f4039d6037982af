"""Fuseline: which operators fuse into which kernels, what that costs, and why not more.

>>> import fuseline
>>> [name for name in fuseline.STRATEGIES if name.startswith("t")]
['tensorrt', 'tvm']
"""

from fuseline.costs import Call, cost, register_op
from fuseline.errors import InputError
from fuseline.frontends import capture
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Graph, OpClass, load, save
from fuseline.hardware import DEVICES, Device, load_device
from fuseline.plan import Plan

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
    "cost",
    "load",
    "load_device",
    "partition",
    "register_op",
    "save",
]
