"""Trainer: what it takes, what it measures, and how a run ends."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.data import ArrayDataset, DataLoader
from fastnn.training import (
    Callback,
)
from trainer_setup import blobs, fit, interrupt, make_trainer

pytestmark = pytest.mark.usefixtures("ctrl_c_raises")


def test_learns_and_keeps_a_plain_history():
    trainer = make_trainer()
    history = fit(trainer, validation_data=blobs(seed=1), epochs=8)
    assert history is trainer.history
    assert isinstance(history, list)
    assert history.status == "completed"
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert list(history[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
    assert all(type(value) in (int, float) for row in history for value in row.values())
    assert history[-1]["val_accuracy"] > 0.9
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert trainer.steps == 8 * 6


def test_losses_are_means_over_samples():
    trainer = make_trainer(lr=0.0)
    x, y = blobs(n=50)
    history = fit(trainer, (x, y), epochs=1)  # 16, 16, 16 and 2 samples
    whole = nn.CrossEntropyLoss()(trainer.model(x), y)
    assert history[0]["loss"] == pytest.approx(whole, rel=1e-5)
    assert history[0]["accuracy"] == pytest.approx(np.mean(trainer.predict(x) == y))
    assert trainer.evaluate((x, y), batch_size=7)["loss"] == pytest.approx(whole, rel=1e-5)


def test_a_second_fit_goes_on():
    trainer = make_trainer()
    fit(trainer, epochs=2)
    fit(trainer, epochs=1)
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3]


def test_data_come_in_many_forms():
    x, y = blobs()
    for data in ((x, y), ArrayDataset(x, y), DataLoader((x, y), 32), [(x[:9], y[:9]), (x[9:], y[9:])]):
        given = iter(data) if isinstance(data, list) else data
        assert len(fit(make_trainer(), given, epochs=1)) == 1
    with pytest.raises(TypeError, match="fit: expected a DataLoader"):
        make_trainer().fit(None)
    with pytest.raises(ValueError, match=r"fit: .*expected arrays of equal length, got \[96, 95\]"):
        fit(make_trainer(), (x, y[:-1]))
    with pytest.raises(ValueError, match="expected epochs >= 0, got -1"):
        fit(make_trainer(), epochs=-1)


def test_an_autoencoder_needs_one_array():
    fn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    trainer = fn.Trainer(model, nn.MSELoss(), fn.optim.Adam(model.parameters(), lr=0.02))
    history = fit(trainer, ArrayDataset(blobs()[0]), epochs=10)
    assert history[-1]["loss"] < history[0]["loss"]
    assert trainer.predict(blobs()[0]).shape == (96, 3)
    with pytest.raises(ValueError, match="expected a classifier's loss"):
        trainer.predict_proba(blobs()[0])


def test_a_model_of_two_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, a, b):
            return self.linear(a + b)

    x, y = blobs()
    model = Sum()
    trainer = fn.Trainer(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1), ["accuracy"])
    fit(trainer, ArrayDataset(x, x, y), epochs=4)
    assert trainer.evaluate(ArrayDataset(x, x, y))["accuracy"] > 0.8


def test_validation_split_is_stratified_and_stays():
    x, y = blobs(n=90)
    seen = []

    class Look(Callback):
        def on_epoch_end(self, trainer, row):
            seen.append(trainer._loaders["validation"].dataset)

    trainer = make_trainer([Look()])
    fit(trainer, (x, y), validation_split=0.2, epochs=1)
    fit(trainer, (x, y), validation_split=0.2, epochs=1)
    np.testing.assert_array_equal(seen[0].x, seen[1].x)
    counts, held = np.bincount(y), np.bincount(seen[0].y)
    assert np.all(np.abs(held - 0.2 * counts) <= 1)
    assert "val_accuracy" in trainer.history[0]
    with pytest.raises(ValueError, match="validation_data or validation_split, got both"):
        fit(trainer, validation_split=0.2, validation_data=(x, y))
    with pytest.raises(ValueError, match="with validation_split, got a loader"):
        fit(trainer, DataLoader((x, y), 8), validation_split=0.2)


def test_evaluate_and_predict_leave_modes_and_weights_alone():
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model[1].eval()
    trainer = fn.Trainer(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1), ["accuracy"])
    before = model.state_dict()
    one, two = trainer.evaluate(blobs()), trainer.evaluate(blobs())
    assert one == two
    assert model.training
    assert not model[1].training
    assert model[2].training
    for key, value in before.items():
        np.testing.assert_array_equal(value, model.state_dict()[key])
    probabilities = trainer.predict_proba(blobs()[0])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), trainer.predict(blobs()[0]))


def test_binary_losses_predict_by_threshold():
    x, y = blobs(classes=2)
    model = nn.Linear(2, 1)
    target = y[:, None].astype(np.float32)
    optimizer = fn.optim.Adam(model.parameters(), lr=0.1)
    trainer = fn.Trainer(model, nn.BCEWithLogitsLoss(), optimizer, ["accuracy"])
    fit(trainer, (x, target), epochs=10)
    assert trainer.evaluate((x, target))["accuracy"] == pytest.approx(np.mean(trainer.predict(x)[:, 0] == y))
    np.testing.assert_array_equal(trainer.predict_proba(x)[:, 0] > 0.5, trainer.predict(x)[:, 0] == 1)


def test_ctrl_c_ends_between_steps_and_keeps_the_weights():
    class Press(Callback):
        def on_step(self, trainer):
            if trainer.steps == 9:
                interrupt(trainer)
                self.weights = trainer.model.state_dict()

    press = Press()
    trainer = make_trainer([press])
    history = fit(trainer, epochs=5)
    assert history.status == "interrupted"
    assert trainer.steps == 9
    assert len(history) == 1
    for key, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, press.weights[key])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_at_once():
    class Twice(Callback):
        def on_step(self, trainer):
            interrupt(trainer)
            interrupt(trainer)
            raise AssertionError("the second one raises")

    assert fit(make_trainer([Twice()])).status == "interrupted"


def test_a_nan_loss_names_epoch_step_and_layer():
    class Break(Callback):
        def on_step(self, trainer):
            if trainer.steps == 8:
                trainer.model[2].weight.data[0, 0] = np.nan

    trainer = make_trainer([Break()])
    with pytest.raises(fn.NonFiniteLossError, match=r"epoch 2, step 3: .*Linear '2'"):
        fit(trainer)
    assert trainer.history.status == "failed"
    assert trainer.steps == 8
    assert np.isfinite(trainer.model[0].weight.data).all()


def test_an_optimizer_of_ones_own():
    class Own(fn.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["count"] = state.get("count", 0) + 1
                    p.data[...] -= group["lr"] * p.grad

    fn.manual_seed(0)
    model = nn.Linear(3, 3)
    trainer = fn.Trainer(model, nn.CrossEntropyLoss(), Own(model.parameters()), ["accuracy"])
    history = fit(trainer, epochs=4)
    assert history[-1]["accuracy"] > 0.8
    saved = trainer.optimizer.state_dict()
    assert saved["state"][0] == {"count": 24}
    fresh = Own(model.parameters())
    fresh.load_state_dict(saved)
    assert fresh.state_dict() == saved


def test_clipping_penalties_and_accumulation_reach_the_step():
    model = nn.Linear(3, 3)
    penalty = fn.optim.L2(model.parameters(), 0.1)
    trainer = make_trainer(accumulate=2, clip_norm=0.1)
    fit(trainer)
    assert trainer.steps == 18
    plain = fn.Trainer(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.0), penalties=[penalty])
    history = fit(plain, validation_data=blobs(), epochs=1)
    assert history[0]["loss"] > history[0]["val_loss"] + 0.01
