"""Fusion: rewrite rules over the list of calls that a plan runs, a family of them in each file.

A rule takes the calls and the nodes that must keep existing and returns new calls; the trace itself stays as it was,
since the reference backend runs it unfused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..node import Node
from ..primitive import Call
from .activation import relu_bwd_into_batch_norm_bwd, relu_into_epilogue, silu_into_batch_norm
from .bias import bias_before_batch_norm
from .fold import add_into_epilogue, batch_norm_into_weights, silu_into_epilogue
from .gated_norm import gate_into_norm
from .norm_conv import norm_into_depthwise
from .norm_pointwise import norm_bwd_into_pointwise_bwd
from .norm_pool import norm_into_max_pool
from .residual import relu_bwd_into_bwd_data, sum_into_batch_norm, sum_into_bwd_data
from .update import gradient_into_update

__all__ = ["RULES", "fuse"]

Rule = Callable[[Sequence[Call], set[Node]], list[Call]]

# In this order: an earlier rule's result may be what a later one looks for.
RULES: tuple[Rule, ...] = (
    batch_norm_into_weights,
    add_into_epilogue,
    sum_into_batch_norm,
    relu_into_epilogue,
    relu_bwd_into_batch_norm_bwd,
    silu_into_batch_norm,
    gate_into_norm,
    norm_into_depthwise,
    norm_into_max_pool,
    bias_before_batch_norm,
    silu_into_epilogue,
    sum_into_bwd_data,
    relu_bwd_into_bwd_data,
    norm_bwd_into_pointwise_bwd,
    gradient_into_update,
)


def fuse(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Apply every rule in order; ``kept`` are nodes read from outside (outputs of the plan)."""
    result = list(calls)
    for rule in RULES:
        result = rule(result, kept)
    return result
