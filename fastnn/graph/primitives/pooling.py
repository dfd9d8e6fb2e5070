"""Pooling primitives: maximum, average and power mean over sliding windows, average and maximum to a given size."""

from __future__ import annotations

from typing import Any

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec

__all__ = ["pooled_size"]

Pair = tuple[int, int]
ONE: Pair = (1, 1)
ZERO: Pair = (0, 0)
BYTE_WINDOW = 255  # cells that an index of one byte tells apart

Grads = tuple[Node | None, ...]


def pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Return how many windows fit along one axis.

    With ``ceil_mode`` a last window may overhang the end, if it starts inside the input or the padding before it.

    Examples
    --------
    >>> pooled_size(5, 2, 2, 0, 1, False), pooled_size(5, 2, 2, 0, 1, True)
    (2, 3)
    """
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return max(count, 0)


def _expect_image(x: Spec, name: str = "input") -> None:
    if x.ndim != 4:
        raise ValueError(f"expected {name} of shape (N, C, H, W), got shape {x.shape}")


def _output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pair:
    """Return the output's extents; refuse windows that cannot be."""
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise ValueError(
            f"expected kernel_size, stride and dilation >= 1 and padding >= 0, got {kernel}, {stride}, {dilation} "
            f"and {padding}"
        )
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(
            f"expected padding of at most half the kernel size, got padding {padding} for kernel size {kernel}"
        )
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    height, width = (pooled_size(i, k, s, p, d, ceil_mode) for i, k, s, p, d in axes)
    if height < 1 or width < 1:
        raise ValueError(
            f"expected an input of at least one window, got {size[0]}x{size[1]} for kernel size {kernel}, stride "
            f"{stride}, padding {padding}, dilation {dilation}: the output would be {height}x{width}"
        )
    return height, width


def _geometry(x: Spec, y: Spec) -> dict[str, Any]:
    return {"n": x.shape[0], "c": x.shape[1], "input_size": x.shape[2:], "output_size": y.shape[2:]}


def _shape(x: Spec, output_size: Pair, dtype: str = "float32") -> Spec:
    return Spec.activation((*x.shape[:2], *output_size), dtype)


def _expect_gradient(dy: Spec, expected: Pair) -> None:
    """Refuse a gradient that does not belong to windows over the input."""
    _expect_image(dy, "dy")
    if dy.shape[2:] != expected:
        raise ValueError(f"expected dy of {expected[0]}x{expected[1]}, the output's size, got shape {dy.shape}")


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


# ---- maximum ----


def _index_dtype(kernel: Pair) -> str:
    return "uint8" if kernel[0] * kernel[1] <= BYTE_WINDOW else "int32"


def _max_fields(call: Call, x: Spec, y: Spec) -> dict[str, Any]:
    names = ("kernel_size", "stride", "padding", "dilation")
    wide = _index_dtype(call.attrs["kernel_size"]) != "uint8"
    return _geometry(x, y) | {name: call.attrs[name] for name in names} | {"wide": int(wide)}


