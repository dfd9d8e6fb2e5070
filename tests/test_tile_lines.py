"""Convolutions on tiles: every geometry of the case table that they apply to, whether they would be chosen or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from case_data import Case
from cases_matrix import Conv, conv_geometries
from every_way import check_case
from fastnn import _core
from fastnn.graph import run_primitive
from oracle import make_room

LEVELS = [level for level in _core.levels() if level == "amx"]


@pytest.fixture(params=LEVELS, autouse=True)
def _level(request: pytest.FixtureRequest) -> None:
    _core.set_level(request.param)
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact")
    make_room()


def fields_of(conv: Conv) -> dict[str, Any]:
    (n, ic, ih, iw), (_, oc, oh, ow) = conv.x, conv.output()
    sizes = {"n": n, "ic": ic, "ih": ih, "iw": iw, "oc": oc, "oh": oh, "ow": ow}
    way = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation, "groups": conv.groups}
    return sizes | way | {"kh": conv.kernel[0], "kw": conv.kernel[1], "precision": 0, "algorithm": 0}


def applies(conv: Conv, case: Case) -> bool:
    fields = fields_of(conv)
    if case.primitive == "conv2d":
        fields |= {"activation": 0, "slope": 0.0, "accumulate": 0, "statistics": 0, "in_affine": 0, "in_activation": 0}
        fields |= {"in_slope": 0.0}
    return any(way[0] == "tiles" and way[3] for way in _core.Op(case.primitive, fields).candidates)


GEOMETRIES = [conv for conv in conv_geometries() if conv.group not in ("big", "empty") and conv.kernel != (1, 1)]


@pytest.mark.parametrize("conv", GEOMETRIES, ids=lambda conv: conv.name)
def test_each_geometry(conv: Conv) -> None:
    ways = [case for case in conv.cases_by("tiles", conv.name) if applies(conv, case)]
    passes = {case.primitive for case in ways}
    assert {"conv2d", "conv2d_bwd_weights"} <= passes, "only the gradient for the input leaves some out"
    for case in ways:
        check_case(case, LEVELS)


def test_many_lines_and_images() -> None:
    """More than a block holds, at odd places: images end within blocks, and threads begin within images."""
    for conv in (
        Conv("many_images", (37, 6, 14, 15), 18, (5, 5)),
        Conv("long_lines", (1, 40, 9, 300), 33, (3, 3), (2, 1), (1, 1, 1, 1)),
        Conv("large_weights", (3, 130, 9, 11), 150, (3, 3), padding=(1, 1, 1, 1)),
        Conv("large_map", (2, 70, 60, 50), 20, (3, 3), (2, 2), (1, 1, 1, 1)),
        Conv("many_columns", (9, 40, 20, 20), 420, (3, 3)),
    ):
        for case in conv.cases_by("tiles", conv.name):
            check_case(case, LEVELS)


@pytest.mark.parametrize("channels", [6, 16])
def test_what_is_not_finite_stays_near(channels: int) -> None:
    """In the outputs that meet it where a filter's line has 32 values or more, else also in those next to them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels, 20, 21), np.float32)
    w = rng.standard_normal((33, channels, 3, 3), np.float32)
    way: dict[str, Any] = {"stride": (1, 1), "padding": (0,) * 4, "dilation": (1, 1), "groups": 1, "algorithm": "tiles"}
    whole = run_primitive("conv2d", x, w, **way)
    for bad in (np.inf, np.nan):
        broken = x.copy()
        broken[1, 3, 9, 11] = bad
        y = run_primitive("conv2d", broken, w, **way)
        assert np.isnan(y[1, :, 7:10, 9:12]).all()
        beside = 32 // channels if 3 * channels < 32 else 0
        y[1, :, 7:10, 9 - beside : 12] = whole[1, :, 7:10, 9 - beside : 12]
        np.testing.assert_array_equal(y, whole)
