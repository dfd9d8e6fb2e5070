"""Linear maps: linear, conv1d and conv2d."""

from __future__ import annotations

from typing import Any

from fastnn import _checks
from fastnn.graph import apply, as_node, eager

from ._common import Tensor, expect_ndim, naming

__all__ = ["conv1d", "conv2d", "linear", "resolve_padding"]


@eager
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input @ weight.T + bias``.

    Shape: input (..., in_features), weight (out_features, in_features), bias (out_features,),
    output (..., out_features).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5])).tolist()
    [[11.5]]
    """
    return apply("linear", input, weight, bias)


def resolve_padding(
    padding: Any, kernel_size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """Return (before, after) of every spatial axis in order: (top, bottom, left, right) for images.

    ``"same"`` gives the output the input's size; where the total is odd the extra element goes after, as in PyTorch.
    """
    if isinstance(padding, str):
        word = _checks.one_of("padding", padding, ("same", "valid"))
        if word == "valid":
            return (0,) * (2 * len(kernel_size))
        if any(s != 1 for s in stride):
            raise ValueError(f"padding='same' works with stride 1 only, got stride {stride}")
        totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        return tuple(side for total in totals for side in (total // 2, total - total // 2))
    sizes = _checks.as_sizes("padding", padding, len(kernel_size), 0)
    return tuple(side for size in sizes for side in (size, size))


@eager
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Return the two-dimensional cross-correlation of the input with the weight, plus the bias.

    Parameters
    ----------
    input : (N, C_in, H, W)
    weight : (C_out, C_in / groups, KH, KW)
    bias : (C_out,), optional
    stride, dilation : int or pair
    padding : int, pair, "same" or "valid"
    groups : int
        The channels are cut into this many groups that do not see each other.
    algorithm : str
        ``"auto"`` takes the cheapest that `fastnn.set_precision` allows; ``"direct"``, ``"winograd2"`` and
        ``"winograd4"`` (5x5 filters too) name a family whatever the precision; `fastnn.explain` lists the single ones.

    Shape: output (N, C_out, H_out, W_out) with H_out = (H + 2 * padding - dilation * (KH - 1) - 1) // stride + 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))[0, 0].tolist()
    [[4.0, 4.0], [4.0, 4.0]]
    """
    with naming("conv2d"):
        expect_ndim(input, 4)
        weight = as_node(weight)
        if weight.ndim != 4:
            raise ValueError(f"expected 4-D weight (C_out, C_in / groups, KH, KW), got shape {tuple(weight.shape)}")
        stride, dilation = _checks.as_pair("stride", stride, 1), _checks.as_pair("dilation", dilation, 1)
        padding = resolve_padding(padding, tuple(weight.shape[2:]), stride, dilation)
        groups, algorithm = _checks.as_int("groups", groups, 1), _checks.as_text("algorithm", algorithm)
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "algorithm": algorithm}
    return apply("conv2d", input, weight, bias, **attrs)


@eager
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Return the one-dimensional cross-correlation of the input with the weight, plus the bias.

    Shape: input (N, C_in, L), weight (C_out, C_in / groups, K), bias (C_out,); output (N, C_out, L_out) with
    L_out = (L + 2 * padding - dilation * (K - 1) - 1) // stride + 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.conv1d(np.arange(4.0).reshape(1, 1, 4), np.ones((1, 1, 2)))[0, 0].tolist()
    [1.0, 3.0, 5.0]
    """
    with naming("conv1d"):
        expect_ndim(input, 3)
        weight = as_node(weight)
        if weight.ndim != 3:
            raise ValueError(f"expected 3-D weight (C_out, C_in / groups, K), got shape {tuple(weight.shape)}")
        step, dil = _checks.as_single("stride", stride, 1), _checks.as_single("dilation", dilation, 1)
        sides = resolve_padding(padding, (weight.shape[2],), (step,), (dil,))
        groups, algorithm = _checks.as_int("groups", groups, 1), _checks.as_text("algorithm", algorithm)
        per_group = weight.shape[1]
        if input.shape[1] != per_group * groups:
            # Said here in the caller's terms; below, the signal has become an image of height 1.
            raise ValueError(f"expected input with {per_group * groups} channels, got shape {tuple(input.shape)}")
    n, c, length = input.shape
    oc, ic, k = weight.shape
    y = apply(
        "conv2d",
        as_node(input).reshape(n, c, 1, length),
        as_node(weight).reshape(oc, ic, 1, k),
        bias,
        stride=(1, step),
        padding=(0, 0, *sides),
        dilation=(1, dil),
        groups=groups,
        algorithm=algorithm,
    )
    return y.reshape(y.shape[0], y.shape[1], y.shape[3])
