"""Inductor's limits on inlining and fusion, by target, as torch 2.13 ships them.

Source: `torch._inductor.config` and, for the CPU's horizontal limit, `config.cpp`, of torch 2.13.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fuseline.hardware import Device


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes Inductor store a result, and keep two kernels apart.

    A result with several users is stored where computing it reads more than `reuse_reads` tensors
    or takes more than `expression_ops` operations, or, with `stores_transcendental`, where an
    exponential or logarithm is among them. With one user it is stored where it reads more than
    `accumulated_reads` tensors.

    Two kernels are fused where together they have at most `kernel_nodes` nodes; where neither needs
    the other (horizontal), also where they share at least `shared_nbytes`, lie at most `distance`
    kernels apart in program order and have at most `horizontal_nodes` nodes.

    `merges_loops`: kernels must agree loop by loop, after each has merged its own loops as far as
    its memory accesses allow (the C++ backend); else the numbers of iterations decide (Triton).
    A variance over several rows of at most `two_pass_row` elements takes two reductions instead of
    one. A reduction of fewer than `unrolled_row` elements is written out as a sum.

    `weighs_layouts`: convolutions are laid out channels last only where that is expected to pay.
    `splits_bias`: a convolution adds no bias; loops after it do. `scales_channels`: a group norm
    stores a scale and a shift of every channel. `attends_as_asked`: attention lays its result out
    as its query is; else the heads of a token lie side by side. A
    concatenation of up to `pointwise_cat` operands may be computed by who reads it. `processors`
    are kept busy: a reduction of few rows is taken in two steps (0: never).
    `reorders_loops`: two loop nests also fit that touch the same elements in another order.
    `results_first`: convolutions take channels last and leave channels first.
    """

    name: str
    reuse_reads: int
    expression_ops: int
    stores_transcendental: bool
    accumulated_reads: int
    kernel_nodes: int
    horizontal_nodes: int
    shared_nbytes: int
    distance: int
    rounds: int
    attempts: int
    merges_loops: bool
    two_pass_row: int
    unrolled_row: int
    weighs_layouts: bool
    splits_bias: bool
    scales_channels: bool
    attends_as_asked: bool
    pointwise_cat: int
    processors: int
    results_first: bool
    reorders_loops: bool


CPU = Limits(
    name="cpu",
    reuse_reads=4,  # realize_reads_threshold
    expression_ops=50,  # realize_cpu_opcount_threshold
    stores_transcendental=True,
    accumulated_reads=12,  # realize_cpu_acc_reads_threshold
    kernel_nodes=64,  # max_fusion_size
    horizontal_nodes=16,  # cpp.max_horizontal_fusion_size
    shared_nbytes=10,  # score_fusion_memory_threshold
    distance=64,  # Scheduler.are_long_distant_nodes
    rounds=10,  # Scheduler.fuse_nodes
    attempts=64,  # max_fusion_buffer_group_pairwise_attempts
    merges_loops=True,
    two_pass_row=1024,  # cpp.use_two_step_variance_threshold
    unrolled_row=8,  # unroll_reductions_threshold
    weighs_layouts=False,  # GraphLowering.decide_layout_opt
    splits_bias=False,  # kernel.conv.convolution
    scales_channels=True,  # torch._refs.native_group_norm
    pointwise_cat=0,  # lowering.cat
    processors=0,
    results_first=False,
    reorders_loops=False,  # Scheduler.shared_data_after_reordering_loop
    attends_as_asked=True,  # aten._scaled_dot_product_flash_attention_for_cpu
)
"""The C++ backend."""

GPU = Limits(
    name="gpu",
    reuse_reads=4,
    expression_ops=30,  # _realize_opcount_threshold_default
    stores_transcendental=False,
    accumulated_reads=8,  # _realize_acc_reads_threshold_default
    kernel_nodes=64,
    horizontal_nodes=64,
    shared_nbytes=10,
    distance=64,
    rounds=10,
    attempts=64,
    merges_loops=False,
    two_pass_row=8,  # unroll_reductions_threshold
    unrolled_row=8,
    weighs_layouts=True,
    splits_bias=True,
    scales_channels=False,
    attends_as_asked=False,
    pointwise_cat=8,  # max_pointwise_cat_inputs
    processors=132,  # an H100's
    results_first=True,
    reorders_loops=True,
)
"""The Triton backend, without autotuned templates."""

TRITON = replace(
    CPU,
    name="triton",
    expression_ops=GPU.expression_ops,
    stores_transcendental=False,
    accumulated_reads=GPU.accumulated_reads,
    horizontal_nodes=GPU.horizontal_nodes,
    merges_loops=False,
    two_pass_row=GPU.two_pass_row,
)
"""Triton's schedule of what is lowered for a CPU."""


def limits_of(device: Device | None) -> Limits:
    """The limits for a device: those of a GPU for one, else of a CPU."""
    return GPU if device is not None and device.kind == "gpu" else CPU
