"""What kind of network a model is: a rule over the figures of its row, as SQL. No name is read.

`BEGINNING` is what every query of the page begins with.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Derived:
    """A column that the page adds to a row: its name, what it is of the row's figures, in words."""

    name: str
    sql: str
    meaning: str


DERIVED = (
    Derived(
        "saved",
        "1 - traffic_bytes / nullif(unfused_traffic_bytes, 0)",
        "memory_reduction: the share of the unfused bytes that fusion saves",
    ),
    Derived(
        "per_byte",
        "case when unknown_ops = 0 then flops / nullif(traffic_bytes, 0) end",
        "arithmetic_intensity: FLOPs a byte; null where the FLOPs of an op are not known",
    ),
    Derived(
        "conv_share",
        "(convolution_flops + depthwise_flops) / nullif(flops, 0)",
        "the share of FLOPs in convolutions",
    ),
    Derived(
        "attends",
        "attention_ops > 0 or (softmax_ops > 0 and matmul_flops > 0)",
        "whether it has attention, as one op or as softmax beside matmuls",
    ),
    Derived(
        "sees",
        r"regexp_matches(input_shapes, '\d+x\d+x\d+x\d+')",
        "whether an input has four axes or more: images, video",
    ),
    Derived(
        "writes",
        "bool_or(decode is not null) over (partition by model)",
        "whether the sweep has a decode step of the same model",
    ),
    Derived(
        "least_bytes",
        "max(traffic_bytes) filter (strategy = 'optimal' and rules = 'T' and is_optimal)\n"
        "      over (partition by model, batch, dtype, seq_len, decode, device)",
        "bytes of the proven optimum of the same graph; null where it was not proven",
    ),
)
"""In the words of duckdb, over `results`. The first two are columns of a sweep's rows already, that
the committed rows leave out: they are a third of the file.
"""


@dataclass(frozen=True, slots=True)
class NetworkClass:
    """A class of networks: a row is in the first whose condition holds of it."""

    name: str
    when: str
    meaning: str


CNN, HYBRID, VIT, ENCODER, REST = "CNN", "hybrid", "ViT", "encoder", "no attention"
PREFILL, DECODE = "LLM prefill", "LLM decode"

CLASSES = (
    NetworkClass(DECODE, "decode is not null", "one token after a cache of others"),
    NetworkClass(
        PREFILL,
        "writes or (causal_flops < flops + folded_flops and not sees)",
        "its model has a decode step too, or it attends causally and sees no image",
    ),
    NetworkClass(
        CNN,
        "conv_share >= 0.99 or\n"
        "        (not attends and (conv_share >= 0.5 or (sees and depthwise_flops > 0)))",
        "99% of its FLOPs or more in convolutions; or no attention, and half of them, or depthwise "
        "ones over an image",
    ),
    NetworkClass(
        HYBRID,
        "attends and sees and conv_share >= 0.1",
        "attention over an image, and 10% to 99% of its FLOPs in convolutions",
    ),
    NetworkClass(VIT, "attends and sees", "attention over an image, under 10% in convolutions"),
    NetworkClass(ENCODER, "attends", "attention over text, sound or series, neither of the LLMs'"),
    NetworkClass(REST, "true", "neither attention nor half of its FLOPs in convolutions: MLP, SSM"),
)
"""In the order they are asked."""

SHOWN = (CNN, HYBRID, VIT, REST, ENCODER, PREFILL, DECODE)
"""In the order of tables and charts."""


def _beginning() -> str:
    derived = ",\n".join(f"    {column.sql} as {column.name}" for column in DERIVED)
    cases = "\n".join(f"      when {each.when} then '{each.name}'" for each in CLASSES)
    return _VIEWS.format(derived=derived, cases=cases)


_VIEWS = """\
with figures as (
  select *,
{derived}
  from results where status = 'ok'
), zoo as (
  select *, traffic_bytes / least_bytes - 1 as gap_to_optimal,
    case
{cases}
    end as class
  from figures
), one as (
  from zoo where batch = 1 and device = 'h100-sxm'
), best as (
  from zoo where strategy = 'optimal' and rules = 'T' and is_optimal
)
"""

BEGINNING = _beginning()
"""What every query begins with: `zoo`, every row with figures; `one`, those at batch 1 on the H100;
`best`, proven optima under the rules T.
"""
