"""Data movement: reshapes, layouts, permutations, slices, joins and padding. All but the joins keep any dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec, default_layout
from ._memory import check_ndim, copy_step, in_memory_order, present

__all__ = ["Cat", "Convert", "Pad", "Permute", "Relayout", "Reshape", "Slice", "SliceBackward"]

Ints = tuple[int, ...]
Gradients = tuple[Node | None, ...]

_DTYPES = {"float32": 0, "uint8": 1, "int32": 2, "int64": 3, "uint64": 4}  # fnn_dtype


def _only(call: Call) -> tuple[Node, Node]:
    (x,) = present(call.inputs)
    return x, call.outputs[0]


def _same_order(spec: Spec, strides: Sequence[int]) -> bool:
    """Tell whether ``strides`` address the elements in the memory order of ``spec``."""
    return spec.size == 0 or all(n == 1 or a == b for n, a, b in zip(spec.shape, spec.strides, strides, strict=True))


@register
class Reshape(Primitive):
    """The elements in C order of the logical axes, under another shape: a view where memory is in that order."""

    name = "reshape"
    inputs = "x:any"

    def infer(self, x: Spec, *, shape: Ints) -> Spec:
        y = Spec.activation(tuple(shape), x.dtype)
        if x.size != y.size or any(n < 0 for n in shape):
            raise ValueError(f"expected a shape of {x.size} elements for {x.shape}, got {tuple(shape)}")
        if x.shape == y.shape:
            return x
        # One copy reorders one side only: channels-last to another channels-last stops half-way, in C order.
        return y if x.same_memory("c") else Spec(y.shape, y.dtype, "c")

    def alias(self, call: Call) -> bool:
        x, y = _only(call)
        return x.spec == y.spec or (x.spec.same_memory("c") and y.spec.same_memory("c"))

    def lower(self, call: Call) -> list[Step]:
        x, y = _only(call)
        if x.spec.same_memory("c"):
            plain = Spec(y.shape, y.dtype)
            return [copy_step(x, y, y.shape, plain.strides, y.spec.strides)]
        return [copy_step(x, y, x.shape, x.spec.strides, Spec(x.shape, x.dtype).strides)]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("reshape", dys[0], shape=_only(call)[0].shape),)


@register
class Relayout(Primitive):
    """The same value in another memory layout."""

    name = "relayout"
    inputs = "x:any"

    def infer(self, x: Spec, *, layout: str) -> Spec:
        if layout not in ("c", "nhwc") or (layout == "nhwc" and x.ndim != 4):
            raise ValueError(f"expected layout 'c', or 'nhwc' for 4 dimensions, got {layout!r} for shape {x.shape}")
        return Spec(x.shape, x.dtype, layout)

    def alias(self, call: Call) -> bool:
        x, y = _only(call)
        return x.spec.same_memory(y.spec.layout)

    def lower(self, call: Call) -> list[Step]:
        x, y = _only(call)
        return [copy_step(x, y, y.shape, x.spec.strides, y.spec.strides)]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("relayout", dys[0], layout=_only(call)[0].spec.layout),)


@register
class Convert(Primitive):
    """float32 in the default layout from any number type."""

    name = "convert"
    inputs = "x:any"

    def infer(self, x: Spec) -> Spec:
        check_ndim(x.shape)
        if x.dtype not in _DTYPES:
            raise TypeError(f"expected one of the dtypes {', '.join(_DTYPES)}, got {x.dtype}")
        return Spec.activation(x.shape)

    def alias(self, call: Call) -> bool:
        x, y = _only(call)
        return x.dtype == "float32" and x.spec.same_memory(y.spec.layout)

    def lower(self, call: Call) -> list[Step]:
        x, y = _only(call)
        if x.dtype == "float32":
            return [copy_step(x, y, y.shape, x.spec.strides, y.spec.strides)]
        shape, x_strides, y_strides = in_memory_order(y.spec, y.shape, x.spec.strides, y.spec.strides)
        fields: dict[str, Any] = {
            "dtype": _DTYPES[x.dtype],
            "ndim": y.ndim,
            "shape": shape,
            "x_strides": x_strides,
            "y_strides": y_strides,
        }
        return [Step("convert", fields, [x, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (dys[0] if _only(call)[0].dtype == "float32" else None,)


@register
class Permute(Primitive):
    """Axis i of the result is axis dims[i] of x: a view where one of the layouts has that memory order."""

    name = "permute"
    inputs = "x:any"

    def infer(self, x: Spec, *, dims: Ints) -> Spec:
        check_ndim(x.shape)
        if sorted(dims) != list(range(x.ndim)):
            raise ValueError(f"expected each of {x.ndim} axes once, got {tuple(dims)}")
        shape = tuple(x.shape[d] for d in dims)
        strides = [x.strides[d] for d in dims]
        candidates = [Spec(shape, x.dtype, layout) for layout in (default_layout(len(shape)), "c")]
        return next((spec for spec in candidates if _same_order(spec, strides)), candidates[0])

    def _strides(self, call: Call) -> list[int]:
        return [_only(call)[0].spec.strides[d] for d in call.attrs["dims"]]

    def alias(self, call: Call) -> bool:
        return _same_order(call.outputs[0].spec, self._strides(call))

    def lower(self, call: Call) -> list[Step]:
        x, y = _only(call)
        return [copy_step(x, y, y.shape, self._strides(call), y.spec.strides)]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        dims = call.attrs["dims"]
        return (apply("permute", dys[0], dims=tuple(dims.index(i) for i in range(len(dims)))),)


def _sliced(shape: Ints, starts: Ints, stops: Ints, steps: Ints) -> Ints:
    """Return the shape of a slice, checked."""
    check_ndim(shape)
    if not len(starts) == len(stops) == len(steps) == len(shape):
        raise ValueError(f"expected a start, stop and step for each of {len(shape)} axes of shape {shape}")
    bounds = list(zip(starts, stops, steps, shape, strict=True))
    if any(step < 1 or not 0 <= start <= stop <= extent for start, stop, step, extent in bounds):
        raise ValueError(f"expected slices within shape {shape}, got starts {starts}, stops {stops}, steps {steps}")
    return tuple(-(-(stop - start) // step) for start, stop, step, _ in bounds)


def _window(spec: Spec, starts: Ints, steps: Ints) -> tuple[int, list[int]]:
    """Return the offset and the strides of a slice inside a value of ``spec``."""
    offset = sum(start * stride for start, stride in zip(starts, spec.strides, strict=True))
    return offset, [step * stride for step, stride in zip(steps, spec.strides, strict=True)]


@register
class Slice(Primitive):
    """x[start:stop:step, ...] with steps of at least 1."""

    name = "slice"
    inputs = "x:any"

    def infer(self, x: Spec, *, starts: Ints, stops: Ints, steps: Ints) -> Spec:
        return Spec(_sliced(x.shape, starts, stops, steps), x.dtype, x.layout)

    def lower(self, call: Call) -> list[Step]:
        x, y = _only(call)
        offset, strides = _window(x.spec, call.attrs["starts"], call.attrs["steps"])
        return [copy_step(x, y, y.shape, strides, y.spec.strides, x_offset=offset if y.spec.size else 0)]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("slice_bwd", dys[0], shape=_only(call)[0].shape, **call.attrs),)


@register
class SliceBackward(Primitive):
    """dy put back where it was taken from, zero elsewhere."""

    name = "slice_bwd"
    inputs = "dy"
    outputs = "dx"

    def infer(self, dy: Spec, *, shape: Ints, starts: Ints, stops: Ints, steps: Ints) -> Spec:
        wanted = _sliced(shape, starts, stops, steps)
        if dy.shape != wanted:
            raise ValueError(f"expected a gradient of shape {wanted}, got {dy.shape}")
        return Spec(tuple(shape), "float32", dy.layout)

    def lower(self, call: Call) -> list[Step]:
        dy, dx = _only(call)
        offset, strides = _window(dx.spec, call.attrs["starts"], call.attrs["steps"])
        return _filled(dx, 0.0, copy_step(dy, dx, dy.shape, dy.spec.strides, strides, y_offset=offset), dy.spec.size)


def _filled(y: Node, value: float, copy: Step, copied: int) -> list[Step]:
    """Return the steps that fill what a copy of so many elements leaves of y, and copy."""
    fill = [Step("fill", {"n": y.spec.size, "value": float(value)}, [y])] if copied < y.spec.size else []
    return fill + ([copy] if copied or not fill else [])


@register
class Cat(Primitive):
    """Arrays joined along an axis; channels-last if one of them is."""

    name = "cat"
    inputs = "*xs"

    def infer(self, *xs: Spec, axis: int) -> Spec:
        if not xs:
            raise ValueError("expected at least one array to join")
        first = xs[0]
        check_ndim(first.shape)
        if not 0 <= axis < first.ndim:
            raise ValueError(f"expected an axis in [0, {first.ndim}), got {axis} for shape {first.shape}")
        for x in xs[1:]:
            others = [s[:axis] + s[axis + 1 :] for s in (first.shape, x.shape)]
            if x.ndim != first.ndim or others[0] != others[1]:
                raise ValueError(f"expected shapes equal but for axis {axis}, got {first.shape} and {x.shape}")
        shape = (*first.shape[:axis], sum(x.shape[axis] for x in xs), *first.shape[axis + 1 :])
        return Spec(shape, "float32", "nhwc" if any(x.layout == "nhwc" for x in xs) else "c")

    def lower(self, call: Call) -> list[Step]:
        y, axis = call.outputs[0], call.attrs["axis"]
        steps, at = [], 0
        for x in present(call.inputs):
            offset = at * y.spec.strides[axis]
            at += x.shape[axis]
            if x.spec.size or len(call.inputs) == 1:
                steps.append(copy_step(x, y, x.shape, x.spec.strides, y.spec.strides, y_offset=offset))
        return steps or [Step("fill", {"n": 0, "value": 0.0}, [y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        (dy,) = present(dys)
        axis = call.attrs["axis"]
        parts: list[Node | None] = []
        at = 0
        for x, need in zip(present(call.inputs), needs, strict=True):
            starts = tuple(at if i == axis else 0 for i in range(dy.ndim))
            at += x.shape[axis]
            stops = tuple(at if i == axis else n for i, n in enumerate(dy.shape))
            parts.append(apply("slice", dy, starts=starts, stops=stops, steps=(1,) * dy.ndim) if need else None)
        return tuple(parts)


@register
class Pad(Primitive):
    """x with entries of one value around it: padding is (before, after) for each axis."""

    name = "pad"
    inputs = "x"

    def infer(self, x: Spec, *, padding: tuple[tuple[int, int], ...], value: float) -> Spec:
        check_ndim(x.shape)
        if len(padding) != x.ndim or any(lo < 0 or hi < 0 for lo, hi in padding):
            raise ValueError(f"expected {x.ndim} pairs of paddings of at least 0 for shape {x.shape}, got {padding}")
        shape = tuple(n + lo + hi for n, (lo, hi) in zip(x.shape, padding, strict=True))
        return Spec(shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        x, y = _only(call)
        offset = sum(lo * stride for (lo, _), stride in zip(call.attrs["padding"], y.spec.strides, strict=True))
        copy = copy_step(x, y, x.shape, x.spec.strides, y.spec.strides, y_offset=offset)
        return _filled(y, call.attrs["value"], copy, x.spec.size)

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        starts = tuple(lo for lo, _ in call.attrs["padding"])
        stops = tuple(lo + n for lo, n in zip(starts, _only(call)[0].shape, strict=True))
        return (apply("slice", dys[0], starts=starts, stops=stops, steps=(1,) * len(starts)),)
