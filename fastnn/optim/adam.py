"""Adam and AdamW."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from .optimizer import Group, Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: momentum and per-weight scaling, both corrected for starting from zero.

    With ``g = grad + weight_decay * p``: ``m = b1 * m + (1 - b1) * g``, ``v = b2 * v + (1 - b2) * g ** 2`` and
    ``p -= lr * (m / (1 - b1 ** t)) / (sqrt(v / (1 - b2 ** t)) + eps)``; AMSGrad divides by the largest v so far.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters or parameter groups.
    lr : float
        Learning rate.
    betas : (float, float)
        Smoothing of the gradient's and of its square's running means.
    eps : float
        Keeps the division finite.
    weight_decay : float
        L2 penalty's coefficient, added to the gradient.
    amsgrad : bool
        Divide by the largest second moment seen.
    maximize : bool
        Ascend instead of descend.

    Raises
    ------
    ValueError
        For an option out of range.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980; AMSGrad: Reddi, Kale,
    Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.Adam(layer.parameters()).param_groups[0]["betas"]
    (0.9, 0.999)
    """

    primitive = "adam_step"
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas) if isinstance(betas, Sequence) else betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def check_group(self, group: Group) -> None:
        """Raise ValueError for an option out of range."""
        self._expect(group, lr=0, eps=0, weight_decay=0)
        betas = group["betas"]
        pair = isinstance(betas, Sequence) and len(betas) == 2 and all(isinstance(b, numbers.Real) for b in betas)
        if not pair or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"{type(self).__name__}: expected betas as two numbers in [0, 1), got {betas!r}")

    def state_names(self, group: Group) -> tuple[str | None, ...]:
        """Return the names of the state arrays in use."""
        return "exp_avg", "exp_avg_sq", "max_exp_avg_sq" if group["amsgrad"] else None

    def attrs(self, group: Group) -> dict[str, bool]:
        """Return the options that select a code path."""
        return {"decoupled": self.decoupled, "maximize": bool(group["maximize"])}

    def hyper_values(self, group: Group) -> tuple[float, ...]:
        """Return the options that are read at run time."""
        beta1, beta2 = group["betas"]
        return group["lr"], beta1, beta2, group["eps"], group["weight_decay"]


class AdamW(Adam):
    """Adam with weight decay taken off the weights themselves: ``p -= lr * weight_decay * p`` before the step.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters or parameter groups.
    lr, betas, eps, amsgrad, maximize
        As for `Adam`.
    weight_decay : float
        Share of a weight that decays in a step, times lr.

    Raises
    ------
    ValueError
        For an option out of range.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.AdamW(layer.parameters()).param_groups[0]["weight_decay"]
    0.01
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
