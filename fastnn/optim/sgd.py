"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .optimizer import Group, Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    r"""Stochastic gradient descent, optionally with (Nesterov) momentum.

    With ``g = grad + weight_decay * p``: ``v = momentum * v + (1 - dampening) * g`` (the first step takes
    ``v = g``) and ``p -= lr * v``; Nesterov's form steps along ``g + momentum * v``.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters or parameter groups.
    lr : float
        Learning rate.
    momentum, dampening : float
        Share of the last step that is kept, and of the gradient that is not taken into it.
    weight_decay : float
        L2 penalty's coefficient, added to the gradient.
    nesterov : bool
        Nesterov momentum; needs ``momentum > 0`` and ``dampening == 0``.
    maximize : bool
        Ascend instead of descend.

    Raises
    ------
    ValueError
        For an option out of range.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> optimizer = fn.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    >>> optimizer.param_groups[0]["momentum"]
    0.9
    """

    primitive = "sgd_step"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check_group(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        self._expect(group, lr=0, momentum=0, weight_decay=0)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: expected momentum > 0 and dampening == 0 with nesterov, "
                f"got momentum {group['momentum']} and dampening {group['dampening']}"
            )

    def state_names(self, group: Group) -> tuple[str | None, ...]:
        """Return the names of the state arrays in use."""
        return ("momentum_buffer" if group["momentum"] != 0 else None,)

    def attrs(self, group: Group) -> dict[str, bool]:
        """Return the options that select a code path."""
        return {"nesterov": bool(group["nesterov"]), "maximize": bool(group["maximize"])}

    def hyper_values(self, group: Group) -> tuple[float, ...]:
        """Return the options that are read at run time."""
        return group["lr"], group["momentum"], group["dampening"], group["weight_decay"]
