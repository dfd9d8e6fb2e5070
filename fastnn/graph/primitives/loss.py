"""Loss primitives: rows of classes, and element by element.

All are differentiable by their input; by the target only those that depend on nothing but its difference to the input.
"""

from __future__ import annotations

from typing import Any

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec, default_layout

Grads = tuple[Node | None, ...]

ROW_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}
REDUCTIONS = ("none", "mean", "sum", "batchmean")


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


def _expect_reduction(reduction: str, words: Any) -> None:
    if reduction not in words:
        raise ValueError(f"expected reduction to be one of {', '.join(map(repr, words))}, got {reduction!r}")


class _Loss(Primitive):
    """A loss: its gradient is the primitive of the same name with ``_bwd``."""

    of_difference = False  # a function of x - t

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        for rule, need in list(zip(self.rules, needs, strict=True))[2 if self.of_difference else 1 :]:
            if need:
                raise TypeError(f"{self.name} has no derivative by its {rule.name}: detach() it")
        dx = apply(f"{self.name}_bwd", dys[0], *call.inputs, **call.attrs)
        dt = -dx if needs[1] else None
        return (dx, dt, *([None] * (len(call.inputs) - 2)))


# ---- rows of classes ----


def _expect_rows(x: Spec, target: Spec, weight: Spec | None, soft: bool) -> None:
    if x.ndim != 2:
        raise ValueError(f"expected scores of shape (N, C), got shape {x.shape}")
    expected = x.shape if soft else x.shape[:1]
    if target.shape != expected:
        kind = "probabilities" if soft else "class indices"
        raise ValueError(
            f"expected {kind} of shape {expected} for scores of shape {x.shape}, got target of shape {target.shape}"
        )
    if weight is not None and weight.shape != x.shape[1:]:
        raise ValueError(f"expected weight of shape {x.shape[1:]}, one entry a class, got shape {weight.shape}")


def _expect_row_gradient(dy: Spec, x: Spec, reduction: str) -> None:
    expected = x.shape[:1] if reduction == "none" else ()
    if dy.shape != expected:
        raise ValueError(f"expected dy of shape {expected} for reduction {reduction!r}, got shape {dy.shape}")


def _row_fields(call: Call, x: Spec) -> dict[str, Any]:
    fields = {name: int(v) if isinstance(v, bool) else v for name, v in call.attrs.items() if name != "reduction"}
    return fields | {"rows": x.shape[0], "classes": x.shape[1], "reduce": ROW_REDUCTIONS[call.attrs["reduction"]]}


class _RowLoss(_Loss):
    """A loss over rows of classes: the target is an index a row, or (``soft``) a row of probabilities."""

    soft = False

    def infer(self, x: Spec, target: Spec, weight: Spec | None = None, *, reduction: str, **attrs: Any) -> Spec:
        _expect_reduction(reduction, ROW_REDUCTIONS)
        _expect_rows(x, target, weight, self.soft)
        self.check(**attrs)
        return Spec(x.shape[:1] if reduction == "none" else ())

    def check(self, **attrs: Any) -> None:
        """Refuse attributes out of range."""
        smoothing = attrs.get("label_smoothing", 0.0)
        if not 0.0 <= smoothing <= 1.0:
            raise ValueError(f"expected label_smoothing between 0 and 1, got {smoothing}")
        if attrs.get("p", 1) not in (1, 2):
            raise ValueError(f"expected p to be 1 or 2, got {attrs['p']}")

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _row_fields(call, _node(call.inputs[0]).spec), [*call.inputs, call.outputs[0]])]


class _RowLossBwd(Primitive):
    """The gradient of such a loss by the scores."""

    outputs = "dx"
    soft = False

    def infer(
        self, dy: Spec, x: Spec, target: Spec, weight: Spec | None = None, *, reduction: str, **attrs: Any
    ) -> Spec:
        _expect_reduction(reduction, ROW_REDUCTIONS)
        _expect_rows(x, target, weight, self.soft)
        _expect_row_gradient(dy, x, reduction)
        return x

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _row_fields(call, _node(call.inputs[1]).spec), [*call.inputs, call.outputs[0]])]


