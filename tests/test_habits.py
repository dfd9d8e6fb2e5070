"""What people used to PyTorch and NumPy try: taken where it means nothing here, refused with the reason elsewhere."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.data import DataLoader
from fastnn.training import History

X = np.arange(12, dtype=np.float32).reshape(3, 4)


class Lambda(nn.Module):
    """A model that is one function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


REFUSED = {
    "device": (lambda: nn.Linear(2, 3, device="cpu"), TypeError, "Linear: expected no device"),
    "dtype": (lambda: nn.Conv2d(1, 2, 3, dtype="float64"), TypeError, "Conv2d: expected no dtype"),
    "missing argument": (lambda: nn.Conv2d(3, 4), TypeError, "Conv2d: missing 1 required .*'kernel_size'"),
    "backward hook": (
        lambda: nn.ReLU().register_full_backward_hook(print),
        AttributeError,
        "hooks on forward only",
    ),
    "np.exp": (lambda: Lambda(np.exp)(X), TypeError, "numpy.exp needs the values of a Node.*fastnn.exp"),
    "np.add.reduce": (lambda: Lambda(np.add.reduce)(X), TypeError, "numpy.add needs the values"),
    "comparison": (lambda: Lambda(lambda x: np.greater(X, x))(X), TypeError, "a comparison needs the values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_give_the_reason(name: str) -> None:
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words) as caught:
        call()
    assert "_Conv" not in str(caught.value)


ARITHMETIC = {
    "add": lambda a, x: a + x,
    "subtract": lambda a, x: a - x,
    "multiply": lambda a, x: a * x,
    "divide": lambda a, x: a / (x + 1),
    "matmul": lambda a, x: a.T @ x,
    "function": lambda a, x: np.add(x, a),
    "scalar": lambda a, x: np.float32(2) * x - np.float64(1),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_an_array_on_the_left_of_a_node(name: str) -> None:
    function = ARITHMETIC[name]
    a = X + 2
    np.testing.assert_allclose(Lambda(lambda x: function(a, x))(X), function(a, X), rtol=1e-6)


def test_settings_of_another_loader_change_nothing() -> None:
    loader = DataLoader((X,), 2, num_workers=4, pin_memory=True, persistent_workers=True)
    assert [len(x) for (x,) in loader] == [2, 1]


def parts() -> tuple[Any, Any, Any]:
    model = nn.Linear(4, 2)
    return model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1)


def test_what_trainers_and_steps_print() -> None:
    assert repr(fn.Trainer(*parts())) == "Trainer(Linear, CrossEntropyLoss, SGD, epoch=0, steps=0)"
    assert repr(fn.TrainStep(*parts())) == "TrainStep(Linear, CrossEntropyLoss, SGD, accumulate=1)"


def test_a_history_prints_as_a_table() -> None:
    lines = str(History([{"epoch": 1, "loss": 1 / 3}, {"epoch": 2, "loss": 0.25, "lr": 0.1}])).splitlines()
    assert [line.split() for line in lines[:1] + lines[2:]] == [
        ["epoch", "loss", "lr"],
        ["1", "0.33333"],
        ["2", "0.25", "0.1"],
    ]
    assert str(History()) == "History(empty, no epochs)"


def test_predict_takes_nested_lists() -> None:
    trainer = fn.Trainer(*parts())
    np.testing.assert_array_equal(trainer.predict_outputs(X.tolist()), trainer.predict_outputs(X))
    assert trainer.predict([[1, 2, 3, 4]]).shape == (1,)
    with pytest.raises(ValueError, match="predict: expected rows of equal lengths"):
        trainer.predict([[1, 2, 3], [1]])


def test_a_plan_names_the_gradients_it_accumulates() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model(X)
    model.backward(np.ones((3, 2), np.float32))
    rows = [row for row in model.plan(X).rows() if row[2] == "accumulate"]
    assert sorted(row[1] for row in rows) == sorted(name for name, _ in model.named_parameters())
    assert all(re.search(r"\d", row[4]) for row in rows)
