"""Parameter: one buffer for life, operators in and out of traces."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from fastnn import nn


def test_values_are_copied_in_and_stay_in_place() -> None:
    source = np.arange(6, dtype=np.float64).reshape(2, 3).T
    p = nn.Parameter(source)
    assert p.data.dtype == np.float32
    assert p.data.flags.c_contiguous
    buffer = p.data
    source[...] = -1
    p.data = np.ones((3, 2))
    p.data *= 2
    p += 1
    p -= 1
    p *= 2
    p /= 4
    assert p.data is buffer
    assert buffer.tolist() == [[1.0, 1.0]] * 3
    with pytest.raises(ValueError, match=r"Parameter: expected data of shape \(3, 2\), got shape \(2, 3\)"):
        p.data = np.ones((2, 3))
    with pytest.raises(TypeError, match="to hold real numbers, got dtype complex128"):
        nn.Parameter(np.ones(2, complex))


def test_gradient_has_the_shape_of_the_data() -> None:
    p = nn.Parameter(np.ones((2, 3)))
    assert p.grad is None
    p.grad = np.ones((3, 2)).T
    assert p.grad.dtype == np.float32
    assert p.grad.flags.c_contiguous
    with pytest.raises(ValueError, match=r"expected grad of shape \(2, 3\), got shape \(2,\)"):
        p.grad = np.ones(2)
    p.grad = None
    assert p.grad is None
    scalar = nn.Parameter(2.0)
    scalar.grad = np.float32(3.0)
    assert scalar.grad.shape == ()


def test_what_is_known() -> None:
    p = nn.Parameter(np.zeros((2, 3)), requires_grad=False)
    assert (p.shape, p.ndim, p.dim(), p.numel(), p.size(), p.size(1), len(p)) == ((2, 3), 2, 2, 6, (2, 3), 3, 2)
    assert not p.requires_grad
    assert p.requires_grad_().requires_grad
    assert p.numpy() is p.data
    assert nn.Parameter(3.0).item() == float(nn.Parameter(3.0)) == 3.0
    assert repr(nn.Parameter(np.zeros(2))) == "Parameter([0., 0.], shape=(2,))"
    assert "requires_grad=False" in repr(nn.Parameter(np.zeros(2), False))


def test_outside_a_trace_operators_give_arrays() -> None:
    p, q = nn.Parameter([1.0, 2.0]), nn.Parameter([3.0, 4.0])
    results = {
        "add": p + q,
        "radd": 1 + p,
        "array first": np.array([1.0, 1.0]) + p,
        "sub": p - 1,
        "rsub": 1 - p,
        "mul": p * q,
        "div": p / q,
        "rdiv": 2 / p,
        "pow": p**2,
        "neg": -p,
        "matmul": p @ q,
        "index": p[1:],
        "method": p.mean(),
        "ufunc": np.exp(p),
    }
    for name, value in results.items():
        assert isinstance(value, (np.ndarray, np.floating)), name
    assert results["array first"].tolist() == [2.0, 3.0]
    assert results["matmul"] == 11.0
    assert np.asarray(p) is p.data
    with pytest.raises(AttributeError, match="Parameter has no attribute 'nonsense'"):
        _ = p.nonsense


def test_inside_a_trace_operators_reach_the_parameter() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter([1.0, 2.0])

        def forward(self, x):
            constant = np.array([3.0, 5.0], np.float32)
            return x * self.p + constant * self.p + (1.0 - self.p) ** 2 + self.p.reshape(2) / 2.0 + (-self.p)

    net = Net()
    assert net(np.zeros(2)).tolist() == [3.0 + 0.0 + 0.5 - 1.0, 10.0 + 1.0 + 1.0 - 2.0]
    net.backward(np.ones(2))
    assert net.p.grad.tolist() == [3.0 + 0.0 + 0.5 - 1.0, 5.0 + 2.0 + 0.5 - 1.0]


def test_numpy_functions_of_parameters_are_refused_in_a_trace() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter([1.0])

        def forward(self, x):
            return x + np.exp(self.p)

    with pytest.raises(TypeError, match=r"numpy.exp cannot be traced"):
        Net()(np.zeros(1))


def test_copies_keep_identity_apart() -> None:
    p = nn.Parameter([1.0])
    twin = copy.deepcopy(p)
    twin.data[...] = 2.0
    assert p.data.tolist() == [1.0]
    assert p in {p}
    assert p != twin


@pytest.mark.parametrize("shape", [(), (1,), (5, 7), (64, 128)])
def test_buffers_begin_with_a_cache_line(shape: tuple[int, ...]) -> None:
    p = nn.Parameter(np.ones(shape))
    for made in (p, copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert made.data.ctypes.data % 64 == 0
        assert made.data.shape == shape
        assert made.data.flags.c_contiguous
        assert made.data.flags.writeable
        assert (made.data == 1).all()
