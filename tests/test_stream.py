"""The stream op, from which benchmarks take the bandwidth: it reads and writes all that it counts, and nothing else.

It adds up what is read at each element: an updated array gets the sum up to itself, a written one the whole.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastnn import _core

UNIT = 128
MOST = 8
MIXES = [m for m in itertools.product(range(4), range(3), range(3)) if sum(m)] + [(8, 0, 0), (0, 8, 0), (0, 0, 8)]
GUARD = 64
Array = np.ndarray


@pytest.fixture(autouse=True)
def _share_everything() -> None:
    _core.set_grain(0.0)


def run(arrays: list[Array], mix: tuple[int, int, int], elements: int, past: int, threads: int) -> None:
    fields = dict(zip(("reads", "updates", "writes"), mix, strict=True))
    op = _core.Op("stream", {"elements": elements, **fields, "past": past})
    assert op.bytes == 4 * elements * (mix[0] + 2 * mix[1] + mix[2])
    program = _core.Program([op], [[*range(len(arrays)), *[-1] * (MOST - len(arrays))]], len(arrays), {})
    for i, array in enumerate(arrays):
        program.bind(i, array, 0, True)
    program.run(0, 1, threads, _core.Block(max(program.scratch_bytes(threads), 64)))


def expected(arrays: list[Array], mix: tuple[int, int, int]) -> list[Array]:
    reads, updates, writes = mix
    sums = list(itertools.accumulate(arrays[: reads + updates], initial=np.zeros_like(arrays[0])))
    return arrays[:reads] + sums[reads + 1 :] + [sums[-1]] * writes


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: "-".join(map(str, mix)))
def test_every_element(mix: tuple[int, int, int], level: str) -> None:
    _core.set_level(level)
    rng, count = np.random.default_rng(sum(mix)), sum(mix)
    for elements, past, threads in itertools.product((0, UNIT, 5 * UNIT, 36 * UNIT), (0, 1), (1, 2, 3)):
        place = elements + 2 * GUARD
        block = _core.Block(4 * place * count)
        whole = np.frombuffer(block, np.float32, place * count)  # type: ignore[call-overload]
        whole[...] = rng.integers(-1000, 1000, whole.size)
        before = whole.copy()
        inside = [slice(i * place + GUARD, i * place + GUARD + elements) for i in range(count)]
        for at, want in zip(inside, expected([before[at] for at in inside], mix), strict=True):
            before[at] = want
        run([whole[at] for at in inside], mix, elements, past, threads)
        np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"elements": UNIT - 1, "reads": 1}, "expected a multiple of 128 elements, got 127"),
        ({"elements": -UNIT, "reads": 1}, "got -128"),
        ({"elements": UNIT}, "expected 1 to 8 arrays, got 0"),
        ({"elements": UNIT, "reads": 5, "writes": 4}, "expected 1 to 8 arrays, got 9"),
        ({"elements": UNIT, "reads": 2, "updates": -1}, "expected 1 to 8 arrays, got 1"),
    ],
)
def test_bad_fields(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Op("stream", {"elements": 0, "reads": 0, "updates": 0, "writes": 0, "past": 0, **fields})
