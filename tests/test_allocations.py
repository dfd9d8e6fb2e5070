"""A training step allocates nothing: counted in the C library's allocator, and in Python's."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from processes import output_of

COMPILER = shutil.which(os.environ.get("CC", "gcc").split()[-1])
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)), (32, 1, 28, 28)),
    "lenet": (fn.models.GarmentClassifier, (16, 1, 28, 28)),
    "batch norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.2), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(256, 10),
        ),
        (8, 3, 8, 8),
    ),
}  # fmt: skip
STEPS = 50


def training(name: str) -> tuple[fn.TrainStep, np.ndarray, np.ndarray]:
    make, shape = NETWORKS[name]
    model = make()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    rng = np.random.default_rng(0)
    return step, rng.standard_normal(shape, np.float32), rng.integers(0, 10, shape[0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_array_is_made(name: str, threads: int) -> None:
    fn.set_num_threads(threads)
    step, x, y = training(name)
    for _ in range(5):
        step(x, y)
    tracemalloc.start()
    try:
        step(x, y)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(STEPS):
            step(x, y)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 2000, "bytes: some numbers and a tuple or two, no buffer"
    assert after - before < 500


COUNTED = """
    import ctypes
    import sys
    sys.path.insert(0, {tests!r})
    import fastnn
    from test_allocations import NETWORKS, STEPS, training
    counter = ctypes.CDLL(None).allocations
    counter.restype = ctypes.c_long
    fastnn._core.set_grain(0)
    for threads in (1, 2):
        fastnn.set_num_threads(threads)
        for name in NETWORKS:
            step, x, y = training(name)
            step.run([(x, y)] * 10)
            first = counter()
            for _ in range(STEPS):
                step(x, y)
            print(counter() - first, end=" ")
    first = counter()
    x = x.copy()
    print(counter() - first)
"""


@pytest.mark.skipif(not COMPILER or platform.libc_ver()[0] != "glibc", reason="needs a C compiler and glibc")
def test_nothing_is_asked_of_the_allocator(tmp_path: Path) -> None:
    assert COMPILER is not None
    source, library = Path(__file__).parent / "c" / "allocations.c", tmp_path / "allocations.so"
    subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    counts = output_of(COUNTED.format(tests=str(Path(__file__).parent)), LD_PRELOAD=str(library)).split()
    assert [int(n) for n in counts[:-1]] == [0] * (2 * len(NETWORKS))
    assert int(counts[-1]) > 0, "the counter counts"
