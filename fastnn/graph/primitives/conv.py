"""Two-dimensional convolution and its two gradients: any stride, padding, dilation and groups."""

from __future__ import annotations

from typing import Any

from ... import _backend
from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from .linear import fused_activation

__all__ = ["convolved_size"]

FAMILIES = ("auto", "direct", "winograd2", "winograd4")  # the cheapest of all, or of a family; numbers of the C ops

Pair = tuple[int, int]
Quad = tuple[int, int, int, int]  # top, bottom, left, right
Grads = tuple[Node | None, ...]


def convolved_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Return how many positions the kernel takes along one axis; zero or less where it does not fit.

    Examples
    --------
    >>> convolved_size(32, 3, 2, 1, 1, 1)
    16
    """
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


def _expect_image(x: Spec, name: str = "input") -> None:
    if x.ndim != 4:
        raise ValueError(f"expected {name} of shape (N, C, H, W), got shape {x.shape}")


def _output_size(size: Pair, kernel: Pair, stride: Pair, padding: Quad, dilation: Pair) -> Pair:
    """Return the output's extents; refuse arguments and sizes that make no convolution."""
    if min(kernel) < 1 or min(stride) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise ValueError(
            f"expected kernel_size, stride and dilation >= 1 and padding >= 0, got kernel_size {kernel}, stride "
            f"{stride}, dilation {dilation} and padding {padding}"
        )
    height = convolved_size(size[0], kernel[0], stride[0], padding[0], padding[1], dilation[0])
    width = convolved_size(size[1], kernel[1], stride[1], padding[2], padding[3], dilation[1])
    if height < 1 or width < 1:
        raise ValueError(
            f"expected an input that the kernel fits into, got {size[0]}x{size[1]} for kernel_size {kernel}, stride "
            f"{stride}, padding {padding}, dilation {dilation}: the output would be {height}x{width}"
        )
    return height, width


def _expect_channels(x: Spec, w: Spec, groups: int) -> None:
    if w.ndim != 4:
        raise ValueError(f"expected weight of shape (out_channels, in_channels / groups, KH, KW), got shape {w.shape}")
    _expect_image(x)
    if groups < 1 or w.shape[0] % groups:
        raise ValueError(f"expected groups to divide {w.shape[0]} output channels, got {groups}")
    if x.shape[1] != w.shape[1] * groups:
        raise ValueError(f"expected input with {w.shape[1] * groups} channels, got shape {x.shape}")


def _expect_gradient(dy: Spec, channels: int | None, size: Pair) -> None:
    """Refuse a gradient that does not belong to the convolution's output."""
    _expect_image(dy, "dy")
    if channels is not None and dy.shape[1] != channels:
        raise ValueError(f"expected dy with {channels} channels, got shape {dy.shape}")
    if dy.shape[2:] != size:
        raise ValueError(f"expected dy of {size[0]}x{size[1]}, the output's size, got shape {dy.shape}")


def _geometry(call: Call, x: tuple[int, ...], y: tuple[int, ...], kernel: tuple[int, ...]) -> dict[str, Any]:
    """Return the C fields that the three passes share; x and y are shapes of input and output."""
    n, ic, ih, iw = x
    _, oc, oh, ow = y
    sizes = {"n": n, "ic": ic, "ih": ih, "iw": iw, "oc": oc, "oh": oh, "ow": ow, "kh": kernel[0], "kw": kernel[1]}
    attrs = {name: call.attrs[name] for name in ("stride", "padding", "dilation", "groups")}
    return sizes | attrs | {"precision": _backend.PRECISIONS.index(_backend.get_precision()), "algorithm": 0}


