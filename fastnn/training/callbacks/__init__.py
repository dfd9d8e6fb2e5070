"""Callbacks of the trainer: each one thing, and your own by subclassing `Callback`."""

from .base import Callback
from .checkpoint import ModelCheckpoint
from .csv_logger import CSVLogger
from .early_stopping import EarlyStopping
from .progress import ProgressBar
from .schedule import LRSchedulerCallback

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "LRSchedulerCallback", "ModelCheckpoint", "ProgressBar"]
