"""Gradients of every differentiable primitive, with every option, against central differences.

The gradient is the graph's own: each primitive's ``gradient`` builds the backward calls, which run on the oracle in
float64. The slope is that of the float64 oracle of the forward. Inputs are distinct values, so that no comparison
(relu, maximum, pooling) is near its tie; pooling windows overlap in many cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from case_data import Case, Fixed, Input, make_inputs
from cases import small_cases
from fastnn import reference
from fastnn.graph.differentiate import differentiate
from fastnn.graph.node import Node, apply
from fastnn.graph.plan import Phase, ReferencePlan
from fastnn.graph.primitive import Primitive, all_primitives
from fastnn.graph.spec import Spec, default_layout
from fastnn.graph.trace import Trace

Array = npt.NDArray[Any]

STEP = 1e-6
FULL = 48  # up to here every element's slope is taken, beyond it slopes along random directions
DIRECTIONS = 4

LOSSES = {name for name in all_primitives() if name.endswith("_loss") or name in ("bce_with_logits",)} | {
    "cross_entropy", "cross_entropy_soft",
}  # fmt: skip
OF_DIFFERENCE = {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"}
CONSTANT = {"detach"}  # has a gradient by definition, not by calculus


def is_differentiable(name: str) -> bool:
    return type(all_primitives()[name]).gradient is not Primitive.gradient and name not in CONSTANT


CASES = [
    case
    for case in small_cases()
    if case.primitive in all_primitives() and is_differentiable(case.primitive)
    if case.group not in ("tails", "blocks", "empty")
    if "all_ignored" not in case.name  # the mean over no rows is NaN, its gradient 0, as in PyTorch
]


def differentiable_inputs(case: Case) -> list[int]:
    """Positions of the inputs that have a gradient: a loss is differentiated by its prediction (and difference)."""
    floats = [i for i, given in enumerate(case.inputs) if isinstance(given, Input) and is_float(given)]
    if case.primitive in LOSSES:
        return floats[: 2 if case.primitive in OF_DIFFERENCE else 1]
    return floats


def is_float(given: Input) -> bool:
    return given.kind in ("normal", "positive", "unit", "small")


class Gradients:
    """The graph of a function and of its gradient, on the oracle in float64."""

    def __init__(self, function: Callable[..., Any], arrays: Sequence[Any], wrt: Sequence[int]) -> None:
        trace = Trace()
        with trace.recording():
            nodes = [None if a is None else trace.add_input(spec_of(a)) for a in arrays]
            result = function(*nodes)
        self.outputs: list[Node] = list(result) if isinstance(result, tuple) else [result]
        self.seeds = [trace.add_input(y.spec) for y in self.outputs if y.dtype == "float32"]
        floats = [y for y in self.outputs if y.dtype == "float32"]
        sources = [nodes[i] for i in wrt]
        assert all(source is not None for source in sources)
        self.grads = differentiate(trace, list(zip(floats, self.seeds, strict=True)), sources)  # type: ignore[arg-type]
        self.arrays: dict[int, Any] = dict(enumerate(a for a in arrays if a is not None))
        kept = [*floats, *(g for g in self.grads if g is not None)]
        self.plan = ReferencePlan([Phase(list(trace.calls), kept)], np.float64)
        self.floats = floats

    def run(self, dys: Sequence[Array]) -> list[Array | None]:
        """Gradient of sum(<y, dy>) by each source, None where none flows."""
        first = len(self.arrays)
        self.plan.run(0, self.arrays | {first + i: dy for i, dy in enumerate(dys)})
        return [None if g is None else self.plan.values[g] for g in self.grads]


def spec_of(array: Array) -> Spec:
    dtype = "float32" if array.dtype.kind == "f" else array.dtype.name
    return Spec(array.shape, dtype, default_layout(array.ndim))


def slope(function: Callable[[Array], float], x: Array, direction: Array) -> float:
    return (function(x + STEP * direction) - function(x - STEP * direction)) / (2.0 * STEP)


def directions(x: Array, generator: Any) -> list[Array]:
    """Unit vectors for a small array, random directions for a large one."""
    if x.size <= FULL:
        units = np.eye(x.size).reshape(x.size, *x.shape)
        return list(units)
    return [generator.standard_normal(x.shape) for _ in range(DIRECTIONS)]


def check(
    who: str,
    on_nodes: Callable[..., Any],
    on_arrays: Callable[..., Any],
    arrays: Sequence[Any],
    wrt: Sequence[int],
) -> None:
    """Compare the graph's gradient with the slope of the oracle, input by input."""
    generator = np.random.default_rng(5)
    gradients = Gradients(on_nodes, arrays, wrt)
    dys = [generator.uniform(0.5, 1.5, y.shape) * generator.choice([-1.0, 1.0], y.shape) for y in gradients.floats]
    found = gradients.run(dys)

    def value(position: int, x: Array) -> float:
        given = [x if i == position else np.array(a) if a is not None else None for i, a in enumerate(arrays)]
        result = on_arrays(*given)
        outputs = [y for y in (result if isinstance(result, tuple) else (result,)) if y.dtype.kind == "f"]
        return float(sum(np.vdot(dy, y) for dy, y in zip(dys, outputs, strict=True)))

    for position, gradient in zip(wrt, found, strict=True):
        x = arrays[position]
        gradient = np.zeros(x.shape) if gradient is None else gradient
        assert gradient.shape == x.shape
        for along in directions(x, generator):
            numeric = slope(lambda x: value(position, x), x, along)  # noqa: B023
            analytic = float(np.vdot(gradient, along))
            scale = max(1.0, abs(numeric), float(np.abs(gradient * along).max(initial=0.0)))
            assert math.isclose(analytic, numeric, rel_tol=0.0, abs_tol=2e-6 * scale) or both_nan(analytic, numeric), (
                f"{who}: gradient of input {position} along {np.argmax(np.abs(along))}: got {analytic!r}, "
                f"the slope is {numeric!r}"
            )


