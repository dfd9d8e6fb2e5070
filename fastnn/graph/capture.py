"""Reading values inside a model: a call that returns chosen modules' outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .execute import execute_module

__all__ = ["capture"]


def capture(model: Any, names: Iterable[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that runs ``model`` and gives the outputs of the named submodules.

    Parameters
    ----------
    model : Module
    names : iterable of str
        Dotted names as in ``named_modules()``; the empty name is the model itself.

    Returns
    -------
    callable
        ``captured(x)`` returns a dict from name to array.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> model = fn.nn.Sequential(fn.nn.Linear(3, 4), fn.nn.ReLU(), fn.nn.Linear(4, 2))
    >>> values = fn.capture(model, ["0", "1"])(np.ones((5, 3)))
    >>> {name: value.shape for name, value in values.items()}
    {'0': (5, 4), '1': (5, 4)}
    """
    if not hasattr(model, "get_submodule") or isinstance(names, str):
        raise TypeError(f"capture: expected a Module and a list of names, got {type(model).__name__} and {names!r}")
    wanted = {}
    for name in names:
        try:
            wanted[name] = model.get_submodule(name)
        except AttributeError as error:
            raise AttributeError(f"capture: expected a layer of named_modules(), got {name!r}: {error}") from None

    def run(*args: Any, **kwargs: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}

        def keeper(name: str) -> Callable[[Any, Any, Any], None]:
            def keep(module: Any, inputs: Any, output: Any) -> None:
                values[name] = output

            return keep

        handles = [module.register_forward_hook(keeper(name)) for name, module in wanted.items()]
        try:
            execute_module(model, args, kwargs)
        finally:
            for handle in handles:
                handle.remove()
        return values

    return run
