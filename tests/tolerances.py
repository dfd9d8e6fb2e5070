"""How far a float32 result may be from the oracle: nothing where arithmetic is exact, else a bound that is derived.

Rounding errors of a sum of K terms t behave like a random walk: eps sqrt(K) times the root of the sum of t^2, plus eps
for each of the last roundings. Where an output is linear in each input, that root is the oracle's own value on squared
inputs. For functions of a few operations the bound is a small number of eps times the values that they pass through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from case_data import Case
from cases_gated_norm import GATED_NORM
from cases_norm_conv import NORM_CONV
from cases_norm_pointwise import NORM_POINTWISE
from cases_norm_pool import NORM_POOL
from fastnn import reference

Array = npt.NDArray[Any]

EPS = 2.0**-23  # float32: twice the largest error of one rounding
TINY = 2.0**-126  # smallest normal number: below it steps flush to zero
GUARD = 1e-3  # a bound must stay below this share of the data


def words(text: str) -> frozenset[str]:
    """The names in a text."""
    return frozenset(text.split())


# One rounding at most, or none: equal to the oracle's rounded result whatever the data.
ALWAYS_EXACT = words(
    "relu relu_bwd relu6 relu6_bwd hardtanh hardtanh_bwd abs sign clamp clamp_bwd maximum minimum extremum_bwd "
    "add sub mul div sqrt accumulate expand reshape relayout convert permute slice slice_bwd cat pad amax check_finite "
    "detach max_pool2d adaptive_max_pool2d"
)
# Sums and products of small whole numbers: exact in float32.
WHOLE_EXACT = words(
    "linear linear_bwd_data linear_bwd_weights matmul conv2d conv2d_bwd_data conv2d_bwd_weights sum sum_squares "
    "max_pool2d_bwd adaptive_max_pool2d_bwd prelu prelu_bwd normalize_channels"
)
# The same where the coefficients are powers of two or whole numbers.
WHOLE_EXACT_IF: dict[str, Callable[[Case], bool]] = {
    "leaky_relu": lambda case: case.attrs["negative_slope"] == 0.25,
    "leaky_relu_bwd": lambda case: case.attrs["negative_slope"] == 0.25,
    "affine": lambda case: float(case.attrs["scale"]).is_integer() and float(case.attrs["shift"]).is_integer(),
    "dropout": lambda case: case.attrs["p"] in (0.0, 0.5, 1.0),
    "mse_loss": lambda case: case.attrs["reduction"] in ("none", "sum"),
    "l1_loss": lambda case: case.attrs["reduction"] in ("none", "sum"),
    "mse_loss_bwd": lambda case: case.attrs["reduction"] in ("none", "sum"),
    "l1_loss_bwd": lambda case: case.attrs["reduction"] in ("none", "sum"),
}

# On absolute values the result is the largest of the sums on the way to it.
LARGEST_SUM_IS_LAST = WHOLE_EXACT - {"prelu", "prelu_bwd", "normalize_channels"}


# Winograd's convolution: the largest error over the root of the mean square of the results.
WINOGRAD_BOUNDS = {"winograd2": 2e-5, "winograd4": 2e-4}


def winograd_bound(case: Case) -> float:
    """The bound of the algorithm that a case asks for, 0 where that is another one."""
    return WINOGRAD_BOUNDS.get(str(case.attrs.get("algorithm")), 0.0)


def is_exact(case: Case, mode: str) -> bool:
    """Whether the kernel must give the oracle's bits."""
    if case.primitive in ALWAYS_EXACT:
        return True
    if mode != "integers" or winograd_bound(case):
        return False
    return case.primitive in WHOLE_EXACT or WHOLE_EXACT_IF.get(case.primitive, lambda _: False)(case)


# ---- how many terms a sum has ----


def _extent(shape: Sequence[int], axes: Sequence[int]) -> int:
    return math.prod(shape[axis] for axis in axes)


def _all_but_channels(shape: Sequence[int]) -> int:
    return math.prod(shape) // max(shape[1], 1)


def _window(case: Case) -> int:
    return math.prod(case.attrs["kernel_size"])


