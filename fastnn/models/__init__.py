"""Networks by name: what the command line trains, and examples of how a network is written."""

from .lenet import GarmentClassifier, LeNet5
from .registry import create, names, register
from .small import CNN32, MLP, DigitsCNN, Softmax

__all__ = ["CNN32", "MLP", "DigitsCNN", "GarmentClassifier", "LeNet5", "Softmax", "create", "names", "register"]
