"""Golden files: what a format prints, kept under `tests/report/golden` and read by people.

`pytest --update-golden` writes them anew; then `git diff` shows what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "report" / "golden"
UPDATE = "FUSELINE_UPDATE_GOLDEN"
"""Set in the environment by `--update-golden`, so that every test process sees it."""


def check_golden(name: str, content: str | bytes) -> None:
    """Hold `content` against the golden file `name`, byte for byte; text is UTF-8.

    Text is compared as text, so that a failure shows the lines that differ.
    """
    path = FOLDER / name
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert path.is_file(), f"no golden file {name}: pytest --update-golden writes it"
    kept = path.read_bytes()
    if isinstance(content, str):
        assert content == kept.decode(), f"{name} differs: look, then pytest --update-golden"
    else:
        assert content == kept, f"{name} differs: look, then pytest --update-golden"
