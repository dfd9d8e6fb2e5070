"""Write PyTorch's values for every optimizer and scheduler option into ``torch_training.npz``. Run as a script."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

import training_cases as cases


def optimizer_values(name: str) -> np.ndarray:
    """Return all parameters after each update, end to end."""
    kind, options = cases.OPTIMIZERS[name]
    params = [torch.nn.Parameter(torch.tensor(value)) for value in cases.start_values()]
    optimizer = getattr(torch.optim, kind)(params, foreach=False, **options)
    rows = []
    for grads in cases.gradients():
        for p, g in zip(params, grads, strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        rows.append(np.concatenate([p.detach().numpy().reshape(-1) for p in params]))
    return np.array(rows)


def schedule_values(name: str) -> np.ndarray:
    """Return the groups' rates and momenta before each step."""
    kind, make = cases.SCHEDULES[name]
    groups = [{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": lr} for lr in cases.RATES]
    options: dict[str, Any] = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(groups, lr=0.5, **options)
    return cases.record_schedule(name, make(torch.optim.lr_scheduler, optimizer), optimizer)


def all_values() -> dict[str, np.ndarray]:
    """Return every case's values by name."""
    warnings.simplefilter("ignore")
    values = {f"optimizer/{name}": optimizer_values(name) for name in cases.OPTIMIZERS}
    return values | {f"schedule/{name}": schedule_values(name) for name in cases.SCHEDULES}


if __name__ == "__main__":
    np.savez_compressed(cases.ARCHIVE, **all_values())
    print(f"{cases.ARCHIVE}: {cases.ARCHIVE.stat().st_size} bytes, from PyTorch {torch.__version__}")
