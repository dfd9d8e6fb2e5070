"""Random small networks, fused and not: rules meet each other's results in ways that no test of one rule has."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph import fusion
from fastnn.models import SqueezeExcitation

CHANNELS = 8
X = np.random.default_rng(0).standard_normal((3, 3, 9, 7), np.float32)
TARGET = np.array([0, 1, 2])


class Net(nn.Module):
    """A chain with branches: each layer reads the last value, or any before it, or adds two."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Linear(CHANNELS, 4)
        self.layers = nn.ModuleList()
        self.wiring: list[tuple[int, int, int]] = []  # two values read, the activation after it
        for i in range(int(rng.integers(3, 9))):
            self.layers.append(self.layer(rng))
            self.wiring.append((i if rng.random() < 0.75 else int(rng.integers(i + 1)), *rng.integers((i + 1, 6))))

    def layer(self, rng: np.random.Generator) -> nn.Module:
        bias, size = bool(rng.integers(2)), int(rng.choice([3, 5]))
        kinds = [  # what fusion looks for comes more often
            lambda: nn.Conv2d(CHANNELS, CHANNELS, 1, bias=bias),
            lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding="same", bias=bias),
            *[lambda: nn.Conv2d(CHANNELS, CHANNELS, size, padding="same", groups=CHANNELS, bias=bias)] * 2,
            *[lambda: nn.BatchNorm2d(CHANNELS)] * 3,
            lambda: SqueezeExcitation(CHANNELS, 2),
            lambda: nn.MaxPool2d(3, 1, 1),
            *[nn.Identity] * 3,  # stands for a sum
        ]
        layer = kinds[rng.integers(len(kinds))]()
        return fn.checkpoint(layer) if rng.random() < 0.1 and not isinstance(layer, nn.Identity) else layer

    def forward(self, x: Any) -> Any:
        values = [self.stem(x)]
        for layer, (first, second, activation) in zip(self.layers, self.wiring, strict=True):
            is_sum = isinstance(layer, nn.Identity)
            y = values[first] + values[second] if is_sum else layer(values[first])
            values.append({0: fn.relu, 1: fn.silu, 2: fn.sigmoid}.get(activation, lambda z: z)(y))
        return self.head(fn.adaptive_avg_pool2d(values[-1] + values[len(values) // 2], 1).reshape(x.shape[0], CHANNELS))


def results(net: Net) -> list[Any]:
    """Outputs and gradients in both modes, outputs without gradients, losses and weights of three steps."""
    found: list[Any] = []
    for training in (True, False):
        model = copy.deepcopy(net).train(training)
        y = model(X)
        found += [y, model.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))]
        found += [p.grad for p in model.parameters() if p.grad is not None]
        with fn.no_grad():
            found.append(model(X))
    model = copy.deepcopy(net)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    return found + [np.array(step(X, TARGET)) for _ in range(3)] + [p.data for p in model.parameters()]


@pytest.mark.parametrize("seed", range(100))
def test_fused_is_unfused(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _core.set_poison(True)
    _core.set_grain(0.0)
    fn.set_num_threads(1 + seed % 3)
    fn.set_precision(("exact", "fast")[seed % 2])
    monkeypatch.setattr("fastnn.graph.recompute.LEAST", 0)
    monkeypatch.setattr("fastnn.graph.recompute.LEAST_SUM", 0)
    fn.manual_seed(seed)
    net = Net(np.random.default_rng(seed))
    actual = results(net)
    monkeypatch.setattr(fusion, "RULES", ())
    for value, want in zip(actual, results(net), strict=True):
        # Sums in another order, through up to eight layers and three steps: far below what a wrong term makes.
        np.testing.assert_allclose(value, want, rtol=0, atol=1e-3 * max(np.abs(want).max(), 0.01))
