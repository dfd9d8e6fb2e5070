"""fastnn: neural networks trained on CPUs, fast.

Models are written as in PyTorch (`fastnn.nn`), traced once into a plan of C steps, and run without Python in between.

>>> import numpy as np, fastnn as fn
>>> model = fn.nn.Sequential(fn.nn.Linear(4, 8), fn.nn.ReLU(), fn.nn.Linear(8, 2))
>>> model(np.ones((3, 4))).shape
(3, 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._backend import get_num_threads, get_precision, set_num_threads, set_precision
from ._config import config, show_config
from ._random import manual_seed
from ._version import __version__

from . import graph, nn, optim  # isort: skip  (the graph must be there before nn)
from .graph import Node as Tensor
from .graph import capture, checkpoint, explain, no_grad
from .nn.functional import cat, flatten, matmul, stack

if TYPE_CHECKING:
    from . import data, datasets, features, io, models, reference, training, viz
    from .finite_differences import numeric_gradient
    from .gradcheck import GradcheckError, gradcheck
    from .io import load, load_metadata, save
    from .training import NonFiniteLossError, Trainer, TrainStep, lr_find, profile

__all__ = [
    "GradcheckError",
    "NonFiniteLossError",
    "Tensor",
    "TrainStep",
    "Trainer",
    "__version__",
    "capture",
    "cat",
    "checkpoint",
    "config",
    "data",
    "datasets",
    "explain",
    "features",
    "flatten",
    "get_num_threads",
    "get_precision",
    "gradcheck",
    "graph",
    "io",
    "load",
    "load_metadata",
    "lr_find",
    "manual_seed",
    "matmul",
    "models",
    "nn",
    "no_grad",
    "numeric_gradient",
    "optim",
    "profile",
    "reference",
    "save",
    "set_num_threads",
    "set_precision",
    "show_config",
    "stack",
    "training",
    "viz",
]

# Imported at first use: `import fastnn` stays as quick as what it needs.
_LAZY_MODULES = ("data", "datasets", "features", "io", "models", "reference", "training", "viz")
_LAZY_NAMES = {
    "GradcheckError": "gradcheck",
    "numeric_gradient": "finite_differences",
    "gradcheck": "gradcheck",
    "load": "io",
    "load_metadata": "io",
    "save": "io",
    "NonFiniteLossError": "training",
    "TrainStep": "training",
    "Trainer": "training",
    "lr_find": "training",
    "profile": "training",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY_NAMES:
        value = getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
        globals()[name] = value  # the function, not the module that gradcheck shares its name with
        return value
    # What PyTorch has at its top level (relu, mean, zeros, ...), so that `import fastnn as torch` carries a model over.
    for home in _homes():
        if name in home.__all__:
            return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for home in _homes() for name in home.__all__)})


def _homes() -> tuple[Any, Any]:
    return nn.functional, import_module(f"{__name__}._creation")