TERMS: dict[str, Callable[[Case], int]] = {
    "linear": lambda case: case.shape(0)[-1],
    "linear_bwd_data": lambda case: case.shape(1)[0],
    "linear_bwd_weights": lambda case: math.prod(case.shape(0)[:-1]),
    "matmul": lambda case: case.shape(0)[-2 if case.attrs["transpose_a"] else -1],
    "conv2d": lambda case: math.prod(case.shape(1)[1:]),
    "conv2d_bwd_data": lambda case: math.prod(case.shape(1)) // case.shape(1)[1] // case.attrs["groups"],
    "conv2d_bwd_weights": lambda case: _all_but_channels(case.shape(0)),
    "sum": lambda case: _extent(case.shape(0), case.attrs["axes"]),
    "mean": lambda case: _extent(case.shape(0), case.attrs["axes"]),
    "avg_pool2d": _window,
    "avg_pool2d_bwd": _window,
    "max_pool2d_bwd": _window,
    "lp_pool2d": _window,
    "lp_pool2d_bwd": _window,
    "adaptive_avg_pool2d": lambda case: _extent(case.shape(0), (2, 3)),
    "adaptive_avg_pool2d_bwd": lambda case: _extent(case.shape(0), (2, 3)),
    "adaptive_max_pool2d_bwd": lambda case: _extent(case.shape(0), (2, 3)),
    "batch_norm_stats": lambda case: _all_but_channels(case.shape(0)),
    "batch_norm_bwd": lambda case: _all_but_channels(case.shape(0)),
    "gated_norm_pool": lambda case: _extent(case.shape(0), (2, 3)),
    "gated_norm_sums": lambda case: _extent(case.shape(0), (2, 3)),
    "norm_conv2d": lambda case: math.prod(case.shape(1)[1:]),
    "norm_conv2d_bwd_weights": lambda case: _all_but_channels(case.shape(0)),
    "norm_pool2d_bwd": lambda case: _all_but_channels(case.shape(0)),
    "norm_pointwise_bwd": lambda case: max(case.shape(0)[1], _all_but_channels(case.shape(0))),
    "prelu_bwd": lambda case: math.prod(case.shape(0)),
    "sum_squares": lambda case: math.prod(case.shape(0)),
    "local_response_norm": lambda case: case.attrs["size"],
    "local_response_norm_bwd": lambda case: case.attrs["size"],
    **{name: lambda case: case.shape(0)[case.attrs["axis"]] for name in ("softmax", "log_softmax")},
    **{f"{name}_bwd": lambda case: case.shape(0)[case.attrs["axis"]] for name in ("softmax", "log_softmax")},
}


def terms(case: Case) -> int:
    """The longest sum that an output of the case needs."""
    if "reduction" in case.attrs:
        return _loss_terms(case)
    return max(1, TERMS.get(case.primitive, lambda _: 1)(case))


def _loss_terms(case: Case) -> int:
    """Everything for a reduced loss, else the classes of a row where a row is normalised."""
    backward = case.primitive.endswith("_bwd")
    shape = case.shape(1 if backward else 0)
    if not backward and case.attrs["reduction"] != "none":
        return max(1, math.prod(shape))
    return shape[1] if case.primitive.startswith(("cross_entropy", "multi_margin")) else 1


# ---- bounds ----

# Linear in each input: errors are measured against the oracle on squares.
LINEAR = words(
    "linear linear_bwd_data linear_bwd_weights matmul conv2d conv2d_bwd_data conv2d_bwd_weights sum mean "
    "avg_pool2d avg_pool2d_bwd adaptive_avg_pool2d adaptive_avg_pool2d_bwd"
)
# Errors are a few eps of the result itself.
RELATIVE = words(
    "sigmoid exp pow div softmax sum_squares clip_coef hardsigmoid hardsigmoid_bwd leaky_relu leaky_relu_bwd prelu "
    "dropout batch_norm_update lp_pool2d amax_bwd tanh "
    "local_response_norm mse_loss l1_loss normalize_channels"
)
# Errors are a few eps of the result or of what is subtracted on the way, at most the input at this position.
RELATIVE_TO_INPUT = {
    "silu": 0, "hardswish": 0, "gelu": 0, "elu": 0, "affine": 0, "elu_bwd": 0, "silu_bwd": 0, "hardswish_bwd": 0,
    "gelu_bwd": 0, "sigmoid_bwd": 0, "tanh_bwd": 0, "softplus_bwd": 0, "log_softmax": 0, "softplus": 0,
}  # fmt: skip
ROUNDINGS = 8.0


def bounds(case: Case, inputs: Sequence[Any], expected: Sequence[Array]) -> list[Array]:
    """For each output the largest allowed difference from ``expected`` (the oracle's float64), element by element."""
    if winograd_bound(case):
        return [
            np.full(e.shape, winograd_bound(case) * math.sqrt(np.mean(np.square(e)) if e.size else 0)) for e in expected
        ]
    factor = EPS * (ROUNDINGS + math.sqrt(terms(case)))
    with np.errstate(all="ignore"):
        if case.primitive in NORMS:
            sizes = NORMS[case.primitive](case, inputs)
            scales = [size + np.abs(value) for size, value in zip(sizes, expected, strict=False)]
        else:
            scales = [_scale(case, inputs, value) for value in expected]
        return [factor * scale + TINY for scale in scales]


