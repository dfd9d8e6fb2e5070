"""Whole training steps: milliseconds a step of GarmentClassifier and an MLP."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn

NETWORKS = {
    "garment-4": ("garment", (4, 1, 28, 28)),
    "garment-64": ("garment", (64, 1, 28, 28)),
    "lenet5-64": ("lenet5", (64, 1, 28, 28)),
    "mlp-64": ("mlp", (64, 1, 28, 28)),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_training_step(benchmark, threads, network):
    name, shape = NETWORKS[network]
    fn.manual_seed(0)
    model = fn.models.create(name, num_classes=10, in_channels=1, image_size=28)
    optimizer = fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    step = fn.TrainStep(model, fn.nn.CrossEntropyLoss(), optimizer)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape).astype(np.float32), rng.integers(0, 10, shape[0])
    losses = [step(x, y) for _ in range(30)]
    assert losses[-1] < losses[0]
    benchmark(step, x, y)
