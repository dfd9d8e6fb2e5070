"""Kernels that compute little for what they move: normalisation, pooling, activations, losses, optimizers."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bound import channels_last
from fastnn import reference
from kernel import Kernel, primitive

__all__ = ["batch_norm", "pointwise", "pooling"]

Array = np.ndarray
Rng = np.random.Generator
MAPS = ((64, 56), (128, 28), (256, 56), (256, 14), (512, 28), (1024, 14), (2048, 7))
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
LARGEST_CHECKED = 1_000_000
EPS = 1e-5


def normal(rng: Rng, *shape: int) -> Array:
    """Standard normal numbers, images in channels-last memory."""
    return channels_last(rng.standard_normal(shape, np.float32))


def close(results: list[Array], expected: Any, tolerance: float = 1e-4) -> None:
    """Each result is its oracle's within a tolerance of the oracle's scale."""
    wanted = expected if isinstance(expected, tuple) else (expected,)
    for got, want in zip(results, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * (1.0 + np.abs(want).max()))


# ---- batch norm ----


def batch_norm(batch: int | None) -> Iterator[Kernel]:
    """Training mode, forward and backward, with and without ReLU."""
    for n in (batch,) if batch else (8, 32):
        for c, size in MAPS:
            for relu in (False, True):
                for what in ("bn-forward", "bn-backward"):
                    yield _batch_norm(what, n, c, size, relu, (n, c, size, relu) == (8, 256, 14, True))


def _normalised(x: Any, weight: Any, bias: Any, relu: bool) -> tuple[Any, Any, Any]:
    mean, var = primitive("batch_norm_stats")(x)
    y = primitive("batch_norm", eps=EPS)(x, mean, var, weight, bias)
    return (primitive("relu")(y) if relu else y), mean, var


def _batch_norm(what: str, n: int, c: int, size: int, relu: bool, quick: bool) -> Kernel:
    def operands(rng: Rng) -> list[Array]:
        arrays = [normal(rng, n, c, size, size), 1 + normal(rng, c) / 4, normal(rng, c)]
        if what == "bn-forward":
            return arrays
        x, weight, bias = arrays
        mean, var = reference.batch_norm_stats(x)
        y = reference.batch_norm(x, mean, var, weight, bias, eps=EPS)
        dy = normal(rng, n, c, size, size)
        y = channels_last(np.maximum(y, 0).astype(np.float32) if relu else y)
        return [dy, x, mean, var, weight, y, bias]

    def forward(x: Any, weight: Any, bias: Any) -> Any:
        return _normalised(x, weight, bias, relu)

    def setup(dy: Any, x: Any, mean: Any, var: Any, weight: Any, y: Any, bias: Any) -> tuple[Any, ...]:
        made = primitive("batch_norm", eps=EPS)(x, mean, var, weight, bias)
        return (primitive("relu")(made) if relu else made,)

    def backward(dy: Any, x: Any, mean: Any, var: Any, weight: Any, y: Any, bias: Any, made: Any) -> Any:
        dy = primitive("relu_bwd")(dy, made) if relu else dy
        return primitive("batch_norm_bwd", eps=EPS, training=True)(dy, x, mean, var, weight)

    def check(arrays: list[Array], results: list[Array]) -> None:
        if what == "bn-forward":
            mean, var = reference.batch_norm_stats(arrays[0])
            y = reference.batch_norm(arrays[0], mean, var, *arrays[1:], eps=EPS)
            close(results, (np.maximum(y, 0) if relu else y, mean, var))
            return
        dy = arrays[0] * (arrays[5] > 0) if relu else arrays[0]
        close(results, reference.batch_norm_bwd(dy, *arrays[1:5], eps=EPS, training=True), 1e-3)

    return Kernel(
        suite="batch_norm",
        name=f"{'bn+relu' if relu else 'bn'} {n}x{c}x{size}x{size} {what[3:]}",
        what=what,
        call=forward if what == "bn-forward" else backward,
        operands=operands,
        flops=0.0,
        check=check,
        attrs={"relu": relu},
        traffic=((1, 0, 0), (1, 0, 1)) if what == "bn-forward" else ((2, 0, 0), (2, 0, 1)),
        each=n * c * size * size,
        quick=quick,
        setup=None if what == "bn-forward" else setup,
    )


# ---- pooling ----

POOLS = (
    (64, 6, 28, 2, 2, 0),
    (8, 64, 112, 3, 2, 1),
    (8, 64, 56, 2, 2, 0),
    (8, 256, 28, 2, 2, 0),
    (32, 128, 28, 3, 2, 1),
)


def pooling(batch: int | None) -> Iterator[Kernel]:
    """Max, average and L2 pooling, 2x2 and 3x3 stride 2, and global averages; forward and backward."""
    for n, c, size, kernel, stride, padding in POOLS:
        for kind in ("max_pool2d", "avg_pool2d", "lp_pool2d"):
            if kind != "lp_pool2d" or not padding:
                for backward in (False, True):
                    yield _pool(kind, (batch or n, c, size, size), kernel, stride, padding, backward)
    for n, c, size in ((8, 2048, 7), (8, 1280, 7), (8, 512, 7)):
        for backward in (False, True):
            yield _pool("avg_pool2d", (batch or n, c, size, size), size, size, 0, backward)


def _pool(
    kind: str, shape: tuple[int, int, int, int], kernel: int, stride: int, padding: int, backward: bool
) -> Kernel:
    n, c, h, w = shape
    attrs: dict[str, Any] = {"kernel_size": (kernel, kernel), "stride": (stride, stride), "ceil_mode": False}
    if kind != "lp_pool2d":
        attrs["padding"] = (padding, padding)
    if kind == "max_pool2d":
        attrs["dilation"] = (1, 1)
    if kind == "avg_pool2d":
        attrs |= {"count_include_pad": True, "divisor_override": None}
    if kind == "lp_pool2d":
        attrs["norm_type"] = 2.0
    out = (h + 2 * padding - kernel) // stride + 1
    given = attrs | {"input_size": (h, w)} if backward and kind != "lp_pool2d" else attrs
    name = kind + ("_bwd" if backward else "")

    def operands(rng: Rng) -> list[Array]:
        x = normal(rng, *shape)
        if not backward:
            return [x]
        dy, forward = normal(rng, n, c, out, out), getattr(reference, kind)(x, **attrs)
        if kind == "max_pool2d":
            return [dy, channels_last(forward[1])]
        return [dy] if kind == "avg_pool2d" else [dy, x, channels_last(forward)]

    def check(arrays: list[Array], results: list[Array]) -> None:
        close(results, getattr(reference, name)(*arrays, **given))

    wide = kernel == h
    traffic = (1, 0, 0) if wide and not backward else (0, 0, 1) if wide else (1, 0, 4) if backward else (4, 0, 1)
    each = math.prod(shape) if wide else n * c * out * out
    indices = float(each) if kind == "max_pool2d" else 0.0  # a byte a window
    if kind == "lp_pool2d" and backward:  # dy, y, and four times as much of x and dx
        traffic, each = (3, 0, 2), 2 * each
    return Kernel(
        suite="pooling",
        name=f"{kind} {kernel}x{kernel}s{stride} {n}x{c}x{h}x{w} {'backward' if backward else 'forward'}",
        what=name,
        call=primitive(name, **given),
        operands=operands,
        flops=0.0,
        check=check,
        attrs=given | {"shape": shape},
        traffic=(traffic,),
        each=each,
        more=indices,
        largest=math.prod(shape),
        quick=shape == (64, 6, 28, 28) and kind == "max_pool2d",
    )


# ---- elementwise, losses, optimizers ----

ACTIVATIONS = ("relu", "sigmoid", "tanh", "silu", "gelu", "hardswish", "leaky_relu", "exp")
OF_OUTPUT = ("relu", "sigmoid", "tanh")  # their gradients are functions of y
SETTINGS: dict[str, dict[str, Any]] = {"gelu": {"approximate": "none"}, "leaky_relu": {"negative_slope": 0.01}}
CLASSES = 1000


def pointwise(batch: int | None) -> Iterator[Kernel]:
    """Activations and their gradients, softmax, losses, dropout and optimizers, 10^3 to 10^8 elements."""
    for size in SIZES[:4] if batch else SIZES:
        for name in ACTIVATIONS:
            yield _elementwise(name, size)
            if name != "exp":
                yield _elementwise(f"{name}_bwd", size)
        yield from _losses(size)
        yield _dropout(size)
        for name in ("sgd_step", "adam_step"):
            yield _optimizer(name, size)


def _elementwise(name: str, size: int) -> Kernel:
    attrs = SETTINGS.get(name.removesuffix("_bwd"), {})
    count = 2 if name.endswith("_bwd") else 1

    def check(arrays: list[Array], results: list[Array]) -> None:
        some = [array[:LARGEST_CHECKED] for array in arrays]
        close([results[0][:LARGEST_CHECKED]], getattr(reference, name)(*some, **attrs), 1e-5)

    return Kernel(
        suite="pointwise",
        name=f"{name} {size}",
        what=name,
        call=primitive(name, **attrs),
        operands=lambda rng: [normal(rng, size) for _ in range(count)],
        flops=0.0,
        check=check,
        attrs=attrs,
        traffic=((count, 0, 1),),
        each=size,
        quick=size == 10**5 and name in ("relu", "silu"),
    )


def _losses(size: int) -> Iterator[Kernel]:
    rows = max(1, size // CLASSES)
    shape = (rows, size // rows)
    settings = {"weight": None, "label_smoothing": 0.0, "ignore_index": -100, "reduction": "mean"}
    attrs = {name: value for name, value in settings.items() if name != "weight"}

    def with_targets(rng: Rng) -> list[Array]:
        return [normal(rng, *shape), rng.integers(0, shape[1], rows)]

    def backward(x: Any, target: Any, dy: Any) -> Any:
        return primitive("cross_entropy_bwd", **attrs)(dy, x, target)

    def check_bwd(arrays: list[Array], results: list[Array]) -> None:
        close(results, reference.cross_entropy_bwd(arrays[2], *arrays[:2], **attrs))

    common = functools.partial(Kernel, suite="pointwise", flops=0.0, each=size)
    yield common(
        name=f"softmax {shape[0]}x{shape[1]}",
        what="softmax",
        call=primitive("softmax", axis=1),
        operands=lambda rng: [normal(rng, *shape)],
        check=lambda arrays, results: close(results, reference.softmax(*arrays, axis=1)),
        traffic=((1, 0, 1),),
    )
    yield common(
        name=f"cross_entropy {shape[0]}x{shape[1]}",
        what="cross_entropy",
        call=primitive("cross_entropy", **attrs),
        operands=with_targets,
        check=lambda arrays, results: close(results, reference.cross_entropy(*arrays, **attrs)),
        traffic=((1, 0, 0),),
    )
    yield common(
        name=f"cross_entropy_bwd {shape[0]}x{shape[1]}",
        what="cross_entropy_bwd",
        call=backward,
        operands=lambda rng: [*with_targets(rng), np.ones((), np.float32)],
        check=check_bwd,
        traffic=((1, 0, 1),),
    )
    yield common(
        name=f"mse_loss {size}",
        what="mse_loss",
        call=primitive("mse_loss", reduction="mean"),
        operands=lambda rng: [normal(rng, size), normal(rng, size)],
        check=lambda arrays, results: close(results, reference.mse_loss(*arrays, reduction="mean")),
        traffic=((2, 0, 0),),
    )


def _dropout(size: int) -> Kernel:
    attrs = {"p": 0.5, "stream": 0, "mode": "element"}
    return Kernel(
        suite="pointwise",
        name=f"dropout {size}",
        what="dropout",
        call=primitive("dropout", **attrs),
        operands=lambda rng: [normal(rng, size), np.array([1, 2], np.uint64)],
        flops=0.0,
        check=lambda arrays, results: close(
            [results[0][:1000]], reference.dropout(arrays[0][:1000], arrays[1], **attrs)
        ),
        traffic=((1, 0, 1),),
        each=size,
    )


def _optimizer(name: str, size: int) -> Kernel:
    adam = name == "adam_step"
    hyper = np.array([1e-3, 0.9, 0.999, 1e-8, 0.0] if adam else [0.01, 0.9, 0.0, 0.0])
    attrs: dict[str, Any] = {"maximize": False} | ({"decoupled": False} if adam else {"nesterov": False})

    def operands(rng: Rng) -> list[Array]:
        p, g, m = (normal(rng, size) for _ in range(3))
        state = [m, np.abs(normal(rng, size))] if adam else [m]
        return [p, g, np.array(5.0, np.float32), hyper, *state]

    def check(arrays: list[Array], results: list[Array]) -> None:
        """One more step of the oracle from a copy leads where one more step here does."""
        del results
        copies = [array[:1000].copy() if array.size == size else array.copy() for array in arrays]
        again = [array.copy() for array in copies]
        getattr(reference, name)(*copies, **attrs)
        from fastnn.graph import run_primitive

        run_primitive(name, *again, **attrs)
        close([again[0]], copies[0], 1e-5)
        assert not np.array_equal(copies[0], arrays[0][:1000]), "a step moves the parameter"

    return Kernel(
        suite="pointwise",
        name=f"{name} {size}",
        what=name,
        call=primitive(name, **attrs),
        operands=operands,
        flops=0.0,
        check=check,
        attrs=attrs,
        traffic=((1, 3, 0) if adam else (1, 2, 0),),
        each=size,
        quick=size == 10**5,
    )
