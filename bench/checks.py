"""Results of measured kernels against arithmetic done another way: whole where that is quick, else at random places."""

from __future__ import annotations

import numpy as np

from layers import Layer

__all__ = ["check_convolution", "check_product"]

Array = np.ndarray
PLACES = 64


def check_product(arrays: list[Array], result: Array, transpose_a: bool, transpose_b: bool) -> None:
    """The product of whole numbers, to the last bit."""
    a, b = arrays[0].T if transpose_a else arrays[0], arrays[1].T if transpose_b else arrays[1]
    np.testing.assert_array_equal(result, a @ b)


def check_convolution(which: str, layer: Layer, arrays: list[Array], result: Array, exact: bool) -> None:
    """Values of whole-number convolutions at random places; Winograd within its bound for F(4x4), 2e-4."""
    rng = np.random.default_rng(1)
    at = {"forward": _output, "bwd-data": _input, "bwd-weights": _weight}[which]
    places = [tuple(int(rng.integers(size)) for size in result.shape) for _ in range(PLACES)]
    got = np.array([result[p] for p in places], np.float64)
    expected = np.array([at(layer, *arrays, p) for p in places])
    if exact:
        np.testing.assert_array_equal(got, expected)
    else:
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4 * max(1.0, np.abs(expected).max()))


def _output(layer: Layer, x: Array, w: Array, place: tuple[int, ...]) -> float:
    """One output: the window's products."""
    n, o, i, j = place
    icg = layer.ic // layer.groups
    first = o // (layer.oc // layer.groups) * icg
    total = 0.0
    for kh, kw in np.ndindex(layer.kernel, layer.kernel):
        h, v = (p * layer.stride - layer.padding + k * layer.dilation for p, k in ((i, kh), (j, kw)))
        if 0 <= h < layer.size and 0 <= v < layer.size:
            total += float(x[n, first : first + icg, h, v] @ w[o, :, kh, kw])
    return total


def _input(layer: Layer, dy: Array, w: Array, place: tuple[int, ...]) -> float:
    """One gradient of the input: the outputs that saw it."""
    n, c, i, j = place
    icg, ocg = layer.ic // layer.groups, layer.oc // layer.groups
    group = c // icg
    total = 0.0
    for kh, kw in np.ndindex(layer.kernel, layer.kernel):
        h, v = (p + layer.padding - k * layer.dilation for p, k in ((i, kh), (j, kw)))
        if h % layer.stride or v % layer.stride:
            continue
        h, v = h // layer.stride, v // layer.stride
        if 0 <= h < layer.out and 0 <= v < layer.out:
            seen = slice(group * ocg, group * ocg + ocg)
            total += float(dy[n, seen, h, v] @ w[seen, c % icg, kh, kw])
    return total


def _weight(layer: Layer, dy: Array, x: Array, place: tuple[int, ...]) -> float:
    """One gradient of a weight: its products over all output pixels."""
    o, c, kh, kw = place
    channel = o // (layer.oc // layer.groups) * (layer.ic // layer.groups) + c
    padded = np.pad(x[:, channel], ((0, 0), (layer.padding,) * 2, (layer.padding,) * 2))
    reach = (layer.out - 1) * layer.stride + 1
    top, left = kh * layer.dilation, kw * layer.dilation
    view = padded[:, top : top + reach : layer.stride, left : left + reach : layer.stride]
    return float(np.vdot(view.astype(np.float64), dy[:, o].astype(np.float64)))
