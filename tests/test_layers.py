"""Checks that every layer passes; a new layer gets them by one row in layer_cases.py."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from layer_cases import LAYERS, Layer

every_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.text)


def some_input(layer: Layer, seed: int = 0) -> np.ndarray:
    """Small whole numbers that all dtypes hold, with both signs and few ties."""
    rng = np.random.default_rng(seed)
    return rng.integers(-8, 9, layer.input).astype(np.float32)


def made(layer: Layer) -> nn.Module:
    fn.manual_seed(3)
    return layer.build()


def test_registry_knows_every_layer() -> None:
    exempt = {"Module", "Sequential", "ModuleList", "ModuleDict"}
    classes = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module) and "Loss" not in name
    }
    assert classes - exempt == {layer.name for layer in LAYERS}


@every_layer
def test_prints_as_pytorch(layer: Layer) -> None:
    assert repr(made(layer)) == layer.text


@every_layer
def test_names_and_shapes_of_parameters_and_buffers(layer: Layer) -> None:
    module = made(layer)
    assert {name: p.shape for name, p in module.named_parameters()} == layer.parameters
    assert tuple(name for name, _ in module.named_buffers()) == layer.buffers
    assert list(module.state_dict()) == [*layer.parameters, *layer.buffers]
    for p in module.parameters():
        assert p.data.dtype == np.float32
        assert p.data.flags.c_contiguous
        assert p.requires_grad


@every_layer
def test_output_is_fresh_float32_of_the_right_shape(layer: Layer) -> None:
    module, x = made(layer), some_input(layer)
    y = module(x)
    assert y.shape == layer.output
    assert y.dtype == np.float32
    assert not np.shares_memory(x, y)
    before = y.copy()
    module(x + 1)
    np.testing.assert_array_equal(y, before)


@every_layer
def test_any_memory_gives_the_same_bits(layer: Layer) -> None:
    module, x = made(layer).eval(), some_input(layer)
    expected = module(x)
    read_only = x.copy()
    read_only.flags.writeable = False
    spread = np.empty((*x.shape[:-1], 2 * x.shape[-1]), np.float32)[..., ::2]
    spread[...] = x
    forms = {
        "read-only": read_only,
        "every second": spread,
        "fortran": np.asfortranarray(x),
        "reversed": x[::-1].copy()[::-1],
        "float64": x.astype(np.float64),
        "float16": x.astype(np.float16),
        "int64": x.astype(np.int64),
        "int8": x.astype(np.int8),
        "big-endian": x.astype(">f4"),
    }
    if x.ndim == 4:
        forms["channels-last"] = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for name, form in forms.items():
        kept = form.copy()
        np.testing.assert_array_equal(module(form), expected, err_msg=name)
        np.testing.assert_array_equal(form, kept, err_msg=f"{name}: the input was modified")


@every_layer
def test_uint8_is_taken_as_numbers(layer: Layer) -> None:
    module, x = made(layer).eval(), np.abs(some_input(layer))
    np.testing.assert_array_equal(module(x.astype(np.uint8)), module(x))


@every_layer
@pytest.mark.parametrize("dtype", ["complex64", "object", "U3"])
def test_what_is_no_number_is_refused(layer: Layer, dtype: str) -> None:
    with pytest.raises(TypeError, match="expected an array of numbers, got dtype"):
        made(layer)(some_input(layer).astype(dtype))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [pytest.param(row, s, m, id=f"{row.name}-{s}") for row in LAYERS for s, m in row.wrong],
)
def test_wrong_shapes_are_refused_by_name(layer: Layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError) as alone:  # noqa: PT011
        made(layer)(np.zeros(shape, np.float32))
    assert str(alone.value) == f"{layer.name}: {message}"
    inside = nn.Sequential(nn.Identity(), nn.Sequential(made(layer)))
    with pytest.raises(ValueError) as deep:  # noqa: PT011
        inside(np.zeros(shape, np.float32))
    assert str(deep.value) == f"{layer.name} '1.0': {message}"


@every_layer
def test_state_travels(layer: Layer) -> None:
    module, x = made(layer), some_input(layer)
    module(x)
    for p in module.parameters():
        p.data += 0.25
    other = layer.build()
    outcome = other.load_state_dict(module.state_dict())
    assert outcome.missing_keys == outcome.unexpected_keys == []
    np.testing.assert_array_equal(other.eval()(x), module.eval()(x))


@every_layer
def test_modes(layer: Layer) -> None:
    module, x = made(layer), some_input(layer)
    trained = module(x)
    evaluated = module.eval()(x)
    np.testing.assert_array_equal(module(x), evaluated)
    if layer.random:
        np.testing.assert_array_equal(evaluated, x)
        assert (trained != x).any()
    elif not layer.buffers:
        np.testing.assert_array_equal(trained, evaluated)


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_backward_gives_gradients_that_add_up(layer: Layer, training: bool) -> None:
    module, x = made(layer).train(training), some_input(layer)
    dy = np.random.default_rng(1).standard_normal(layer.output).astype(np.float32)
    module(x)
    dx = module.backward(dy)
    assert dx.shape == x.shape
    assert dx.dtype == np.float32
    assert np.isfinite(dx).all()
    once = {name: p.grad.copy() for name, p in module.named_parameters()}
    assert {name: g.shape for name, g in once.items()} == layer.parameters
    if not layer.random:
        module(x)
        np.testing.assert_array_equal(module.backward(dy), dx)
        for name, p in module.named_parameters():
            np.testing.assert_array_equal(p.grad, 2 * once[name])


@every_layer
def test_a_frozen_layer_gets_no_gradient(layer: Layer) -> None:
    module, x = made(layer).requires_grad_(False), some_input(layer)
    module(x)
    assert module.backward(np.ones(layer.output)).shape == x.shape
    assert all(p.grad is None for p in module.parameters())


@every_layer
def test_an_empty_batch_passes(layer: Layer) -> None:
    module = made(layer).eval()
    y = module(np.zeros((0, *layer.input[1:]), np.float32))
    assert y.shape == (0, *layer.output[1:])


@every_layer
def test_copies_are_independent(layer: Layer) -> None:
    module, x = made(layer).eval(), some_input(layer)
    expected = module(x)
    twin = copy.deepcopy(module)
    np.testing.assert_array_equal(twin(x), expected)
    for p in twin.parameters():
        p.data = np.full(p.shape, 7.0)
    np.testing.assert_array_equal(module(x), expected)
