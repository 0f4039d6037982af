"""Devices: one TOML file each, a source beside every figure."""

from fuseline.hardware.device import Basis, Device, Figure, Peak, StandIn
from fuseline.hardware.load import DEVICES, load_device
from fuseline.hardware.rates import KernelClass, Rate
from fuseline.hardware.source import Source

__all__ = [
    "DEVICES",
    "Basis",
    "Device",
    "Figure",
    "KernelClass",
    "Peak",
    "Rate",
    "Source",
    "StandIn",
    "load_device",
]
