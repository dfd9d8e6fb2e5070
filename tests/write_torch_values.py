"""Write PyTorch's values of every case of torch_cases.py into ``torch_values.npz``. Run as a script."""

from __future__ import annotations

import torch

from torch_case import ARCHIVE, generator, save
from torch_function_cases import all_cases
from torch_values import values

if __name__ == "__main__":
    save({name: values(case, generator(case, 0)) for name, case in all_cases().items()}, torch.__version__)
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size} bytes, from PyTorch {torch.__version__}")
