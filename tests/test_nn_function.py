"""Function: a user's operation in NumPy, inside and outside of plans."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import nn


class ScaledSquare(nn.Function):
    @staticmethod
    def forward(ctx, x, w, power, *, offset=0.0):
        ctx.save_for_backward(x, w)
        ctx.power = power
        return w * x**power + offset

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return dy * w * ctx.power * x ** (ctx.power - 1), (dy * x**ctx.power).sum(0), None


class Split(nn.Function):
    @staticmethod
    def forward(ctx, x):
        return x[:, :1], x[:, 1:]

    @staticmethod
    def backward(ctx, left, right):
        return np.concatenate([left, right], 1)


class Broken(nn.Function):
    @staticmethod
    def output_shape(shape):
        return shape

    @staticmethod
    def forward(ctx, x):
        raise ArithmeticError("no luck")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.w = nn.Parameter(np.array([1.0, 2.0, 3.0]))

    def forward(self, x):
        return ScaledSquare.apply(self.first(x), self.w, 2, offset=1.0) * 2.0


def test_on_arrays_it_computes_at_once() -> None:
    y = ScaledSquare.apply(np.array([[2.0, 3.0]]), nn.Parameter([1.0, 2.0]), 2)
    assert y.dtype == np.float32
    assert y.tolist() == [[4.0, 18.0]]
    left, right = Split.apply(np.ones((2, 3)))
    assert (left.shape, right.shape) == ((2, 1), (2, 2))


def test_in_a_model_forward_and_backward_run() -> None:
    net = Net()
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    dy = np.ones((4, 3), np.float32)
    for _ in range(2):
        net.zero_grad()
        y = net(x)
        dx = net.backward(dy)
        h = x @ net.first.weight.data.T + net.first.bias.data
        np.testing.assert_allclose(y, 2 * (net.w.data * h**2 + 1), rtol=1e-5, atol=1e-5)
        dh = 2 * dy * net.w.data * 2 * h
        np.testing.assert_allclose(dx, dh @ net.first.weight.data, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(net.w.grad, (2 * dy * h**2).sum(0), rtol=1e-4, atol=1e-4)
        net.first.bias.data += 0.5


def test_several_outputs() -> None:
    class Cut(nn.Module):
        def forward(self, x):
            left, right = Split.apply(x)
            return left * 2.0 + right.sum(1, True)

    cut = Cut()
    assert cut(np.array([[1.0, 2.0, 3.0]])).tolist() == [[7.0]]
    assert cut.backward(np.ones((1, 1))).tolist() == [[2.0, 1.0, 1.0]]


def test_on_images_the_layout_is_logical_nchw() -> None:
    class Shift(nn.Function):
        @staticmethod
        def forward(ctx, x):
            assert x.shape == (2, 3, 4, 5)
            return x + np.arange(3).reshape(1, 3, 1, 1)

        @staticmethod
        def backward(ctx, dy):
            return dy

    class Image(nn.Module):
        def forward(self, x):
            return Shift.apply(x * 1.0)

    x = np.random.default_rng(0).integers(0, 9, (2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(Image()(x), x + np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1))


def test_an_exception_comes_through() -> None:
    class Unlucky(nn.Module):
        def forward(self, x):
            return Broken.apply(x)

    with pytest.raises(ArithmeticError, match="no luck"):
        Unlucky()(np.ones(2))


def test_missing_methods_are_named() -> None:
    class Half(nn.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 0.5

    class Model(nn.Module):
        def forward(self, x):
            return Half.apply(x)

    model = Model()
    assert model(np.ones(2)).tolist() == [0.5, 0.5]
    with pytest.raises(NotImplementedError, match=r"backward\(ctx, ...\)"):
        model.backward(np.ones(2))
    with pytest.raises(NotImplementedError, match=r"forward\(ctx, ...\)"):
        nn.Function.apply(np.ones(2))
