"""Results that go past the caches have the bits of those that stay in them."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core
from fastnn.nn import functional as F

PAST = 4 << 20  # elements; FNN_PAST of src/kernels/types.h


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("classes", [1001, 33])
def test_softmax(level: str, threads: int, classes: int) -> None:
    """Rows that begin anywhere within a vector, by any number of threads."""
    _core.set_level(level)
    fn.set_num_threads(threads)
    rows = PAST // classes + 2
    x = np.random.default_rng(1).standard_normal((rows, classes), np.float32)
    whole = F.softmax(x, 1)
    for some in np.array_split(np.arange(rows), 3):
        part = slice(int(some[0]), int(some[-1]) + 1)
        np.testing.assert_array_equal(whole[part], F.softmax(x[part], 1))
