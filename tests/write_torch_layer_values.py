"""Write PyTorch's values for every case of torch_layer_cases.py into ``torch_layers.npz``. Run as a script."""

from __future__ import annotations

import warnings

import numpy as np
import torch

import torch_layer_cases as cases
from torch_library import TorchLibrary

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    values = {name: take(torch.nn, TorchLibrary) for name, take in cases.all_cases().items()}
    names = np.array(list(values))
    bounds = np.cumsum([0] + [len(v) for v in values.values()])
    np.savez_compressed(cases.ARCHIVE, names=names, bounds=bounds, values=np.concatenate(list(values.values())))
    print(f"{cases.ARCHIVE}: {cases.ARCHIVE.stat().st_size} bytes, from PyTorch {torch.__version__}")
