"""One case against its oracle: whole numbers and floats, at each of some levels, with one to three threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastnn as fn
from case_data import Case, make_inputs
from fastnn import _core
from oracle import allowed, check_no_overrun, compare, run_kernel, run_oracle
from tolerances import terms

THREADS = (1, 2, 3)


def check_case(case: Case, levels: Sequence[str]) -> None:
    for mode in ("integers", "floats"):
        inputs = make_inputs(case, mode, terms(case))
        expected = run_oracle(case, inputs)
        limits = allowed(case, mode, inputs, expected)
        for level in levels:
            _core.set_level(level)
            first: list[Any] | None = None
            for threads in (*THREADS, 1):
                where = f"{mode}, level {level}, {threads} thread{'s' if threads > 1 else ''}"
                fn.set_num_threads(threads)
                _core.last_team_size()
                actual = run_kernel(case, inputs)
                check_no_overrun(f"{case.id}, {where}:")
                assert _core.last_team_size() in (1, threads), f"{case.id}, {where}: a team of another size ran"
                if first is None:
                    compare(case, actual, expected, limits, where)
                    first = actual
                else:
                    same_bits(case, first, actual, where)


def same_bits(case: Case, first: Sequence[Any], again: Sequence[Any], where: str) -> None:
    for index, (a, b) in enumerate(zip(first, again, strict=True)):
        if a.tobytes() != b.tobytes():
            differ = np.atleast_1d(~((a == b) | ((a != a) & (b != b))))
            at = tuple(int(i[0]) for i in np.nonzero(differ))[: a.ndim] if differ.any() else None
            raise AssertionError(
                f"{case.id}, {where}: result {index} differs from the first run on one thread, first at {at}"
                + (f": {a[at]!r} became {b[at]!r}" if at is not None else " in the sign of a zero or a NaN's payload")
                + f'\nagain: python -m pytest "tests/test_kernels.py" -k "{case.id}"'
            )
