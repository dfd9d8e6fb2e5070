"""Penalties on chosen parameters: terms that a training step adds to the loss it reports and differentiates."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

__all__ = ["L1", "L2", "ElasticNet", "Penalty"]


class Penalty:
    """Base class: a penalty is a sum of terms, one for each of its parameters.

    A subclass overrides `term`, which sees a parameter as a graph node and returns a scalar node.

    Parameters
    ----------
    params : iterable of Parameter or of (name, Parameter)
        What is penalised, e.g. ``model.parameters()`` or the weights without the biases.

    Raises
    ------
    ValueError
        For no parameters.

    Examples
    --------
    >>> import fastnn as fn
    >>> class Centered(fn.optim.Penalty):
    ...     def term(self, weight):
    ...         return weight.mean() ** 2
    >>> layer = fn.nn.Linear(3, 2)
    >>> len(Centered([layer.weight]).params)
    1
    """

    def __init__(self, params: Iterable[Any]) -> None:
        who = type(self).__name__
        if not isinstance(params, Iterable):
            raise TypeError(f"{who}: expected parameters, got {type(params).__name__}")
        self.params = [entry[1] if isinstance(entry, tuple) else entry for entry in params]
        if not self.params:
            raise ValueError(f"{who}: expected at least one parameter, got none")
        for position, entry in enumerate(self.params):
            if not hasattr(entry, "requires_grad"):
                raise TypeError(f"{who}: expected a Parameter at position {position}, got {type(entry).__name__}")

    def term(self, weight: Any) -> Any:
        """Return the scalar node that one parameter, as a node, adds to the loss."""
        raise NotImplementedError(f"{type(self).__name__}.term")

    def __call__(self) -> Any:
        """Return the penalty as a scalar node of the current trace."""
        from ..graph import as_node

        terms = [self.term(as_node(p)) for p in self.params]
        total = terms[0]
        for other in terms[1:]:
            total = total + other
        return total


class L1(Penalty):
    """``strength * sum(|w|)`` over the parameters: drives small weights to zero.

    Parameters
    ----------
    params : iterable
        What is penalised.
    strength : float
        Factor of the sum, at least 0.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.L1([layer.weight], 1e-4).strength
    0.0001
    """

    def __init__(self, params: Iterable[Any], strength: float) -> None:
        super().__init__(params)
        self.strength = _at_least_zero("L1", "strength", strength)

    def term(self, weight: Any) -> Any:
        """Return the parameter's term as a scalar node."""
        return weight.abs().sum() * self.strength


class L2(Penalty):
    """``strength * sum(w ** 2)`` over the parameters (no factor 1/2): keeps weights small.

    Its gradient is ``2 * strength * w``: SGD's ``weight_decay = 2 * strength`` takes the same steps, but leaves
    the penalty out of the reported loss.

    Parameters
    ----------
    params : iterable
        What is penalised.
    strength : float
        Factor of the sum, at least 0.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.L2(layer.parameters(), 1e-3).strength
    0.001
    """

    def __init__(self, params: Iterable[Any], strength: float) -> None:
        super().__init__(params)
        self.strength = _at_least_zero("L2", "strength", strength)

    def term(self, weight: Any) -> Any:
        """Return the parameter's term as a scalar node."""
        return (weight * weight).sum() * self.strength


class ElasticNet(Penalty):
    """``l1 * sum(|w|) + l2 * sum(w ** 2)`` over the parameters.

    Parameters
    ----------
    params : iterable
        What is penalised.
    l1, l2 : float
        Factors of the two sums, at least 0.

    References
    ----------
    Zou, Hastie, "Regularization and variable selection via the elastic net", J. R. Stat. Soc. B, 2005.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(3, 2)
    >>> fn.optim.ElasticNet([layer.weight], l1=1e-4, l2=1e-3).l2
    0.001
    """

    def __init__(self, params: Iterable[Any], l1: float, l2: float) -> None:
        super().__init__(params)
        self.l1 = _at_least_zero("ElasticNet", "l1", l1)
        self.l2 = _at_least_zero("ElasticNet", "l2", l2)

    def term(self, weight: Any) -> Any:
        """Return the parameter's term as a scalar node."""
        return weight.abs().sum() * self.l1 + (weight * weight).sum() * self.l2


def _at_least_zero(who: str, name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{who}: expected {name} to be a number, got {value!r}")
    if not value >= 0:
        raise ValueError(f"{who}: expected {name} >= 0, got {value}")
    return float(value)
