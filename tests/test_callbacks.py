"""Callbacks: what they see and do."""

from __future__ import annotations

import csv
import io
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.optim import lr_scheduler
from fastnn.training import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LRSchedulerCallback,
    ModelCheckpoint,
    ProgressBar,
)
from fastnn.training.callbacks import progress
from trainer_setup import blobs, fit, interrupt, make_trainer

pytestmark = pytest.mark.usefixtures("ctrl_c_raises")


def test_callbacks_are_called_in_order():
    calls = []

    class Log(Callback):
        def on_fit_begin(self, trainer):
            calls.append("fit")

        def on_epoch_begin(self, trainer):
            calls.append(f"epoch {trainer.epoch}")

        def on_step(self, trainer):
            calls.append(trainer.steps)
            assert trainer.last_loss > 0
            assert trainer.running_loss > 0

        def on_epoch_end(self, trainer, row):
            calls.append(f"row {row['epoch']}")
            row["mine"] = 1.5

        def on_fit_end(self, trainer):
            calls.append(trainer.history.status)

    trainer = make_trainer([Log()])
    fit(trainer, epochs=2, batch_size=48)
    assert calls == ["fit", "epoch 0", 1, 2, "row 1", "epoch 1", 3, 4, "row 2", "completed"]
    assert trainer.history.column("mine") == [1.5, 1.5]
    with pytest.raises(TypeError, match="expected callbacks or schedulers, got str"):
        make_trainer(["bar"])


def test_a_callback_stops_the_run():
    class StopAt(Callback):
        def on_step(self, trainer):
            if trainer.steps == 8:
                trainer.stop("enough")

    trainer = make_trainer([StopAt()])
    history = fit(trainer, epochs=5)
    assert (trainer.steps, len(history), history.status, trainer.stop_reason) == (8, 1, "stopped", "enough")


class Spoil(Callback):
    """Ruin the weights after an epoch, then end the run in some way."""

    def __init__(self, epoch, then):
        self.epoch, self.then = epoch, then

    def on_epoch_end(self, trainer, row):
        if row["epoch"] >= self.epoch:
            for p in trainer.model.parameters():
                p.data[...] = -p.data

    def on_step(self, trainer):
        if trainer.epoch == self.epoch and trainer.steps_in_epoch == 2:
            self.then(trainer)


def _raiseinterrupt(trainer):
    raise KeyboardInterrupt


def _fail(trainer):
    raise OSError("disk full")


def _poison(trainer):
    trainer.model[0].weight.data[...] = np.nan


@pytest.mark.parametrize(
    ("then", "status"),
    [
        (lambda trainer: None, "completed"),
        (lambda trainer: trainer.stop(), "stopped"),
        (interrupt, "interrupted"),
        (_raiseinterrupt, "interrupted"),
        (_fail, "failed"),
        (_poison, "failed"),
    ],
)
def test_early_stopping_restores_the_best_weights_however_the_run_ended(then, status):
    best = {}

    class Keep(Callback):
        order = -1

        def on_epoch_end(self, trainer, row):
            if row["epoch"] == 2:
                best.update(trainer.model.state_dict())

    stopping = EarlyStopping("val_loss", patience=10)
    trainer = make_trainer([stopping, Keep(), Spoil(2, then)])
    try:
        fit(trainer, validation_data=blobs(seed=1), epochs=3)
    except (OSError, fn.NonFiniteLossError):
        assert status == "failed"
    assert trainer.history.status == status
    assert stopping.best_epoch == 2
    for key, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, best[key])


def test_early_stopping_stops():
    trainer = make_trainer([EarlyStopping("val_accuracy", patience=2, min_delta=2.0)])
    history = fit(trainer, validation_data=blobs(seed=1), epochs=20)
    assert len(history) == 3
    assert history.status == "stopped"
    assert "val_accuracy has not improved since epoch 1" in trainer.stop_reason
    with pytest.raises(KeyError, match=r"EarlyStopping: expected monitor to be one of .*'val_loss'; give fit valid"):
        fit(make_trainer([EarlyStopping()]))
    with pytest.raises(ValueError, match="patience >= 1"):
        EarlyStopping(patience=0)


