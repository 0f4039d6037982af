"""Fuseline: which operators fuse into which kernels, what that costs, and why not more.

>>> import fuseline
>>> sorted(fuseline.STRATEGIES)
['fusion', 'unfused']
"""

from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.frontends import capture
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Graph, load, save
from fuseline.plan import Plan

__version__ = "0.1.0"

__all__ = [
    "STRATEGIES",
    "Graph",
    "InputError",
    "Plan",
    "__version__",
    "capture",
    "cost",
    "load",
    "partition",
    "save",
]