def _scale(case: Case, inputs: Sequence[Any], expected: Array) -> Array:
    """The size of the values that were rounded on the way to each element of an output."""
    size = np.abs(expected)
    if case.primitive in LINEAR:
        squared = [None if array is None else np.square(np.float64(array)) for array in inputs]
        return np.sqrt(np.asarray(getattr(reference, case.primitive)(*squared, **case.attrs))) + size
    if case.primitive in RELATIVE:
        return size
    if case.primitive in RELATIVE_TO_INPUT:
        return size + np.abs(np.float64(inputs[RELATIVE_TO_INPUT[case.primitive]]))
    if case.primitive in ("max_pool2d_bwd", "adaptive_max_pool2d_bwd"):
        return np.asarray(getattr(reference, case.primitive)(np.abs(np.float64(inputs[0])), inputs[1], **case.attrs))
    if case.primitive.endswith("_step"):
        return size + sum(np.abs(np.float64(a)) for a in inputs if a is not None and a.shape == expected.shape)
    finite = size[np.isfinite(size)]
    return np.full(size.shape, finite.max() if finite.size else 0.0)


def _squares_over_channels(x: Array) -> Array:
    return np.sqrt(np.square(x).sum(axis=(0, *range(2, x.ndim))))


def _stats_scales(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    x = np.float64(inputs[0])
    return _squares_over_channels(x) / max(terms(case), 1), np.zeros(x.shape[1])


def _norm_scales(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    x, mean, var, weight, bias = [*(np.float64(a) for a in inputs), None, None][:5]
    size = reference.batch_norm(np.abs(x), -np.abs(mean), var, None if weight is None else np.abs(weight), **case.attrs)
    return (size + (0.0 if bias is None else np.abs(bias).reshape(-1, *[1] * (x.ndim - 2))),)


def _norm_bwd_scales(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    """Sums over a channel, and what one element of dx is put together from."""
    dy, x, mean, var = (np.float64(a) for a in inputs[:4])
    per_channel = (-1, *[1] * (x.ndim - 2))
    scale = 1.0 / np.sqrt(var + case.attrs["eps"])
    normal = reference.batch_norm(np.abs(x), -np.abs(mean), var, eps=case.attrs["eps"])
    dweight, dbias = _squares_over_channels(dy * normal), _squares_over_channels(dy)
    dx = np.abs(dy) + (dbias.reshape(per_channel) + normal * dweight.reshape(per_channel)) / max(terms(case), 1)
    weight = 1.0 if len(inputs) < 5 or inputs[4] is None else np.abs(np.float64(inputs[4]))
    return dx * (scale * weight).reshape(per_channel), dweight, dbias


def _norm_fold_scales(case: Case, inputs: Sequence[Any]) -> tuple[Array, ...]:
    _, mean, var, weight, bias, offset = [*inputs, None, None, None][:6]
    sizes = [0.0 if a is None else np.abs(np.float64(a)) for a in (mean, offset, bias)]
    scale = (1.0 if weight is None else np.abs(np.float64(weight))) / np.sqrt(np.float64(var) + case.attrs["eps"])
    return np.zeros(()), (sizes[0] + sizes[1]) * scale + sizes[2]


NORMS: dict[str, Callable[[Case, Sequence[Any]], tuple[Array, ...]]] = {
    "batch_norm_stats": _stats_scales,
    "batch_norm": _norm_scales,
    "batch_norm_bwd": _norm_bwd_scales,
    "batch_norm_fold": _norm_fold_scales,
    **GATED_NORM,
    **NORM_CONV,
    **NORM_POOL,
    **NORM_POINTWISE,
}


FEW = 8  # so few results may all be small by chance; their bounds are held against the inputs


def check_bounds_are_tight(
    case: Case, inputs: Sequence[Any], expected: Sequence[Array], limits: Sequence[Array]
) -> None:
    """A bound near the size of the data would accept anything."""
    around = max((_typical(a) for a in inputs if isinstance(a, np.ndarray) and a.dtype.kind == "f"), default=0.0)
    for value, limit in zip(expected, limits, strict=True):
        size = _typical(value)
        if size > 0.0:
            size = max(size, around) if value.size < FEW else size
            bound = np.median(limit[np.isfinite(limit)])
            assert bound <= GUARD * size, f"{case.id}: bound {bound:.3g} for data of size {size:.3g}"


def _typical(array: Array) -> float:
    """Root of the mean square of the finite values."""
    finite = np.float64(array[np.isfinite(array)])
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0
