"""Outputs large enough to be written past the caches have the bits of the same work in small pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core
from fastnn.graph import run_primitive

LIMIT = 4 << 20  # FNN_PAST of src/kernels/types.h, in floats
N = LIMIT + 1003
HALF = 1 << 21
Array = np.ndarray


def whole_and_halves(name: str, arrays: list[Array], *same: Array, **attrs: Any) -> tuple[Array, Array]:
    """Return the result for whole arrays, and put together from those for their parts; ``same`` belong to each part."""
    whole = run_primitive(name, *arrays, *same, **attrs)
    cuts = range(0, len(arrays[0]), HALF * len(arrays[0]) // arrays[0].size)
    parts = [run_primitive(name, *(a[lo : lo + cuts.step] for a in arrays), *same, **attrs) for lo in cuts]
    return whole, np.concatenate(parts)


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


CASES: dict[str, Callable[[], tuple[str, list[Array], dict[str, Any]]]] = {
    "relu": lambda: ("relu", [numbers(0, N)], {}),
    "gelu": lambda: ("gelu", [numbers(0, N)], {"approximate": "none"}),
    "gelu_bwd": lambda: ("gelu_bwd", [numbers(0, N), numbers(1, N)], {"approximate": "none"}),
    "silu_bwd": lambda: ("silu_bwd", [numbers(0, N), numbers(1, N)], {}),
    "add": lambda: ("add", [numbers(0, N), numbers(1, N)], {}),
    "smooth_l1": lambda: (
        "smooth_l1_loss_bwd", [numbers(2, N), numbers(0, N), numbers(1, N)], {"reduction": "none", "beta": 1.0}
    ),
    "softmax": lambda: ("softmax", [numbers(0, N // 1000 + 1, 1000)], {"axis": 1}),
    "softmax_anywhere": lambda: ("softmax", [numbers(0, N // 1001 + 2, 1001)], {"axis": 1}),
    "softmax_short": lambda: ("softmax", [numbers(0, N // 10, 10)], {"axis": 1}),
    "log_softmax_bwd": lambda: ("log_softmax_bwd", [numbers(0, N // 100, 100), numbers(1, N // 100, 100)], {"axis": 1}),
}  # fmt: skip


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("case", CASES)
def test_bits(case: str, level: str) -> None:
    _core.set_level(level)
    name, arrays, attrs = CASES[case]()
    for threads in (1, 2):
        fn.set_num_threads(threads)
        whole, parts = whole_and_halves(name, arrays, **attrs)
        assert whole.tobytes() == parts.tobytes()


@pytest.mark.parametrize("level", _core.levels())
def test_cross_entropy(level: str) -> None:
    _core.set_level(level)
    rows, classes = N // 1000 + 1, 1000
    x, target = numbers(0, rows, classes), np.random.default_rng(1).integers(0, classes, rows)
    dy = numbers(2, rows)
    attrs = {"label_smoothing": 0.1, "ignore_index": -100, "reduction": "none"}
    fn.set_num_threads(2)
    whole = run_primitive("cross_entropy_bwd", dy, x, target, None, **attrs)
    parts = [run_primitive("cross_entropy_bwd", dy[i::2], x[i::2], target[i::2], None, **attrs) for i in range(2)]
    assert np.array_equal(whole[0::2], parts[0])
    assert np.array_equal(whole[1::2], parts[1])


@pytest.mark.parametrize("level", _core.levels())
def test_dropout(level: str) -> None:
    _core.set_level(level)
    rng, attrs = np.array([3, 4], np.uint64), {"p": 0.25, "stream": 1, "mode": "element"}
    fn.set_num_threads(2)
    ones = np.ones(N, np.float32)
    whole = run_primitive("dropout", ones, rng, **attrs)
    assert np.array_equal(whole[: LIMIT - 5], run_primitive("dropout", ones[: LIMIT - 5], rng, **attrs))
    assert abs(np.count_nonzero(whole[LIMIT - 5 :]) / (N - LIMIT + 5) - 0.75) < 0.1


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("c", [64, 24])
def test_batch_norm(c: int, level: str) -> None:
    _core.set_level(level)
    rows = N // c + 1
    x, dy = numbers(0, rows, c), numbers(1, rows, c)
    mean, var, weight, bias = numbers(2, c), np.abs(numbers(3, c)), numbers(4, c), numbers(5, c)
    bits = set()
    for threads in (1, 2):
        fn.set_num_threads(threads)
        whole, parts = whole_and_halves("batch_norm", [x], mean, var, weight, bias, eps=1e-5)
        assert whole.tobytes() == parts.tobytes()
        dx, dweight, dbias = run_primitive("batch_norm_bwd", dy, x, mean, var, weight, eps=1e-5, training=False)
        some = run_primitive("batch_norm_bwd", dy[-99:], x[-99:], mean, var, weight, eps=1e-5, training=False)
        assert np.array_equal(dx[-99:], some[0])
        bits.add(dx.tobytes() + dweight.tobytes() + dbias.tobytes())
    assert len(bits) == 1
