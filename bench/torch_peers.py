"""The peers' side of each kernel: what PyTorch, NumPy and scikit-learn call for the same computation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kernel import Kernel

__all__ = ["numpy_peer", "sklearn_peer", "torch_peers"]

Array = np.ndarray
Work = Callable[[], object]


def numpy_peer(kernel: Kernel, arrays: list[Array]) -> Work | None:
    """Return NumPy's product, which its BLAS computes; None for what NumPy has no function for."""
    if kernel.suite != "gemm":
        return None
    a = arrays[0].T if kernel.attrs["transpose_a"] else arrays[0]
    b = arrays[1].T if kernel.attrs["transpose_b"] else arrays[1]
    return lambda: a @ b


def sklearn_peer(kernel: Kernel, arrays: list[Array]) -> Work | None:
    """Return scikit-learn's softmax; its other functions of this kind are NumPy's or SciPy's."""
    if kernel.what != "softmax" or not importlib.util.find_spec("sklearn"):
        return None
    from sklearn.utils.extmath import softmax

    return lambda: softmax(arrays[0])


def torch_peers(kernel: Kernel, sets: list[list[Array]]) -> Iterator[tuple[str, list[Work]]]:
    """Yield PyTorch's calls by layout, one for each set of operands."""
    import torch

    def converted(last: bool) -> list[Work]:
        works = []
        for arrays in sets:
            tensors = [torch.from_numpy(np.array(array, order="C")) for array in arrays]
            if last:
                tensors = [t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors]
            works.append(CALLS[kernel.what](kernel, tensors))
        return works

    yield "torch", converted(False)
    if any(array.ndim == 4 for array in sets[0]):
        yield "torch channels-last", converted(True)


# ---- products and convolutions ----


def _linear(kernel: Kernel, t: list[Any]) -> Work:
    from torch.nn.functional import linear

    return lambda: linear(t[0], t[1])


def _matmul(kernel: Kernel, t: list[Any]) -> Work:
    a = t[0].T if kernel.attrs["transpose_a"] else t[0]
    b = t[1].T if kernel.attrs["transpose_b"] else t[1]
    return lambda: a @ b