@register
class CrossEntropy(_RowLoss):
    """``-weight[t] log softmax(x)[t]``, smoothed over the classes; the mean divides by the weights of the targets."""

    name = "cross_entropy"
    inputs = "x:c target:int ?weight:c"


@register
class CrossEntropyBwd(_RowLossBwd):
    """``dy weight[t] (softmax(x) - onehot(t))``, smoothed alike."""

    name = "cross_entropy_bwd"
    inputs = "dy:c x:c target:int ?weight:c"


@register
class CrossEntropySoft(_RowLoss):
    """``-sum over c of weight[c] t[c] log softmax(x)[c]``; the mean divides by the rows."""

    name = "cross_entropy_soft"
    inputs = "x:c target:c ?weight:c"
    soft = True


@register
class CrossEntropySoftBwd(_RowLossBwd):
    """``dy (softmax(x) sum(weight t) - weight t)``."""

    name = "cross_entropy_soft_bwd"
    inputs = "dy:c x:c target:c ?weight:c"
    soft = True


@register
class NllLoss(_RowLoss):
    """``-weight[t] x[t]`` of log-probabilities x; the mean divides by the weights of the targets."""

    name = "nll_loss"
    inputs = "x:c target:int ?weight:c"


@register
class NllLossBwd(_RowLossBwd):
    """``-dy weight[t]`` at the target's class, 0 elsewhere."""

    name = "nll_loss_bwd"
    inputs = "dy:c x:c target:int ?weight:c"


@register
class MultiMarginLoss(_RowLoss):
    """``weight[t] sum over c != t of max(0, margin - x[t] + x[c])^p``, over the class count with ``divide``."""

    name = "multi_margin_loss"
    inputs = "x:c target:int ?weight:c"


@register
class MultiMarginLossBwd(_RowLossBwd):
    """The slope of each class over the margin, and minus their sum for the target's."""

    name = "multi_margin_loss_bwd"
    inputs = "dy:c x:c target:int ?weight:c"


# ---- element by element ----


def _expect_same(x: Spec, others: dict[str, Spec | None]) -> None:
    for name, spec in others.items():
        if spec is not None and spec.shape != x.shape:
            raise ValueError(f"expected {name} of shape {x.shape} as the input, got shape {spec.shape}")


def _divisor(x: Spec, reduction: str) -> float:
    if reduction == "mean":
        return float(x.size)
    return float(x.shape[0]) if reduction == "batchmean" else 1.0


# Where a loss turns from square to linear.
_KNEES = {"smooth_l1_loss": "beta", "huber_loss": "delta"}


def _element_fields(call: Call, x: Spec) -> dict[str, Any]:
    attrs = call.attrs
    reduction, knee = attrs["reduction"], _KNEES.get(call.name.removesuffix("_bwd"))
    return {
        "count": x.size,
        "reduce": int(reduction != "none"),
        "divisor": _divisor(x, reduction),
        "knee": float(attrs[knee]) if knee else 0.0,
    }


def _loss_spec(x: Spec, reduction: str) -> Spec:
    _expect_reduction(reduction, REDUCTIONS)
    if reduction == "batchmean" and x.ndim == 0:
        raise ValueError("expected a batch for reduction 'batchmean', got a single number")
    return Spec(x.shape, "float32", default_layout(x.ndim)) if reduction == "none" else Spec(())


def _expect_knee(**attrs: float) -> None:
    if attrs.get("beta", 0.0) < 0.0:
        raise ValueError(f"expected beta >= 0, got {attrs['beta']}")
    if attrs.get("delta", 1.0) <= 0.0:
        raise ValueError(f"expected delta > 0, got {attrs['delta']}")


