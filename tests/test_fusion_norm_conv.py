"""Depthwise convolution with batch norm and its activation inside, against the same model unfused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph import fusion
from fastnn.graph.fusion.norm_conv import norm_into_depthwise
from fused_beside import check_beside_unfused, operations, results

FUSED = ["norm_conv2d", "norm_conv2d_bwd_weights"]


def block(activation: type[nn.Module], size: int, stride: int, channels: int = 37) -> nn.Module:
    fn.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        activation(),
        nn.Conv2d(channels, channels, size, stride, size // 2, groups=channels),
        nn.Conv2d(channels, 4, 1),
    )


def data() -> Any:
    return np.random.default_rng(0).standard_normal((3, 3, 13, 9), np.float32)


def names(model: nn.Module) -> list[str]:
    return operations(model, data(), FUSED)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("activation", [nn.SiLU, nn.ReLU])
def test_the_bits_of_the_unfused(activation: type[nn.Module], size: int, stride: int, training: bool) -> None:
    check_beside_unfused(
        lambda: block(activation, size, stride).train(training), data(), FUSED, off=[norm_into_depthwise],
        expected=FUSED if training else FUSED[:1],  # in eval mode the backward has a plan of its own
    )  # fmt: skip


def test_the_forward_alone() -> None:
    fn.set_precision("exact")  # else batch norm and SiLU are part of the convolution before them
    model = block(nn.SiLU, 3, 1).eval()
    with fn.no_grad():
        assert names(model) == FUSED[:1]
        between = model[2](model[1](model[0](data())))
        np.testing.assert_array_equal(model(data()), model[4](model[3](between)))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Conv2d(6, 12, 3, padding=1, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
        nn.Conv2d(6, 6, 7, padding=3, groups=6),
    ],
    ids=["dense", "multiplier", "dilated", "7x7"],
)
def test_not_before_other_convolutions(convolution: nn.Module) -> None:
    assert names(nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.SiLU(), convolution)) == []


def test_not_where_the_value_is_read_elsewhere() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1, groups=3)

        def forward(self, x: Any) -> Any:
            z = fn.silu(self.norm(x))
            return self.conv(z) + z

    assert names(Both()) == []


def test_not_on_maps_that_some_taps_never_meet() -> None:
    model = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2, groups=4))
    assert "norm_conv2d" not in str(model.plan(np.zeros((2, 4, 3, 3), np.float32)))


@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU, nn.SiLU])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_not_after_a_residual_sum(activation: type[nn.Module], training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv, self.norm = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
            self.activation, self.depthwise = activation(), nn.Conv2d(8, 8, 3, padding=1, groups=8)

        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            return self.depthwise(self.activation(self.norm(self.conv(x)) + x))

    fn.set_precision("exact")
    fn.manual_seed(0)
    model = Residual().train(training)
    assert names(model) == []
    actual = results(copy.deepcopy(model), data())
    monkeypatch.setattr(fusion, "RULES", ())
    for value, want in zip(actual, results(model, data()), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-5)
