"""Training in "fast" stays beside training in "exact": the short form of ``bench/winograd_training.py``.

In 100 steps less has grown out of the rounding errors than in 300, so a tenth of the difference between two seeds is
asked for instead of a quarter; with Winograd's error multiplied by 30 that fails.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

SHARE = 0.1
SEEDS = (0, 1)


def recorded() -> Any:
    path = Path(__file__).resolve().parent.parent / "bench" / "winograd_training.py"
    spec = importlib.util.spec_from_file_location("winograd_training", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fast_follows_exact() -> None:
    training = recorded()
    training.WINDOW = 10
    rng = np.random.default_rng(5)
    of_class = rng.standard_normal((10, 3, 16, 16)).astype(np.float32)
    y = rng.integers(0, 10, 4000)
    x = (0.5 * of_class[y] + rng.standard_normal((4000, 3, 16, 16))).astype(np.float32)
    data = (x[:3500], y[:3500], x[3500:], y[3500:])
    losses = {
        way: [training.train(data, way, seed, 100, 32, 16, 0.2)[0] for seed in SEEDS]
        for way in ("exact", "fast", "worse")
    }
    allowed = SHARE * training.between_seeds(losses["exact"])
    apart = {
        way: np.mean([training.difference(a, b) for a, b in zip(losses[way], losses["exact"], strict=True)])
        for way in ("fast", "worse")
    }
    assert 0 < apart["fast"] <= allowed < apart["worse"]
