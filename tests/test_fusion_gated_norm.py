"""Squeeze-and-excitation fused with batch norm and SiLU, against the same model unfused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.models import SqueezeExcitation
from fused_beside import check_beside_unfused, operations

FORWARD = ["gated_norm_pool", "gated_norm"]
BACKWARD = ["gated_norm_sums", "gated_norm_bwd"]


def block(channels: int = 21) -> nn.Module:
    fn.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.SiLU(),
        SqueezeExcitation(channels, 4),
        nn.Conv2d(channels, 5, 1),
    )


def data() -> Any:
    return np.random.default_rng(0).standard_normal((3, 3, 9, 7), np.float32)


def names(model: nn.Module) -> list[str]:
    return operations(model, data(), FORWARD + BACKWARD)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equals_the_unfused(training: bool) -> None:
    check_beside_unfused(
        lambda: block().train(training), data(), FORWARD + BACKWARD, off=None, same_bits=0,
        expected=FORWARD + (BACKWARD if training else []),  # in eval mode the backward has a plan of its own
    )  # fmt: skip


def test_the_forward_alone() -> None:
    model = block().eval()
    x = data()
    with fn.no_grad():
        assert names(model) == FORWARD
        between = fn.silu(model[1](model[0](x)))
        np.testing.assert_allclose(model(x), model[4](model[3](between)), rtol=1e-5, atol=1e-6)


def test_not_where_the_value_is_read_elsewhere() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.squeeze = nn.BatchNorm2d(3), SqueezeExcitation(3, 2)

        def forward(self, x: Any) -> Any:
            z = fn.silu(self.norm(x))
            return self.squeeze(z) + z

    model = Both()
    x = data()
    assert names(model) == []
    z = fn.silu(model.norm(x))
    np.testing.assert_allclose(model(x), model.squeeze(z) + z, rtol=1e-6, atol=1e-6)


def test_not_where_the_gate_is_of_another_shape() -> None:
    class OneGate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Any) -> Any:
            z = fn.silu(self.norm(x))
            return z * fn.sigmoid(fn.adaptive_avg_pool2d(z, 1).mean(dim=1, keepdim=True))

    assert names(OneGate()) == []


def test_an_efficientnet_has_it_in_each_block() -> None:
    model = fn.models.efficientnet_b0(num_classes=10, cifar=True)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.01), recompute=False)
    step(np.zeros((2, 3, 32, 32), np.float32), np.zeros(2, np.int64))
    (phase,) = step._last[0].plan.phases
    made = [call.name for call in phase.fused]
    assert [made.count(name) for name in FORWARD + BACKWARD] == [16, 16, 16, 16]
