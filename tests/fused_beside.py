"""Models with a fusion rule beside the same models without it: at every level, with one thread and with three."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph import fusion

CLOSE = 2e-5  # of the largest value: sums in another order


def results(model: nn.Module, x: Any) -> list[Any]:
    """Outputs, the gradient of the input and those of all parameters."""
    y = model(x)
    dx = model.backward(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))
    return [y, dx, *(p.grad for p in model.parameters())]


def operations(model: nn.Module, x: Any, kinds: Sequence[str]) -> list[str]:
    """Those of ``kinds`` that the model's plan has, whatever else is fused into them."""
    made = {row[2].partition("+")[0] for row in model.plan(x).rows()}
    return [kind for kind in kinds if kind in made]


def check_beside_unfused(
    build: Callable[[], nn.Module],
    x: Any,
    kinds: Sequence[str],
    *,
    expected: Sequence[str],
    off: Sequence[Callable[..., Any]] | None,
    same_bits: int | None = None,
) -> None:
    """Compare `results` with the rules ``off`` (None: all) left out and in force, in precision "exact".

    Without them the plan has none of ``kinds``, with them those ``expected``. The first ``same_bits`` results (None:
    all) have the bits of the unfused, others are close; with three threads all have the bits of one.
    """
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact")  # else batch norm is folded into the weights before it in eval mode
    rules = () if off is None else tuple(rule for rule in fusion.RULES if rule not in off)
    assert len(rules) < len(fusion.RULES)
    for level in _core.levels():
        _core.set_level(level)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fusion, "RULES", rules)
            plain = build()
            assert operations(plain, x, kinds) == []
            wanted = results(plain, x)
        bits = set()
        for threads in (1, 3):
            fn.set_num_threads(threads)
            model = build()
            assert operations(model, x, kinds) == list(expected)
            actual = results(model, x)
            assert len(actual) == len(wanted)
            for i, (value, want) in enumerate(zip(actual, wanted, strict=True)):
                if same_bits is None or i < same_bits:
                    assert value.tobytes() == want.tobytes(), (level, threads, i)
                np.testing.assert_allclose(value, want, rtol=CLOSE, atol=CLOSE * np.abs(want).max())
            bits.add(b"".join(value.tobytes() for value in actual))
        assert len(bits) == 1, f"level {level}: other bits on 3 threads"


def check_training(make: Callable[[], nn.Module], data: Callable[[], np.ndarray]) -> None:
    """Five steps with all rules beside five with none: the loss falls, and by as much."""
    losses = []
    for rules in ((), fusion.RULES):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fusion, "RULES", rules)
            fn.manual_seed(0)
            model = nn.Sequential(make(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
            losses.append([step(data(), np.array([0, 1, 2])) for _ in range(5)])
    assert losses[1][-1] < losses[1][0]
    np.testing.assert_allclose(*losses, rtol=1e-4)
