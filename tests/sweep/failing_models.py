"""Factories of models that fail in every way, and of two that do not. Each fails in its forward
pass, which a capture runs, but where it says otherwise.
"""

from __future__ import annotations

import ctypes
import os
import sys

import torch
from torch import nn

_LIBC = ctypes.PyDLL(None)  # calls hold the interpreter


class _Model(nn.Module):
    """A small network; subclasses do something first."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5)
        )  # fmt: skip

    def begin(self) -> None:
        """Nothing, here."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.begin()
        return self.layers(x)


class _Printing(_Model):
    def begin(self) -> None:
        print("models may print")  # noqa: T201 - it is the point
        sys.stdout.write("in several ways\n")
        os.write(1, b"and past Python\n")


class _Segfault(_Model):
    def begin(self) -> None:
        ctypes.string_at(0)


class _Abort(_Model):
    def begin(self) -> None:
        os.abort()


class _Hang(_Model):
    def begin(self) -> None:
        while True:
            pass


class _NativeHang(_Model):
    def begin(self) -> None:
        _LIBC.sleep(1000)


class _Raising(_Model):
    def begin(self) -> None:
        raise ValueError("no such width\nin this model")


class _Exiting(_Model):
    def begin(self) -> None:
        sys.exit(3)


def _made(model: nn.Module) -> tuple[nn.Module, tuple[torch.Tensor]]:
    return model, (torch.zeros(1, 3, 8, 8),)


def fine() -> object:
    return _made(_Model())


def printing() -> object:
    return _made(_Printing())


def segfault() -> object:
    return _made(_Segfault())


def abort() -> object:
    return _made(_Abort())


def hang() -> object:
    return _made(_Hang())


def native_hang() -> object:
    return _made(_NativeHang())


def raising() -> object:
    return _made(_Raising())


def exiting() -> object:
    return _made(_Exiting())


def allocating() -> object:
    """50 GB, written to, while the model is made."""
    torch.empty(50 * 2**30, dtype=torch.uint8, device="cpu").fill_(1)
    return _made(_Model())


def no_model() -> object:
    return 3
