"""Initialisation: distributions, exact fills, seeds and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.nn import init

SHAPE = (200, 100, 3, 3)
FAN_IN, FAN_OUT = 900, 1800


def drawn(fill, shape=SHAPE) -> np.ndarray:
    fn.manual_seed(11)
    w = nn.Parameter(np.full(shape, np.nan))
    assert fill(w) is w
    assert np.isfinite(w.data).all()
    return w.data


def uniform(bound: float) -> tuple[float, float]:
    return bound, bound / math.sqrt(3)


SCALES = {
    "uniform": (lambda w: init.uniform_(w, -2, 2), *uniform(2.0)),
    "normal": (lambda w: init.normal_(w, 0.0, 0.5), np.inf, 0.5),
    "xavier_uniform": (lambda w: init.xavier_uniform_(w, 2.0), *uniform(2 * math.sqrt(6 / (FAN_IN + FAN_OUT)))),
    "xavier_normal": (lambda w: init.xavier_normal_(w), np.inf, math.sqrt(2 / (FAN_IN + FAN_OUT))),
    "kaiming_uniform": (lambda w: init.kaiming_uniform_(w), *uniform(math.sqrt(6 / FAN_IN))),
    "kaiming_uniform_a": (lambda w: init.kaiming_uniform_(w, math.sqrt(5)), *uniform(1 / math.sqrt(FAN_IN))),
    "kaiming_normal": (lambda w: init.kaiming_normal_(w, 0, "fan_out", "relu"), np.inf, math.sqrt(2 / FAN_OUT)),
    "fan_in_uniform": (lambda w: init.fan_in_uniform_(w), *uniform(1 / math.sqrt(FAN_IN))),
}


@pytest.mark.parametrize("name", SCALES)
def test_scale(name: str) -> None:
    fill, bound, std = SCALES[name]
    w = drawn(fill)
    assert abs(w).max() <= bound * (1 + 1e-6)
    # 180,000 draws: the error of the standard deviation is about 0.17 %; five times that is allowed.
    assert abs(w.std() / std - 1) < 0.01
    assert abs(w.mean()) < 5 * std / math.sqrt(w.size)


def test_normal_moves_its_mean() -> None:
    w = drawn(lambda w: init.normal_(w, 3.0, 0.1))
    assert abs(w.mean() - 3.0) < 1e-3


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0.0, 1.0, -2.0, 2.0), (1.0, 0.5, 0.9, 1.1), (0.0, 1.0, 2.0, 3.0)])
def test_truncated_normal(mean: float, std: float, a: float, b: float) -> None:
    w = drawn(lambda w: init.trunc_normal_(w, mean, std, a, b))
    assert w.min() >= a
    assert w.max() <= b
    grid = np.linspace(a, b, 20001)
    density = np.exp(-0.5 * ((grid - mean) / std) ** 2)
    expected = (grid * density).sum() / density.sum()
    assert abs(w.mean() - expected) < 5 * (b - a) / math.sqrt(w.size)


def test_exact_fills() -> None:
    assert (drawn(init.zeros_) == 0).all()
    assert (drawn(init.ones_) == 1).all()
    assert (drawn(lambda w: init.constant_(w, 0.25)) == 0.25).all()
    np.testing.assert_array_equal(drawn(init.eye_, (3, 4)), np.eye(3, 4))
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    init.dirac_(conv.weight)
    np.testing.assert_array_equal(conv(x), x)
    grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
    init.dirac_(grouped.weight, groups=2)
    np.testing.assert_array_equal(grouped(x), x)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (16, 4, 3, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = drawn(lambda w: init.orthogonal_(w, 2.0), shape).reshape(shape[0], -1).astype(np.float64)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_sparse() -> None:
    w = drawn(lambda w: init.sparse_(w, 0.3, std=2.0), (50, 40))
    assert ((w == 0).sum(0) == 15).all()
    assert abs(w[w != 0].std() - 2.0) < 0.2


def test_seeds_decide() -> None:
    first, again = drawn(init.normal_), drawn(init.normal_)
    np.testing.assert_array_equal(first, again)
    fn.manual_seed(12)
    assert (init.normal_(np.empty(SHAPE, np.float32)) != first).any()
    own = np.random.default_rng(5)
    fn.manual_seed(11)
    other = init.normal_(np.empty(SHAPE, np.float32), generator=own)
    assert (other != first).any()
    fn.manual_seed(11)
    layer = nn.Linear(7, 5)
    fn.manual_seed(11)
    np.testing.assert_array_equal(nn.Linear(7, 5).weight.data, layer.weight.data)


def test_default_initialisation_of_layers() -> None:
    fn.manual_seed(0)
    for layer, fan_in in ((nn.Linear(64, 500), 64), (nn.Conv2d(8, 100, 3, groups=2), 36), (nn.Conv1d(4, 400, 5), 20)):
        bound = 1 / math.sqrt(fan_in)
        for p in (layer.weight, layer.bias):
            assert abs(p.data).max() <= bound
            assert abs(p.data).max() > 0.9 * bound
    norm = nn.BatchNorm2d(3)
    assert norm.weight.data.tolist() == [1.0] * 3
    assert norm.bias.data.tolist() == [0.0] * 3
    assert nn.PReLU(2).weight.data.tolist() == [0.25] * 2


def test_gains() -> None:
    gains = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    assert {name: init.calculate_gain(name) for name in gains} == gains
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    with pytest.raises(ValueError, match=r"expected nonlinearity to be one of .*'relu'.*, got 'swish'"):
        init.calculate_gain("swish")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.eye_(np.zeros(3, np.float32)), r"eye_: expected a 2-D tensor, got shape \(3,\)"),
        (lambda: init.xavier_normal_(np.zeros(3, np.float32)), r"at least 2 dimensions .* got shape \(3,\)"),
        (lambda: init.uniform_(np.zeros(3, np.float32), 2, 1), "uniform_: expected a <= b, got 2 and 1"),
        (lambda: init.normal_(np.zeros(3, np.float32), 0, -1), "normal_: expected std >= 0, got -1"),
        (lambda: init.dirac_(np.zeros((3, 3, 1), np.float32), 2), "expected output channels divisible by groups 2"),
        (lambda: init.kaiming_normal_(np.zeros((2, 2), np.float32), mode="fan"), "expected mode to be one of"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_only_arrays_of_floats_are_filled() -> None:
    with pytest.raises(TypeError, match="expected a Parameter or an array of floats to fill, got list"):
        init.zeros_([1.0])
    with pytest.raises(TypeError, match="got ndarray"):
        init.zeros_(np.zeros(3, int))


@pytest.mark.parametrize("shape", [(), (0, 4), (65537,), (257, 513), (3, 300, 301)], ids=str)
def test_draws_in_pieces_are_those_of_one_draw(shape: tuple[int, ...]) -> None:
    for fill, draw in ((init.uniform_, "random"), (init.normal_, "standard_normal")):
        one, other = np.random.default_rng(3), np.random.default_rng(3)
        array = fill(np.full(shape, np.nan, np.float32), -0.25, 0.75, generator=one)
        scale = np.float32(1.0 if draw == "random" else 0.75)
        expected = getattr(other, draw)(shape, dtype=np.float32) * scale - np.float32(0.25)
        np.testing.assert_array_equal(array, expected)
        assert one.random() == other.random()
        turned = np.empty(shape[::-1], np.float32).T
        np.testing.assert_array_equal(fill(turned, -0.25, 0.75, generator=np.random.default_rng(3)), expected)
