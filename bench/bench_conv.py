"""Convolution, each pass on its own: GFLOP/s and the share of the measured multiply-add peak."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import reference
from fastnn.graph import run_primitive
from measure import peak_gflops

# n, ic, ih, iw, oc, kernel, stride, padding, groups: layers of ResNet-50, the LeNet of the README, a depthwise one
LAYERS = {
    "resnet-1x1": (2, 256, 56, 56, 64, 1, 1, 0, 1),
    "resnet-3x3": (2, 64, 56, 56, 64, 3, 1, 1, 1),
    "resnet-3x3-s2": (2, 128, 56, 56, 128, 3, 2, 1, 1),
    "resnet-stem": (2, 3, 224, 224, 64, 7, 2, 3, 1),
    "resnet-14": (2, 256, 14, 14, 256, 3, 1, 1, 1),
    "garment-2": (64, 6, 12, 12, 16, 5, 1, 0, 1),
    "depthwise": (2, 96, 56, 56, 96, 3, 1, 1, 96),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("which", ["conv2d", "conv2d_bwd_data", "conv2d_bwd_weights"])
def test_conv2d(benchmark, threads, layer, which):
    n, ic, ih, iw, oc, k, stride, pad, groups = LAYERS[layer]
    rng = np.random.default_rng(0)
    attrs = {"stride": (stride,) * 2, "padding": (pad,) * 4, "dilation": (1, 1), "groups": groups, "algorithm": "auto"}
    oh, ow = (ih + 2 * pad - k) // stride + 1, (iw + 2 * pad - k) // stride + 1
    x = channels_last(rng.integers(-1, 2, (n, ic, ih, iw)))
    w = rng.integers(-1, 2, (oc, ic // groups, k, k)).astype(np.float32)
    dy = channels_last(rng.integers(-1, 2, (n, oc, oh, ow)))
    if which == "conv2d":
        args = (x, w)
    elif which == "conv2d_bwd_data":
        args, attrs = (dy, w), attrs | {"input_size": (ih, iw)}
    else:
        args, attrs = (dy, x), attrs | {"kernel_size": (k, k)}
    np.testing.assert_array_equal(run_primitive(which, *args, **attrs), getattr(reference, which)(*args, **attrs))
    benchmark(run_primitive, which, *args, **attrs)
    if not benchmark.disabled:
        rate = 2e-9 * n * oc * oh * ow * (ic // groups) * k * k / benchmark.stats.stats.median
        benchmark.extra_info.update(gflops=rate, share_of_peak=rate / peak_gflops(threads))


def channels_last(x):
    return np.ascontiguousarray(x.astype(np.float32).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
