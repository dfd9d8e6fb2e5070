"""Data in memory: datasets, the loader that cuts them into batches, splits, and transforms of batches."""

from . import transforms
from .dataset import ArrayDataset, Dataset, Subset
from .loader import DataLoader
from .split import k_fold, train_test_split

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "Subset", "k_fold", "train_test_split", "transforms"]
