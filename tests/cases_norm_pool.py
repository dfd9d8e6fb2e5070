"""Cases of max pooling over batch norm with ReLU, and how far their results may be from the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from case_data import Case, Input
from fastnn import reference
from fastnn.reference.norm_pool import WINDOWS
from tiles import lane_tails

Array = npt.NDArray[Any]


def norm_pool_cases() -> Iterator[Case]:
    shapes = [
        ("even", (2, 5, 4, 6), "basic"),
        ("odd", (2, 6, 7, 9), "basic"),
        ("one_window", (9, 4, 2, 2), "basic"),
        ("one_channel", (3, 1, 5, 4), "basic"),
        ("narrow", (2, 17, 13, 3), "basic"),
        ("many_pixels", (2, 6, 151, 150), "blocks"),
        ("many_channels", (2, 130, 29, 25), "blocks"),
        ("more_channels", (3, 531, 8, 9), "blocks"),
        ("batch0", (0, 4, 6, 6), "empty"),
        *((f"c{size}", (2, size, 5, 4), "tails") for size in lane_tails()),
        ("cnn_28", (48, 32, 28, 28), "big"),  # past the caches
        ("vgg_16", (8, 128, 16, 16), "big"),
    ]
    for name, shape, group in shapes:
        n, c, h, w = shape
        x, dy, mean, weight, bias = Input(shape), Input((n, c, h // 2, w // 2)), Input((c,)), Input((c,)), Input((c,))
        var = Input((c,), "positive")
        for mark, affine in (("", (weight, bias)), ("_plain", ())):
            yield Case("norm_pool2d", f"{name}{mark}", (x, mean, var, *affine), {"eps": 1e-3}, group)
            if group != "empty":  # statistics of nothing are NaN
                yield Case("norm_pool2d_bwd", f"{name}{mark}", (dy, x, mean, var, *affine), {"eps": 1e-3}, group)


def _sizes(case: Case, x: Array, mean: Array, var: Array, weight: Any = None, bias: Any = None) -> Array:
    """Of what is pooled, with what was taken off on the way to it."""
    size = reference.batch_norm(np.abs(x), -np.abs(mean), var, None if weight is None else np.abs(weight), **case.attrs)
    return np.asarray(size + (0.0 if bias is None else np.abs(bias).reshape(-1, 1, 1)))


def _forward(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    return (np.asarray(reference.max_pool2d(_sizes(case, *(np.float64(a) for a in inputs)), **WINDOWS)[0]),)


def _backward(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Sums over a channel of the windows' gradients, and what one element of dx is put together from."""
    dy, x, mean, var, *affine = (np.float64(a) for a in inputs)
    z = np.maximum(reference.batch_norm(x, mean, var, *affine, **case.attrs), 0.0)
    g = reference.max_pool2d_bwd(dy, reference.max_pool2d(z, **WINDOWS)[1], input_size=x.shape[2:], **WINDOWS)
    normal = reference.batch_norm(np.abs(x), -np.abs(mean), var, **case.attrs)
    dweight, dbias = (np.sqrt(np.square(terms).sum(axis=(0, 2, 3))) for terms in (g * normal, g))
    through = (dbias.reshape(-1, 1, 1) + normal * dweight.reshape(-1, 1, 1)) / (x.size // x.shape[1])
    scale = (np.abs(affine[0]) if affine else 1.0) / np.sqrt(var + case.attrs["eps"])
    return (np.abs(g) + through) * scale.reshape(-1, 1, 1), dweight, dbias


NORM_POOL: dict[str, Callable[[Case, Sequence[Any]], tuple[Array, ...]]] = {
    "norm_pool2d": _forward,
    "norm_pool2d_bwd": _backward,
}
