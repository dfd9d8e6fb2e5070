"""Max pooling with batch norm and ReLU inside, against the same model unfused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph.fusion.norm_pool import norm_into_max_pool
from fused_beside import check_beside_unfused, check_training, operations

FUSED = ["norm_pool2d", "norm_pool2d_bwd"]


def block(channels: int = 37, pool: nn.Module | None = None) -> nn.Module:
    fn.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        pool or nn.MaxPool2d(2),
        nn.Conv2d(channels, 4, 1),
    )


def data() -> Any:
    """Half of each image's pixels are those beside them: windows with equal maxima."""
    x = np.random.default_rng(0).standard_normal((3, 3, 13, 9), np.float32)
    x[..., 1:5] = x[..., :4]
    return x


def names(model: nn.Module, x: Any = None) -> list[str]:
    return operations(model, data() if x is None else x, FUSED)


@pytest.mark.parametrize("channels", [16, 37, 64])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equals_the_unfused(training: bool, channels: int) -> None:
    check_beside_unfused(
        lambda: block(channels).train(training), data(), FUSED, off=[norm_into_max_pool], same_bits=1,
        expected=FUSED if training else FUSED[:1],  # in eval mode the backward has a plan of its own
    )  # fmt: skip


def test_no_number_is_a_maximum() -> None:
    fn.set_precision("exact")
    model = block(16).eval()
    x = data()
    x[0, 0, 2:4, 2:4] = np.nan
    x[1, 1, 5, 5] = np.nan
    between = model[2](model[1](model[0](x)))
    assert names(model) == FUSED[:1]
    np.testing.assert_array_equal(model(x), model[4](fn.nn.functional.max_pool2d(between, 2)))


def test_training_steps() -> None:
    check_training(lambda: nn.Sequential(*block(32)), data)


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(3), nn.MaxPool2d(2, 1), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(2, ceil_mode=True)],
    ids=["3x3", "overlapping", "padded", "overhanging"],
)
def test_not_before_other_windows(pool: nn.Module) -> None:
    assert names(block(pool=pool)) == []


def test_not_of_few_channels() -> None:
    assert names(block(8)) == []


def test_not_where_the_value_is_read_elsewhere() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(16)

        def forward(self, x: Any) -> Any:
            z = fn.relu(self.norm(x))
            return fn.nn.functional.max_pool2d(z, 2).mean((2, 3)) + z.mean((2, 3))

    assert names(Both(), np.zeros((2, 16, 6, 6), np.float32)) == []


def test_not_the_backward_of_given_statistics() -> None:
    model = block(16)
    model[1].eval()
    fn.set_precision("exact")
    assert names(model) == []
