"""Training: the step, the trainer around it, callbacks, metrics and histories."""

from .callbacks import Callback, CSVLogger, EarlyStopping, LRSchedulerCallback, ModelCheckpoint, ProgressBar
from .history import History
from .metrics import Accuracy, ConfusionMatrix, FunctionMetric, Metric, TopKAccuracy, class_report
from .profiling import Profile, profile
from .range_test import LRFind, lr_find
from .step import NonFiniteLossError, TrainStep
from .trainer import Trainer

__all__ = [
    "Accuracy",
    "CSVLogger",
    "Callback",
    "ConfusionMatrix",
    "EarlyStopping",
    "FunctionMetric",
    "History",
    "LRFind",
    "LRSchedulerCallback",
    "Metric",
    "ModelCheckpoint",
    "NonFiniteLossError",
    "Profile",
    "ProgressBar",
    "TopKAccuracy",
    "TrainStep",
    "Trainer",
    "class_report",
    "lr_find",
    "profile",
]
