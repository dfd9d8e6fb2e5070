"""How PyTorch takes the values of torch_layer_cases.py; needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Draw = Callable[[tuple[int, ...]], np.ndarray]


class TorchLibrary:
    """PyTorch's way of the steps that a case is made of."""

    @staticmethod
    def array(value: Any) -> Any:
        return torch.tensor(value) if isinstance(value, np.ndarray) else value

    @staticmethod
    def state(module: Any) -> dict[str, np.ndarray]:
        return {key: value.numpy().copy() for key, value in module.state_dict().items()}

    @staticmethod
    def set_state(module: Any, state: dict[str, np.ndarray]) -> None:
        module.load_state_dict({key: torch.tensor(value) for key, value in state.items()})

    @staticmethod
    def run(module: Any, x: np.ndarray, draw: Draw) -> list[np.ndarray]:
        leaf = torch.tensor(x, requires_grad=True)
        y = module.train()(leaf)
        y.backward(torch.tensor(draw(tuple(y.shape))))
        return [y.detach().numpy(), leaf.grad.numpy(), *(p.grad.numpy() for p in module.parameters())]

    @staticmethod
    def evaluate(module: Any, x: np.ndarray) -> np.ndarray:
        return module.eval()(torch.tensor(x)).detach().numpy()

    @staticmethod
    def run_loss(loss: Any, x: np.ndarray, target: np.ndarray, draw: Draw) -> list[np.ndarray]:
        leaf = torch.tensor(x, requires_grad=True)
        y = loss(leaf, torch.tensor(target))
        y.backward(torch.tensor(draw(tuple(y.shape))))
        return [y.detach().numpy(), leaf.grad.numpy()]
