"""A name on the command line -> a model and example inputs.

| name | model |
|---|---|
| `NAME`, `torchvision/NAME` | torchvision |
| `timm/NAME` | timm |
| `hf/FAMILY`, a transformers `config.json` | transformers |
| `FILE.py:FACTORY` | what the function returns (this runs the file) |

A zoo is imported when one of its models is named.
"""

from __future__ import annotations

from pathlib import Path

from fuseline.errors import InputError
from fuseline.frontends.sources.inputs import check_options, prepare, refuse_sequences
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.frontends.sources.zoos import is_transformers_config

__all__ = ["Options", "Sourced", "check_options", "find_model", "prepare"]


def find_model(name: str, options: Options) -> Sourced:
    """Build the model that `name` means, without its weights, and inputs for it.

    Raises `InputError` for a name, dtype, shape or factory that cannot be used.
    """
    check_options(options)
    path = Path(name)
    if path.suffix == ".py":
        raise InputError(f"'{name}' is a file: name its function too, as {name}:FACTORY")
    if path.is_dir():
        raise InputError(f"'{name}' is a directory, not a model")
    if name.startswith("hf/") or is_transformers_config(path):
        from fuseline.frontends.sources import transformers

        return transformers.build(name, options)
    if path.suffix == ".json" and path.is_file():
        raise InputError(f"'{name}' is no transformers configuration: it has no \"model_type\"")
    refuse_sequences(name, options)
    if ".py:" in name:
        from fuseline.frontends.sources.factory import run_factory

        model, example = run_factory(name)
        return prepare(model, example, options, name=name, source="factory")
    if name.startswith("timm/"):
        from fuseline.frontends.sources import timm

        return timm.build(name, options)
    if "/" in name and not name.startswith("torchvision/"):
        raise InputError(
            f"unknown model '{name}': a name of the hub needs a download; pass its config.json, or "
            "a family such as hf/llama, or timm/NAME"
        )
    from fuseline.frontends.sources import torchvision

    return torchvision.build(name, options)
