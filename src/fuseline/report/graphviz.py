"""DOT as a drawing, by Graphviz where it is installed."""

from __future__ import annotations

import shutil
import subprocess

from fuseline.errors import InputError

SECONDS = 60.0
"""How long Graphviz may take; a picture of 200 boxes takes it a second or two."""

_OPTIONS = {"png": ("-Gdpi=192",)}
"""Two pixels a unit, as charts have."""


def draw(dot: str, form: str = "svg", *, seconds: float = SECONDS) -> bytes:
    """What Graphviz makes of `dot`: `form` is `svg`, `png`, `pdf` or another that it knows.

    Raises `InputError` where it is not installed, fails, or takes longer than `seconds`.
    """
    program = shutil.which("dot")
    if program is None:
        raise InputError(
            "Graphviz's `dot` is not on the path: install graphviz, or write DOT (`--format dot`)"
        )
    try:
        made = subprocess.run(  # noqa: S603 - the program that the user installed
            [program, f"-T{form}", *_OPTIONS.get(form, ())],
            input=dot.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"Graphviz took over {seconds:g} s: draw fewer boxes (`--max-nodes`), or write DOT"
        ) from None
    if made.returncode:
        said = made.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise InputError(f"Graphviz failed: {said[0]}")
    return made.stdout
