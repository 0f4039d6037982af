"""What figures depend on beside the job itself: versions, and the code that captures and plans."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fuseline

_PACKAGES = ("torch", "torchvision", "timm", "transformers", "highspy")
_APART = frozenset({"cli", "validate", "budgets", "runtime"})
"""Packages of ours that no row of a sweep comes from."""
_CAPTURING = ("errors.py", "files.py", "graph/", "frontends/", "costs/", "report/captures.py")
"""What of them a graph comes from: the rest plans it."""


def here() -> dict[str, str]:
    """Versions by name, and digests of our own source: `code` of all that rows come from, devices
    too, `captures` of what graphs come from. Nothing is imported for it, and a package that is not
    installed is left out.

    >>> {"python", "fuseline", "code", "torch"} <= here().keys()
    True
    """
    digests = _digests(Path(fuseline.__file__).parent)
    found = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "fuseline": fuseline.__version__,
        **digests,
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra that is not there
            continue
    return found


def difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs, in words; empty where nothing does.

    >>> difference({"torch": "2.13.0"}, {"torch": "2.12.1", "timm": "1.0"})
    'torch 2.13.0 here, 2.12.1 there; no timm here, 1.0 there'
    """
    names = dict.fromkeys((*ours, *theirs))
    told = [
        f"{_said(name, ours)} here, {theirs.get(name, 'none')} there"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]
    return "; ".join(told)


def _said(name: str, versions: Mapping[str, str]) -> str:
    return f"{name} {versions[name]}" if name in versions else f"no {name}"


def capturing(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of it that a graph depends on."""
    return {name: said for name, said in environment.items() if name not in _PLANNING}


_PLANNING = frozenset({"code", "highspy"})


@cache  # a worker asks before every task
def _digests(folder: Path) -> dict[str, str]:
    """16 hex digits each of what our Python and TOML files hold, by their place in the package."""
    code, captures = sha256(), sha256()
    files = (path for ending in ("py", "toml") for path in folder.rglob(f"*.{ending}"))
    for path in sorted(files):
        place = path.relative_to(folder)
        if place.parts[0] in _APART:
            continue
        content = path.read_bytes()
        told = f"{place.as_posix()} {len(content)}\n".encode() + content
        code.update(told)
        if place.as_posix().startswith(_CAPTURING):
            captures.update(told)
    return {"code": code.hexdigest()[:16], "captures": captures.hexdigest()[:16]}