def _convolution(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    stride, dilation, groups = (kernel.attrs[name] for name in ("stride", "dilation", "groups"))
    padding = kernel.attrs["padding"][:2]
    if kernel.what == "forward":
        return lambda: torch.nn.functional.conv2d(t[0], t[1], None, stride, padding, dilation, groups)
    mask = [kernel.what == "bwd-data", kernel.what == "bwd-weights", False]
    x, w = (torch.zeros(kernel.attrs[name]) for name in ("x", "w"))
    if t[0].is_contiguous(memory_format=torch.channels_last) and not t[0].is_contiguous():
        x, w = (v.to(memory_format=torch.channels_last) for v in (x, w))
    x, w = (x, t[1]) if kernel.what == "bwd-data" else (t[1], w)
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(t[0], x, w, None, stride, padding, dilation, False, [0, 0], groups, mask)


# ---- what memory bounds ----


def _bn_forward(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    c = t[0].shape[1]
    mean, var = torch.zeros(c), torch.ones(c)

    def run() -> object:
        y, _, _ = torch.native_batch_norm(t[0], t[1], t[2], mean, var, True, 0.1, 1e-5)
        return y.relu_() if kernel.attrs["relu"] else y

    return run


def _bn_backward(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    aten = torch.ops.aten
    dy, x, mean, var, weight, y, _ = t
    invstd = (var + 1e-5).rsqrt()

    def run() -> object:
        d = aten.threshold_backward(dy, y, 0) if kernel.attrs["relu"] else dy
        return aten.native_batch_norm_backward(d, x, weight, None, None, mean, invstd, True, 1e-5, [True] * 3)

    return run


def _pool(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    attrs, aten, f = kernel.attrs, torch.ops.aten, torch.nn.functional
    size, stride, padding = attrs["kernel_size"], attrs["stride"], attrs.get("padding")
    x = t[0] if not kernel.what.endswith("_bwd") else torch.randn(attrs["shape"])
    if t[0].is_contiguous(memory_format=torch.channels_last):
        x = x.to(memory_format=torch.channels_last)
    if kernel.what == "max_pool2d":
        return lambda: aten.max_pool2d_with_indices(x, size, stride, padding)
    if kernel.what == "max_pool2d_bwd":
        at = aten.max_pool2d_with_indices(x, size, stride, padding)[1]
        back = aten.max_pool2d_with_indices_backward
        return lambda: back(t[0], x, size, stride, padding, (1, 1), False, at)
    if kernel.what == "avg_pool2d":
        return lambda: f.avg_pool2d(x, size, stride, padding)
    if kernel.what == "avg_pool2d_bwd":
        return lambda: aten.avg_pool2d_backward(t[0], x, size, stride, padding, False, True, None)
    if kernel.what == "lp_pool2d":
        return lambda: f.lp_pool2d(x, 2.0, size, stride)
    x.requires_grad_()
    y = f.lp_pool2d(x, 2.0, size, stride)
    return lambda: torch.autograd.grad(y, x, t[0], retain_graph=True)


def _elementwise(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    f, aten = torch.nn.functional, torch.ops.aten
    forward = {
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "exp": torch.exp,
        "silu": f.silu,
        "gelu": f.gelu,
        "hardswish": f.hardswish,
        "leaky_relu": f.leaky_relu,
    }
    backward = {
        "relu_bwd": lambda dy, y: aten.threshold_backward(dy, y, 0),
        "sigmoid_bwd": aten.sigmoid_backward,
        "tanh_bwd": aten.tanh_backward,
        "silu_bwd": aten.silu_backward,
        "gelu_bwd": aten.gelu_backward,
        "hardswish_bwd": aten.hardswish_backward,
        "leaky_relu_bwd": lambda dy, x: aten.leaky_relu_backward(dy, x, 0.01, False),
    }
    call = (forward | backward)[kernel.what]
    return lambda: call(*t)


def _softmax(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    return lambda: torch.softmax(t[0], 1)


def _loss(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    aten, f = torch.ops.aten, torch.nn.functional
    if kernel.what == "mse_loss":
        return lambda: f.mse_loss(t[0], t[1])
    if kernel.what == "cross_entropy":
        return lambda: f.cross_entropy(t[0], t[1])
    logs, weight = torch.log_softmax(t[0], 1), torch.tensor(float(len(t[0])))

    def backward() -> object:
        d = aten.nll_loss_backward(t[2], logs, t[1], None, 1, -100, weight)
        return aten._log_softmax_backward_data(d, logs, 1, torch.float32)

    return backward


def _dropout(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    return lambda: torch.nn.functional.dropout(t[0], 0.5)


def _optimizer(kernel: Kernel, t: list[Any]) -> Work:
    import torch

    p = torch.nn.Parameter(t[0])
    p.grad = t[1]
    made: Any = (
        torch.optim.Adam([p], lr=1e-3, fused=True)
        if kernel.what == "adam_step"
        else torch.optim.SGD([p], lr=0.01, momentum=0.9, fused=True)
    )
    return lambda: made.step()


CALLS: dict[str, Callable[[Kernel, list[Any]], Work]] = {
    "linear": _linear,
    "matmul": _matmul,
    "bn-forward": _bn_forward,
    "bn-backward": _bn_backward,
    "softmax": _softmax,
    "dropout": _dropout,
    **dict.fromkeys(("forward", "bwd-data", "bwd-weights"), _convolution),
    **dict.fromkeys(("cross_entropy", "cross_entropy_bwd", "mse_loss"), _loss),
    **dict.fromkeys(("sgd_step", "adam_step"), _optimizer),
}
for _kind in ("max_pool2d", "avg_pool2d", "lp_pool2d"):
    CALLS |= dict.fromkeys((_kind, f"{_kind}_bwd"), _pool)
for _kind in ("relu", "sigmoid", "tanh", "exp", "silu", "gelu", "hardswish", "leaky_relu"):
    CALLS |= dict.fromkeys((_kind, f"{_kind}_bwd"), _elementwise)
