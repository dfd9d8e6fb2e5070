"""Trainer: what it measures, what callbacks see and do, and how a run ends."""

from __future__ import annotations

import csv
import io
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.data import ArrayDataset, DataLoader
from fastnn.optim import lr_scheduler
from fastnn.training import (
    Accuracy,
    Callback,
    ConfusionMatrix,
    CSVLogger,
    EarlyStopping,
    FunctionMetric,
    History,
    LRSchedulerCallback,
    ModelCheckpoint,
    ProgressBar,
    TopKAccuracy,
    class_report,
)
from fastnn.training.callbacks import progress


def blobs(n=96, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return (np.eye(classes)[y] * 3 + rng.normal(size=(n, classes))).astype(np.float32), y


def make_trainer(callbacks=(), metrics=("accuracy",), lr=0.1, **options):
    fn.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = fn.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return fn.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics, callbacks, **options)


def fit(trainer, data=None, **options):
    return trainer.fit(data or blobs(), **{"epochs": 3, "batch_size": 16, "progress": False, **options})


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


@pytest.fixture(autouse=True)
def _ctrl_c_raises():
    """Python's own handler of Ctrl-C, which a process started in a shell's background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _interrupt(trainer):
    os.kill(os.getpid(), signal.SIGINT)


def _raise_interrupt(trainer):
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
        (_interrupt, "interrupted"),
        (_raise_interrupt, "interrupted"),
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


def test_ctrl_c_ends_between_steps_and_keeps_the_weights():
    class Press(Callback):
        def on_step(self, trainer):
            if trainer.steps == 9:
                _interrupt(trainer)
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
            _interrupt(trainer)
            _interrupt(trainer)
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


def test_metrics_over_batches_equal_metrics_over_all():
    rng = np.random.default_rng(0)
    output, target = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    metrics = [Accuracy(), TopKAccuracy(3), ConfusionMatrix(7), FunctionMetric(lambda o, t: float(o.mean()), "mean")]
    for metric in metrics:
        for i in range(0, 50, 8):
            metric.update(output[i : i + 8], target[i : i + 8])
    order = np.argsort(-output, axis=1)
    assert metrics[0].compute() == np.mean(order[:, 0] == target)
    assert metrics[1].compute() == np.mean((order[:, :3] == target[:, None]).any(axis=1))
    assert metrics[2].compute().sum() == 50
    assert np.trace(metrics[2].compute()) == metrics[0].correct
    assert metrics[3].compute() == pytest.approx(output.mean())
    soft = Accuracy()
    soft.update(output, np.eye(7)[target])
    assert soft.compute() == metrics[0].compute()
    nothing = TopKAccuracy(1)
    nothing.update(np.full((3, 7), np.nan), np.zeros(3, int))
    assert nothing.compute() == 0.0
    assert np.isnan(Accuracy().compute())


def test_metric_errors_and_names():
    with pytest.raises(ValueError, match="expected a Metric, a function, 'accuracy' or 'top<k>', got 'f2'"):
        make_trainer(metrics=["f2"])
    with pytest.raises(ValueError, match="different names"):
        make_trainer(metrics=["accuracy", Accuracy()])
    with pytest.raises(ValueError, match=r"expected scores of shape .*got \(2, 3, 4\)"):
        Accuracy().update(np.zeros((2, 3, 4)), np.zeros(2))
    with pytest.raises(ValueError, match="expected classes 0 to 1, got 0 to 5"):
        ConfusionMatrix(2).update(np.eye(2), np.array([0, 5]))
    trainer = make_trainer(metrics=["top2", ConfusionMatrix(3)])
    fit(trainer, validation_data=blobs())
    assert "val_top2" in trainer.history[0]
    assert "confusion_matrix" not in trainer.history[0]
    assert trainer.evaluate(blobs())["confusion_matrix"].sum() == 96


def test_class_report_of_an_empty_class():
    rows = class_report(np.array([[2, 0, 1], [0, 0, 0], [1, 0, 3]]), ["a", "b", "c"])
    assert rows[1] == {"class": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "count": 0}
    assert rows[2]["precision"] == rows[2]["recall"] == rows[2]["f1"] == 0.75


def test_history_best_column_and_csv():
    history = History([{"epoch": 1, "loss": 2.0, "a": 0.5}, {"epoch": 2, "loss": float("nan"), "a": 0.75, "b": 1}])
    assert history.best("loss")["epoch"] == 1
    assert history.best("a")["epoch"] == 2
    assert history.best("a", "min")["epoch"] == 1
    assert history.column("b") == [None, 1]
    assert history.to_csv() == "epoch,loss,a,b\n1,2.0,0.5,\n2,nan,0.75,1\n"
    with pytest.raises(KeyError, match="expected one of"):
        history.column("nope")
    with pytest.raises(KeyError, match="got none among 0"):
        History().best("loss")


def test_curves_need_matplotlib_and_say_so(tmp_path, monkeypatch):
    import sys

    history = History([{"epoch": 1, "loss": 2.0}])
    with pytest.raises(ValueError, match="expected at least one epoch"):
        History().plot()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError, match=r"fastnn-core\[plot\]"):
        history.plot(tmp_path / "curves.png")
