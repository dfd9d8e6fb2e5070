"""The peers' side of each kernel: what PyTorch (and NumPy) call for the same computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kernel_cases import Kernel

__all__ = ["numpy_peer", "torch_peers"]

Array = np.ndarray
Work = Callable[[], object]


def numpy_peer(kernel: Kernel, arrays: list[Array]) -> Work | None:
    """Return NumPy's product, which its BLAS computes; None for what NumPy has no function for."""
    if kernel.suite != "gemm":
        return None
    a = arrays[0].T if kernel.attrs["transpose_a"] else arrays[0]
    b = arrays[1].T if kernel.attrs["transpose_b"] else arrays[1]
    return lambda: a @ b


def torch_peers(kernel: Kernel, arrays: list[Array]) -> Iterator[tuple[str, Work]]:
    """Yield PyTorch's calls by layout."""
    import torch

    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    yield "torch", torch_call(kernel, tensors)
    if any(t.ndim == 4 for t in tensors):
        last = [t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors]
        yield "torch channels-last", torch_call(kernel, last)


def torch_call(kernel: Kernel, t: list[Any]) -> Work:
    """Return PyTorch's call on these tensors."""
    import torch

    functional = torch.nn.functional
    if kernel.what == "linear":
        return lambda: functional.linear(t[0], t[1])
    if kernel.what == "matmul":
        a = t[0].T if kernel.attrs["transpose_a"] else t[0]
        b = t[1].T if kernel.attrs["transpose_b"] else t[1]
        return lambda: a @ b
    stride, dilation, groups = (kernel.attrs[name] for name in ("stride", "dilation", "groups"))
    padding = kernel.attrs["padding"][:2]
    if kernel.what == "forward":
        return lambda: functional.conv2d(t[0], t[1], None, stride, padding, dilation, groups)
    mask = [kernel.what == "bwd-data", kernel.what == "bwd-weights", False]
    x, w = (torch.zeros(kernel.attrs[name]) for name in ("x", "w"))
    if t[0].is_contiguous(memory_format=torch.channels_last) and not t[0].is_contiguous():
        x, w = (v.to(memory_format=torch.channels_last) for v in (x, w))
    x, w = (x, t[1]) if kernel.what == "bwd-data" else (t[1], w)
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(t[0], x, w, None, stride, padding, dilation, False, [0, 0], groups, mask)
