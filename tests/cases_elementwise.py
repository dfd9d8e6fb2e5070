"""Cases of the elementwise functions, reductions, data movement, softmax and dropout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from case_data import Case, Fixed, Input, Output
from tiles import lane_tails

Shape = tuple[int, ...]


def f(*shape: int) -> Input:
    return Input(shape)


def p(*shape: int) -> Input:
    return Input(shape, "positive")


def elementwise_cases() -> Iterator[Case]:
    yield from unary_cases()
    yield from binary_cases()
    yield from reduction_cases()
    yield from movement_cases()
    yield from softmax_cases()
    yield from dropout_cases()
    yield from training_cases()


def shapes() -> Iterator[tuple[str, Shape, str]]:
    """Shapes that every elementwise function sees."""
    yield "scalar", (), "basic"
    yield "vector", (7,), "basic"
    yield "rows", (3, 5), "basic"
    yield "cube", (2, 3, 5), "basic"
    yield "image", (2, 5, 3, 4), "basic"
    yield "empty", (0, 3, 2, 2), "empty"
    for size in lane_tails():
        yield f"tail{size}", (size,), "tails"
    yield "blocks", (3, 5, 70, 41), "blocks"
    yield "image_big", (8, 64, 28, 28), "big"


# ---- one input: attributes of each variant, the first one on all shapes ----

UNARY: dict[str, list[Mapping[str, Any]]] = {
    "relu": [{}],
    "leaky_relu": [{"negative_slope": 0.25}, {"negative_slope": 0.01}],
    "sigmoid": [{}],
    "tanh": [{}],
    "silu": [{}],
    "hardswish": [{}],
    "hardsigmoid": [{}],
    "relu6": [{}],
    "hardtanh": [{"min_val": -1.0, "max_val": 2.0}],
    "gelu": [{"approximate": "none"}, {"approximate": "tanh"}],
    "elu": [{"alpha": 1.0}, {"alpha": 0.5}],
    "softplus": [{"beta": 1.0, "threshold": 20.0}, {"beta": 2.0, "threshold": 3.0}],
    "exp": [{}],
    "log": [{}],
    "sqrt": [{}],
    "abs": [{}],
    "sign": [{}],
    "pow": [{"exponent": 2.0}, {"exponent": 3.0}, {"exponent": 0.5}, {"exponent": -1.0}, {"exponent": 1.7}],
    "clamp": [{"min": -1.0, "max": 2.0}, {"min": None, "max": 1.0}, {"min": 0.0, "max": None}],
    "affine": [{"scale": 2.0, "shift": -1.0}, {"scale": -1.0, "shift": 0.0}, {"scale": 0.3, "shift": 0.7}],
}
POSITIVE_ONLY = ("log", "sqrt", "pow")
FROM_OUTPUT = ("relu", "sigmoid", "tanh")  # their backward takes y
NO_BACKWARD = ("exp", "log", "sqrt", "abs", "sign", "pow", "affine")  # composed of other primitives


def unary_cases() -> Iterator[Case]:
    for name, variants in UNARY.items():
        for number, attrs in enumerate(variants):
            for label, shape, group in shapes() if number == 0 else [("image", (2, 5, 3, 4), "basic")]:
                yield from _unary(name, f"{label}{number or ''}", shape, attrs, group)
    for label, shape, group in shapes():
        if len(shape) >= 2:
            yield from _prelu(label, shape, group)


def _unary(name: str, label: str, shape: Shape, attrs: Mapping[str, Any], group: str) -> Iterator[Case]:
    x = p(*shape) if name in POSITIVE_ONLY else f(*shape)
    yield Case(name, label, (x,), attrs, group)
    if name in NO_BACKWARD:
        return
    if name in FROM_OUTPUT:
        yield Case(f"{name}_bwd", label, (f(*shape), Output(name, x)), {}, group)
    else:
        yield Case(f"{name}_bwd", label, (f(*shape), x), attrs, group)


def _prelu(label: str, shape: Shape, group: str) -> Iterator[Case]:
    for slopes in (1, shape[1]):
        mark = f"{label}_{'shared' if slopes == 1 else 'channels'}"
        yield Case("prelu", mark, (f(*shape), f(slopes)), {}, group)
        yield Case("prelu_bwd", mark, (f(*shape), f(*shape), f(slopes)), {}, group)


# ---- two inputs ----


def pairs() -> Iterator[tuple[str, Shape, Shape, str]]:
    yield from ((name, shape, shape, group) for name, shape, group in shapes())
    yield "channels", (2, 5, 3, 4), (5, 1, 1), "broadcast"
    yield "batch", (2, 5, 3, 4), (2, 1, 1, 1), "broadcast"
    yield "plane", (2, 5, 3, 4), (3, 4), "broadcast"
    yield "row_of_plane", (2, 5, 3, 4), (4,), "broadcast"
    yield "one_value", (2, 5, 3, 4), (1,), "broadcast"
    yield "scalar_right", (2, 5, 3, 4), (), "broadcast"
    yield "scalar_left", (), (2, 5, 3, 4), "broadcast"
    yield "squeeze_excite", (2, 17, 3, 4), (2, 17, 1, 1), "broadcast"
    yield "spatial", (2, 5, 3, 4), (2, 1, 3, 4), "broadcast"
    yield "both", (2, 1, 3, 1), (1, 5, 1, 4), "broadcast"
    yield "rows_vector", (6, 7), (7,), "broadcast"
    yield "rows_column", (6, 7), (6, 1), "broadcast"
    yield "outer", (6, 1), (1, 17), "broadcast"
    yield "cube_rows", (2, 3, 5), (3, 1), "broadcast"
    yield "channels_blocks", (3, 35, 30, 31), (35, 1, 1), "blocks"
    yield "rows_blocks", (300, 130), (300, 1), "blocks"


def binary_cases() -> Iterator[Case]:
    for name in ("add", "sub", "mul", "div", "maximum", "minimum"):
        for label, a, b, group in pairs():
            right = p(*b) if name == "div" else f(*b)
            yield Case(name, label, (f(*a), right), {}, group)
    for label, a, b, group in pairs():
        for which in (0, 1):
            for largest in (True,) if group == "tails" else (True, False):
                mark = f"{label}_{which}_{'max' if largest else 'min'}"
                attrs = {"which": which, "largest": largest}
                yield Case("extremum_bwd", mark, (f(*_broadcast(a, b)), f(*a), f(*b)), attrs, group)


def _broadcast(a: Shape, b: Shape) -> Shape:
    length = max(len(a), len(b))
    wide_a, wide_b = (1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b
    return tuple(y if x == 1 else x for x, y in zip(wide_a, wide_b, strict=True))


# ---- reductions ----


def axes_rows() -> Iterator[tuple[str, Shape, tuple[int, ...], str]]:
    yield "all", (2, 5, 3, 4), (0, 1, 2, 3), "basic"
    yield "bias", (2, 5, 3, 4), (0, 2, 3), "basic"
    yield "spatial", (2, 5, 3, 4), (2, 3), "basic"
    yield "batch", (2, 5, 3, 4), (0,), "basic"
    yield "channels", (2, 5, 3, 4), (1,), "basic"
    yield "height", (2, 5, 3, 4), (2,), "basic"
    yield "width", (2, 5, 3, 4), (3,), "basic"
    yield "odd_axes", (2, 5, 3, 4), (1, 3), "basic"
    yield "rows_last", (6, 7), (1,), "basic"
    yield "rows_first", (6, 7), (0,), "basic"
    yield "cube_middle", (3, 4, 5), (1,), "basic"
    yield "cube_ends", (3, 4, 5), (0, 2), "basic"
    yield "vector", (9,), (0,), "basic"
    yield "scalar", (), (), "basic"
    yield "nothing", (2, 3), (), "basic"
    yield "long_vector", (50001,), (0,), "blocks"
    yield "long_columns", (7001, 5), (0,), "blocks"
    yield "long_rows", (5, 20001), (1,), "blocks"
    yield "long_bias", (3, 6, 60, 41), (0, 2, 3), "blocks"
    yield "wide_columns", (70, 700), (0,), "blocks"
    yield "long_cube_ends", (90, 7, 90), (0, 2), "blocks"
    for size in lane_tails():
        yield f"last{size}", (3, size), (1,), "tails"
        yield f"first{size}", (3, size), (0,), "tails"
        yield f"bias{size}", (2, size, 2, 3), (0, 2, 3), "tails"
    yield "bias_big", (8, 64, 28, 28), (0, 2, 3), "big"
    yield "pool_big", (8, 512, 7, 7), (2, 3), "big"
    yield "vector_big", (1000003,), (0,), "big"


def reduction_cases() -> Iterator[Case]:
    for label, shape, axes, group in axes_rows():
        for keepdims in (False,) if group in ("tails", "blocks") else (False, True):
            attrs = {"axes": axes, "keepdims": keepdims}
            mark = f"{label}{'_keep' if keepdims else ''}"
            for name in ("sum", "mean", "amax"):
                yield Case(name, mark, (f(*shape),), attrs, group)
            left = tuple(1 if i in axes else s for i, s in enumerate(shape) if keepdims or i not in axes)
            yield Case("amax_bwd", mark, (f(*left), f(*shape), Output("amax", 1, attrs)), attrs, group)
    yield Case("sum", "empty", (f(0, 3),), {"axes": (0,), "keepdims": False}, "empty")
    yield Case("sum", "empty_image", (f(0, 3, 2, 2),), {"axes": (0, 2, 3), "keepdims": False}, "empty")
    yield Case("mean", "empty", (f(0, 3),), {"axes": (1,), "keepdims": False}, "empty")
    expansions: list[tuple[str, Shape, Shape]] = [
        ("scalar", (), (2, 3)), ("scalar_image", (), (2, 5, 3, 4)), ("channels", (5, 1, 1), (2, 5, 3, 4)),
        ("pixels", (2, 5, 1, 1), (2, 5, 3, 4)), ("batch", (1, 5, 3, 4), (6, 5, 3, 4)), ("rows", (7,), (6, 7)),
        ("columns", (6, 1), (6, 7)), ("same", (2, 3), (2, 3)), ("empty", (1, 3), (0, 3)),
        ("new_axes", (3, 1), (2, 3, 5)),
    ]  # fmt: skip
    for label, small, large in expansions:
        yield Case("expand", label, (f(*small),), {"shape": large})


# ---- data movement ----


def movement_cases() -> Iterator[Case]:
    reshapes: list[tuple[str, Shape, Shape]] = [
        ("flatten", (2, 5, 3, 4), (2, 60)), ("flatten_map1", (2, 5, 1, 1), (2, 5)),
        ("flatten_channel1", (2, 1, 3, 4), (2, 12)),
        ("flatten_blocks", (3, 35, 30, 31), (3, 32550)), ("unflatten", (2, 60), (2, 5, 3, 4)),
        ("view", (6, 4), (2, 3, 4)), ("to_vector", (2, 5, 3, 4), (120,)),
        ("split_channels", (2, 6, 3, 4), (2, 2, 3, 3, 4)), ("images", (2, 6, 3, 4), (4, 3, 3, 4)), ("scalar", (1,), ()),
        ("from_scalar", (), (1, 1, 1, 1)), ("empty", (0, 5, 3, 4), (0, 60)), ("tails", (3, 17, 3, 5), (3, 255)),
    ]  # fmt: skip
    for label, before, after in reshapes:
        yield Case("reshape", label, (f(*before),), {"shape": after})
    images: list[tuple[str, Shape, str]] = [
        ("image", (2, 5, 3, 4), "basic"), ("channel1", (2, 1, 3, 4), "basic"), ("map1", (2, 5, 1, 1), "basic"),
        ("rgb", (2, 3, 9, 11), "basic"), ("empty", (0, 5, 3, 4), "empty"),
        *((f"c{size}", (2, size, 3, 3), "tails") for size in lane_tails()), ("blocks", (3, 35, 30, 31), "blocks"),
        ("big", (4, 64, 56, 56), "big"),
    ]  # fmt: skip
    for label, shape, group in images:
        for layout in ("c", "nhwc"):
            yield Case("relayout", f"{label}_{layout}", (f(*shape),), {"layout": layout}, group)
        yield Case("detach", label, (f(*shape),), {}, group)
        for kind in ("uint8", "int64", "normal"):
            yield Case("convert", f"{label}_{kind}", (Input(shape, kind),), {}, group)
    yield Case("convert", "vector_int64", (Input((9,), "int64"),), {})
    yield Case("convert", "rows_uint8", (Input((5, 7), "uint8"),), {})
    for label, shape, group in [*images, ("rows", (5, 7), "basic"), ("cube", (2, 3, 70), "basic")]:
        constants = (f(shape[1]), p(shape[1]))
        for kind in ("uint8", "normal")[: 1 if group == "tails" else 2]:
            yield Case("normalize_channels", f"{label}_{kind}", (Input(shape, kind), *constants), {}, group)
    permutations: list[tuple[str, Shape, Shape]] = [
        ("transpose", (5, 7), (1, 0)), ("cube", (2, 3, 4), (2, 0, 1)), ("to_nhwc", (2, 5, 3, 4), (0, 2, 3, 1)),
        ("swap_pixels", (2, 5, 3, 4), (0, 1, 3, 2)), ("reverse", (2, 5, 3, 4), (3, 2, 1, 0)),
        ("same", (2, 5, 3, 4), (0, 1, 2, 3)), ("five", (2, 2, 3, 3, 4), (0, 2, 1, 3, 4)), ("tails", (33, 65), (1, 0)),
        ("empty", (0, 3), (1, 0)), ("transpose_blocks", (130, 170), (1, 0)),
        ("image_blocks", (3, 35, 30, 31), (0, 2, 1, 3)),
    ]  # fmt: skip
    for label, shape, dims in permutations:
        yield Case("permute", label, (f(*shape),), {"dims": dims})
    yield from slice_cases()
    yield from cat_cases()


def slice_cases() -> Iterator[Case]:
    rows: list[tuple[str, Shape, Shape, Shape, Shape]] = [
        ("rows", (6, 7), (1, 0), (4, 7), (1, 1)), ("step", (9, 8), (1, 0), (9, 8), (3, 2)),
        ("channels", (2, 6, 3, 4), (0, 2, 0, 0), (2, 5, 3, 4), (1, 1, 1, 1)),
        ("crop", (2, 3, 6, 7), (0, 0, 1, 2), (2, 3, 5, 6), (1, 1, 1, 1)),
        ("pixels_step", (1, 3, 7, 8), (0, 0, 1, 0), (1, 3, 7, 8), (1, 1, 2, 3)),
        ("batch", (5, 3, 2, 2), (3, 0, 0, 0), (5, 3, 2, 2), (1, 1, 1, 1)), ("vector", (20,), (3,), (17,), (1,)),
        ("nothing", (4, 3), (2, 0), (2, 3), (1, 1)), ("cube", (3, 4, 5), (0, 1, 1), (3, 3, 5), (1, 1, 2)),
    ]  # fmt: skip
    for label, shape, starts, stops, steps in rows:
        attrs = {"starts": starts, "stops": stops, "steps": steps}
        left = tuple(-(-(b - a) // s) for a, b, s in zip(starts, stops, steps, strict=True))
        yield Case("slice", label, (f(*shape),), attrs)
        yield Case("slice_bwd", label, (f(*left),), {"shape": shape, **attrs})


def cat_cases() -> Iterator[Case]:
    yield Case("cat", "channels", (f(2, 3, 3, 4), f(2, 5, 3, 4)), {"axis": 1})
    yield Case("cat", "inception", tuple(f(2, c, 3, 3) for c in (16, 17, 4, 1)), {"axis": 1})
    yield Case("cat", "batch", (f(1, 3, 2, 2), f(4, 3, 2, 2)), {"axis": 0})
    yield Case("cat", "height", (f(2, 3, 1, 4), f(2, 3, 3, 4)), {"axis": 2})
    yield Case("cat", "width", (f(2, 3, 2, 1), f(2, 3, 2, 4), f(2, 3, 2, 2)), {"axis": 3})
    yield Case("cat", "rows", (f(3, 5), f(3, 2)), {"axis": 1})
    yield Case("cat", "vectors", (f(3), f(5), f(1)), {"axis": 0})
    yield Case("cat", "one", (f(3, 5),), {"axis": 0})
    yield Case("cat", "with_empty", (f(0, 5), f(2, 5)), {"axis": 0})
    yield Case("cat", "many", tuple(f(2, k) for k in range(1, 12)), {"axis": 1})
    pads: list[tuple[str, Shape, tuple[tuple[int, int], ...], float]] = [
        ("image", (2, 3, 4, 5), ((0, 0), (0, 0), (1, 2), (3, 0)), 0.0),
        ("value", (2, 3, 4, 5), ((0, 0), (0, 0), (1, 1), (1, 1)), -1.5), ("rows", (3, 4), ((1, 0), (0, 2)), 7.0),
        ("channels", (2, 3, 4, 5), ((0, 0), (1, 2), (0, 0), (0, 0)), 0.0), ("none", (3, 4), ((0, 0), (0, 0)), 0.0),
        ("vector", (5,), ((2, 3),), 1.0), ("all", (2, 3, 2, 2), ((1, 1), (1, 1), (1, 1), (1, 1)), 2.0),
        ("from_empty", (0, 3), ((2, 0), (0, 0)), 3.0),
    ]  # fmt: skip
    for label, shape, padding, value in pads:
        yield Case("pad", label, (f(*shape),), {"padding": padding, "value": value})


# ---- softmax, dropout, what a training step needs ----


def softmax_cases() -> Iterator[Case]:
    rows: list[tuple[str, Shape, int, str]] = [
        *((f"image{axis}", (2, 5, 3, 4), axis, "basic") for axis in range(4)),
        ("rows", (6, 7), 1, "basic"), ("columns", (6, 7), 0, "basic"), ("cube", (2, 3, 5), 1, "basic"),
        ("vector", (9,), 0, "basic"), ("one_class", (4, 1), 1, "basic"), ("empty", (0, 5), 1, "empty"),
        *((f"classes{size}", (3, size), 1, "tails") for size in lane_tails()), ("long", (2, 1500), 1, "tails"),
        ("image_blocks", (3, 11, 20, 21), 1, "blocks"), ("columns_blocks", (30, 150), 0, "blocks"),
        ("imagenet", (64, 1000), 1, "big"), ("attention", (512, 196), 1, "big"),
    ]  # fmt: skip
    for label, shape, axis, group in rows:
        for name in ("softmax", "log_softmax"):
            attrs = {"axis": axis}
            yield Case(name, label, (f(*shape),), attrs, group)
            yield Case(f"{name}_bwd", label, (f(*shape), Output(name, f(*shape), attrs)), attrs, group)


def dropout_cases() -> Iterator[Case]:
    rng = Fixed((0x9E3779B97F4A7C15, 3), "uint64")
    for mode in ("element", "channel", "sample", "batch"):
        for probability in (0.5, 0.1, 0.0, 1.0):
            attrs = {"p": probability, "stream": 2, "mode": mode}
            yield Case("dropout", f"{mode}_p{probability}", (f(3, 5, 4, 6), rng), attrs)
        attrs = {"p": 0.5, "stream": 4, "mode": mode}
        yield Case("dropout", f"{mode}_blocks", (f(3, 5, 70, 61), rng), attrs, "blocks")
        yield Case("dropout", f"{mode}_rows", (f(9, 13), rng), {"p": 0.5, "stream": 0, "mode": mode})
    for size in lane_tails():
        attrs = {"p": 0.25, "stream": 7, "mode": "element"}
        yield Case("dropout", f"tail{size}", (f(size), rng), attrs, "tails")
        yield Case("dropout", f"image_c{size}", (f(2, size, 3, 3), rng), attrs, "tails")
    late = Fixed((7, 2**32 - 1), "uint64")
    yield Case("dropout", "late_counter", (f(40), late), {"p": 0.5, "stream": 5, "mode": "element"})
    yield Case("dropout", "empty", (f(0, 4), rng), {"p": 0.5, "stream": 0, "mode": "element"}, "empty")
    yield Case("dropout", "big", (f(16, 64, 28, 28), rng), {"p": 0.5, "stream": 1, "mode": "element"}, "big")


def training_cases() -> Iterator[Case]:
    for label, shape, group in shapes():
        yield Case("accumulate", label, (f(*shape), f(*shape)), {}, group)
        yield Case("check_finite", label, (f(*shape),), {}, group)
        yield Case("sum_squares", label, (f(*shape),), {}, group)
    yield Case("sum_squares", "long", (f(700, 77),), {}, "blocks")
    yield Case("check_finite", "long", (f(700, 77),), {}, "blocks")
    for label, max_norm in (("clips", 0.5), ("leaves", 1000.0)):
        yield Case("clip_coef", label, (p(), p(), p()), {"max_norm": max_norm})
    yield Case("clip_coef", "many", (p(),) * 29, {"max_norm": 2.0})
    yield Case("clip_coef", "one", (p(),), {"max_norm": 1.0})
