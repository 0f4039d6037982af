"""What a command line or a file names -> a graph: a capture of a model, or a saved graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import ATTENTIONS, VIAS, capture, check_via
from fuseline.frontends.sources import zoos
from fuseline.graph import Graph, load

_GRAPH_FILES = (".json", ".zst")
_GLOB = frozenset("*?[")
MOST_MODELS = 40
"""A pattern that matches more is refused: each is a capture."""


@dataclass(frozen=True, slots=True)
class Capturing:
    """How a model is to be captured; None leaves it to the model."""

    via: str | None = None
    batch: int | None = None
    dtype: str | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()
    seq_len: int | None = None
    decode: int | None = None
    train: bool = False
    attention: str | None = None


def is_graph_file(model: str) -> bool:
    """Whether a name is that of a saved graph: it is read, and nothing of it is run.

    >>> is_graph_file("net.json.zst"), is_graph_file("vit_b_16")
    (True, False)
    """
    path = Path(model)
    return path.suffix in _GRAPH_FILES and not zoos.is_transformers_config(path)


def graph_of(model: str, how: Capturing) -> Graph:
    """The graph in a file that `capture` or `save` wrote, else a fresh capture.

    Raises `InputError` for a model that cannot be captured, and where `how` asks something of a
    saved graph, whose capture is over.
    """
    if how.via is not None:
        check_via(how.via)
    if not is_graph_file(model):
        return capture(
            model,
            via=how.via or VIAS[0],
            batch=how.batch,
            dtype=how.dtype,
            input_shapes=how.input_shapes,
            seq_len=how.seq_len,
            decode=how.decode,
            train=how.train,
            attention=how.attention or ATTENTIONS[0],
        )
    if how != Capturing():
        raise InputError(f"'{model}' is a saved graph: how it was captured is fixed")
    try:
        return load(model)
    except InputError as error:
        if Path(model).suffix != ".json" or "is not a graph file" not in str(error):
            raise
        raise InputError(f"{error}; nor a transformers config.json: no 'model_type'") from error


def matching_models(word: str, most: int | None = MOST_MODELS) -> tuple[str, ...]:
    """The models that one word names: itself, or those of a zoo that match a pattern, `most` of
    them (None: any number).

    A pattern has `*`, `?` or `[`, and a zoo's prefix where it is not torchvision's. Raises
    `InputError` for one that matches nothing, with the nearest name, or too much.

    >>> matching_models("vit_b_16")
    ('vit_b_16',)
    >>> matching_models("vit_?_16")
    ('vit_b_16', 'vit_l_16')
    """
    if not _GLOB & set(word) or ".py:" in word or Path(word).exists():
        return (word,)
    zoo, slash, pattern = word.partition("/")
    zoo, pattern = (zoo, pattern) if slash else (zoos.ZOOS[0], word)
    found = zoos.matching(zoo, pattern)
    if not found:
        known = zoos.names(zoo)
        hint = did_you_mean(known[0][: known[0].find("/") + 1] + pattern, known) if known else ""
        raise InputError(f"no {zoo} model matches '{pattern}'{hint}")
    if most is not None and len(found) > most:
        raise InputError(
            f"'{word}' matches {len(found)} models, and at most {most} are taken at once: "
            "say it closer"
        )
    return tuple(found)
