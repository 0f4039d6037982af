"""The public surface, and what importing it does not import."""

from __future__ import annotations

import subprocess
import sys

import fuseline


def test_the_public_names() -> None:
    assert set(fuseline.__all__) == {
        "DEVICES", "STRATEGIES", "Call", "Device", "Graph", "InputError", "OpClass", "Plan",
        "__version__", "capture", "compare", "cost", "execute", "load", "load_device", "partition",
        "register_op", "save",
    }  # fmt: skip
    assert all(hasattr(fuseline, name) for name in fuseline.__all__)


def test_importing_fuseline_imports_neither_torch_nor_the_zoos() -> None:
    code = (
        "import sys, fuseline, fuseline.cli; "
        "heavy = 'torch', 'torchvision', 'rich', 'jinja2', 'altair', 'pyarrow'; "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
