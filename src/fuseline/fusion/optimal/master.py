"""The choice among candidates: each unit in exactly one group, at the least cost.

A linear programme in HiGHS, nearly always integral; where not, the same with whole numbers. Its
duals are prices of units, from which the certificate is made (`certificate.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuseline.fusion.compute import bits
from fuseline.fusion.optimal.cuts import Cut

if TYPE_CHECKING:
    import highspy


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidates were chosen, the duals of units and cuts, and whether no better one exists.

    `chosen` is empty where the time ran out before any choice was found.
    """

    chosen: tuple[int, ...]
    unit_duals: tuple[float, ...]
    cut_duals: tuple[float, ...]
    proven: bool


def choose(
    units: int, groups: Sequence[int], costs: Sequence[float], cuts: Sequence[Cut], seconds: float
) -> Choice:
    """Cover each of `units` places once with `groups` (bitsets) of these `costs`, under `cuts`.

    Stops after `seconds` with the best that was found. Deterministic: one thread, a fixed seed.
    """
    import highspy

    model = highspy.Highs()
    model.setOptionValue("output_flag", False)  # noqa: FBT003 - HiGHS takes values by place
    model.setOptionValue("threads", 1)
    model.setOptionValue("random_seed", 0)
    model.setOptionValue("time_limit", max(seconds, 0.01))
    model.setOptionValue("mip_rel_gap", 0.0)
    model.setOptionValue("mip_abs_gap", 1e-6)
    lp = _programme(units, groups, costs, cuts)
    model.passModel(lp)
    model.run()
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return Choice((), (), (), proven=False)
    solution = model.getSolution()
    duals = tuple(solution.row_dual)
    values = list(solution.col_value)
    proven = True
    if any(_TOLERANCE < value < 1 - _TOLERANCE for value in values):
        whole = [highspy.HighsVarType.kInteger] * len(groups)
        lp.integrality_ = whole
        model.passModel(lp)
        model.setOptionValue("time_limit", max(seconds - model.getRunTime(), 0.01))
        model.run()
        proven = model.getModelStatus() == highspy.HighsModelStatus.kOptimal
        values = list(model.getSolution().col_value)
    chosen = tuple(place for place, value in enumerate(values) if value > 0.5)  # noqa: PLR2004
    if sum(groups[place].bit_count() for place in chosen) != units:
        return Choice((), duals[:units], duals[units:], proven=False)
    return Choice(chosen, duals[:units], duals[units:], proven)


_TOLERANCE = 1e-6


def _programme(
    units: int, groups: Sequence[int], costs: Sequence[float], cuts: Sequence[Cut]
) -> highspy.HighsLp:
    """Columns are groups; rows are units, each covered once, then cuts."""
    import highspy
    import numpy as np

    starts, places, values = [0], [], []
    for group in groups:
        for unit in bits(group):
            places.append(unit)
            values.append(1.0)
        for row, cut in enumerate(cuts):
            if weight := cut.weight(group):
                places.append(units + row)
                values.append(float(weight))
        starts.append(len(places))
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(groups), units + len(cuts)
    lp.col_cost_ = np.array(costs, dtype=np.float64)
    lp.col_lower_ = np.zeros(len(groups))
    lp.col_upper_ = np.full(len(groups), highspy.kHighsInf)
    lp.row_lower_ = np.array([1.0] * units + [-highspy.kHighsInf] * len(cuts))
    lp.row_upper_ = np.array([1.0] * units + [float(cut.most) for cut in cuts])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.array(starts, dtype=np.int32)
    lp.a_matrix_.index_ = np.array(places, dtype=np.int32)
    lp.a_matrix_.value_ = np.array(values, dtype=np.float64)
    return lp