@register
class MaxPool2d(Primitive):
    """The maximum of each window, and the tap kh * KW + kw where it was: first of equals, NaN before all."""

    name = "max_pool2d"
    inputs = "x:nhwc"
    outputs = "y index"

    def infer(
        self, x: Spec, *, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
    ) -> tuple[Spec, Spec]:
        _expect_image(x)
        size = _output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, dilation, ceil_mode)
        return _shape(x, size), _shape(x, size, _index_dtype(kernel_size))

    def lower(self, call: Call) -> list[Step]:
        x, (y, index) = _node(call.inputs[0]), call.outputs
        return [Step(self.name, _max_fields(call, x.spec, y.spec), [x, y, index])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        if dys[0] is None:
            return (None,)
        input_size = _node(call.inputs[0]).shape[2:]
        return (apply("max_pool2d_bwd", dys[0], call.outputs[1], input_size=input_size, **call.attrs),)


@register
class MaxPool2dBwd(Primitive):
    """``dy`` added to the pixel that won each window."""

    name = "max_pool2d_bwd"
    inputs = "dy:nhwc index:any"
    outputs = "dx"

    def infer(
        self, dy: Spec, index: Spec, *, input_size: Pair, kernel_size: Pair, stride: Pair, padding: Pair,
        dilation: Pair, ceil_mode: bool,
    ) -> Spec:  # fmt: skip
        _expect_gradient(dy, _output_size(input_size, kernel_size, stride, padding, dilation, ceil_mode))
        _expect_index(dy, index, _index_dtype(kernel_size))
        return _shape(dy, input_size)

    def lower(self, call: Call) -> list[Step]:
        dx = call.outputs[0]
        return [Step(self.name, _max_fields(call, dx.spec, _node(call.inputs[0]).spec), [*call.inputs, dx])]


def _expect_index(dy: Spec, index: Spec, dtype: str) -> None:
    if index.shape != dy.shape or index.dtype != dtype or not index.same_memory("nhwc"):
        raise ValueError(
            f"expected the {dtype} indices that the forward gave, channels last, of shape {dy.shape}, got "
            f"{index.layout} {index.dtype} of shape {index.shape}"
        )


# ---- average ----


def _avg_fields(call: Call, x: Spec, y: Spec) -> dict[str, Any]:
    attrs = call.attrs
    return _geometry(x, y) | {
        "kernel_size": attrs["kernel_size"],
        "stride": attrs["stride"],
        "padding": attrs["padding"],
        "count_include_pad": int(attrs["count_include_pad"]),
        "divisor_override": attrs["divisor_override"] or 0,
    }


def _expect_divisor(divisor_override: int | None) -> None:
    if divisor_override == 0:
        raise ValueError("expected divisor_override other than 0, got 0")


@register
class AvgPool2d(Primitive):
    """The mean of each window; padding counts or not, the overhang of ``ceil_mode`` never does."""

    name = "avg_pool2d"
    inputs = "x:nhwc"

    def infer(
        self, x: Spec, *, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool,
        divisor_override: int | None,
    ) -> Spec:  # fmt: skip
        _expect_image(x)
        _expect_divisor(divisor_override)
        return _shape(x, _output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, ONE, ceil_mode))

    def lower(self, call: Call) -> list[Step]:
        x, y = _node(call.inputs[0]), call.outputs[0]
        return [Step(self.name, _avg_fields(call, x.spec, y.spec), [x, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        return (apply("avg_pool2d_bwd", dys[0], input_size=_node(call.inputs[0]).shape[2:], **call.attrs),)


@register
class AvgPool2dBwd(Primitive):
    """``dy`` over the divisor, added to every pixel of its window."""

    name = "avg_pool2d_bwd"
    inputs = "dy:nhwc"
    outputs = "dx"

    def infer(
        self, dy: Spec, *, input_size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None,
    ) -> Spec:  # fmt: skip
        _expect_divisor(divisor_override)
        _expect_gradient(dy, _output_size(input_size, kernel_size, stride, padding, ONE, ceil_mode))
        return _shape(dy, input_size)

    def lower(self, call: Call) -> list[Step]:
        dy, dx = _node(call.inputs[0]), call.outputs[0]
        return [Step(self.name, _avg_fields(call, dx.spec, dy.spec), [dy, dx])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        return (apply("avg_pool2d", dys[0], **_without(call.attrs, "input_size")),)


def _without(attrs: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in attrs.items() if name not in names}


# ---- power mean ----


def _lp_fields(call: Call, x: Spec, y: Spec) -> dict[str, Any]:
    return _geometry(x, y) | {name: call.attrs[name] for name in ("kernel_size", "stride", "norm_type")}


def _expect_norm(norm_type: float) -> None:
    if norm_type == 0 or abs(norm_type) == float("inf"):
        raise ValueError(f"expected norm_type to be finite and not 0, got {norm_type}")


@register
class LpPool2d(Primitive):
    """(sum of x^p over a window)^(1 / p); a window cut by the border counts as its mean times the full size."""

    name = "lp_pool2d"
    inputs = "x:nhwc"

    def infer(self, x: Spec, *, norm_type: float, kernel_size: Pair, stride: Pair, ceil_mode: bool) -> Spec:
        _expect_image(x)
        _expect_norm(norm_type)
        return _shape(x, _output_size((x.shape[2], x.shape[3]), kernel_size, stride, ZERO, ONE, ceil_mode))

    def lower(self, call: Call) -> list[Step]:
        x, y = _node(call.inputs[0]), call.outputs[0]
        return [Step(self.name, _lp_fields(call, x.spec, y.spec), [x, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        return (apply("lp_pool2d_bwd", dys[0], call.inputs[0], call.outputs[0], **call.attrs),)


@register
class LpPool2dBwd(Primitive):
    """``dy y^(1 - p) x^(p - 1)`` over the windows of a pixel; a window whose sum is 0 passes nothing on."""

    name = "lp_pool2d_bwd"
    inputs = "dy:nhwc x:nhwc y:nhwc"
    outputs = "dx"

    def infer(
        self, dy: Spec, x: Spec, y: Spec, *, norm_type: float, kernel_size: Pair, stride: Pair, ceil_mode: bool
    ) -> Spec:
        _expect_image(x)
        _expect_norm(norm_type)
        size = _output_size((x.shape[2], x.shape[3]), kernel_size, stride, ZERO, ONE, ceil_mode)
        _expect_gradient(dy, size)
        if y.shape != dy.shape or dy.shape[:2] != x.shape[:2]:
            raise ValueError(f"expected dy and y of shape {(*x.shape[:2], *size)}, got {dy.shape} and {y.shape}")
        return x

    def lower(self, call: Call) -> list[Step]:
        dy, x = _node(call.inputs[0]), _node(call.inputs[1])
        return [Step(self.name, _lp_fields(call, x.spec, dy.spec), [*call.inputs, call.outputs[0]])]


# ---- adaptive ----


def _expect_sizes(x: Spec, output_size: Pair) -> None:
    _expect_image(x)
    if min(output_size) < 0 or (min(x.shape[2:]) == 0 and max(output_size) > 0):
        raise ValueError(f"expected an output_size that windows over {x.shape[2:]} can give, got {output_size}")


@register
class AdaptiveAvgPool2d(Primitive):
    """Means over windows that cut the input into ``output_size`` parts, which may share edges."""

    name = "adaptive_avg_pool2d"
    inputs = "x:nhwc"

    def infer(self, x: Spec, *, output_size: Pair) -> Spec:
        _expect_sizes(x, output_size)
        return _shape(x, output_size)

    def lower(self, call: Call) -> list[Step]:
        x, y = _node(call.inputs[0]), call.outputs[0]
        return [Step(self.name, _geometry(x.spec, y.spec), [x, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        return (apply("adaptive_avg_pool2d_bwd", dys[0], input_size=_node(call.inputs[0]).shape[2:]),)


@register
class AdaptiveAvgPool2dBwd(Primitive):
    """``dy`` over the size of its window, added to all of it."""

    name = "adaptive_avg_pool2d_bwd"
    inputs = "dy:nhwc"
    outputs = "dx"

    def infer(self, dy: Spec, *, input_size: Pair) -> Spec:
        _expect_image(dy, "dy")
        return _shape(dy, input_size)

    def lower(self, call: Call) -> list[Step]:
        dy, dx = _node(call.inputs[0]), call.outputs[0]
        return [Step(self.name, _geometry(dx.spec, dy.spec), [dy, dx])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        return (apply("adaptive_avg_pool2d", dys[0], output_size=_node(call.inputs[0]).shape[2:]),)


@register
class AdaptiveMaxPool2d(Primitive):
    """Maxima of such windows, and their places ih * IW + iw in the image."""

    name = "adaptive_max_pool2d"
    inputs = "x:nhwc"
    outputs = "y index"

    def infer(self, x: Spec, *, output_size: Pair) -> tuple[Spec, Spec]:
        _expect_sizes(x, output_size)
        return _shape(x, output_size), _shape(x, output_size, "int32")

    def lower(self, call: Call) -> list[Step]:
        x, (y, index) = _node(call.inputs[0]), call.outputs
        return [Step(self.name, _geometry(x.spec, y.spec), [x, y, index])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        if dys[0] is None:
            return (None,)
        input_size = _node(call.inputs[0]).shape[2:]
        return (apply("adaptive_max_pool2d_bwd", dys[0], call.outputs[1], input_size=input_size),)


@register
class AdaptiveMaxPool2dBwd(Primitive):
    """``dy`` added to the pixel that won each window."""

    name = "adaptive_max_pool2d_bwd"
    inputs = "dy:nhwc index:any"
    outputs = "dx"

    def infer(self, dy: Spec, index: Spec, *, input_size: Pair) -> Spec:
        _expect_image(dy, "dy")
        _expect_index(dy, index, "int32")
        return _shape(dy, input_size)

    def lower(self, call: Call) -> list[Step]:
        dx = call.outputs[0]
        return [Step(self.name, _geometry(dx.spec, _node(call.inputs[0]).spec), [*call.inputs, dx])]
