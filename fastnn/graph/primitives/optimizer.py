"""Optimizer primitives: one step of one parameter, in place, in one pass over it and its state."""

from __future__ import annotations

from typing import Any, ClassVar

from ..node import Node
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec


class _OptimizerStep(Primitive):
    """What all have in common: ``p``, ``g``, ``step``, ``hyper`` (float64 scalars read at run time), state arrays."""

    outputs = ""
    hyper_names: ClassVar[tuple[str, ...]]
    number: ClassVar[int]  # fnn_optimizer of src/ops/optim.h
    variant: ClassVar[str] = ""  # the attribute that the C side calls so

    def infer(self, p: Spec, g: Spec, step: Spec, hyper: Spec, *state: Spec | None, **attrs: Any) -> tuple[Spec, ...]:
        if p.dtype != "float32":
            raise TypeError(f"expected a float32 parameter, got {p.dtype}")
        if g.shape != p.shape:
            raise ValueError(f"expected a gradient of shape {p.shape} as the parameter, got shape {g.shape}")
        if step.dtype != "float32" or step.size != 1:
            raise ValueError(f"expected step as one float32, got {step.dtype} of shape {step.shape}")
        if hyper.dtype != "float64" or hyper.shape != (len(self.hyper_names),):
            raise ValueError(
                f"expected hyper as float64 ({', '.join(self.hyper_names)}), got {hyper.dtype} of shape {hyper.shape}"
            )
        for rule, spec in zip(self.rules[4:], state, strict=False):
            if spec is None and not rule.optional:
                raise ValueError(f"expected {rule.name} of shape {p.shape}, got None")
            if spec is not None and (spec.shape, spec.dtype) != (p.shape, "float32"):
                raise ValueError(
                    f"expected {rule.name} as float32 of shape {p.shape}, got {spec.dtype} of shape {spec.shape}"
                )
        return ()

    def lower(self, call: Call) -> list[Step]:
        p: Node | None = call.inputs[0]
        assert p is not None
        if call.fused:
            return [self._with_gradient(call, p)]
        fields = {"count": p.spec.size, **{name: int(value) for name, value in call.attrs.items()}}
        return [Step(self.name, fields, list(call.inputs))]

    def _with_gradient(self, call: Call, p: Node) -> Step:
        """Return the one step for a call that fusion gave dy for g, and x as a last input."""
        _, dy, step, hyper, *state, x = call.inputs
        out_features, in_features = p.shape
        fields = {
            "rows": x.spec.size // max(in_features, 1) if x is not None else 0,
            "in_features": in_features,
            "out_features": out_features,
            "optimizer": self.number,
            "maximize": int(call.attrs["maximize"]),
            "variant": int(call.attrs.get(self.variant, False)),
        }
        state += [None] * (3 - len(state))
        return Step("linear_update", fields, [dy, x, p, step, hyper, *state])


@register
class SgdStep(_OptimizerStep):
    """``p -= lr b, b = momentum b + (1 - dampening) g``; the first b is g; nesterov: ``p -= lr (g + momentum b)``."""

    name = "sgd_step"
    number = 0
    variant = "nesterov"
    inputs = "p:any g:c step:any hyper:any ?momentum_buffer:any"
    mutates = ("p", "step", "momentum_buffer")
    hyper_names = ("lr", "momentum", "dampening", "weight_decay")


@register
class AdagradStep(_OptimizerStep):
    """``s += g^2, p -= lr / (1 + step lr_decay) g / (sqrt(s) + eps)``."""

    name = "adagrad_step"
    number = 1
    inputs = "p:any g:c step:any hyper:any state_sum:any"
    mutates = ("p", "step", "state_sum")
    hyper_names = ("lr", "lr_decay", "weight_decay", "eps")


@register
class RmspropStep(_OptimizerStep):
    """``v = alpha v + (1 - alpha) g^2, p -= lr g / (sqrt(v) + eps)``; with a mean of gradients, centred by it."""

    name = "rmsprop_step"
    number = 2
    inputs = "p:any g:c step:any hyper:any square_avg:any ?grad_avg:any ?momentum_buffer:any"
    mutates = ("p", "step", "square_avg", "grad_avg", "momentum_buffer")
    hyper_names = ("lr", "alpha", "eps", "weight_decay", "momentum")


@register
class AdamStep(_OptimizerStep):
    """Adam; ``decoupled`` is AdamW's weight decay; a third state array makes it AMSGrad."""

    name = "adam_step"
    number = 3
    variant = "decoupled"
    inputs = "p:any g:c step:any hyper:any exp_avg:any exp_avg_sq:any ?max_exp_avg_sq:any"
    mutates = ("p", "step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    hyper_names = ("lr", "beta1", "beta2", "eps", "weight_decay")
