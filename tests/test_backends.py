"""The same networks on the compiled backend and on the oracles: loss curves, predictions and gradients agree."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import fastnn as fn
from fastnn import _backend, nn


@contextlib.contextmanager
def reference_backend():
    core = _backend.state.core
    _backend.state.core = None
    try:
        yield
    finally:
        _backend.state.core = core


def lenet_curve(steps=12):
    fn.manual_seed(11)
    model = fn.models.create("lenet5", num_classes=10, in_channels=1, image_size=28)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 8)
    return np.array([step(x, y) for _ in range(steps)]), model.state_dict()


def test_a_fixed_lenet_run_has_the_reference_backends_curve():
    losses, weights = lenet_curve()
    with reference_backend():
        expected, oracle = lenet_curve()
    assert losses[-1] < 0.7 * losses[0]
    # Float32 against float64 sums: rounding of 1e-6 a step grows by the step's Lipschitz factor, measured near 1.3.
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for key, value in weights.items():
        np.testing.assert_allclose(value, oracle[key], rtol=1e-3, atol=1e-4, err_msg=key)


def residual():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(4)
            self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=4)
            self.scale = nn.Parameter(np.full((1, 4, 1, 1), 0.5))

        def forward(self, x):
            y = nn.functional.relu(self.bn1(self.conv1(x)))
            return nn.functional.silu(self.conv2(y) * self.scale + x)

    return nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), Block(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("training", [True, False])
def test_by_hand_gives_the_oracles_values(training):
    fn.manual_seed(2)
    model = residual().train(training)
    x = np.random.default_rng(0).normal(size=(5, 2, 9, 9)).astype(np.float32)
    state = model.state_dict()

    def run():
        model.load_state_dict(state)
        model.zero_grad()
        y = model(x)
        dx = model.backward(np.cos(np.arange(15.0)).reshape(5, 3))
        return {"y": y, "dx": dx} | {n: p.grad for n, p in model.named_parameters()} | model.state_dict(prefix="state.")

    got = run()
    with reference_backend():
        want = run()
    assert got.keys() == want.keys()
    for key, value in want.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-4, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_eval_batch_norm_sends_gradients_past_a_bad_input(bad):
    model = nn.BatchNorm2d(5).eval()
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 4)).astype(np.float32)
    x[1, 2, 3, 0] = bad
    dy = np.cos(np.arange(x.size)).reshape(x.shape).astype(np.float32)
    model(x)
    dx = model.backward(dy)
    np.testing.assert_allclose(dx, dy / np.sqrt(1 + model.eps), rtol=1e-6)
