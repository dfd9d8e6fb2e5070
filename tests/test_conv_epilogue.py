"""What a convolution does to its input on the way in and to its output on the way out, for every algorithm.

Run on the C op itself: the graph uses only part of it today. Whole-number inputs, so the bits must be the oracle's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastnn import _core, reference

Array = npt.NDArray[np.float32]

# n, ic, ih, iw, oc, kernel, stride, padding, groups
SHAPES = {
    "3x3": (3, 20, 9, 7, 37, 3, 1, 1, 1),
    "stride2": (1, 18, 9, 33, 33, 3, 2, 1, 1),
    "1x1": (2, 17, 5, 6, 16, 1, 1, 0, 1),
    "1x1_aliased": (1, 1024, 5, 7, 36, 1, 1, 0, 1),
    "1x1_groups": (2, 36, 9, 20, 70, 1, 1, 0, 2),
    "1x1_stride2": (2, 33, 8, 9, 20, 1, 2, 0, 1),
    "1x1_stride2_lines": (2, 33, 8, 45, 40, 1, 2, 0, 1),
    "tiles": (2, 200, 11, 15, 260, 1, 1, 0, 1),
    "tiles_stride2_lines": (2, 200, 10, 45, 260, 1, 2, 0, 1),
    "stem": (1, 3, 21, 23, 40, 7, 2, 3, 1),
    "groups": (2, 12, 8, 7, 10, 3, 1, 1, 2),
    "turned": (2, 24, 8, 17, 24, 3, 1, 1, 6),
    "depthwise": (2, 18, 8, 7, 18, 3, 1, 1, 18),
    "few": (2, 6, 12, 12, 16, 5, 1, 0, 1),
    "many_weights": (1, 80, 6, 5, 136, 3, 1, 1, 1),
    "few_pixels": (2, 30, 3, 4, 37, 3, 1, 1, 1),
    "rims": (3, 66, 8, 7, 37, 5, 1, 2, 1),
    "fewer_pixels": (5, 70, 5, 5, 40, 3, 4, 1, 1),
    "one_pixel_each": (3, 70, 1, 1, 40, 1, 1, 0, 1),
}
NOTHING = {"activation": 0, "slope": 0.0, "accumulate": 0, "in_affine": 0, "in_activation": 0, "in_slope": 0.0}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": True},
    "relu": {"bias": True, "activation": 1},
    "leaky": {"activation": 2, "slope": 0.5},
    "residual": {"bias": True, "residual": True, "activation": 1},
    "accumulate": {"accumulate": 1},
    "accumulate_all": {"accumulate": 1, "bias": True, "residual": True, "activation": 2, "slope": 0.25},
    "in_affine": {"in_affine": 1, "in_activation": 1},
    "in_leaky": {"in_activation": 2, "in_slope": 0.5, "bias": True},
    "both": {"in_affine": 1, "in_activation": 2, "in_slope": 0.5, "residual": True, "activation": 1},
}


def activated(x: Array, which: int, slope: float) -> Array:
    """The activation of this number."""
    return x if which == 0 else np.where(x < 0, x * np.float32(slope if which == 2 else 0), x).astype(np.float32)


def channels_last(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def run(op: Any, arrays: list[Array | None], threads: int) -> None:
    program = _core.Program([op], [[-1 if a is None else i for i, a in enumerate(arrays)]], len(arrays), {})
    for i, array in enumerate(arrays):
        if array is not None:
            program.bind(i, array, 0, True)
    program.run(0, 1, threads, _core.Block(max(program.scratch_bytes(threads), 64)))


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_on_the_way_in_and_out(shape: str, way: str, level: str) -> None:
    _core.set_level(level)
    _core.set_grain(0.0)
    n, ic, ih, iw, oc, k, stride, pad, groups = SHAPES[shape]
    oh, ow = (ih + 2 * pad - k) // stride + 1, (iw + 2 * pad - k) // stride + 1
    rng = np.random.default_rng(5)

    def whole(*size: int) -> Array:
        return rng.integers(-3, 4, size).astype(np.float32)

    x, w, bias, residual, before = (
        whole(n, ic, ih, iw),
        whole(oc, ic // groups, k, k),
        whole(oc),
        *(whole(n, oc, oh, ow) for _ in range(2)),
    )
    scale, shift = whole(ic), whole(ic)
    ask = NOTHING | {name: value for name, value in WAYS[way].items() if name not in ("bias", "residual")}
    attrs: dict[str, Any] = {"stride": (stride,) * 2, "padding": (pad,) * 4, "dilation": (1, 1), "groups": groups}
    read = x * scale[:, None, None] + shift[:, None, None] if ask["in_affine"] else x
    read = activated(read, ask["in_activation"], ask["in_slope"])
    expected = reference.conv2d(read, w, bias if "bias" in WAYS[way] else None, **attrs, algorithm="auto")
    expected = expected + (before if ask["accumulate"] else 0) + (residual if "residual" in WAYS[way] else 0)
    expected = activated(expected, ask["activation"], ask["slope"])

    fields = ask | attrs | {"n": n, "ic": ic, "ih": ih, "iw": iw, "oc": oc, "oh": oh, "ow": ow, "kh": k, "kw": k}
    fields |= {"precision": 0, "algorithm": 0, "statistics": 0}
    ways = [candidate for candidate in _core.Op("conv2d", fields).candidates if candidate[3]]
    assert ways
    for name, number, *_ in ways:
        op = _core.Op("conv2d", fields | {"algorithm": number})
        for threads in (1, 3):
            y = channels_last(before).copy() if ask["accumulate"] else np.full((n, oh, ow, oc), np.nan, np.float32)
            arrays: list[Array | None] = [
                channels_last(x),
                w,
                bias if "bias" in WAYS[way] else None,
                channels_last(residual) if "residual" in WAYS[way] else None,
                scale if ask["in_affine"] else None,
                shift if ask["in_affine"] else None,
                y,
                None,
            ]
            run(op, arrays, threads)
            got = y.transpose(0, 3, 1, 2)
            where = f"{name}, {threads} threads"
            if name.startswith("winograd"):
                np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max(), err_msg=where)
            else:
                np.testing.assert_array_equal(got, expected, err_msg=where)


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith(("in_", "both"))])
@pytest.mark.parametrize("shape", [(5, 30, 40), (37, 101, 245), (60, 70, 33)], ids=str)
def test_linear_on_the_way_out(shape: tuple[int, int, int], way: str, level: str) -> None:
    _core.set_level(level)
    _core.set_grain(0.0)
    rows, inside, outside = shape
    rng = np.random.default_rng(6)
    x, w, bias, residual, before = (
        rng.integers(-3, 4, size).astype(np.float32)
        for size in ((rows, inside), (outside, inside), outside, (rows, outside), (rows, outside))
    )
    ask = {name: (NOTHING | WAYS[way])[name] for name in ("activation", "slope", "accumulate")}
    expected = x @ w.T + (bias if "bias" in WAYS[way] else 0) + (before if ask["accumulate"] else 0)
    expected = activated(expected + (residual if "residual" in WAYS[way] else 0), ask["activation"], ask["slope"])
    op = _core.Op("linear", ask | {"rows": rows, "in_features": inside, "out_features": outside})
    for threads in (1, 3):
        y = before.copy() if ask["accumulate"] else np.full((rows, outside), np.nan, np.float32)
        parts = [bias if "bias" in WAYS[way] else None, residual if "residual" in WAYS[way] else None]
        run(op, [x, w, *parts, y], threads)
        np.testing.assert_array_equal(y, expected, err_msg=f"{threads} threads")
