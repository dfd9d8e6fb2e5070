"""nn.Normalize: bytes as the first layer reads them, beside the same transform in the loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.data import DataLoader
from fastnn.data.transforms import Normalize
from fastnn.graph.plan import CompiledPlan

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
BYTES = np.random.default_rng(0).integers(0, 256, (40, 12, 11, 3), np.uint8).transpose(0, 3, 1, 2)
LABELS = np.arange(40) % 10


def network() -> nn.Module:
    fn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)
    )


def training_step(model: nn.Module) -> fn.TrainStep:
    return fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 17])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_the_bits_of_the_transform(dtype: type, channels: int) -> None:
    rng = np.random.default_rng(channels)
    mean, std = rng.uniform(-1, 1, channels), rng.uniform(0.1, 2, channels)
    layer, transform = nn.Normalize(mean, std, scale=1 / 255), Normalize(mean, std, scale=1 / 255)
    x = rng.integers(0, 256, (5, 7, 9, channels)).astype(dtype).transpose(0, 3, 1, 2)
    for batch in (x, x.copy(), x[:, :, 0].copy(), x[:, :, 0, 0].copy(), x[:0]):
        y = layer(batch)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, transform(batch))


@pytest.mark.parametrize("layout", ["channels-last", "planes"])
def test_training_from_bytes_as_from_floats(layout: str) -> None:
    x = BYTES if layout == "channels-last" else BYTES.copy()
    inner, plain = network(), network()
    loader = DataLoader((x, LABELS), 16, shuffle=True, seed=0)
    floats = DataLoader((x, LABELS), 16, shuffle=True, seed=0, transform=Normalize(MEAN, STD, scale=1 / 255))
    assert next(iter(loader))[0].nbytes * 4 == next(iter(floats))[0].nbytes
    step, other = training_step(nn.Sequential(nn.Normalize(MEAN, STD, scale=1 / 255), inner)), training_step(plain)
    for _ in range(2):
        assert step.run(loader) == other.run(floats)
    for (name, a), (_, b) in zip(inner.state_dict().items(), plain.state_dict().items(), strict=True):
        assert a.tobytes() == b.tobytes(), name
    model = nn.Sequential(nn.Normalize(MEAN, STD, scale=1 / 255), inner).eval()
    np.testing.assert_array_equal(model(x), inner.eval()(Normalize(MEAN, STD, scale=1 / 255)(x)))


def test_floats_are_made_again_where_the_backward_reads_them() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 3, 128, 128), np.uint8)
    held = []
    for front in ([nn.Normalize(MEAN, STD)], []):
        step = training_step(nn.Sequential(*front, network()))
        plan = step.plan_of(x if front else x.astype(np.float32), LABELS[:8])
        assert isinstance(plan, CompiledPlan)
        names = [call.name for call in plan.phases[0].fused]
        assert names.count("normalize_channels") == 2 * len(front)
        held.append(plan.arena_bytes)
    assert held[0] <= held[1] + x.nbytes * 4


def test_gradients_of_all_that_is_given() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    shift, factor = np.array([0.5, -1.0, 2.0]), np.array([2.0, 0.5, -3.0])
    fn.gradcheck(nn.functional.normalize_channels, (x, shift, factor))


def test_numbers_of_its_own_are_read_anew() -> None:
    layer, x = nn.Normalize(1.0), np.ones((1, 2, 1, 1), np.uint8)
    assert layer(x).ravel().tolist() == [0, 0]
    layer.mean = (0.0, 3.0)
    assert layer(x).ravel().tolist() == [1, -2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.Normalize([0.5, 0.5], [1.0, 0.0]), r"Normalize: expected std > 0, got \[1.0, 0.0\]"),
        (lambda: nn.Normalize(0.5, scale=0), "Normalize: expected scale > 0, got 0"),
        (lambda: nn.Normalize([0.5, 0.5], [1.0] * 3), "Normalize: expected as many means as stds, got 2 and 3"),
        (lambda: nn.Normalize([[0.5]]), "Normalize: expected mean to be a finite number, or one a channel, got"),
        (lambda: nn.Normalize(float("nan")), "Normalize: expected mean to be a finite number"),
        (lambda: nn.Normalize("0.5"), "Normalize: "),
        (
            lambda: nn.Normalize(0.5, scale=float("inf")),
            "Normalize: expected mean / scale and scale / std within float32",
        ),
        (lambda: nn.Normalize(0.5, scale=1e-300), "Normalize: expected mean / scale and .* within float32"),
        (lambda: nn.Normalize(0.5, 1e-300), "Normalize: expected mean / scale and .* within float32"),
        (lambda: nn.Normalize([0.5, 0.5])(BYTES), r"Normalize: expected input with 2 channels, got shape \(40, 3"),
        (lambda: nn.Normalize(0.5)(BYTES[0, 0, 0]), r"Normalize: expected input of shape \(N, C, ...\), got shape"),
        (lambda: nn.Normalize(0.5)(BYTES.astype("S3")), "Normalize: expected an array of numbers, got dtype"),
        (lambda: nn.Normalize(0.5)(BYTES * 1j), "Normalize: expected an array of numbers, got dtype complex128"),
        (
            lambda: nn.functional.normalize_channels(BYTES, np.ones(3), np.ones(2)),
            r"normalize_channels: expected factor of shape \(3,\), one entry a channel, got shape \(2,\)",
        ),
    ],
)
def test_bad_input(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        call()
