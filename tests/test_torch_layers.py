"""Every layer and loss beside PyTorch: against its recorded values always, against itself where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import torch_layer_cases as cases
from fastnn import nn

CASES = cases.all_cases()
Draw = Callable[[tuple[int, ...]], np.ndarray]


class Library:
    """fastnn's way of the steps that a case is made of."""

    @staticmethod
    def array(value: Any) -> Any:
        return value

    @staticmethod
    def state(module: nn.Module) -> dict[str, np.ndarray]:
        return module.state_dict()

    @staticmethod
    def set_state(module: nn.Module, state: dict[str, np.ndarray]) -> None:
        module.load_state_dict(state)

    @staticmethod
    def run(module: nn.Module, x: np.ndarray, draw: Draw) -> list[np.ndarray]:
        y = module.train()(x)
        dx = module.backward(draw(y.shape))
        return [y, dx, *(p.grad for p in module.parameters())]

    @staticmethod
    def evaluate(module: nn.Module, x: np.ndarray) -> np.ndarray:
        return module.eval()(x)

    @staticmethod
    def run_loss(loss: nn.Module, x: np.ndarray, target: np.ndarray, draw: Draw) -> list[Any]:
        y = loss(x, target)
        return [y, loss.backward(draw(np.shape(y)))]


def compare(name: str, expected: np.ndarray) -> None:
    found = CASES[name](nn, Library)
    # Both sides err by a few units in the last place of sums of at most 84 terms of the size of the largest value.
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6 * max(scale, 1.0))


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(cases.ARCHIVE) as archive:
        names, bounds, values = (archive[key] for key in ("names", "bounds", "values"))
    return {str(n): values[a:b] for n, a, b in zip(names, bounds[:-1], bounds[1:], strict=True)}


def test_the_archive_has_every_case(recorded: dict[str, np.ndarray]) -> None:
    assert list(recorded) == list(CASES)
    assert all(np.isfinite(v).all() for v in recorded.values())


@pytest.mark.parametrize("name", CASES)
def test_recorded_values(name: str, recorded: dict[str, np.ndarray]) -> None:
    compare(name, recorded[name])


if find_spec("torch"):

    def test_live_values() -> None:
        import torch

        from torch_library import TorchLibrary

        for name, take in CASES.items():
            compare(name, take(torch.nn, TorchLibrary))
