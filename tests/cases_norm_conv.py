"""Cases of depthwise convolution that normalises its input, and how far their results may be from the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from case_data import Case, Input
from cases_gated_norm import norm_sizes
from fastnn import reference
from tiles import lane_tails

Array = npt.NDArray[Any]
CONV = ("stride", "padding", "dilation", "groups", "algorithm")


def norm_conv_cases() -> Iterator[Case]:
    """name, x, kernel, stride, padding, group."""
    rows = [
        ("3x3", (2, 5, 7, 9), 3, 1, (1, 1, 1, 1), "basic"),
        ("3x3_stride2", (2, 6, 8, 7), 3, 2, (1, 1, 1, 1), "basic"),
        ("5x5", (2, 4, 9, 8), 5, 1, (2, 2, 2, 2), "basic"),
        ("5x5_stride2", (1, 3, 11, 10), 5, 2, (2, 2, 2, 2), "basic"),
        ("no_padding", (2, 4, 6, 5), 3, 1, (0, 0, 0, 0), "basic"),
        ("uneven_padding", (2, 4, 6, 5), 3, 2, (0, 2, 1, 0), "basic"),
        ("far_padding", (1, 3, 5, 5), 3, 1, (4, 5, 4, 4), "basic"),
        # lines past what a thread's scratch holds at once
        ("many_lines", (1, 130, 61, 90), 3, 1, (1, 1, 1, 1), "blocks"),
        ("many_lines_stride2", (1, 130, 61, 90), 5, 2, (2, 2, 2, 2), "blocks"),
        ("long_lines", (1, 131, 7, 600), 5, 1, (2, 2, 2, 2), "blocks"),
        *((f"c{size}", (2, size, 5, 9), 3, 1, (1, 1, 1, 1), "tails") for size in lane_tails() if size > 1),
        ("efficientnet_56", (2, 144, 56, 56), 3, 2, (1, 1, 1, 1), "big"),
        ("efficientnet_14", (8, 672, 14, 14), 5, 1, (2, 2, 2, 2), "big"),
    ]
    for name, shape, size, stride, padding, group in rows:
        for activation in ("silu", "relu", None) if group == "basic" else ("silu",):
            yield from _both(f"{name}_{activation}", shape, size, stride, padding, activation, group)


def _both(
    name: str,
    shape: tuple[int, ...],
    size: int,
    stride: int,
    padding: tuple[int, ...],
    activation: str | None,
    group: str,
) -> Iterator[Case]:
    n, c, h, w = shape
    oh = (h + padding[0] + padding[1] - size) // stride + 1
    ow = (w + padding[2] + padding[3] - size) // stride + 1
    x, mean, var, vector = Input(shape), Input((c,)), Input((c,), "positive"), Input((c,))
    attrs = {
        "stride": (stride, stride), "padding": padding, "dilation": (1, 1), "groups": c, "algorithm": "auto",
        "eps": 1e-3, "activation": activation,
    }  # fmt: skip
    affine = (None, None) if activation is None else (vector, vector)
    inputs = (x, Input((c, 1, size, size)), mean, var, vector if stride == 1 else None, *affine)
    yield Case("norm_conv2d", name, inputs, attrs, group)
    inputs = (Input((n, c, oh, ow)), x, mean, var, *affine)
    yield Case("norm_conv2d_bwd_weights", name, inputs, attrs | {"kernel_size": (size, size)}, group)


def _inner(case: Case, *norm: Any) -> Array:
    """The size of what is convolved, with the errors that it brings."""
    x, mean, var, weight, bias = (None if array is None else np.float64(array) for array in norm)
    if case.attrs["activation"] == "silu":
        return norm_sizes(case, x, mean, var, weight, bias).z
    size = reference.batch_norm(
        np.abs(x), -np.abs(mean), var, None if weight is None else np.abs(weight), eps=case.attrs["eps"]
    )
    return size + (0.0 if bias is None else np.abs(bias).reshape(-1, 1, 1))


def _forward(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    x, w, mean, var, bias, *affine = inputs
    conv = {name: case.attrs[name] for name in CONV}
    squares = reference.conv2d(np.square(_inner(case, x, mean, var, *affine)), np.square(np.float64(w)), **conv)
    return (np.sqrt(squares) + (0.0 if bias is None else np.abs(np.float64(bias)).reshape(-1, 1, 1)),)


def _weights(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    dy, x, mean, var, *affine = inputs
    conv = {name: case.attrs[name] for name in (*CONV, "kernel_size")}
    z = _inner(case, x, mean, var, *affine)
    return (np.sqrt(reference.conv2d_bwd_weights(np.square(np.float64(dy)), np.square(z), **conv)),)


NORM_CONV: dict[str, Callable[[Case, Sequence[Any]], tuple[Array, ...]]] = {
    "norm_conv2d": _forward,
    "norm_conv2d_bwd_weights": _weights,
}
