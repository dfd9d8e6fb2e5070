"""A 1x1 convolution's backward with that of batch norm inside, against the same model unfused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph import fusion
from fastnn.graph.fusion import norm_pointwise
from fastnn.graph.fusion.norm_pointwise import norm_bwd_into_pointwise_bwd
from fused_beside import check_training

NAME = "norm_pointwise_bwd"


@pytest.fixture(autouse=True)
def _fuse_small_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm_pointwise, "LEAST", 0)
    fn.set_precision("fast")


class Block(nn.Module):
    """A 1x1 convolution and batch norm between others; with ``residual`` its input is added to what it becomes."""

    def __init__(self, activation: type[nn.Module] = nn.SiLU, residual: bool = False, **conv: Any) -> None:
        super().__init__()
        fn.manual_seed(3)
        self.stem = nn.Sequential(nn.Conv2d(3, 21, 1), nn.ReLU())
        self.conv = nn.Conv2d(21, 37, conv.pop("kernel_size", 1), bias=False, **conv)
        self.norm, self.activation = nn.BatchNorm2d(37), activation()
        self.head, self.residual = nn.Conv2d(37, 21, 1), residual

    def forward(self, x: Any) -> Any:
        u = self.stem(x)
        y = self.head(self.activation(self.norm(self.conv(u))))
        return y + u if self.residual else y


def data() -> Any:
    return np.random.default_rng(0).standard_normal((3, 3, 13, 9), np.float32)


def results(model: nn.Module) -> list[Any]:
    """Outputs, the gradient of the input and those of all parameters."""
    y = model(data())
    dx = model.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
    return [y, dx, *(p.grad for p in model.parameters())]


def is_fused(model: nn.Module, x: Any = None) -> bool:
    return NAME in str(model.plan(data() if x is None else x))


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("activation", [nn.SiLU, nn.ReLU, nn.Identity])
def test_equals_the_unfused(activation: type[nn.Module], residual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _core.set_grain(0.0)
    _core.set_poison(True)
    for level in _core.levels():
        _core.set_level(level)
        model = Block(activation, residual)
        with monkeypatch.context() as patch:
            patch.setattr(fusion, "RULES", tuple(r for r in fusion.RULES if r is not norm_bwd_into_pointwise_bwd))
            plain = copy.deepcopy(model)
            assert not is_fused(plain)
            expected = results(plain)
        bits = set()
        for threads in (1, 3):
            fn.set_num_threads(threads)
            fused = copy.deepcopy(model)
            assert is_fused(fused)
            actual = results(fused)
            assert actual[0].tobytes() == expected[0].tobytes(), (level, threads)
            for value, want in zip(actual, expected, strict=True):
                np.testing.assert_allclose(value, want, rtol=2e-5, atol=2e-5 * np.abs(want).max())
            bits.add(b"".join(value.tobytes() for value in actual))
        assert len(bits) == 1, f"level {level}: other bits on 3 threads"


def test_training_steps() -> None:
    check_training(lambda: Block(residual=True), data)


@pytest.mark.parametrize(
    "conv",
    [{"kernel_size": 3}, {"stride": 2}, {"padding": 1}, {"algorithm": "gemm"}],
    ids=["3x3", "strided", "padded", "asked_for"],
)
def test_not_of_other_convolutions(conv: dict[str, Any]) -> None:
    assert not is_fused(Block(**conv))


def test_not_where_much_stays_near_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert not is_fused(Block())


def test_not_of_given_statistics() -> None:
    model = Block()
    model.norm.eval()
    assert not is_fused(model)


def test_not_in_precision_exact() -> None:
    fn.set_precision("exact")
    assert not is_fused(Block())
