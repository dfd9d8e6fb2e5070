"""numeric_gradient: exact where differences are, its order of error, and what it refuses."""

import numpy as np
import pytest

import fastnn as fn


def test_linear_and_quadratic_functions_are_exact():
    a = np.array([[1.0, -2.0], [0.5, 4.0]])
    assert fn.numeric_gradient(lambda x: (a * x).sum(), np.zeros((2, 2))) == pytest.approx(a, rel=1e-9)
    assert fn.numeric_gradient(lambda x: (x * x).sum(), a) == pytest.approx(2 * a, rel=1e-9)


@pytest.mark.parametrize(("kind", "order"), [("forward", 1), ("central", 2)])
def test_error_falls_with_its_power_of_h(kind, order):
    errors = [abs(fn.numeric_gradient(np.exp, 0.5, h, kind=kind) - np.exp(0.5)) for h in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(10**order, rel=0.05)


def test_it_agrees_with_backward():
    fn.manual_seed(0)
    x, y = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    model, loss = fn.nn.Linear(4, 3, bias=False), fn.nn.CrossEntropyLoss()
    loss(model(x), y)
    model.backward(loss.backward())

    def value(w):
        z = x @ w.T
        return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(6), y])

    assert model.weight.grad == pytest.approx(fn.numeric_gradient(value, model.weight.data), abs=1e-6)


def test_the_point_is_not_changed_even_by_a_function_that_changes_its_argument():
    x = np.array([1.0, 2.0])

    def rude(v):
        v *= 3.0
        return v.sum()

    assert fn.numeric_gradient(rude, x) == pytest.approx([3.0, 3.0])
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"h": 0.0}, "numeric_gradient: expected h > 0 and finite, got 0"),
        ({"h": np.inf}, "expected h > 0 and finite, got inf"),
        ({"function": lambda x: None}, "returns one number, got None"),
        ({"function": lambda x: 1j}, "returns one number, got np.complex128"),
        ({"x": [[1.0], [2.0, 3.0]]}, "expected an array, or lists of numbers of equal lengths"),
        ({"kind": "backward"}, "kind"),
        ({"function": lambda x: x}, "returns one number, got shape"),
    ],
)
def test_refusals(arguments, words):
    call = {"function": lambda x: x.sum(), "x": np.ones(2)} | arguments
    with pytest.raises(ValueError, match=words):
        fn.numeric_gradient(**call)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"function": 3}, "numeric_gradient: expected a function, got 3"),
        ({"x": None}, "numeric_gradient: expected x to hold real numbers, got dtype object"),
        ({"x": [1j]}, "expected x to hold real numbers, got dtype complex128"),
        ({"h": "a"}, "expected h to be a number, got 'a'"),
    ],
)
def test_wrong_types(arguments, words):
    call = {"function": lambda x: x.sum(), "x": np.ones(2)} | arguments
    with pytest.raises(TypeError, match=words):
        fn.numeric_gradient(**call)
