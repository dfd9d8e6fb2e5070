"""RMSprop: steps scaled by a running mean of squared gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Group, Optimizer

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop: each weight's step is divided by the root of a running mean of its squared gradients.

    With ``g = grad + weight_decay * p``: ``s = alpha * s + (1 - alpha) * g ** 2``; centered, the running mean's
    square is subtracted from s; ``d = g / (sqrt(s) + eps)``; ``p -= lr * d``, or with momentum
    ``v = momentum * v + d`` and ``p -= lr * v``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters or parameter groups.
    lr : float
        Learning rate.
    alpha : float
        Smoothing of the running means.
    eps : float
        Keeps the division finite; added outside the root, as in PyTorch.
    weight_decay : float
        L2 penalty's coefficient, added to the gradient.
    momentum : float
        Share of the last step that is kept.
    centered : bool
        Divide by an estimate of the standard deviation instead.
    maximize : bool
        Ascend instead of descend.

    Raises
    ------
    ValueError
        For an option out of range.

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5: rmsprop", 2012; centered form: Graves, arXiv:1308.0850.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.RMSprop(layer.parameters(), lr=1e-3, centered=True).param_groups[0]["alpha"]
    0.99
    """

    primitive = "rmsprop_step"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check_group(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        self._expect(group, lr=0, alpha=0, eps=0, weight_decay=0, momentum=0)

    def state_names(self, group: Group) -> tuple[str | None, ...]:
        """Return the names of the state arrays in use."""
        return (
            "square_avg",
            "grad_avg" if group["centered"] else None,
            "momentum_buffer" if group["momentum"] > 0 else None,
        )

    def attrs(self, group: Group) -> dict[str, bool]:
        """Return the options that select a code path."""
        return {"maximize": bool(group["maximize"])}

    def hyper_values(self, group: Group) -> tuple[float, ...]:
        """Return the options that are read at run time."""
        return group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"]
