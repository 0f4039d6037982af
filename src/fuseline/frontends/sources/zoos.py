"""The zoos of named models, and the names in each. Nothing here imports torch.

torchvision and timm register their models with a decorator, and transformers lists its families in
tables, so names are read from their sources: 0.1 s where importing a zoo takes 3 s.
"""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import msgspec

from fuseline.errors import InputError, did_you_mean

ZOOS = ("torchvision", "timm", "hf")
"""Prefixes of model names. A name without one is torchvision's."""
INSTALL = "pip install 'fuseline[zoo]'"
_PACKAGES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
# `@register_model`, alone or with arguments, then perhaps other decorators, then the function.
_REGISTERED = re.compile(
    r'^@register_model\b(?:\((?:name="(?P<name>\w+)")?\))?.*?^def (?P<function>\w+)\(',
    re.MULTILINE | re.DOTALL,
)


def installed(zoo: str) -> bool:
    """Whether the zoo's package is there; it is not imported."""
    return find_spec(_PACKAGES[zoo]) is not None


def check_installed(zoo: str) -> None:
    """Refuse a zoo whose package is not there."""
    if not installed(zoo):
        raise InputError(f"{_PACKAGES[zoo]} is not installed: {INSTALL}")


def torchvision_names(family: str | None = None) -> list[str]:
    """Names of torchvision's models, sorted; those of one family, say `detection`, alone.

    Classifiers are the family "".
    """
    check_installed("torchvision")
    models = _folder("torchvision") / "models"
    families = ("", *(path.parent.name for path in models.glob("*/__init__.py")))
    chosen = families if family is None else (family,)
    return sorted(name for each in chosen for name in _registered(models / each))


def timm_names() -> list[str]:
    """Names of timm's models, without `timm/`, sorted."""
    check_installed("timm")
    return sorted(_registered(_folder("timm") / "models"))


FAMILY_TABLES = (
    "", "CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "MASKED_LM", "IMAGE_CLASSIFICATION",
    "OBJECT_DETECTION", "ZERO_SHOT_OBJECT_DETECTION", "CTC", "SPEECH_SEQ_2_SEQ",
    "AUDIO_CLASSIFICATION", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM",
)  # fmt: skip
"""transformers' tables that a family's class is taken from; "" is of bodies without a head."""


def transformers_families() -> list[str]:
    """Every `model_type` that transformers knows and can build, without `hf/`, sorted."""
    check_installed("hf")
    auto = _folder("transformers") / "models" / "auto"
    configured = _tables(auto / "auto_mappings.py", auto / "configuration_auto.py")
    built = _tables(auto / "modeling_auto.py")
    heads = (f"MODEL_{f'FOR_{table}_' if table else ''}MAPPING_NAMES" for table in FAMILY_TABLES)
    known = configured.get("CONFIG_MAPPING_NAMES", set())
    return sorted(known.intersection(set().union(*(built.get(head, set()) for head in heads))))


def _tables(*paths: Path) -> dict[str, set[str]]:
    """Table -> its keys, where modules make tables: `NAME = OrderedDict([("key", ...), ...])`,
    and `NAME.update({"key": ...})`.
    """
    found: dict[str, set[str]] = {}
    for path in paths:
        for node in ast.parse(path.read_bytes()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    pass
                case ast.Expr(ast.Call(ast.Attribute(ast.Name(id=name), "update"), args=[value])):
                    pass
                case _:
                    continue
            found.setdefault(name, set()).update(_keys_in(value))
    return found


def _keys_in(value: ast.expr) -> set[str]:
    keys: list[ast.expr | None] = []
    for node in ast.walk(value):
        if isinstance(node, ast.Dict):
            keys.extend(node.keys)
        elif isinstance(node, ast.Tuple):
            keys.extend(node.elts[:1])
    return {
        key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def names(zoo: str) -> list[str]:
    """What `capture` takes from one zoo, sorted: with the zoo's prefix, torchvision's without.

    Raises `InputError` where the zoo is unknown or not installed.
    """
    match zoo:
        case "torchvision":
            return torchvision_names()
        case "timm":
            return [f"timm/{name}" for name in timm_names()]
        case "hf":
            return [f"hf/{family}" for family in transformers_families()]
        case _:
            hint = did_you_mean(zoo, ZOOS) or f": one of {', '.join(ZOOS)}"
            raise InputError(f"unknown zoo '{zoo}'{hint}")


def matching(zoo: str, pattern: str) -> list[str]:
    """A zoo's names that hold or match `pattern`, which has no prefix."""
    prefix = "" if zoo == "torchvision" else f"{zoo}/"
    found = []
    for name in names(zoo):
        bare = name.removeprefix(prefix)
        if pattern in bare or fnmatchcase(bare, pattern):
            found.append(name)
    return found


class _ConfigHead(msgspec.Struct):
    model_type: str


def is_transformers_config(path: Path) -> bool:
    """Whether a JSON file says what `model_type` it configures; a saved graph does not."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        msgspec.json.decode(path.read_bytes(), type=_ConfigHead)
    except (msgspec.DecodeError, RecursionError, OSError):
        return False
    return True


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"{package} is not installed: {INSTALL}")
    return Path(spec.origin).parent


def _registered(folder: Path) -> list[str]:
    """Names registered by the modules right in a folder."""
    return [
        match["name"] or match["function"]
        for path in folder.glob("*.py")
        for match in _REGISTERED.finditer(path.read_text(encoding="utf-8"))
    ]
