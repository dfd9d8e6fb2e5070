"""The command line: train, evaluate, predict, info."""

from .main import main

__all__ = ["main"]
