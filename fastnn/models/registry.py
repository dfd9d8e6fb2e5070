"""The closed list of networks that a file or a command line may name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .. import nn
from .._checks import as_int, as_pair

__all__ = ["create", "names", "register"]

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])

LARGEST_SMALL = 64  # CIFAR's images have a side of 32, Tiny ImageNet's 64, ImageNet's 224

_builders: dict[str, Callable[..., nn.Module]] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Return a decorator that enters a network's class, or a function that makes it, under ``name``.

    It is called with ``num_classes``, ``in_channels`` and ``image_size`` (a pair), by keyword.

    Parameters
    ----------
    name : str
        What `create` is to know it by.

    Raises
    ------
    ValueError
        If the name is taken.

    Examples
    --------
    >>> import fastnn as fn
    >>> @fn.models.register("two-layers")
    ... def two_layers(num_classes, in_channels, image_size):
    ...     inputs = in_channels * image_size[0] * image_size[1]
    ...     return fn.nn.Sequential(fn.nn.Flatten(), fn.nn.Linear(inputs, 16), fn.nn.Linear(16, num_classes))
    >>> "two-layers" in fn.models.names()
    True
    """

    def enter(builder: Builder) -> Builder:
        if name in _builders:
            raise ValueError(f"models.register: expected a new name, got {name!r}, which is taken")
        _builders[name] = builder
        return builder

    return enter


def register_sized(least: int, least_small: int) -> Callable[[Builder], Builder]:
    """Return a decorator that enters, under its own name, a function that takes num_classes, in_channels and cifar.

    `create` gives ``cifar=True`` for images of up to 64 x 64; the sides must reach ``least``, or then ``least_small``.
    """

    def enter(builder: Builder) -> Builder:
        def build(num_classes: int, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
            cifar = is_small(image_size)
            features_after(builder.__name__, image_size, least_small if cifar else least, int)
            return builder(num_classes=num_classes, in_channels=in_channels, cifar=cifar)

        register(builder.__name__)(build)
        return builder

    return enter


def is_small(image_size: tuple[int, int]) -> bool:
    """Tell whether images of this size get a network's variant for small ones."""
    return max(image_size) <= LARGEST_SMALL


def names() -> list[str]:
    """Return the names that `create` knows, sorted.

    Examples
    --------
    >>> import fastnn as fn
    >>> "lenet5" in fn.models.names()
    True
    """
    return sorted(_builders)


def create(name: str, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28) -> nn.Module:
    """Make a network by name, with fresh weights.

    Parameters
    ----------
    name : str
        One of `names()`.
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images. Up to 64 x 64, networks made for ImageNet come in their variant for CIFAR.

    Returns
    -------
    Module
        A network from images (N, in_channels, H, W) to scores (N, num_classes).

    Raises
    ------
    ValueError
        If the name is unknown, or the images are too small for the network.

    Examples
    --------
    >>> import fastnn as fn
    >>> model = fn.models.create("garment")
    >>> sum(p.data.size for p in model.parameters())
    44426
    """
    if name not in _builders:
        raise ValueError(f"models.create: expected one of {', '.join(names())}, got {name!r}")
    return _builders[name](
        num_classes=as_int("num_classes", num_classes, 1),
        in_channels=as_int("in_channels", in_channels, 1),
        image_size=as_pair("image_size", image_size, 1),
    )


def features_after(who: str, image_size: Any, least: int, shrink: Callable[[int], int]) -> int:
    """Return how many pixels a stack of layers leaves of an image, each side going from s to ``shrink(s)``."""
    sides = as_pair("image_size", image_size, 1)
    if min(sides) < least:
        raise ValueError(f"{who}: expected images of at least {least} x {least}, got {sides[0]} x {sides[1]}")
    return shrink(sides[0]) * shrink(sides[1])
