"""The one case table: every primitive, one line a case. Kernel tests, gradient tests and benchmarks read it.

A case is plain data (see ``case_data``): primitive, name, inputs, attributes, group. Geometry that several primitives
share (a convolution's forward and its two backwards) is written once and expanded. Sizes called tails are computed
from the vector lanes and register tiles of the levels that this machine runs.
"""

from __future__ import annotations

import functools

from case_data import Case
from cases_elementwise import elementwise_cases
from cases_gated_norm import gated_norm_cases
from cases_loss import loss_cases, optimizer_cases
from cases_matrix import matrix_cases
from cases_norm_conv import norm_conv_cases
from cases_norm_pointwise import norm_pointwise_cases
from cases_norm_pool import norm_pool_cases
from cases_pool import normalization_cases, pooling_cases
from cases_winograd import winograd_cases


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every case, each name once."""
    cases = (
        *matrix_cases(),
        *winograd_cases(),
        *pooling_cases(),
        *normalization_cases(),
        *gated_norm_cases(),
        *norm_conv_cases(),
        *norm_pool_cases(),
        *norm_pointwise_cases(),
        *elementwise_cases(),
        *loss_cases(),
        *optimizer_cases(),
    )
    seen: set[str] = set()
    for case in cases:
        assert case.id not in seen, f"two cases are called {case.id}"
        seen.add(case.id)
    return cases


def small_cases() -> tuple[Case, ...]:
    """Cases for the full matrix of levels and threads."""
    return tuple(case for case in all_cases() if case.group != "big")


def cases_of(*primitives: str) -> tuple[Case, ...]:
    """The cases of some primitives."""
    return tuple(case for case in all_cases() if case.primitive in primitives)


def find_case(case_id: str) -> Case:
    """The case of this id."""
    for case in all_cases():
        if case.id == case_id:
            return case
    raise KeyError(f"no case is called {case_id}")
