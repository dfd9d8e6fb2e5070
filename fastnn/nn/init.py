"""Initialisation: fill a parameter or an array in place, under PyTorch's names, and return it.

Draws come from the global generator (`fastnn.manual_seed`) unless one is given.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from fastnn import _checks, _random

from .parameter import Parameter

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "fan_in_uniform_", "kaiming_normal_", "kaiming_uniform_",
    "normal_", "ones_", "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_",
    "zeros_",
]  # fmt: skip

Filled = TypeVar("Filled", Parameter, np.ndarray)

_thread = threading.local()
_PIECE = 1 << 16  # elements drawn at a time

_CONVOLUTIONS = tuple(f"conv{kind}{dims}d" for kind in ("", "_transpose") for dims in (1, 2, 3))
_LINEAR = ("linear", "sigmoid", *_CONVOLUTIONS)


def _array(tensor: Parameter | np.ndarray) -> np.ndarray:
    array = tensor.data if isinstance(tensor, Parameter) else tensor
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise TypeError(f"expected a Parameter or an array of floats to fill, got {type(tensor).__name__}")
    return array


def _matrix(tensor: Parameter | np.ndarray, who: str) -> np.ndarray:
    array = _array(tensor)
    if array.ndim != 2:
        raise ValueError(f"{who}: expected a 2-D tensor, got shape {array.shape}")
    return array


def _draws(generator: np.random.Generator | None) -> np.random.Generator:
    return _random.generator() if generator is None else generator


@contextlib.contextmanager
def draws_left_out() -> Iterator[None]:
    """Let random fills leave tensors as they are inside the ``with`` block (`nn.utils.skip_init`)."""
    outer = _left_out()
    _thread.left_out = True
    try:
        yield
    finally:
        _thread.left_out = outer


def _left_out() -> bool:
    return getattr(_thread, "left_out", False)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps a signal's variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"conv2d"`` (and its kin), ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"`` or ``"selu"``.
    param : float, optional
        The slope of the leaky ReLU.

    Examples
    --------
    >>> from fastnn import nn
    >>> round(nn.init.calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else _checks.as_float("negative slope", param)
        return math.sqrt(2.0 / (1.0 + slope * slope))
    gains = {"tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 3.0 / 4.0}
    return gains[_checks.one_of("nonlinearity", nonlinearity, (*_LINEAR, "leaky_relu", *gains))]


def _fans(array: np.ndarray) -> tuple[int, int]:
    """Return how many inputs feed an output and how many outputs an input feeds."""
    if array.ndim < 2:
        raise ValueError(f"expected a tensor of at least 2 dimensions to count its fan-in, got shape {array.shape}")
    taps = math.prod(array.shape[2:])
    return array.shape[1] * taps, array.shape[0] * taps


# ---- plain fills ----


def constant_(tensor: Filled, val: float) -> Filled:
    """Fill with one value."""
    _array(tensor)[...] = val
    return tensor


def zeros_(tensor: Filled) -> Filled:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Filled) -> Filled:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def eye_(tensor: Filled) -> Filled:
    """Fill a matrix with ones on the diagonal and zeros elsewhere."""
    array = _matrix(tensor, "eye_")
    array[...] = np.eye(*array.shape)
    return tensor


def dirac_(tensor: Filled, groups: int = 1) -> Filled:
    """Fill a convolution's weight such that each output channel repeats an input channel, as far as there are any."""
    array = _array(tensor)
    if array.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: expected a weight of 3 to 5 dimensions, got shape {array.shape}")
    if array.shape[0] % _checks.as_int("groups", groups, 1):
        raise ValueError(f"dirac_: expected output channels divisible by groups {groups}, got shape {array.shape}")
    per_group = array.shape[0] // groups
    centre: tuple[int, ...] = tuple(size // 2 for size in array.shape[2:])
    array[...] = 0.0
    for group in range(groups):
        for channel in range(min(per_group, array.shape[1])):
            array[(group * per_group + channel, channel, *centre)] = 1.0
    return tensor


# ---- random fills ----


def _fill(array: np.ndarray, draw: Callable[[int], np.ndarray], scale: float, shift: float) -> None:
    """Fill with ``draw(n) * scale + shift``, some at a time: the layer may be as large as half the memory.

    The stream of numbers is that of one draw.
    """
    if not array.flags.c_contiguous:
        values = np.empty(array.shape, array.dtype)
        _fill(values, draw, scale, shift)
        array[...] = values
        return
    flat = array.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        part = flat[start : start + _PIECE]
        part[...] = draw(part.size) * np.float32(scale) + np.float32(shift)


def uniform_(tensor: Filled, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Filled:
    """Fill from the uniform distribution on [a, b).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> w = nn.init.uniform_(np.empty((3, 5), np.float32), -1, 1)
    >>> bool((abs(w) <= 1).all())
    True
    """
    array = _array(tensor)
    if a > b:
        raise ValueError(f"uniform_: expected a <= b, got {a} and {b}")
    if _left_out():
        return tensor
    rng = _draws(generator)
    _fill(array, lambda n: rng.random(n, dtype=np.float32), b - a, a)
    return tensor


def normal_(
    tensor: Filled, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> Filled:
    """Fill from the normal distribution."""
    array = _array(tensor)
    if std < 0:
        raise ValueError(f"normal_: expected std >= 0, got {std}")
    if _left_out():
        return tensor
    rng = _draws(generator)
    _fill(array, lambda n: rng.standard_normal(n, dtype=np.float32), std, mean)
    return tensor


def _propose(rng: np.random.Generator, low: float, high: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return draws for the standard normal cut to [low, high], and which of them rejection keeps: a fair share."""
    if high < 0.0:
        draw, accepted = _propose(rng, -high, -low, n)
        return -draw, accepted
    if 0.5 * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) > 0.25:
        draw = rng.standard_normal(n)
        return draw, (draw >= low) & (draw <= high)
    if low <= 0.0:  # a short interval about 0: from the uniform under the density's peak
        draw = rng.uniform(low, high, n)
        return draw, rng.random(n) <= np.exp(-0.5 * draw * draw)
    # A tail: beyond low the density falls faster than exp(-low z), whose cut form is drawn from (Robert, 1995).
    above = -np.log1p(rng.random(n) * np.expm1(-low * (high - low))) / low
    return low + above, rng.random(n) <= np.exp(-0.5 * above * above)


def trunc_normal_(
    tensor: Filled,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: np.random.Generator | None = None,
) -> Filled:
    """Fill from the normal distribution cut to [a, b]; the bounds are values, not multiples of ``std``."""
    array = _array(tensor)
    if not (0 < std < math.inf and a < b and math.isfinite(mean)):
        raise ValueError(f"trunc_normal_: expected std > 0 and a < b, got mean {mean}, std {std}, a {a}, b {b}")
    if _left_out():
        return tensor
    rng, low, high = _draws(generator), (a - mean) / std, (b - mean) / std
    values = np.empty(array.size)
    todo = np.arange(array.size)
    while todo.size:
        draw, accepted = _propose(rng, low, high, todo.size)
        values[todo[accepted]] = draw[accepted]
        todo = todo[~accepted]
    array[...] = np.clip(values * std + mean, a, b).reshape(array.shape)
    return tensor


def fan_in_uniform_(tensor: Filled, fan_in: int | None = None, generator: np.random.Generator | None = None) -> Filled:
    """Fill uniformly from +-1 / sqrt(fan_in): what linear layers and convolutions start from.

    Parameters
    ----------
    tensor : Parameter or ndarray
    fan_in : int, optional
        How many inputs feed an output; counted from the shape unless given (a bias needs it).
    generator : numpy.random.Generator, optional
    """
    inputs = _fans(_array(tensor))[0] if fan_in is None else _checks.as_int("fan_in", fan_in, 0)
    bound = 1.0 / math.sqrt(inputs) if inputs else 0.0
    return uniform_(tensor, -bound, bound, generator)


def xavier_uniform_(tensor: Filled, gain: float = 1.0, generator: np.random.Generator | None = None) -> Filled:
    """Fill uniformly with variance gain ** 2 * 2 / (fan_in + fan_out) (Glorot & Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(_array(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Filled, gain: float = 1.0, generator: np.random.Generator | None = None) -> Filled:
    """Fill normally with variance gain ** 2 * 2 / (fan_in + fan_out) (Glorot & Bengio, 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(_array(tensor)))), generator)


def _kaiming_std(tensor: Parameter | np.ndarray, a: float, mode: str, nonlinearity: str) -> float:
    fan_in, fan_out = _fans(_array(tensor))
    fan = fan_in if _checks.one_of("mode", mode.lower(), ("fan_in", "fan_out")) == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Filled,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Filled:
    """Fill uniformly with variance gain ** 2 / fan (He et al., 2015).

    Parameters
    ----------
    tensor : Parameter or ndarray
    a : float
        The slope of the leaky ReLU that follows.
    mode : {"fan_in", "fan_out"}
        Whether the forward or the backward signal keeps its variance.
    nonlinearity : str
        As in `calculate_gain`.
    generator : numpy.random.Generator, optional
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Filled,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Filled:
    """Fill normally with variance gain ** 2 / fan (He et al., 2015); parameters as `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Filled, gain: float = 1, generator: np.random.Generator | None = None) -> Filled:
    """Fill with ``gain`` times a random matrix of orthonormal rows or columns (Saxe et al., 2014).

    A tensor of more dimensions counts as (size of the first, all the rest).
    """
    array = _array(tensor)
    if array.ndim < 2:
        raise ValueError(f"orthogonal_: expected at least 2 dimensions, got shape {array.shape}")
    if array.size == 0 or _left_out():
        return tensor
    rows, cols = array.shape[0], array.size // array.shape[0]
    draw = _draws(generator).standard_normal((max(rows, cols), min(rows, cols)))
    q, r = np.linalg.qr(draw)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without the signs the matrix is not uniformly distributed
    array[...] = gain * (q if rows >= cols else q.T).reshape(array.shape)
    return tensor


def sparse_(tensor: Filled, sparsity: float, std: float = 0.01, generator: np.random.Generator | None = None) -> Filled:
    """Fill a matrix normally, with the share ``sparsity`` of every column set to zero (Martens, 2010)."""
    array = _matrix(tensor, "sparse_")
    share = _checks.as_probability("sparsity", sparsity)
    if _left_out():
        return tensor
    rng = _draws(generator)
    normal_(array, 0.0, std, rng)
    zeros = math.ceil(share * array.shape[0])
    for column in range(array.shape[1]):
        array[rng.permutation(array.shape[0])[:zeros], column] = 0.0
    return tensor
