"""Every kernel of the table on its own: GFLOP/s or GB/s, and the share of the limit, in ``extra_info``.

``pytest bench --benchmark-only`` times them (``--quick``: a few of each suite). Results are checked first, on one
thread and on two; with ``--benchmark-disable`` that is all, at batch 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from bound import Bound
from kernel import Kernel
from kernel_cases import kernels
from measure import peak_gflops
from roof import bandwidth


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    option = metafunc.config.getoption
    table = kernels(quick=option("--quick"), batch=1 if option("--benchmark-disable") else None)
    metafunc.parametrize("kernel", table, ids=lambda kernel: f"{kernel.suite} {kernel.name}")


def test_kernel(benchmark: Any, threads: int, kernel: Kernel) -> None:
    arrays = kernel.operands(np.random.default_rng(0))
    step = Bound(kernel.call, arrays, kernel.setup)
    kernel.check(arrays, step.results())
    kernel.fill(arrays)
    benchmark(step)
    if benchmark.disabled:
        return
    seconds = benchmark.stats.stats.median
    needed = 1e-9 * kernel.flops / peak_gflops(threads)
    if kernel.each:
        needed = max(needed, 1e-9 * kernel.bytes / bandwidth(kernel.traffic, kernel.each, kernel.rotates, threads))
        benchmark.extra_info["gigabytes_per_second"] = 1e-9 * kernel.bytes / seconds
    benchmark.extra_info.update(
        gflops=1e-9 * kernel.flops / seconds,
        share_of_limit=needed / seconds,
        algorithm=step.algorithms,
        level=fn.config()["level"],
    )
