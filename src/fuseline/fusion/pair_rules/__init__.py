"""A backend's own fusion rules, stated in a TOML file: pairs of ops, and blocks of several."""

from __future__ import annotations

from fuseline.fusion.pair_rules.load import BACKENDS, load_pair_rules
from fuseline.fusion.pair_rules.rules import Before, Consumers, PairRules, Verdict
from fuseline.fusion.pair_rules.search import pair_rules

__all__ = [
    "BACKENDS",
    "Before",
    "Consumers",
    "PairRules",
    "Verdict",
    "load_pair_rules",
    "pair_rules",
]
