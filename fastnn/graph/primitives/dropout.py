"""Dropout: a mask from a counter-based generator, which its backward draws again instead of keeping."""

from __future__ import annotations

import math

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec

__all__ = ["Dropout"]

_MODES = ("element", "channel", "sample", "batch")


@register
class Dropout(Primitive):
    """x / (1 - p) with probability 1 - p, else 0: for each element, channel of a sample, sample, or once for all."""

    name = "dropout"
    inputs = "x:nhwc rng:any"
    overwrites = ("x",)

    def infer(self, x: Spec, rng: Spec, *, p: float, stream: int, mode: str) -> Spec:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"expected a probability in [0, 1], got p={p}")
        if mode not in _MODES:
            raise ValueError(f"expected a mode among {', '.join(_MODES)}, got {mode!r}")
        if mode == "channel" and x.ndim < 2:
            raise ValueError(f"expected at least 2 dimensions to drop channels of, got shape {x.shape}")
        if mode == "sample" and x.ndim < 1:
            raise ValueError("expected at least 1 dimension to drop samples of, got a scalar")
        if (rng.shape, rng.dtype) != ((2,), "uint64"):
            raise TypeError(f"expected the generator's two uint64 words, got {rng}")
        return Spec(x.shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        y = call.outputs[0]
        outer, rows, width, run = _extents(y.spec, call.attrs["mode"])
        fields = {
            "outer": outer,
            "rows": rows,
            "width": width,
            "run": run,
            "stream": call.attrs["stream"],
            "p": float(call.attrs["p"]),
        }
        return [Step("dropout", fields, [*call.inputs, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        return (apply("dropout", dys[0], call.inputs[1], **call.attrs), None)


def _extents(x: Spec, mode: str) -> tuple[int, int, int, int]:
    """Return (outer, rows, width, run): element (o, r, w, k) in memory falls under mask entry o * width + w."""
    if mode == "element":
        return 1, 1, x.size, 1
    if mode == "batch":
        return 1, 1, 1, x.size
    if mode == "sample":
        return 1, 1, x.shape[0], math.prod(x.shape[1:])
    n, c, *rest = x.shape
    area = math.prod(rest)
    return (n, area, c, 1) if x.layout == "nhwc" else (1, 1, n * c, area)
