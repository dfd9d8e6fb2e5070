"""The learning-rate range test: what it finds, what it puts back, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn, optim
from fastnn.training import LRFind


def problem(seed=0):
    fn.manual_seed(seed)
    x = np.random.default_rng(seed).normal(size=(256, 8)).astype(np.float32)
    return x, (x @ np.arange(8) > 0).astype(np.int64)


def net():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))


def test_the_suggestion_trains_and_a_far_smaller_rate_does_not():
    x, y = problem()
    loss = nn.CrossEntropyLoss()
    results = {}
    model = net()
    found = fn.lr_find(model, loss, optim.SGD(model.parameters(), lr=0.01), (x, y), low=1e-5, high=100.0)
    for rate in (found.suggestion, found.suggestion / 1000):
        fn.manual_seed(1)
        trained = net()
        step = fn.TrainStep(trained, loss, optim.SGD(trained.parameters(), lr=rate))
        results[rate] = [step(x, y) for _ in range(60)][-1]
    assert results[found.suggestion] < 0.35 < results[found.suggestion / 1000]
    assert found.suggestion < found.lowest < found.rates[-1]


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_everything_is_as_before(kind):
    x, y = problem()
    model = net()
    optimizer = kind(model.parameters(), lr=0.01)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    step(x, y)
    model[3].eval()
    weights = {name: value.copy() for name, value in model.state_dict().items()}
    fn.lr_find(model, nn.CrossEntropyLoss(), optimizer, (x, y), steps=20)
    assert all(np.array_equal(value, weights[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [True, True, True, False, True]
    assert optimizer.param_groups[0]["lr"] == 0.01
    after = [step(x, y) for _ in range(3)]

    fn.manual_seed(0)
    x, y = problem()
    other = net()
    twin = fn.TrainStep(other, nn.CrossEntropyLoss(), kind(other.parameters(), lr=0.01))
    twin(x, y)
    other[3].eval()
    assert after == [twin(x, y) for _ in range(3)]


def test_it_stops_where_the_loss_explodes_and_survives_infinity():
    x, _ = problem()
    model = nn.Linear(8, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    target = (x * 1e3)[:, :1]
    early = fn.lr_find(model, nn.MSELoss(), optimizer, (x, target), low=1e-4, high=1e3, steps=200)
    assert len(early.rates) < 200
    overflow = fn.lr_find(model, nn.MSELoss(), optimizer, (x, target), low=1e-4, high=1e30, steps=40, diverge=1e38)
    assert 3 <= len(overflow.rates) < 40
    assert np.isfinite(overflow.losses).all()
    assert np.isfinite(model.weight.data).all()


def test_few_data_are_run_through_again():
    x, y = problem()
    model = nn.Linear(8, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    assert len(fn.lr_find(model, nn.CrossEntropyLoss(), optimizer, (x[:8], y[:8]), steps=25, high=0.1).rates) == 25


def test_the_suggestion_is_the_steepest_descent_before_the_minimum():
    rates = [1e-3 * 3**i for i in range(8)]
    found = LRFind(rates, [5.0, 5.0, 4.8, 3.5, 2.2, 2.0, 9.0, 1.9], smoothing=0.0)
    assert found.suggestion == rates[3]
    assert repr(found) == "LRFind(suggestion=0.027, lowest=0.243, 8 rates 0.001 to 2.19)"


def test_the_plot_marks_the_suggestion(tmp_path):
    found = LRFind([1e-3, 1e-2, 1e-1], [5.0, 1.0, 4.0], smoothing=0.0)
    figure = found.plot(tmp_path / "range.png")
    assert (tmp_path / "range.png").read_bytes().startswith(b"\x89PNG")
    assert any(np.allclose(line.get_xdata(), found.suggestion) for line in figure.axes[0].get_lines())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"low": 1.0, "high": 0.1}, "lr_find: expected 0 < low < high, both finite, got 1.0 and 0.1"),
        ({"high": np.inf}, "expected 0 < low < high, both finite, got 1e-06 and inf"),
        ({"diverge": -1}, "lr_find: expected diverge > 1, got -1"),
        ({"smoothing": 1.0}, r"expected smoothing in \[0, 1\), got 1.0"),
        ({"steps": 2}, "steps"),
        ({"low": 1e30, "high": 1e38}, "expected a finite loss for three rates from low=1e\\+30 on, got"),
    ],
)
def test_refusals(options, words):
    x, _ = problem()
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1))
    weights = model[0].weight.data.copy()
    with pytest.raises(ValueError, match=words):
        fn.lr_find(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), (x, x[:, :1]), **options)
    assert np.array_equal(model[0].weight.data, weights)


def test_what_is_no_model_no_optimizer_and_no_pair():
    x, _ = problem()
    model = nn.Linear(8, 1)
    optimizer, loss = optim.SGD(model.parameters(), lr=0.1), nn.MSELoss()
    with pytest.raises(TypeError, match="lr_find: expected a Module and an Optimizer, got int and SGD"):
        fn.lr_find(3, loss, optimizer, (x, x))
    with pytest.raises(TypeError, match="lr_find: expected a Module and an Optimizer, got Linear and Linear"):
        fn.lr_find(model, loss, model, (x, x))
    with pytest.raises(TypeError, match=r"lr_find: expected \(x, y\), .* got a list of one tuple"):
        fn.lr_find(model, loss, optimizer, [(x, x[:, :1])])
    with pytest.raises(TypeError, match="lr_find: expected diverge to be a number, got 'a'"):
        fn.lr_find(model, loss, optimizer, (x, x[:, :1]), diverge="a")
