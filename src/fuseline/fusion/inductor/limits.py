"""Inductor's limits on inlining and fusion, by target, as torch 2.13 ships them.

Source: `torch._inductor.config` and, for the CPU's horizontal limit, `config.cpp`, of torch 2.13.
"""

from __future__ import annotations

from dataclasses import dataclass


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
)
"""The Triton backend, without autotuned templates."""
