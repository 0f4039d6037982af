"""Every strategy's plan of a model by name, run and held against the model."""

from __future__ import annotations

from collections.abc import Callable

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.frontends.sources.transformers import build_config
from fuseline.frontends.sources.transformers.small import small_config
from fuseline.fusion import STRATEGIES, partition
from fuseline.runtime.execute import execute_script
from fuseline.runtime.numerics import Comparison, check_plan, run_model
from fuseline.runtime.values import make_inputs, with_random_values

_SECONDS = 5.0  # of a search: a plan that is not proven best runs as well
_FIXED_SIZE = ("vit_", "maxvit_", "inception_")  # of torchvision, which takes 224 or 299 alone


def find_small(name: str) -> Sourced:
    """The model, small where a configuration may be made smaller, on small images where it takes
    them.
    """
    if name.startswith("hf/"):
        return build_config(small_config(name.removeprefix("hf/")), name, Options())
    if name.startswith("timm/") or name.startswith(_FIXED_SIZE):
        return find_model(name, Options())
    return find_model(name, Options(input_shapes=((1, 3, 96, 96),)))


def check_strategies(
    name: str, *, strategies: tuple[str, ...] = tuple(STRATEGIES), compiled: bool = False
) -> dict[str, Comparison | str]:
    """What was found of every strategy's plan; a sentence where it is refused."""
    sourced = find_small(name)
    made = with_random_values(sourced)
    script = write_script(made)
    inputs = [made.inputs, make_inputs(sourced, seed=1)]
    wanted = run_model(made.model, inputs)

    def check(strategy: str) -> Comparison:
        plan = partition(script.graph, strategy, seconds=_SECONDS)
        found = execute_script(plan, script, made.model, compiled=compiled)
        return check_plan(found, made.model, inputs, wanted, exact=not compiled)

    return {strategy: _or_sentence(check, strategy) for strategy in strategies}


def _or_sentence(check: Callable[[str], Comparison], strategy: str) -> Comparison | str:
    try:
        return check(strategy)
    except InputError as error:
        return str(error)
