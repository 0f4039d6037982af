"""Pages whose figures are what commands print: run again, and held against the page.

A page says `<!-- run -->` or `<!-- run in FOLDER -->`, then the command, indented, then its output
(headings a level deeper), as far as `<!-- end -->`. With `show` for `run` it stands there as text.
`<!-- golden NAME -->` shows a golden file. `pytest --update-golden` writes the outputs anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.golden import FOLDER, UPDATE

ROOT = Path(__file__).parents[1]

_RUN = re.compile(
    r"(?P<head><!-- (?P<how>run|show)(?: in (?P<folder>\S+))? -->\n\n    (?P<command>[^\n]+)\n\n)"
    r".*?<!-- end -->",
    re.DOTALL,
)
_GOLDEN = re.compile(r"(?P<head><!-- golden (?P<name>\S+) -->\n\n).*?<!-- end -->", re.DOTALL)

Run = Callable[[str, Path], str]
"""A command, and the folder it runs in -> what it prints on stdout."""


def check_page(page: Path, run: Run) -> int:
    """Hold every output of a page against its command; returns how many there are."""
    text = page.read_text(encoding="utf-8")

    def rerun(found: re.Match[str]) -> str:
        output = run(found["command"], ROOT / (found["folder"] or ""))
        if found["how"] == "show":
            return f"{found['head']}{_fenced(output)}<!-- end -->"
        return f"{found['head']}{re.sub('^#', '##', output, flags=re.MULTILINE)}\n<!-- end -->"

    def golden(found: re.Match[str]) -> str:
        content = (FOLDER / found["name"]).read_text(encoding="utf-8")
        return f"{found['head']}{_fenced(content)}<!-- end -->"

    made, runs = _RUN.subn(rerun, text)
    made, copies = _GOLDEN.subn(golden, made)
    if os.environ.get(UPDATE):
        page.write_text(made, encoding="utf-8")
    else:
        assert made == text, f"{page.name} is not what its commands print: pytest --update-golden"
    return runs + copies


def _fenced(text: str) -> str:
    return f"```markdown\n{text}```\n\n"
