"""From pixels as they are stored to a network's input, as its first layer: loaders hand over bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..nn.state import IncompatibleKeys

__all__ = ["Normalization", "OnPixels"]


@dataclass(frozen=True)
class Normalization:
    """``(pixel * scale - mean) / std``, a mean and a std a channel; scale brings stored pixels to the range 0 to 1."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, scale: Any, mean: Any, std: Any) -> Normalization:
        """Return the normalisation by these numbers, or raise ValueError or TypeError for those that make none."""
        made = cls(float(scale), tuple(float(m) for m in mean), tuple(float(s) for s in std))
        if len(made.mean) != len(made.std):
            raise ValueError(f"expected as many means as stds, got {len(made.mean)} and {len(made.std)}")
        made.layer()
        return made

    def layer(self) -> nn.Normalize:
        """Return it as a layer."""
        return nn.Normalize(self.mean, self.std, scale=self.scale)


class OnPixels(nn.Module):
    """A network behind the normalisation of its input; saved and loaded as the network alone.

    Examples
    --------
    >>> import numpy as np
    >>> network = OnPixels(nn.Flatten(), Normalization.of(1 / 255, [0.5], [0.25]))
    >>> network(np.full((1, 1, 1, 1), 255, np.uint8)).item()
    2.0
    """

    def __init__(self, model: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.normalize, self.model = normalization.layer(), model

    def forward(self, x: Any) -> Any:
        return self.model(self.normalize(x))

    def state_dict(self, *, prefix: str = "") -> OrderedDict[str, np.ndarray]:
        """Return the state of the network."""
        return self.model.state_dict(prefix=prefix)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Load the state of the network."""
        return self.model.load_state_dict(state_dict, strict)
