"""Choosing among algorithms: every one that applies gives the oracle's answer, and the choice follows its rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _backend, reference
from fastnn.graph import run_primitive
from fastnn.graph.primitives.conv import FAMILIES

PASSES = ("conv2d", "conv2d_bwd_data", "conv2d_bwd_weights")
# n, ic, ih, iw, oc, kernel, stride, padding, groups
SHAPES = {
    "3x3": (2, 20, 9, 11, 24, 3, 1, 1, 1),
    "stem": (1, 3, 23, 20, 10, 7, 2, 3, 1),
    "depthwise": (2, 18, 8, 7, 18, 3, 1, 1, 18),
    "depthwise_5x5_stride2": (1, 35, 17, 16, 35, 5, 2, 2, 35),
    "groups": (1, 12, 8, 7, 8, 3, 2, 1, 4),
    "1x1": (2, 33, 5, 6, 17, 1, 1, 0, 1),
    "1x1_stride2": (2, 33, 7, 8, 17, 1, 2, 0, 1),
    "1x1_stride2_lines": (2, 33, 8, 44, 40, 1, 2, 0, 1),
    "groups_wide": (1, 12, 6, 120, 18, 3, 1, 1, 2),
    "groups_deep": (1, 520, 3, 4, 520, 3, 1, 1, 130),
    "groups_of_70": (3, 140, 6, 7, 150, 3, 1, 1, 2),
    "map1": (3, 18, 1, 1, 20, 3, 1, 1, 1),
    "groups_stride3": (1, 12, 10, 70, 12, 5, 3, 2, 3),
    "groups_of_4": (3, 24, 9, 11, 24, 3, 1, 1, 6),
    "groups_of_2_long": (2, 66, 31, 29, 66, 3, 1, 1, 33),
    "groups_of_8_stride2": (2, 40, 13, 14, 40, 5, 2, 2, 5),
    "groups_of_16_7x7": (1, 48, 12, 9, 48, 7, 1, 2, 3),
    "groups_of_4_1x1": (2, 20, 5, 6, 20, 1, 1, 0, 5),
    "5x5": (2, 20, 9, 11, 24, 5, 1, 2, 1),
    "odd_batch_7": (3, 18, 7, 7, 40, 3, 1, 1, 1),
    "rims": (3, 66, 5, 7, 40, 5, 1, 2, 1),
    "rims_of_groups": (1, 130, 6, 27, 68, 3, 1, 1, 2),
    "stride3": (2, 17, 11, 13, 20, 5, 3, 2, 1),
    "few_channels_large": (1, 5, 66, 121, 9, 5, 2, 2, 1),
}


def operands(which: str, shape: str) -> tuple[tuple[Any, Any], dict[str, Any], dict[str, Any]]:
    """Integer inputs and attributes of a pass, and the C fields of its problem."""
    n, ic, ih, iw, oc, k, stride, pad, groups = SHAPES[shape]
    oh, ow = (ih + 2 * pad - k) // stride + 1, (iw + 2 * pad - k) // stride + 1
    rng = np.random.default_rng(3)
    x, w, dy = (
        rng.integers(-3, 4, s).astype(np.float32) for s in ((n, ic, ih, iw), (oc, ic // groups, k, k), (n, oc, oh, ow))
    )
    attrs: dict[str, Any] = {"stride": (stride,) * 2, "padding": (pad,) * 4, "dilation": (1, 1), "groups": groups}
    fields = attrs | {"n": n, "ic": ic, "ih": ih, "iw": iw, "oc": oc, "oh": oh, "ow": ow, "kh": k, "kw": k}
    fields |= {"precision": 0, "algorithm": 0}
    if which == "conv2d":
        epilogue = ("activation", "slope", "accumulate", "statistics", "in_affine", "in_activation", "in_slope")
        return (x, w), attrs, fields | dict.fromkeys(epilogue, 0)
    if which == "conv2d_bwd_data":
        return (dy, w), attrs | {"input_size": (ih, iw)}, fields
    return (dy, x), attrs | {"kernel_size": (k, k)}, fields


@pytest.mark.parametrize("level", _backend.core().levels())
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("which", PASSES)
def test_each_that_applies_is_right(which: str, shape: str, level: str) -> None:
    _backend.core().set_level(level)
    arrays, attrs, fields = operands(which, shape)
    expected = getattr(reference, which)(*arrays, algorithm="auto", **attrs)
    ways = [way for way in _backend.core().Op(which, fields).candidates if way[3]]
    assert any(way[0] == "gemm" for way in ways)
    for name, *_ in ways:
        got = run_primitive(which, *arrays, algorithm=name, **attrs)
        if name.startswith("winograd"):
            np.testing.assert_allclose(got, expected, atol=2e-4 * np.abs(expected).max())
        else:
            np.testing.assert_array_equal(got, expected, err_msg=name)


@pytest.mark.parametrize("which", PASSES)
def test_the_cheapest_that_is_allowed_runs(which: str) -> None:
    for shape in SHAPES:
        _, _, fields = operands(which, shape)
        for precision in range(3):
            op = _backend.core().Op(which, fields | {"precision": precision})
            allowed = {way[0]: way[5] for way in op.candidates if way[4]}
            assert allowed[op.algorithm] == min(allowed.values())
            for way in op.candidates:
                assert way[4] == (way[3] and way[2] <= 1 + precision), "a family beyond the precision"


def test_algorithm_of_a_layer() -> None:
    x = np.ones((1, 3, 8, 8), np.float32)
    layer = fn.nn.Conv2d(3, 4, 3, algorithm="gemm")
    assert "gemm" in str(layer.plan(x))
    assert "algorithm='gemm'" in repr(layer)
    with pytest.raises(ValueError, match=r"Conv2d: expected algorithm to be one of auto, direct, .*gemm.* got 'fft'"):
        fn.nn.Conv2d(3, 4, 3, algorithm="fft")(x)
    with pytest.raises(TypeError, match="expected algorithm to be a str, got 3"):
        fn.nn.Conv2d(3, 4, 3, algorithm=3)  # type: ignore[arg-type]
    assert FAMILIES[0] == "auto"


def test_explain() -> None:
    model = fn.nn.Sequential(fn.nn.Conv2d(3, 20, 3, padding=1), fn.nn.ReLU(), fn.nn.Conv2d(20, 24, 3))
    told = fn.explain(model, (2, 3, 10, 10), measure=True)
    assert [c.operation for c in told.choices].count("conv2d") == 2
    assert {c.operation for c in told.choices} == set(PASSES)
    for choice in told.choices:
        assert sum(c.chosen for c in choice.candidates) == 1
        assert all(c.seconds is not None and c.seconds > 0 for c in choice.candidates)
        chosen = next(c for c in choice.candidates if c.chosen)
        assert chosen.cycles == min(c.cycles for c in choice.candidates if c.allowed)
    assert "2x3x10x10 > 20, 3x3, padding 1" in str(told)
    assert all(c.seconds is None for choice in fn.explain(model, (1, 3, 5, 5)).choices for c in choice.candidates)


def test_explain_marks_a_product_on_tiles() -> None:
    told = fn.explain(fn.nn.Conv2d(480, 192, 1), (8, 480, 14, 14))
    for choice in told.choices:
        chosen = [c for c in choice.candidates if c.chosen]
        assert [c.cycles for c in chosen] == [min(c.cycles for c in choice.candidates if c.allowed)]


def test_explain_refuses_in_one_line() -> None:
    layer = fn.nn.Conv2d(3, 4, 3)
    with pytest.raises(TypeError, match="explain: expected a Module, got int"):
        fn.explain(3, (1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"explain: expected a shape .* got \(2, 3, -1, 8\)"):
        fn.explain(layer, (2, 3, -1, 8))
    with pytest.raises(ValueError, match=r"Conv2d: expected input with 3 channels, got shape \(2, 5, 8, 8\)"):
        fn.explain(layer, (2, 5, 8, 8))