def both_nan(a: float, b: float) -> bool:
    return math.isnan(a) and math.isnan(b)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_gradient(case: Case) -> None:
    arrays = make_inputs(case, "distinct")
    name, attrs = case.primitive, case.attrs
    check(
        case.id,
        lambda *nodes: apply(name, *nodes, **attrs),
        lambda *given: getattr(reference, name)(*given, **attrs),
        arrays,
        differentiable_inputs(case),
    )


@pytest.mark.parametrize("name", sorted(all_primitives()))
def test_every_differentiable_primitive_was_checked(name: str) -> None:
    if is_differentiable(name) and not all_primitives()[name].host:
        cases = [case for case in CASES if case.primitive == name]
        assert cases, f"{name} has a gradient and no case"
        assert any(differentiable_inputs(case) for case in cases)


# ---- several primitives at once ----


def batch_norm_on_nodes(x: Node, weight: Node, bias: Node) -> Any:
    mean, var = apply("batch_norm_stats", x)
    return apply("batch_norm", x, mean, var, weight, bias, eps=1e-5)


def batch_norm_on_arrays(x: Array, weight: Array, bias: Array) -> Any:
    mean, var = reference.batch_norm_stats(x)
    return reference.batch_norm(x, mean, var, weight, bias, eps=1e-5)


@pytest.mark.parametrize("shape", [(6, 3), (3, 4, 3, 2), (2, 1, 3, 3)])
def test_batch_norm_through_its_statistics(shape: tuple[int, ...]) -> None:
    given = (Input(shape), Input(shape[1:2]), Input(shape[1:2]))
    arrays = make_inputs(Case("batch_norm", f"statistics{shape}", given), "distinct")
    check(f"batch norm of {shape}", batch_norm_on_nodes, batch_norm_on_arrays, arrays, (0, 1, 2))


def test_a_value_used_twice_sums_its_gradients() -> None:
    (x,) = make_inputs(Case("mul", "twice", (Input((3, 4)),)), "distinct")
    check("x * x + exp(x)", lambda x: x * x + x.exp(), lambda x: np.asarray(x * x + np.exp(x)), [x], (0,))


def test_division_of_broadcast_values() -> None:
    given = (Input((2, 5, 3, 4)), Input((5, 1, 1), "positive"))
    arrays = make_inputs(Case("div", "twice", given), "distinct")
    check("a / b", lambda a, b: a / b, lambda a, b: np.asarray(a / b), arrays, (0, 1))


# ---- the cases themselves ----


def test_pooling_cases_overlap() -> None:
    for name in ("max_pool2d", "avg_pool2d", "lp_pool2d"):
        cases = [case for case in CASES if case.primitive == name]
        assert any(case.attrs["stride"][0] < case.attrs["kernel_size"][0] for case in cases)


def test_fixed_inputs_are_not_differentiated() -> None:
    for case in CASES:
        assert not any(isinstance(case.inputs[i], Fixed) for i in differentiable_inputs(case))