def test_model_checkpoint_keeps_best_and_last(tmp_path):
    folder = tmp_path / "run"
    # "best" as the highest loss: the first epoch's
    trainer = make_trainer([ModelCheckpoint(folder, "val_loss", "max", metadata={"who": "me"})])
    fit(trainer, validation_data=blobs(seed=1), epochs=3)
    assert sorted(os.listdir(folder)) == ["best.safetensors", "last.safetensors", "resume.state"]
    last, best = fn.load(folder / "last.safetensors"), fn.load(folder / "best.safetensors")
    for key, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(last[key], value)
    assert any(not np.array_equal(last[key], best[key]) for key in best)
    other = make_trainer()
    other.model.load_state_dict(best)
    expected = trainer.history[0]["val_loss"]
    assert other.evaluate(blobs(seed=1), batch_size=16)["loss"] == pytest.approx(expected, rel=1e-6)
    assert fn.load_metadata(folder / "best.safetensors") == {"who": "me"}


def test_csv_logger_writes_the_history(tmp_path):
    path = tmp_path / "history.csv"
    trainer = make_trainer([CSVLogger(path)])
    fit(trainer, validation_data=blobs(seed=1))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["val_loss"]) for row in rows] == trainer.history.column("val_loss")


def test_schedulers_by_epoch_by_step_and_on_plateau():
    trainer = make_trainer()
    trainer.callbacks = [LRSchedulerCallback(lr_scheduler.StepLR(trainer.optimizer, 1, 0.5))]
    assert fit(trainer).column("lr") == [0.1, 0.05, 0.025]

    trainer = make_trainer()
    schedule = lr_scheduler.OneCycleLR(trainer.optimizer, 0.2, total_steps=18)
    trainer.callbacks = [LRSchedulerCallback(schedule)]
    fit(trainer)
    assert schedule.last_epoch == 18
    assert trainer.optimizer.param_groups[0]["lr"] < 5e-3

    trainer = make_trainer(lr=0.0)
    plateau = lr_scheduler.ReduceLROnPlateau(trainer.optimizer, patience=0, eps=0.0)
    trainer.optimizer.param_groups[0]["lr"] = 1e-12
    trainer.callbacks = [LRSchedulerCallback(plateau, monitor="val_loss")]
    fit(trainer, validation_data=blobs(seed=1), epochs=3)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(1e-14)

    model = nn.Linear(3, 3)
    optimizer = fn.optim.SGD(model.parameters(), lr=0.1)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.1)
    trainer = fn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[scheduler])
    np.testing.assert_allclose(fit(trainer).column("lr"), [0.1, 0.01, 0.001])
    with pytest.raises(ValueError, match="interval 'epoch' for ReduceLROnPlateau"):
        LRSchedulerCallback(plateau, "step")
    with pytest.raises(TypeError, match="expected a scheduler, got str"):
        LRSchedulerCallback("cosine")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_on_a_terminal_and_in_a_file():
    screen, log = Terminal(), io.StringIO()
    fit(make_trainer([ProgressBar(screen)]), validation_data=blobs(seed=1), epochs=2)
    assert "0/6 [" in screen.getvalue()
    fit(make_trainer([ProgressBar(log)]), validation_data=blobs(seed=1), epochs=2)
    lines = log.getvalue().splitlines()
    assert len(lines) == 2
    for word in ("epoch 2/2: loss ", "accuracy ", "val_loss ", "val_accuracy "):
        assert word in lines[1]
        assert word in screen.getvalue()


def bar_over_steps():
    bar, trainer = ProgressBar(Terminal()), make_trainer()
    trainer.steps_per_epoch, trainer.last_epoch = 100_000, 1
    bar.on_epoch_begin(trainer)
    return bar, trainer


def test_progress_bar_redraws_ten_times_a_second(monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    bar, trainer = bar_over_steps()
    draws = []
    bar._draw = lambda *args: draws.append(clock.now)
    for _ in range(1000):
        clock.now += 0.003
        bar.on_step(trainer)
    bar.on_fit_end(trainer)
    assert 25 <= len(draws) <= 30
    assert min(np.diff(draws)) >= 0.1


def test_progress_bar_costs_less_than_a_hundredth_of_a_step():
    model = fn.models.create("digits_cnn", num_classes=10, in_channels=1, image_size=8)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.01))
    x, y = np.zeros((64, 1, 8, 8), np.float32), np.zeros(64, np.int64)
    bar, trainer = bar_over_steps()

    def least(work, calls):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(calls):
                work()
            times.append((time.perf_counter() - started) / calls)
        return min(times)

    assert least(lambda: bar.on_step(trainer), 1000) < 0.01 * least(lambda: step(x, y), 20)
    bar.on_fit_end(trainer)
