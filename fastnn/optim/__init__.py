"""Optimizers with PyTorch's names and options, penalties on weights, and learning-rate schedulers."""

from . import lr_scheduler
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .penalties import L1, L2, ElasticNet, Penalty
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "L1",
    "L2",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ElasticNet",
    "Optimizer",
    "Penalty",
    "RMSprop",
    "lr_scheduler",
]
