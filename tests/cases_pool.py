"""Cases of pooling and normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from case_data import Case, Given, Input, Output
from fastnn import reference
from tiles import lane_tails

Pair = tuple[int, int]
Quad = tuple[int, int, int, int]


def f(*shape: int) -> Input:
    return Input(shape)


def p(*shape: int) -> Input:
    return Input(shape, "positive")


def _channels_case(name: str) -> list[tuple[str, Quad, Pair, Pair, Pair, Pair, bool, str]]:
    return [
        (f"{name}{size}{mark}", (1, size, *image), kernel, (2, 2), padding, (1, 1), False, "tails")
        for size in lane_tails()
        for mark, image, kernel, padding in (
            ("", (6, 7), (3, 3), (1, 1)), ("_2x2", (7, 8), (2, 2), (0, 0)), ("_2x2_pad1", (6, 5), (2, 2), (1, 1)),
        )
    ]  # fmt: skip


def pool_geometries() -> list[tuple[str, Quad, Pair, Pair, Pair, Pair, bool, str]]:
    """name, x, kernel, stride, padding, dilation, ceil_mode, group."""
    one, none = (1, 1), (0, 0)
    return [
        ("2x2", (2, 3, 6, 8), (2, 2), (2, 2), none, one, False, "basic"),
        ("2x2_odd", (2, 5, 7, 9), (2, 2), (2, 2), none, one, False, "basic"),
        ("2x2_odd_ceil", (2, 5, 7, 9), (2, 2), (2, 2), none, one, True, "basic"),
        ("3x3_stride2", (2, 4, 9, 11), (3, 3), (2, 2), none, one, False, "overlap"),
        ("3x3_stride1", (2, 4, 5, 6), (3, 3), (1, 1), none, one, False, "overlap"),
        ("3x3_stride2_pad1", (2, 4, 8, 7), (3, 3), (2, 2), (1, 1), one, False, "overlap"),
        ("3x3_stride2_pad1_ceil", (2, 4, 8, 8), (3, 3), (2, 2), (1, 1), one, True, "overlap"),
        ("3x3_stride2_borders", (2, 16, 7, 8), (3, 3), (2, 2), (1, 1), one, True, "overlap"),
        ("3x3_stride1_pad1", (1, 3, 5, 5), (3, 3), (1, 1), (1, 1), one, False, "overlap"),
        ("3x2_stride1x2_pad1x0", (2, 3, 7, 6), (3, 2), (1, 2), (1, 0), one, False, "basic"),
        ("1x1", (2, 3, 4, 5), (1, 1), (1, 1), none, one, False, "1x1"),
        ("1x1_stride2", (2, 3, 5, 5), (1, 1), (2, 2), none, one, False, "stride>kernel"),
        ("2x2_stride3", (1, 3, 8, 9), (2, 2), (3, 3), none, one, False, "stride>kernel"),
        ("2x2_stride3_ceil", (1, 3, 8, 9), (2, 2), (3, 3), none, one, True, "stride>kernel"),
        ("5x5_pad2", (1, 2, 7, 7), (5, 5), (1, 1), (2, 2), one, False, "big pad"),
        ("1d", (2, 6, 1, 15), (1, 3), (1, 2), (0, 1), one, False, "basic"),
        ("global", (3, 7, 4, 5), (4, 5), (4, 5), none, one, False, "basic"),
        ("one_channel", (2, 1, 6, 6), (2, 2), (2, 2), none, one, False, "basic"),
        ("batch0", (0, 3, 6, 6), (2, 2), (2, 2), none, one, False, "empty"),
        *_channels_case("c"),
        *((f"few_{c}", (2, c, 5, 22 + c % 2), (2, 2), (2, 2), none, one, False, "few channels") for c in range(1, 9)),
        ("lines", (2, 70, 23, 31), (3, 3), (2, 2), (1, 1), one, False, "blocks"),
        ("lenet_28", (16, 6, 28, 28), (2, 2), (2, 2), none, one, False, "big"),
        ("resnet_112", (1, 64, 112, 112), (3, 3), (2, 2), (1, 1), one, False, "big"),
        ("alexnet_55", (1, 96, 55, 55), (3, 3), (2, 2), none, one, False, "big"),
    ]


def pooling_cases() -> Iterator[Case]:
    yield from max_pool_cases()
    yield from avg_pool_cases()
    yield from lp_pool_cases()
    yield from adaptive_cases()


def _pooled(x: Quad, channels_from: str, attrs: dict[str, Any]) -> tuple[int, ...]:
    """Shape of the output, as the oracle gives it for one channel."""
    import numpy as np

    result = getattr(reference, channels_from)(np.zeros((1, 1, *x[2:]), np.float32), **attrs)
    return (*x[:2], *(result[0] if isinstance(result, tuple) else result).shape[2:])


def max_pool_cases() -> Iterator[Case]:
    extra = [
        ("dilation2", (1, 4, 9, 8), (3, 2), (1, 1), (1, 1), (2, 2), False, "dilation"),
        ("dilation2_stride2_ceil", (1, 3, 10, 9), (3, 3), (2, 2), (1, 0), (1, 2), True, "dilation"),
        ("wide_window", (1, 2, 18, 17), (17, 16), (1, 1), (0, 0), (1, 1), False, "basic"),
    ]
    for name, x, kernel, stride, padding, dilation, ceil, group in [*pool_geometries(), *extra]:
        attrs = {
            "kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil,
        }  # fmt: skip
        yield Case("max_pool2d", name, (f(*x),), attrs, group)
        index = Output("max_pool2d", f(*x), attrs, 1)
        dy = f(*_pooled(x, "max_pool2d", attrs))
        yield Case("max_pool2d_bwd", name, (dy, index), {"input_size": x[2:], **attrs}, group)


def avg_pool_cases() -> Iterator[Case]:
    for name, x, kernel, stride, padding, _, ceil, group in pool_geometries():
        variants: list[tuple[str, bool, int | None]] = [("", True, None)]
        if padding != (0, 0) or ceil:
            variants += [("_exclude_pad", False, None), ("_divisor", True, 8)]
        for mark, include, divisor in variants:
            attrs = {
                "kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil,
                "count_include_pad": include, "divisor_override": divisor,
            }  # fmt: skip
            yield Case("avg_pool2d", name + mark, (f(*x),), attrs, group)
            dy = f(*_pooled(x, "avg_pool2d", attrs))
            yield Case("avg_pool2d_bwd", name + mark, (dy,), {"input_size": x[2:], **attrs}, group)


def lp_pool_cases() -> Iterator[Case]:
    for name, x, kernel, stride, padding, _, ceil, group in pool_geometries():
        if padding != (0, 0):
            continue
        for norm in (2.0,) if group in ("tails", "blocks", "big") else (1.0, 2.0, 3.0, 1.5):
            attrs = {"norm_type": norm, "kernel_size": kernel, "stride": stride, "ceil_mode": ceil}
            given = f(*x) if norm == 2.0 else p(*x)
            yield Case("lp_pool2d", f"{name}_norm{norm:g}", (given,), attrs, group)
            dy, y = f(*_pooled(x, "lp_pool2d", attrs)), Output("lp_pool2d", 1, attrs)
            yield Case("lp_pool2d_bwd", f"{name}_norm{norm:g}", (dy, given, y), attrs, group)


def adaptive_cases() -> Iterator[Case]:
    geometries: list[tuple[str, Quad, Pair, str]] = [
        ("global", (2, 5, 6, 7), (1, 1), "basic"),
        ("even", (2, 4, 6, 8), (3, 4), "basic"),
        ("uneven", (2, 4, 7, 10), (3, 4), "overlap"),
        ("same", (1, 3, 4, 5), (4, 5), "basic"),
        ("grow", (1, 3, 4, 3), (6, 7), "overlap"),
        ("map1", (2, 9, 1, 1), (1, 1), "1x1"),
        ("rows", (2, 3, 5, 6), (5, 1), "basic"),
        ("batch0", (0, 3, 6, 6), (2, 2), "empty"),
        *((f"c{size}", (1, size, 5, 7), (2, 3), "tails") for size in lane_tails()),
        ("many", (2, 70, 19, 21), (4, 5), "blocks"),
        ("resnet_7", (4, 512, 7, 7), (1, 1), "big"),
        ("vgg_13", (2, 256, 13, 13), (6, 6), "big"),
    ]
    for name, x, size, group in geometries:
        attrs = {"output_size": size}
        dy = f(*x[:2], *size)
        yield Case("adaptive_avg_pool2d", name, (f(*x),), attrs, group)
        yield Case("adaptive_avg_pool2d_bwd", name, (dy,), {"input_size": x[2:]}, group)
        yield Case("adaptive_max_pool2d", name, (f(*x),), attrs, group)
        index = Output("adaptive_max_pool2d", f(*x), attrs, 1)
        yield Case("adaptive_max_pool2d_bwd", name, (dy, index), {"input_size": x[2:]}, group)


# ---- normalisation ----


def normalization_cases() -> Iterator[Case]:
    shapes: list[tuple[str, tuple[int, ...], str]] = [
        ("image", (2, 5, 4, 6), "basic"),
        ("rows", (7, 6), "basic"),
        ("one_channel", (3, 1, 5, 5), "basic"),
        ("one_pixel", (9, 4, 1, 1), "basic"),
        ("long", (6000, 3), "blocks"),
        ("many_pixels", (4, 5, 50, 43), "blocks"),
        ("many_channels", (2, 130, 9, 15), "blocks"),
        ("more_channels", (5, 531, 6, 6), "blocks"),
        ("rows_more_channels", (270, 1040), "blocks"),
        *((f"c{size}", (2, size, 3, 3), "tails") for size in lane_tails()),
        *((f"rows_c{size}", (11, size), "tails") for size in lane_tails()),
        ("resnet_56", (2, 64, 56, 56), "big"),
        ("resnet_7", (8, 512, 7, 7), "big"),
    ]
    for name, shape, group in shapes:
        yield from batch_norm_cases(name, shape, group)
    empty: list[Given] = [f(0, 4, 3, 3), f(4), p(4)]
    yield Case("batch_norm", "batch0", tuple(empty), {"eps": 1e-5}, "empty")
    yield from batch_norm_fold_cases()
    for momentum, mark in ((0.1, "momentum"), (None, "cumulative"), (1.0, "replace")):
        for size in (1, 5, 40):
            inputs = (f(size), p(size), Input((), "count"), f(size), p(size))
            yield Case("batch_norm_update", f"{mark}_c{size}", inputs, {"momentum": momentum, "count": 24})
    yield Case(
        "batch_norm_update", "count1", (f(3), p(3), Input((), "count"), f(3), p(3)), {"momentum": 0.1, "count": 1}
    )
    yield from lrn_cases()


def batch_norm_cases(name: str, shape: tuple[int, ...], group: str) -> Iterator[Case]:
    x, dy, mean, var, weight, bias = f(*shape), f(*shape), f(shape[1]), p(shape[1]), f(shape[1]), f(shape[1])
    eps = {"eps": 1e-5}
    yield Case("batch_norm_stats", name, (x,), {}, group)
    yield Case("batch_norm", name, (x, mean, var, weight, bias), eps, group)
    yield Case("batch_norm", f"{name}_plain", (x, mean, var), {"eps": 1e-3}, group)
    for training in (True, False):
        attrs = {**eps, "training": training}
        mark = "train" if training else "eval"
        yield Case("batch_norm_bwd", f"{name}_{mark}", (dy, x, mean, var, weight), attrs, group)
        yield Case("batch_norm_bwd", f"{name}_{mark}_plain", (dy, x, mean, var), attrs, group)


def batch_norm_fold_cases() -> Iterator[Case]:
    rows: list[tuple[str, tuple[int, ...], str]] = [
        ("filters", (6, 5, 3, 3), "basic"),
        ("one", (1, 1, 1, 1), "basic"),
        ("depthwise", (130, 1, 3, 3), "blocks"),
        ("rows", (7, 6), "basic"),
        ("many", (300, 70, 3, 3), "blocks"),
        ("long", (3, 9000), "blocks"),
        *((f"k{size}", (5, size), "tails") for size in lane_tails()),
    ]
    for name, w, group in rows:
        c = w[0]
        yield Case("batch_norm_fold", name, (f(*w), f(c), p(c), f(c), f(c), f(c)), {"eps": 1e-5}, group)
        yield Case("batch_norm_fold", f"{name}_plain", (f(*w), f(c), p(c)), {"eps": 1e-3}, group)
    yield Case("batch_norm_fold", "offset", (f(4, 3), f(4), p(4), None, None, f(4)), {"eps": 1e-5})


def lrn_cases() -> Iterator[Case]:
    rows: list[tuple[str, tuple[int, ...], int, float, float, float, str]] = [
        ("alexnet", (2, 7, 4, 5), 5, 1e-1, 0.75, 2.0, "basic"),
        ("even", (2, 6, 3, 3), 4, 0.5, 0.5, 1.0, "basic"),
        ("size1", (1, 4, 3, 3), 1, 0.3, 0.75, 1.0, "basic"),
        ("wider_than_channels", (2, 3, 3, 4), 7, 0.3, 1.0, 1.0, "basic"),
        ("beta_odd", (1, 5, 3, 3), 3, 0.4, 0.6, 1.5, "basic"),
        ("batch0", (0, 4, 3, 3), 3, 0.3, 0.75, 1.0, "empty"),
        *((f"c{size}", (1, size, 2, 3), 5, 0.2, 0.75, 1.0, "tails") for size in lane_tails()),
        ("many", (2, 70, 13, 17), 5, 0.2, 0.75, 1.0, "blocks"),
        ("alexnet_27", (1, 96, 27, 27), 5, 1e-4, 0.75, 2.0, "big"),
    ]
    for name, shape, size, alpha, beta, k, group in rows:
        attrs = {"size": size, "alpha": alpha, "beta": beta, "k": k}
        yield Case("local_response_norm", name, (f(*shape),), attrs, group)
        yield Case("local_response_norm_bwd", name, (f(*shape), f(*shape)), attrs, group)
