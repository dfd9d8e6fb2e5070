"""Squeeze-and-excitation fused with batch norm and SiLU, against the same model unfused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph import fusion
from fastnn.models import SqueezeExcitation

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


def data(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((3, 3, 9, 7), np.float32), rng.standard_normal((3, 5, 9, 7), np.float32)


def results(model: nn.Module) -> list[Any]:
    """Outputs, the gradient of the input and those of all parameters."""
    x, dy = data()
    y = model(x)
    dx = model.backward(dy)
    return [y, dx, *(p.grad for p in model.parameters())]


def names(model: nn.Module) -> list[str]:
    text = str(model.plan(data()[0]))
    return [name for name in FORWARD + BACKWARD if f"{name} " in text]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equals_the_unfused(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact")
    for level in _core.levels():
        _core.set_level(level)
        with monkeypatch.context() as patch:
            patch.setattr(fusion, "RULES", ())
            plain = block().train(training)
            assert names(plain) == []
            expected = results(plain)
        bits = set()
        for threads in (1, 3):
            fn.set_num_threads(threads)
            model = block().train(training)
            assert names(model) == FORWARD + (
                BACKWARD if training else []
            )  # in eval mode the backward's plan is its own
            actual = results(model)
            for value, want in zip(actual, expected, strict=True):
                np.testing.assert_allclose(value, want, rtol=2e-5, atol=2e-5 * np.abs(want).max())
            bits.add(b"".join(value.tobytes() for value in actual))
        assert len(bits) == 1, f"level {level}: other bits on 3 threads"


def test_the_forward_alone() -> None:
    model = block().eval()
    x, _ = data()
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
    x, _ = data()
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