def _chosen(call: Call, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the number of the algorithm that the call asks for.

    A backward pass takes the cheapest where the name is that of a forward algorithm it does not have.
    """
    name = call.attrs["algorithm"]
    if name == "auto":
        return fields
    ways = [way for way in _backend.core().Op(call.name, fields).candidates if way[3]]
    numbers = {"auto": 0} | {FAMILIES[way[2]]: way[2] for way in ways} | {way[0]: way[1] for way in ways}
    if name not in numbers and call.name == "conv2d":
        who = call.scope or call.name
        raise ValueError(f"{who}: expected algorithm to be one of {', '.join(numbers)}, got {name!r}")
    return fields | {"algorithm": numbers.get(name, 0)}


@register
class Conv2d(Primitive):
    """y = x * w + bias: cross-correlation over height and width, summed over the group's input channels."""

    name = "conv2d"
    inputs = "x:nhwc w:c ?bias:c"

    def infer(
        self,
        x: Spec,
        w: Spec,
        bias: Spec | None,
        *,
        stride: Pair,
        padding: Quad,
        dilation: Pair,
        groups: int,
        algorithm: str,
    ) -> Spec:
        _expect_channels(x, w, groups)
        if bias is not None and bias.shape != (w.shape[0],):
            raise ValueError(f"expected bias of shape ({w.shape[0]},), got shape {bias.shape}")
        size = _output_size((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), stride, padding, dilation)
        return Spec.activation((x.shape[0], w.shape[0], *size))

    def lower(self, call: Call) -> list[Step]:
        x, w, bias, *residual = call.inputs  # see graph/fusion/fold.py
        y = call.outputs[0]
        fields = _geometry(call, _node(x).shape, y.shape, _node(w).shape[2:]) | fused_activation(call)
        fields |= {"accumulate": 0, "statistics": 0, "in_affine": 0, "in_activation": 0, "in_slope": 0.0}
        return [Step(self.name, _chosen(call, fields), [x, w, bias, *(residual or [None]), None, None, y, None])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        x, w, _ = (_node(i) if i is not None else None for i in call.inputs)
        dy = _node(dys[0])
        dx = dw = db = None
        # dx comes last: x is then gone, and its memory free.
        if needs[1]:
            dw = apply("conv2d_bwd_weights", dy, x, kernel_size=_node(w).shape[2:], **call.attrs)
        if needs[2]:
            db = apply("sum", dy, axes=(0, 2, 3), keepdims=False)
        if needs[0]:
            dx = apply("conv2d_bwd_data", dy, w, input_size=_node(x).shape[2:], **call.attrs)
        return dx, dw, db


@register
class Conv2dBwdData(Primitive):
    """dx: each input pixel's sum over the taps that saw it."""

    name = "conv2d_bwd_data"
    inputs = "dy:nhwc w:c"
    outputs = "dx"

    def infer(
        self,
        dy: Spec,
        w: Spec,
        *,
        input_size: Pair,
        stride: Pair,
        padding: Quad,
        dilation: Pair,
        groups: int,
        algorithm: str,
    ) -> Spec:
        x = Spec.activation((dy.shape[0] if dy.ndim else 0, w.shape[1] * groups if w.ndim == 4 else 0, *input_size))
        _expect_channels(x, w, groups)
        kernel = (w.shape[2], w.shape[3])
        _expect_gradient(dy, w.shape[0], _output_size(input_size, kernel, stride, padding, dilation))
        return x

    def lower(self, call: Call) -> list[Step]:
        dy, w = (_node(i) for i in call.inputs[:2])
        total, gate = (*call.inputs[2:], None, None)[:2]  # see graph/fusion/residual.py
        dx = call.outputs[0]
        fields = _chosen(call, _geometry(call, dx.shape, dy.shape, w.shape[2:]))
        return [Step(self.name, fields, [dy, w, dx, total, gate])]


@register
class Conv2dBwdWeights(Primitive):
    """dw: the sum over images and pixels of dy times what each tap saw."""

    name = "conv2d_bwd_weights"
    inputs = "dy:nhwc x:nhwc"
    outputs = "dw"

    def infer(
        self,
        dy: Spec,
        x: Spec,
        *,
        kernel_size: Pair,
        stride: Pair,
        padding: Quad,
        dilation: Pair,
        groups: int,
        algorithm: str,
    ) -> Spec:
        _expect_image(x, "x")
        _expect_gradient(dy, None, _output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, dilation))
        if dy.shape[0] != x.shape[0]:
            raise ValueError(f"expected dy and x of one batch size, got shapes {dy.shape} and {x.shape}")
        if groups < 1 or x.shape[1] % groups or dy.shape[1] % groups:
            raise ValueError(f"expected groups to divide {x.shape[1]} and {dy.shape[1]} channels, got {groups}")
        return Spec((dy.shape[1], x.shape[1] // groups, *kernel_size), "float32", "c")

    def lower(self, call: Call) -> list[Step]:
        dy, x = (_node(i) for i in call.inputs)
        dw = call.outputs[0]
        fields = _chosen(call, _geometry(call, x.shape, dy.shape, dw.shape[2:]))
        return [Step(self.name, fields, [dy, x, dw])]
