"""Metrics and the history that holds them."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.training import (
    Accuracy,
    ConfusionMatrix,
    FunctionMetric,
    History,
    TopKAccuracy,
    class_report,
)
from trainer_setup import blobs, fit, make_trainer


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
