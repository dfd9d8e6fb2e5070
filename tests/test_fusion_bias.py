"""The gradient of a bias before batch norm, which is zero, beside the sum of dx that rounding leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph import fusion
from fastnn.models import SqueezeExcitation

X = np.random.default_rng(0).standard_normal((6, 3, 8, 6), np.float32)


def gradients(tail: list[nn.Module], x: Any = X) -> tuple[Any, int]:
    """The gradient of the bias of the convolution before the tail, and how many sums the plan makes."""
    fn.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), *tail, nn.Conv2d(20, 4, 1, bias=False))
    y = model(x)
    model.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
    return model[0].bias.grad, [row[2] for row in model.plan(x).rows()].count("sum")


TAILS = {
    "norm": lambda: [nn.BatchNorm2d(20)],
    "relu": lambda: [nn.BatchNorm2d(20), nn.ReLU()],
    "pool": lambda: [nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2)],
    "gate": lambda: [nn.BatchNorm2d(20), nn.SiLU(), SqueezeExcitation(20, 5)],
}


@pytest.mark.parametrize("name", TAILS)
def test_zero_without_a_sum(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fn.set_precision("fast")
    grad, sums = gradients(TAILS[name]())
    monkeypatch.setattr(fusion, "RULES", tuple(r for r in fusion.RULES if r.__name__ != "bias_before_batch_norm"))
    summed, more = gradients(TAILS[name]())
    assert sums == more - 1
    np.testing.assert_array_equal(grad, np.zeros(20, np.float32))
    np.testing.assert_allclose(summed, grad, rtol=0, atol=1e-4)


def test_summed_in_precision_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    fn.set_precision("exact")
    grad, _ = gradients([nn.BatchNorm2d(20)])
    monkeypatch.setattr(fusion, "RULES", ())
    assert grad.any()
    assert grad.tobytes() == gradients([nn.BatchNorm2d(20)])[0].tobytes()


def test_summed_where_statistics_are_given() -> None:
    fn.set_precision("fast")
    grad, _ = gradients([nn.BatchNorm2d(20).eval()])
    assert np.abs(grad).min() > 1e-3


def test_a_gradient_that_is_no_number_stays_none() -> None:
    fn.set_precision("fast")
    x = X.copy()
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(gradients([nn.BatchNorm2d(20)], x)[0]).all()


def test_a_linear_layer_too() -> None:
    fn.set_precision("fast")
    fn.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 2))
    x = np.random.default_rng(0).standard_normal((9, 5), np.float32)
    model(x)
    model.backward(np.ones((9, 2), np.float32) * np.arange(9, dtype=np.float32).reshape(9, 1))
    np.testing.assert_array_equal(model[0].bias.grad, np.zeros(7, np.float32))
    assert model[2].bias.grad.all()
