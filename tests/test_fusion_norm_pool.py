"""Max pooling with batch norm and ReLU inside, against the same model unfused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph import fusion
from fastnn.graph.fusion.norm_pool import norm_into_max_pool

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


def results(model: nn.Module) -> list[Any]:
    """Outputs, the gradient of the input and those of all parameters."""
    y = model(data())
    dx = model.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
    return [y, dx, *(p.grad for p in model.parameters())]


def names(model: nn.Module, x: Any = None) -> list[str]:
    made = [row[2] for row in model.plan(data() if x is None else x).rows()]
    return [name for name in FUSED if name in made]


@pytest.mark.parametrize("channels", [16, 37, 64])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equals_the_unfused(training: bool, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact")  # else batch norm is folded into the weights before it in eval mode
    for level in _core.levels():
        _core.set_level(level)
        with monkeypatch.context() as patch:
            patch.setattr(fusion, "RULES", tuple(r for r in fusion.RULES if r is not norm_into_max_pool))
            plain = block(channels).train(training)
            assert names(plain) == []
            expected = results(plain)
        bits = set()
        for threads in (1, 3):
            fn.set_num_threads(threads)
            model = block(channels).train(training)
            assert names(model) == (FUSED if training else FUSED[:1])  # in eval mode the backward has its own plan
            actual = results(model)
            assert actual[0].tobytes() == expected[0].tobytes(), (level, threads)
            for value, want in zip(actual, expected, strict=True):
                np.testing.assert_allclose(value, want, rtol=2e-5, atol=2e-5 * np.abs(want).max())
            bits.add(b"".join(value.tobytes() for value in actual))
        assert len(bits) == 1, f"level {level}: other bits on 3 threads"


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
    losses = []
    for rules in ((), fusion.RULES):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fusion, "RULES", rules)
            fn.manual_seed(0)
            model = nn.Sequential(*block(32), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
            losses.append([step(data(), np.array([0, 1, 2])) for _ in range(5)])
    assert losses[1][-1] < losses[1][0]
    np.testing.assert_allclose(*losses, rtol=1e-4)


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
