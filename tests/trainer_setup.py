"""A small trainer and data for it, as the tests of training share them."""

from __future__ import annotations

import os
import signal

import numpy as np

import fastnn as fn
from fastnn import nn


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


def interrupt(trainer):
    os.kill(os.getpid(), signal.SIGINT)