class _ElementLoss(_Loss):
    """A loss element by element; target and weights have the input's shape, nothing is broadcast."""

    inputs = "x:nhwc t:nhwc"

    def infer(
        self, x: Spec, t: Spec, weight: Spec | None = None, pos_weight: Spec | None = None, *, reduction: str,
        **attrs: float,
    ) -> Spec:  # fmt: skip
        _expect_same(x, {"target": t, "weight": weight, "pos_weight": pos_weight})
        _expect_knee(**attrs)
        return _loss_spec(x, reduction)

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _element_fields(call, _node(call.inputs[0]).spec), [*call.inputs, call.outputs[0]])]


class _ElementLossBwd(Primitive):
    """The gradient of such a loss by its input."""

    inputs = "dy:nhwc x:nhwc t:nhwc"
    outputs = "dx"

    def infer(
        self, dy: Spec, x: Spec, t: Spec, weight: Spec | None = None, pos_weight: Spec | None = None, *,
        reduction: str, **attrs: float,
    ) -> Spec:  # fmt: skip
        _expect_same(x, {"target": t, "weight": weight, "pos_weight": pos_weight})
        expected = _loss_spec(x, reduction)
        if dy.shape != expected.shape:
            raise ValueError(f"expected dy of shape {expected.shape} for reduction {reduction!r}, got shape {dy.shape}")
        return x

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _element_fields(call, _node(call.inputs[1]).spec), [*call.inputs, call.outputs[0]])]


@register
class MseLoss(_ElementLoss):
    """``(x - t)^2``."""

    name = "mse_loss"
    of_difference = True


@register
class MseLossBwd(_ElementLossBwd):
    """``2 dy (x - t)``."""

    name = "mse_loss_bwd"


@register
class L1Loss(_ElementLoss):
    """``|x - t|``."""

    name = "l1_loss"
    of_difference = True


@register
class L1LossBwd(_ElementLossBwd):
    """``dy sign(x - t)``."""

    name = "l1_loss_bwd"


@register
class SmoothL1Loss(_ElementLoss):
    """``d^2 / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``."""

    name = "smooth_l1_loss"
    of_difference = True


@register
class SmoothL1LossBwd(_ElementLossBwd):
    """``dy d / beta`` where ``|d| < beta``, else ``dy sign(d)``."""

    name = "smooth_l1_loss_bwd"


@register
class HuberLoss(_ElementLoss):
    """``d^2 / 2`` where ``|d| < delta``, else ``delta (|d| - delta / 2)``."""

    name = "huber_loss"
    of_difference = True


@register
class HuberLossBwd(_ElementLossBwd):
    """``dy d``, limited to ``delta`` on both sides."""

    name = "huber_loss_bwd"


@register
class BceLoss(_ElementLoss):
    """``-weight (t log(x) + (1 - t) log(1 - x))``, each logarithm at least -100."""

    name = "bce_loss"
    inputs = "x:nhwc t:nhwc ?weight:nhwc"


@register
class BceLossBwd(_ElementLossBwd):
    """``dy weight (x - t) / max(x (1 - x), 1e-12)``."""

    name = "bce_loss_bwd"
    inputs = "dy:nhwc x:nhwc t:nhwc ?weight:nhwc"


@register
class BceWithLogits(_ElementLoss):
    """``-weight (pos_weight t log(s) + (1 - t) log(1 - s))`` with ``s = sigmoid(x)``."""

    name = "bce_with_logits"
    inputs = "x:nhwc t:nhwc ?weight:nhwc ?pos_weight:nhwc"


@register
class BceWithLogitsBwd(_ElementLossBwd):
    """``dy weight ((1 - t) s - pos_weight t (1 - s))``."""

    name = "bce_with_logits_bwd"
    inputs = "dy:nhwc x:nhwc t:nhwc ?weight:nhwc ?pos_weight:nhwc"
