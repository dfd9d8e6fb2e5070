"""Functions on arrays, called again: the short way gives the bits of the long one, and only where it may."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core
from fastnn.graph import shortcut
from fastnn.nn import functional as F

rng = np.random.default_rng(0)
A, W, B = (rng.standard_normal(s).astype(np.float32) for s in ((5, 33), (17, 33), (17,)))
IMAGE = rng.standard_normal((2, 3, 6, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def forgotten():
    shortcut._thread.__dict__.clear()


def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call from here on took a shortcut."""
    found: list[bool] = []
    recall = shortcut.recall

    def watched(*call):
        result = recall(*call)
        found.append(result is not None)
        return result

    monkeypatch.setattr("fastnn.graph.execute.recall", watched)
    return found


CALLS = {
    "linear": lambda: F.linear(A, W, B),
    "linear by name": lambda: F.linear(A, bias=B, weight=W),
    "no bias": lambda: F.linear(A, W),
    "matmul": lambda: F.matmul(A, np.ascontiguousarray(W.T)),
    "turned right": lambda: F.matmul(A, W.T),
    "turned left": lambda: F.matmul(np.asfortranarray(A), np.ascontiguousarray(W.T)),
    "turned both": lambda: F.matmul(np.asfortranarray(A), W.T),
    "channels last": lambda: F.relu(np.ascontiguousarray(IMAGE.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)),
    "channels first": lambda: F.relu(IMAGE),
    "a number": lambda: F.mse_loss(A, A + 1),
    "bytes": lambda: F.relu(np.arange(6, dtype=np.uint8).reshape(2, 3)),
    "two outputs": lambda: F.chunk(A, 2, 1),
    "empty": lambda: F.linear(np.zeros((0, 33), np.float32), W, B),
}


@pytest.mark.parametrize("name", CALLS)
def test_second_call_takes_it(name, monkeypatch):
    found = taken(monkeypatch)
    first, second, third = CALLS[name](), CALLS[name](), CALLS[name]()
    assert found == [False, True, True]
    for result in (second, third):
        pairs = zip(first, result, strict=True) if isinstance(first, tuple) else [(first, result)]
        for x, y in pairs:
            assert type(x) is type(y)
            assert np.shape(x) == np.shape(y)
            assert np.asarray(x).strides == np.asarray(y).strides or np.size(x) == 0
            np.testing.assert_array_equal(x, y)
    assert second is not third


def test_results_are_separate():
    first = F.linear(A, W)
    second, third = F.linear(A, W), F.linear(2 * A, W)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(2 * first, third)


@pytest.mark.parametrize(
    "other",
    [A[:4], A[:, ::-1], A.astype(np.float64), A[::-1], np.asfortranarray(A), A.tolist(), fn.nn.Parameter(A)],
    ids=["shape", "columns", "dtype", "stride", "order", "lists", "parameter"],
)
def test_other_arrays_take_the_long_way(other, monkeypatch):
    F.linear(A, W)
    found = taken(monkeypatch)
    values = np.asarray(getattr(other, "data", other) if isinstance(other, fn.nn.Parameter) else other, np.float32)
    np.testing.assert_array_equal(F.linear(other, W), F.linear(np.ascontiguousarray(values), W))
    assert found[0] is False


def test_constants_are_told_apart():
    x = np.array([-1.0, 2.0], np.float32)
    for slope in (0.5, 0.25, 1, 1.0, 0.5):
        for _ in range(2):
            np.testing.assert_array_equal(F.leaky_relu(x, slope), [-float(slope), 2.0])
    with pytest.raises(TypeError, match="negative_slope"):
        F.leaky_relu(x, True)


def test_what_python_decides_takes_the_long_way(monkeypatch):
    found = taken(monkeypatch)
    masks = [F.dropout(np.ones(64, np.float32), 0.5) for _ in range(3)]
    assert found == [False] * 3
    assert not np.array_equal(masks[0], masks[1])
    logits = np.zeros((1, 3), np.float32)
    for _ in range(2):
        F.cross_entropy(logits, np.array([1]))
    with pytest.raises(ValueError, match="3"):
        F.cross_entropy(logits, np.array([3]))


def test_settings_are_obeyed():
    _core.set_grain(0)
    results = []
    for level in _core.levels():
        _core.set_level(level)
        for threads in (1, 2, 1, 3):
            fn.set_num_threads(threads)
            _core.last_team_size()
            results.append(F.linear(np.tile(A, (20, 1)), W))
            assert _core.last_team_size() == threads
        for other in results[-4:]:
            np.testing.assert_array_equal(results[-1], other)


def test_a_larger_neighbour_moves_the_arena():
    before = [F.linear(A, W) for _ in range(2)]
    F.linear(np.ones((300, 700), np.float32), np.ones((400, 700), np.float32))
    np.testing.assert_array_equal(F.linear(A, W), before[0])


def test_arrays_are_not_kept():
    x = A.copy()
    F.linear(x, W)
    F.linear(x, W)
    gone = weakref.ref(x)
    del x
    assert gone() is None


def test_each_thread_has_its_own():
    expected = F.linear(A, W)
    wrong = []

    def work():
        for _ in range(200):
            if not np.array_equal(F.linear(A, W), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_few_are_kept(monkeypatch):
    for rows in range(1, 3 * shortcut.KEPT):
        F.linear(np.ones((rows, 4), np.float32), np.ones((2, 4), np.float32))
    assert all(len(kept) <= shortcut.KEPT for kept in shortcut._thread.table.values())
    found = taken(monkeypatch)
    F.linear(np.ones((3 * shortcut.KEPT - 1, 4), np.float32), np.ones((2, 4), np.float32))
    assert found == [True]
