"""The networks of `fastnn.models` in PyTorch: the same sources, run with PyTorch's ``nn`` in the place of fastnn's.

fastnn speaks PyTorch's words, so a network's definition is a definition in both libraries; what is compared is then
sure to be the same network.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import types
from pathlib import Path
from typing import Any

__all__ = ["twin"]

HOME = "fastnn.models"


@functools.cache
def twin(name: str) -> types.ModuleType:
    """Return ``fastnn.models.<name>`` made of PyTorch's layers.

    Examples
    --------
    >>> model = twin("vgg").vgg16(num_classes=10)
    """
    original = importlib.import_module(f"{HOME}.{name}")
    module = types.ModuleType(f"torch_twin.{name}")
    scope = vars(module)
    scope["__builtins__"] = {**vars(builtins), "__import__": functools.partial(_import, real=builtins.__import__)}
    assert original.__file__ is not None
    path = Path(original.__file__)
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), scope)
    return module


def _import(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: Any = (),
    level: int = 0,
    *,
    real: Any,
) -> Any:
    """Import as a module of `fastnn.models` would, with PyTorch's ``nn`` for fastnn's and twins for its neighbours."""
    if level == 1:
        return twin(name)
    if level == 2 and name:
        return importlib.import_module(f"fastnn.{name}")
    if level == 2 or name.split(".")[0] == "fastnn":
        return types.SimpleNamespace(nn=torch_nn())
    return real(name, globals, locals, fromlist, level)


@functools.cache
def torch_nn() -> Any:
    """Return ``torch.nn`` with what fastnn's ``nn`` has and it lacks."""
    import torch

    class StochasticDepth(torch.nn.Module):
        """Drops a branch for whole images, with probability p."""

        def __init__(self, p: float, mode: str) -> None:
            super().__init__()
            assert mode == "row"
            self.kept = 1.0 - p

        def forward(self, x: Any) -> Any:
            if not self.training or self.kept == 1.0:
                return x
            return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(self.kept).div_(self.kept)

    return types.SimpleNamespace(**vars(torch.nn), StochasticDepth=StochasticDepth)
