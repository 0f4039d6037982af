"""A cache of graphs by what they are captures of, in a folder that many processes share.

An entry is a graph file as `capture` writes it, and a small JSON file beside it that says what it
is of. Files appear whole, hold data alone, and may be deleted at any time.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.files import packed, write_bytes
from fuseline.graph import Graph
from fuseline.graph.files import decode, encode
from fuseline.report.captures import Capturing, is_graph_file
from fuseline.sweep.environment import capturing
from fuseline.sweep.schema import zoo_of

_GRAPH, _ABOUT = ".json.zst", ".about.json"
_TRIMMED_TO = 0.9
"""Of the limit: what trimming leaves, so that it need not be done again at once."""
_UNCHECKED = 0.02
"""Of the limit: what a process adds before it looks again at what all of them have. A look at
10,000 entries takes about a second: a few milliseconds for each entry of a full cache.
"""
_SHELF_DIGITS = 2
"""Digits of a key that name the folder its entry is in."""
_SCRATCH_SECONDS = 3600.0
"""How old an unfinished file must be to have lost its writer."""


@dataclass(frozen=True, slots=True)
class About:
    """What a cached graph is of, as its JSON file says: enough to make the key again."""

    model: str
    how: Capturing
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One graph in the cache: what it takes with the file beside it [bytes], and when it was last
    used [seconds since 1970].
    """

    path: Path
    nbytes: int
    used: float

    @property
    def about(self) -> About | None:
        """What it is of; None where the file beside it does not say."""
        try:
            return msgspec.json.decode(_about_path(self.path).read_bytes(), type=About)
        except (OSError, msgspec.DecodeError):
            return None


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where graphs are kept: `$FUSELINE_CACHE`, `$XDG_CACHE_HOME/fuseline` or `~/.cache/fuseline`.

    >>> default_folder({"FUSELINE_CACHE": "/data/cache"}).as_posix()
    '/data/cache/graphs'
    """
    if own := environ.get("FUSELINE_CACHE"):
        return Path(own) / "graphs"
    shared = environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fuseline" / "graphs"


def key_of(model: str, how: Capturing, environment: Mapping[str, str]) -> str | None:
    """What tells a capture from every other, 64 hex digits; None where it may not be cached.

    A factory in a Python file may read anything; a saved graph is read as fast as a cached one. A
    file of another kind is told by its content too. Code that only plans does not matter.

    >>> key_of("net.py:make", Capturing(), {}) is None
    True
    """
    if ".py:" in model or is_graph_file(model):
        return None
    content = None
    if Path(model).is_file():
        try:
            content = sha256(Path(model).read_bytes()).hexdigest()
        except OSError:
            return None  # capturing it will say why
    versions = capturing(environment)
    told = {"model": model, "content": content, "how": how, "environment": versions}
    return sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


@dataclass(slots=True)
class GraphCache:
    """The cache in `folder`, of at most about `most_nbytes`: over it, what was not used for longest
    goes. What cannot be kept is not, and what cannot be read is not there: nothing raises.
    """

    folder: Path
    most_nbytes: int
    _unchecked: float = field(init=False)  # written since the last look [bytes]

    def __post_init__(self) -> None:
        # Anywhere before the next look: many processes that each write little look often enough.
        self._unchecked = random.random() * self._most_unchecked  # noqa: S311 - no secret

    @property
    def _most_unchecked(self) -> float:
        return _UNCHECKED * self.most_nbytes

    def get(self, key: str) -> Graph | None:
        """The graph of that key; a damaged one is deleted."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        try:
            graph = decode(content, str(path))
        except InputError:
            _delete(path)
            return None
        with suppress(OSError):  # a folder that may only be read: then nothing is trimmed either
            os.utime(path)
        return graph

    def put(self, key: str, graph: Graph, about: About) -> bool:
        """Keep a graph; whether it could be."""
        path = self._path(key)
        content = packed(encode(graph), path)
        said = msgspec.json.encode(about)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(_about_path(path), said)
            write_bytes(path, content)
        except (InputError, OSError):
            _delete(path)
            return False
        self._added(len(content) + len(said))
        return True

    def _path(self, key: str) -> Path:
        return self.folder / key[:_SHELF_DIGITS] / f"{key}{_GRAPH}"

    def _added(self, nbytes: int) -> None:
        """Trim where it may be time."""
        self._unchecked += nbytes
        if self._unchecked >= self._most_unchecked:
            self._unchecked = 0
            self.trim()

    def entries(self) -> Iterator[Entry]:
        """Everything in it, in no order."""
        for found in self._files():
            if found.name.endswith(_GRAPH):
                about = _size_of(_about_path(Path(found.path)))
                with suppress(OSError):  # deleted meanwhile
                    told = found.stat()
                    yield Entry(Path(found.path), told.st_size + about, told.st_mtime)

    def trim(self, most_nbytes: int | None = None) -> tuple[Entry, ...]:
        """Delete what was not used for longest until it is well below `most_nbytes` (its own limit
        where nothing is said), and what writers that are gone left behind. Returns what went.
        """
        most = self.most_nbytes if most_nbytes is None else most_nbytes
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        size = sum(entry.nbytes for entry in entries)
        gone = []
        if size > most:
            for entry in entries:
                if size <= _TRIMMED_TO * most:
                    break
                size -= entry.nbytes
                gone.append(entry)
        self._delete_left_over()
        return _deleted(gone)

    def clear(self, pattern: str | None = None) -> tuple[Entry, ...]:
        """Delete every entry, or those of models that match `pattern` (`timm/*`; torchvision's
        with or without their prefix). Returns what went.
        """
        chosen = (
            entry
            for entry in self.entries()
            if pattern is None or (entry.about is not None and _matches(entry.about.model, pattern))
        )
        return _deleted(chosen)

    def fault(self) -> str | None:
        """Why nothing can be kept in the folder, or None where it can."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self.folder / ".trial", b"")
        except OSError as error:
            return f"cannot write '{self.folder}': {error.strerror}"
        except InputError as error:
            return str(error)
        return None

    def _files(self) -> Iterator[os.DirEntry[str]]:
        for shelf in _listed(self.folder):
            if len(shelf.name) == _SHELF_DIGITS and shelf.is_dir(follow_symlinks=False):
                yield from _listed(shelf.path)

    def _delete_left_over(self) -> None:
        """Scratch files of writers that were killed, and files that say what is no more."""
        long_ago = time.time() - _SCRATCH_SECONDS
        for found in self._files():
            path = Path(found.path)
            is_scratch = not found.name.endswith((_GRAPH, _ABOUT))
            is_alone = found.name.endswith(_ABOUT) and not _graph_path(path).exists()
            with suppress(OSError):
                if (is_scratch or is_alone) and found.stat().st_mtime < long_ago:
                    path.unlink()


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it is not there, or went meanwhile."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _about_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_GRAPH) + _ABOUT)


def _graph_path(about: Path) -> Path:
    return about.with_name(about.name.removesuffix(_ABOUT) + _GRAPH)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _delete(path: Path) -> None:
    """A graph and what says of what, as far as they are there and may be deleted."""
    for each in (path, _about_path(path)):
        with suppress(OSError):
            each.unlink()


def _deleted(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    gone = tuple(entries)
    for entry in gone:
        _delete(entry.path)
    return gone


def _matches(model: str, pattern: str) -> bool:
    """Whether a pattern means a model.

    >>> _matches("resnet18", "torchvision/res*"), _matches("timm/resnet18", "res*")
    (True, False)
    """
    names = (model, f"torchvision/{model}") if zoo_of(model) == "torchvision" else (model,)
    return any(fnmatchcase(name, pattern) for name in names)
