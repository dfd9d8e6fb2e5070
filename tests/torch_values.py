"""PyTorch's values of a case. Needs torch; everything runs in float64 on float32 inputs.

Beside each value comes its *scale*: the largest sum of absolute terms that an element of it is made of, to first order.
An output y(x) moves by the sum over inputs of |dy/dx| |x| eps when inputs are rounded, and a gradient
is the sum over outputs of |dy/dx| |g|. Rounding errors of a sound algorithm are a small number of eps times this.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from torch_case import Case, Record, Rng, draw, draw_state, fill

torch.set_num_threads(1)  # arrays of a few hundred numbers

Tensors = list[torch.Tensor]


def _double(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64 if array.dtype.kind == "f" else torch.int64)


def _function(name: str) -> Any:
    return getattr(functional, name, None) or getattr(torch, name)


def quietly(function: Any) -> Any:
    """PyTorch warns of even kernels with "same" padding and of its older words; NumPy of what float32 cannot hold."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*args)

    return wrapper


def _outputs(case: Case, module: Any, tensors: Tensors) -> Any:
    """Evaluate the case; the tensors are those of its arguments, then of its options."""
    letters = dict(zip("abc", tensors, strict=False))
    code = case.name if case.kind == "expression" else case.torch
    if code:
        return eval(code, {"F": functional}, letters)
    rest = list(tensors)
    args = fill(case.args, rest)
    if module is not None:
        return module(*args)
    return _function(case.name)(*args, *fill(case.make, rest), **fill(case.options, rest))


def _module(case: Case, tensors: Tensors) -> Any:
    if case.kind != "module" or case.torch:
        return None
    rest = list(tensors)
    fill(case.args, rest)
    make = fill(case.make, rest)
    return getattr(torch.nn, case.name)(*make, **fill(case.options, rest)).double().train(case.train)


@quietly
def values(case: Case, rng: Rng) -> Record:
    """Draw inputs, weights and output gradients; return them with outputs, gradients, buffers after, and scales."""
    arrays = [draw(d, rng) for d in case.arrays()]
    record: Record = {f"array.{i}": a for i, a in enumerate(arrays)}
    tensors = [_double(a).requires_grad_(d.has_gradient) for a, d in zip(arrays, case.arrays(), strict=True)]
    module = _module(case, tensors)
    leaves = {f"dx.{i}": t for i, t in enumerate(tensors) if t.requires_grad}
    buffers = {
        f"after.{i}": t for i, (t, d) in enumerate(zip(tensors, case.arrays(), strict=True)) if d.kind == "running"
    }
    if module is not None:
        state = {k: draw_state(k, tuple(v.shape), rng) for k, v in module.state_dict().items()}
        module.load_state_dict({k: _double(v) for k, v in state.items()})
        record |= {f"state.{k}": v for k, v in state.items()}
        leaves |= {f"grad.{k}": p for k, p in module.named_parameters()}
        buffers |= {f"after.{k}": b for k, b in module.named_buffers() if f"state.{k}" in record}
    found = _outputs(case, module, tensors)
    ys = list(found) if isinstance(found, (tuple, list)) else [found]
    dys = [np.asarray(rng.normal(size=tuple(y.shape)), np.float32) for y in ys]
    record |= {f"y.{i}": y.detach().numpy() for i, y in enumerate(ys)} | {f"dy.{i}": dy for i, dy in enumerate(dys)}
    record |= {key: b.detach().numpy() for key, b in buffers.items()}
    y = torch.cat([y.reshape(-1) for y in ys])
    dy = torch.cat([_double(dy).reshape(-1) for dy in dys])
    grads, terms = _gradients(y, dy, list(leaves.values()))
    record |= {key: g.numpy() for key, g in zip(leaves, grads, strict=True)}
    record = {key: a.astype(np.float32) if a.dtype.kind == "f" else a for key, a in record.items()}
    return record | _scales(case, record, dict(zip(leaves, terms[1:], strict=True)), terms[0])


def _gradients(y: torch.Tensor, dy: torch.Tensor, leaves: Tensors) -> tuple[Tensors, Tensors]:
    """Return the gradients, and the sums of absolute terms of the outputs and of the gradients."""
    sums = [torch.zeros_like(leaf) for leaf in leaves]
    of_outputs = torch.zeros_like(y)
    if not y.requires_grad:
        return sums, [of_outputs, *sums]
    grads = torch.autograd.grad(y, leaves, dy, retain_graph=True, allow_unused=True)
    for j in range(y.numel()):
        rows = torch.autograd.grad(y[j], leaves, retain_graph=True, allow_unused=True)
        for row, leaf, total in zip(rows, leaves, sums, strict=True):
            if row is not None:
                of_outputs[j] += (row * leaf).abs().sum().detach()
                total += (row * dy[j]).abs()
    return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)], [of_outputs, *sums]


# Their derivative cancels inside, y (dy - sum y dy): terms of the size of y dy, however small the derivative is.
CANCELS = ("softmax", "softmin")


def _scales(case: Case, record: Record, gradient_terms: dict[str, torch.Tensor], output_terms: torch.Tensor) -> Record:
    """Return the scale of every value; running statistics are averages of the inputs and of their squares."""
    numbers = [a for key, a in record.items() if key.startswith("array.") and a.dtype.kind == "f"]
    inputs = max(map(_largest, numbers), default=0.0)
    scales: Record = {}
    for key, value in record.items():
        kind = key.split(".")[0]
        if kind in ("y", "dx", "grad", "after"):
            terms = {"y": _largest(output_terms.numpy()), "after": inputs}.get(kind, 0.0)
            if key in gradient_terms:
                terms = _largest(gradient_terms[key].numpy())
                if case.name.lower() in CANCELS:
                    terms = max(terms, _largest(record["y.0"]) * _largest(record["dy.0"]))
            scales[f"scale.{key}"] = np.float32(max(terms, _largest(value)))
    return scales


def _largest(array: np.ndarray) -> float:
    """Return the largest finite size."""
    narrow = np.abs(array.astype(np.float32))
    return float(narrow[np.isfinite(narrow)].max(initial=0.0))
