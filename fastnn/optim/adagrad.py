"""Adagrad: steps scaled by the gradients' whole history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Group, Optimizer

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Adagrad: each weight's step shrinks with the sum of its squared gradients.

    With ``g = grad + weight_decay * p`` and t counting from 1: ``s += g ** 2`` and
    ``p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters or parameter groups.
    lr, lr_decay : float
        Learning rate and its decay with the number of steps.
    weight_decay : float
        L2 penalty's coefficient, added to the gradient.
    initial_accumulator_value : float
        Where the sum of squares starts.
    eps : float
        Keeps the division finite.
    maximize : bool
        Ascend instead of descend.

    Raises
    ------
    ValueError
        For an option out of range.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.Adagrad(layer.parameters(), lr=0.05).param_groups[0]["eps"]
    1e-10
    """

    primitive = "adagrad_step"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def check_group(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        self._expect(group, lr=0, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=0)

    def state_names(self, group: Group) -> tuple[str | None, ...]:
        """Return the names of the state arrays in use."""
        return ("sum",)

    def attrs(self, group: Group) -> dict[str, bool]:
        """Return the options that select a code path."""
        return {"maximize": bool(group["maximize"])}

    def hyper_values(self, group: Group) -> tuple[float, ...]:
        """Return the options that are read at run time."""
        return group["lr"], group["lr_decay"], group["weight_decay"], group["eps"]

    def initial_state(self, group: Group, name: str) -> float:
        """Return the value that a state array starts from."""
        return float(group["initial_accumulator_value"]) if name == "sum" else 0.0
