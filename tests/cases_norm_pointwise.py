"""Cases of a 1x1 convolution's backward through batch norm, and how far their results may be from the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from case_data import Case, Input
from cases_gated_norm import norm_sizes
from fastnn import reference
from fastnn.reference.norm_pointwise import POINTWISE
from tiles import lane_tails

Array = npt.NDArray[Any]


def norm_pointwise_cases() -> Iterator[Case]:
    rows: list[tuple[str, tuple[int, ...], int, str]] = [  # name, shape of u, channels of x
        ("expand", (2, 5, 7, 9), 11, "basic"),
        ("project", (3, 19, 5, 4), 6, "basic"),
        ("one_channel", (2, 1, 5, 3), 1, "basic"),
        ("one_pixel", (3, 4, 1, 1), 7, "basic"),
        ("few_rows", (2, 130, 5, 5), 600, "blocks"),
        ("aliasing_rows", (1, 9, 7, 8), 1024, "blocks"),
        ("many_rows", (2, 17, 40, 41), 33, "blocks"),
        ("batch0", (0, 4, 6, 6), 5, "empty"),
        *((f"c{size}", (1, size, 5, 4), size + 1, "tails") for size in lane_tails()),
        ("efficientnet_56", (8, 24, 56, 56), 144, "big"),
    ]
    for name, shape, channels, group in rows:
        for activation in ("silu", "relu", None) if group == "basic" else ("silu",):
            yield _case(f"{name}_{activation}", shape, channels, activation, group)


def _case(name: str, shape: tuple[int, ...], channels: int, activation: str | None, group: str) -> Case:
    """With everything that may be left out where there is an activation, without it where there is none."""
    c = (channels,)
    u, y, vector = Input(shape), Input((shape[0], channels, *shape[2:])), Input(c)
    rest = () if activation is None else (vector, vector, u, u if activation == "relu" else None)
    inputs = (y, y, vector, Input(c, "positive"), u, Input((channels, shape[1], 1, 1)), *rest)
    return Case("norm_pointwise_bwd", name, inputs, {"eps": 1e-3, "activation": activation}, group)


def _gradient(case: Case, *inputs: Any) -> tuple[Array, Array, Array]:
    """The size of the gradient between the two, and of the two sums over it."""
    dy, x, mean, var, weight, bias = inputs
    normal = reference.batch_norm(np.abs(x), -np.abs(mean), var, eps=case.attrs["eps"])
    slope: Any = 1.0
    if case.attrs["activation"] == "silu":
        slope = norm_sizes(case, x, mean, var, weight, bias).slope
    elif case.attrs["activation"] == "relu":
        slope = reference.batch_norm(x, mean, var, weight, bias, eps=case.attrs["eps"]) > 0.0
    g = np.abs(dy) * slope
    dweight, dbias = (np.sqrt(np.square(part).sum(axis=(0, 2, 3))) for part in (g * normal, g))
    rows = max(x.size // x.shape[1], 1)
    through = (dbias.reshape(-1, 1, 1) + normal * dweight.reshape(-1, 1, 1)) / rows
    scale = (1.0 if weight is None else np.abs(weight)) / np.sqrt(var + case.attrs["eps"])
    return (g + through) * scale.reshape(-1, 1, 1), dweight, dbias


def _backward(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    wide = [None if array is None else np.float64(array) for array in inputs]
    dy, x, mean, var, u, w, weight, bias, total, _ = (*wide, None, None, None, None)[:10]
    g, dweight, dbias = _gradient(case, dy, x, mean, var, weight, bias)
    du = np.sqrt(reference.conv2d_bwd_data(g * g, np.square(w), input_size=u.shape[2:], **POINTWISE))
    dw = np.sqrt(reference.conv2d_bwd_weights(g * g, np.square(u), kernel_size=(1, 1), **POINTWISE))
    return du + (0.0 if total is None else np.abs(total)), dw, dweight, dbias


NORM_POINTWISE: dict[str, Callable[[Case, Sequence[Any]], tuple[Array, ...]]] = {"norm_pointwise_bwd": _backward}
