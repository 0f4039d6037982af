"""Devices: one TOML file each, a source beside every figure."""

from fuseline.hardware.device import Basis, Device, Figure, Peak, Source, StandIn
from fuseline.hardware.load import DEVICES, load_device

__all__ = [
    "DEVICES",
    "Basis",
    "Device",
    "Figure",
    "Peak",
    "Source",
    "StandIn",
    "load_device",
]
