"""Transforms of batches: callables from array to array, some fitted to training data first, some random."""

from .augment import RandomCrop, RandomHorizontalFlip
from .base import Compose, RandomTransform, Transform
from .scaling import Normalize, Scale, Standardize
from .targets import OneHot
from .whitening import PCAWhitening, ZCAWhitening

__all__ = [
    "Compose",
    "Normalize",
    "OneHot",
    "PCAWhitening",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomTransform",
    "Scale",
    "Standardize",
    "Transform",
    "ZCAWhitening",
]
