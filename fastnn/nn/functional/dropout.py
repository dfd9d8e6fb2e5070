"""Random masks: dropout of elements, of channels and of whole samples.

The mask is a function of the seed, the number of the run, the layer and the element's position: it does not depend on
threads, and the backward pass makes the same mask again instead of storing it.
"""

from __future__ import annotations

from fastnn import _checks
from fastnn.graph import apply, as_node, current_trace, eager

from ._common import Tensor, naming

__all__ = ["dropout", "dropout2d", "stochastic_depth"]


def _drop(input: Tensor, p: float, training: bool, mode: str) -> Tensor:
    if not training or p == 0.0:
        return as_node(input).float()
    trace = current_trace()
    assert trace is not None
    return apply("dropout", input, trace.rng(), p=p, stream=trace.next_stream(), mode=mode)


@eager
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return the input with each element zeroed with probability ``p``, the rest divided by 1 - p (Srivastava, 2014).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> sorted(set(F.dropout(np.ones((8, 8))).ravel().tolist()))
    [0.0, 2.0]
    """
    with naming("dropout"):
        p = _checks.as_probability("p", p)
    return _drop(input, p, training, "element")


@eager
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return the input with whole channels of samples zeroed with probability ``p`` (Tompson et al., 2015).

    Shape: input and output (N, C, L) or (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> maps = F.dropout2d(np.ones((2, 4, 3, 3)))
    >>> bool((maps == maps[:, :, :1, :1]).all())
    True
    """
    with naming("dropout2d"):
        p = _checks.as_probability("p", p)
        shape = as_node(input).shape
        if len(shape) < 3:
            raise ValueError(f"expected (N, C, L) or (N, C, H, W) input, got shape {shape}")
    return _drop(input, p, training, "channel")


@eager
def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Return the input with each sample (``"row"``) or the whole batch zeroed with probability ``p`` (Huang, 2016).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.stochastic_depth(np.ones((2, 3)), 0.5, "row", training=False).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    with naming("stochastic_depth"):
        p = _checks.as_probability("p", p)
        word = _checks.one_of("mode", mode, ("batch", "row"))
    return _drop(input, p, training, "sample" if word == "row" else "batch")
