"""Matrix products: GFLOP/s of the register-tile core, square and skinny, beside NumPy's BLAS in ``extra_info``."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import nn
from measure import peak_gflops

SQUARE = [(n, n, n) for n in (256, 512, 1024)]
SKINNY = [(64, 100, 784), (128, 512, 784), (3136, 64, 576)]


@pytest.mark.parametrize(("m", "n", "k"), SQUARE + SKINNY, ids=lambda v: str(v))
def test_linear(benchmark, threads, m, n, k):
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (m, k)).astype(np.float32)
    w = rng.integers(-3, 4, (n, k)).astype(np.float32)
    np.testing.assert_array_equal(nn.functional.linear(x, w), x @ w.T)
    benchmark(nn.functional.linear, x, w)
    if not benchmark.disabled:
        rate = 2e-9 * m * n * k / benchmark.stats.stats.median
        benchmark.extra_info.update(gflops=rate, share_of_peak=rate / peak_gflops(threads))
