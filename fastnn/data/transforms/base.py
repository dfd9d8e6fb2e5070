"""What transforms share: the call on a batch, the fitted values and their state, the random generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ... import _random

__all__ = ["Compose", "RandomTransform", "Transform"]


class Transform:
    """Base class of the transforms: ``transform(x)`` returns a new batch and leaves ``x`` as it was.

    A subclass that learns from data names what it learns in ``fitted`` and sets those attributes in its
    ``fit``; saving and loading them is inherited.
    """

    random: bool = False
    """Whether the call takes a generator as its second argument."""

    fitted: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that `fit` sets; None until then."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the transformed batch."""
        raise NotImplementedError(f"{type(self).__name__}: expected __call__ to be defined by the subclass")

    def state_dict(self) -> dict[str, Any]:
        """Return the fitted values: arrays by name."""
        return {name: getattr(self, name) for name in self.fitted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the fitted values, as `state_dict` returned them.

        Raises
        ------
        ValueError
            If the names are not those of this transform.
        """
        if set(state) != set(self.fitted):
            raise ValueError(f"{type(self).__name__}: expected the state {list(self.fitted)}, got {list(state)}")
        for name, value in state.items():
            setattr(self, name, value)

    def _fitted_arrays(self) -> list[np.ndarray]:
        """Return the fitted values in the order of their names."""
        values = [getattr(self, name) for name in self.fitted]
        if any(value is None for value in values):
            raise RuntimeError(f"{type(self).__name__}: expected fit(x) before the first use")
        return values

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomTransform(Transform):
    """Base class of the random transforms: ``transform(x, rng)``; without ``rng`` the package's generator is used.

    A `DataLoader` gives each batch a generator of its own, made from its seed, the epoch and the batch's index.
    """

    random = True

    def __call__(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the transformed batch."""
        return self.apply(x, _random.generator() if rng is None else rng)

    def apply(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the transformed batch, drawing from ``rng`` only."""
        raise NotImplementedError(f"{type(self).__name__}: expected apply to be defined by the subclass")


class Compose(Transform):
    """Transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callable
        What to apply, first to last; random ones draw from one generator in that order.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import Compose, Normalize, Scale
    >>> Compose([Scale(1 / 255), Normalize(0.5, 0.5)])(np.array([[[[0, 255]]]], np.uint8))
    array([[[[-1.,  1.]]]], dtype=float32)
    """

    def __init__(self, transforms: list[Callable[..., np.ndarray]] | tuple[Callable[..., np.ndarray], ...]) -> None:
        if not isinstance(transforms, (list, tuple)):
            raise TypeError(f"Compose: expected a list of callables, got {transforms!r}")
        self.transforms = tuple(transforms)
        for transform in self.transforms:
            if not callable(transform):
                raise TypeError(f"Compose: expected callables, got {transform!r}")
        self.random = any(getattr(transform, "random", False) for transform in self.transforms)

    def __call__(self, x: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the batch after all transforms."""
        for transform in self.transforms:
            x = transform(x, rng) if getattr(transform, "random", False) else transform(x)
        return x

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the members that have one, by their position."""
        return {str(i): t.state_dict() for i, t in enumerate(self.transforms) if hasattr(t, "state_dict")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the members' states, as `state_dict` returned them."""
        own = {str(i): t for i, t in enumerate(self.transforms) if hasattr(t, "load_state_dict")}
        if set(state) != set(own):
            raise ValueError(f"Compose: expected the states of members {list(own)}, got {list(state)}")
        for name, transform in own.items():
            transform.load_state_dict(state[name])

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"
