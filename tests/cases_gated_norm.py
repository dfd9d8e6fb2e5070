"""Cases of batch norm with SiLU under a squeeze-and-excitation, and how far their results may be from the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from case_data import Case, Input
from fastnn import reference
from tiles import lane_tails

Array = npt.NDArray[Any]


def gated_norm_cases() -> Iterator[Case]:
    shapes = [
        ("image", (2, 5, 4, 6), "basic"),
        ("one_channel", (3, 1, 5, 5), "basic"),
        ("one_pixel", (9, 4, 1, 1), "basic"),
        ("many_pixels", (2, 3, 151, 150), "blocks"),
        ("many_channels", (2, 130, 29, 25), "blocks"),
        ("more_channels", (2, 531, 12, 12), "blocks"),
        *((f"c{size}", (2, size, 3, 3), "tails") for size in lane_tails()),
        ("efficientnet_56", (2, 144, 56, 56), "big"),
        ("efficientnet_7", (8, 1152, 7, 7), "big"),
    ]
    for name, shape, group in shapes:
        n, c = shape[:2]
        x, dy, mean, weight, bias = Input(shape), Input(shape), Input((c,)), Input((c,)), Input((c,))
        var, gate = Input((c,), "positive"), Input((n, c, 1, 1), "positive")
        sums, dpool, eps = Input((4, n, c)), Input((n, c, 1, 1)), {"eps": 1e-3}
        for mark, affine in (("", (weight, bias)), ("_plain", (None, None))):
            yield Case("gated_norm_pool", f"{name}{mark}", (x, mean, var, *affine), eps, group)
            yield Case("gated_norm", f"{name}{mark}", (x, mean, var, gate, *affine), eps, group)
            yield Case("gated_norm_sums", f"{name}{mark}", (dy, x, mean, var, *affine), eps, group)
            for training in (True, False):
                inputs = (dy, x, mean, var, gate, dpool, sums, *affine)
                attrs = {**eps, "training": training}
                yield Case("gated_norm_bwd", f"{name}{mark}_{'train' if training else 'eval'}", inputs, attrs, group)


# ---- bounds: what was rounded on the way. An error of what SiLU gets counts times the derivative there ----


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Absolute values: of x - mean, of z = silu(v), of its derivative; the last two with v's error on top."""

    d: Array
    z: Array
    slope: Array


def norm_sizes(case: Case, x: Array, mean: Array, var: Array, weight: Any, bias: Any) -> _Sizes:
    eps = case.attrs["eps"]
    v = reference.batch_norm(x, mean, var, weight, bias, eps=eps)
    size = reference.batch_norm(np.abs(x), -np.abs(mean), var, None if weight is None else np.abs(weight), eps=eps)
    size = size + (0.0 if bias is None else np.abs(bias).reshape(-1, 1, 1))
    s = 1.0 / (1.0 + np.exp(-v))
    slope, bend = s * (1.0 + v * (1.0 - s)), s * (1.0 - s) * (2.0 + v * (1.0 - 2.0 * s))
    d = np.abs(x) + np.abs(mean).reshape(-1, 1, 1)
    return _Sizes(d, np.abs(slope) * size + np.abs(v * s), np.abs(bend) * size + np.abs(slope))


def _wide(inputs: Sequence[Any]) -> list[Any]:
    return [None if array is None else np.float64(array) for array in inputs]


def _root(terms: Array, keepdims: bool = False) -> Array:
    return np.asarray(np.sqrt(np.square(terms).sum(axis=(2, 3), keepdims=keepdims)))


def _pool(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    z = norm_sizes(case, *_wide(inputs)).z
    return (_root(z, keepdims=True) / (z.shape[2] * z.shape[3]),)


def _apply(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    x, mean, var, gate, weight, bias = _wide(inputs)
    return (norm_sizes(case, x, mean, var, weight, bias).z * np.abs(gate),)


def _sums(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    dy, *rest = _wide(inputs)
    of = norm_sizes(case, *rest)
    inner = dy * of.slope
    return _root(dy * of.z), np.stack([_root(part) for part in (inner, of.slope, inner * of.d, of.slope * of.d)])


def _bwd(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    dy, x, mean, var, gate, dpool, sums, weight, bias = _wide(inputs)
    of = norm_sizes(case, x, mean, var, weight, bias)
    rstd = 1.0 / np.sqrt(var + case.attrs["eps"])
    share = np.abs(dpool) / (x.shape[2] * x.shape[3])
    parts = np.abs(np.stack([gate, share, gate, share])[..., 0, 0] * sums).sum(axis=1)
    dbias, dweight = parts[0] + parts[1], (parts[2] + parts[3]) * rstd
    through = (dbias.reshape(-1, 1, 1) + of.d * (rstd * dweight).reshape(-1, 1, 1)) / (x.size // x.shape[1])
    scale = rstd if weight is None else rstd * np.abs(weight)
    return ((np.abs(dy * gate) + share) * of.slope + through) * scale.reshape(-1, 1, 1), dweight, dbias


GATED_NORM: dict[str, Callable[[Case, Sequence[Any]], tuple[Array, ...]]] = {
    "gated_norm_pool": _pool,
    "gated_norm": _apply,
    "gated_norm_sums": _sums,
    "gated_norm_bwd": _bwd,
}
