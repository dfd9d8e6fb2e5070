"""The oracle itself: its contract, and properties that no other implementation is needed to check."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest

from case_data import EXACT_LIMIT, MODES, Case, Fixed, Input, Output, make_inputs
from cases import all_cases, cases_of
from fastnn import reference
from fastnn.graph import run_primitive
from fastnn.graph.primitive import all_primitives
from oracle import mutated, run_oracle
from tolerances import LARGEST_SUM_IS_LAST, bounds, check_bounds_are_tight, is_exact, terms

dropout_module = importlib.import_module("fastnn.reference.dropout")

PRIMITIVES = {n: p for n, p in all_primitives().items() if not p.host}


SIGNATURES = {name: inspect.signature(getattr(reference, name)).parameters.values() for name in reference.__all__}


# ---- names and signatures ----


def test_same_names() -> None:
    assert set(reference.__all__) == set(PRIMITIVES)


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_same_signature(name: str) -> None:
    """Positional inputs are the primitive's, keyword-only attributes are those of its ``infer``."""
    primitive = PRIMITIVES[name]
    parameters = SIGNATURES[name]
    positional = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [p.name for p in positional] == [rule.name for rule in primitive.rules]
    for parameter, rule in zip(positional, primitive.rules, strict=True):
        assert (parameter.kind is inspect.Parameter.VAR_POSITIONAL) == rule.variadic, parameter
        assert (parameter.default is None) == rule.optional, parameter
    keywords = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    infer = inspect.signature(primitive.infer).parameters.values()
    named = {p.name for p in infer if p.kind is inspect.Parameter.KEYWORD_ONLY}
    takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in infer)
    assert named <= keywords if takes_more else named == keywords


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_same_attributes(name: str) -> None:
    """Each attribute is needed by both: a primitive without one of them is refused."""
    case = next(case for case in cases_of(name) if case.group == "basic")
    keywords = {p.name for p in SIGNATURES[name] if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert set(case.attrs) == keywords
    inputs = make_inputs(case, "floats")
    for left_out in case.attrs:
        attrs = {key: value for key, value in case.attrs.items() if key != left_out}
        with pytest.raises((TypeError, ValueError, KeyError)):
            run_primitive(name, *inputs, **attrs)


# ---- precision and strides ----


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_float64_in_float64_out(name: str) -> None:
    for case in cases_of(name)[:3]:
        inputs = make_inputs(case, "floats")
        for dtype in (np.float32, np.float64):
            given = [
                a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in inputs
            ]  # fmt: skip
            result = getattr(reference, name)(*given, **case.attrs)
            floating = [a.dtype for a in given if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
            wide = floating[:1] == [np.float64]
            for value in result if isinstance(result, tuple) else () if result is None else (result,):
                assert isinstance(value, np.ndarray)
                assert value.dtype.kind != "f" or value.dtype == (np.float64 if wide else np.float32)


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_strides_do_not_matter_and_inputs_are_kept(name: str) -> None:
    for case in cases_of(name)[:3]:
        inputs = make_inputs(case, "floats")
        plain = run_oracle(case, inputs)
        given = [np.array(a, order="F") if isinstance(a, np.ndarray) else a for a in inputs]
        for i, array in enumerate(given):
            if array is not None and i not in mutated(case):
                array.setflags(write=False)
        again = run_oracle(case, given)
        for a, b in zip(plain, again, strict=True):
            assert np.allclose(a, b, rtol=1e-12, atol=1e-12, equal_nan=True)


# ---- linear maps and their adjoints: <dy, f(x)> = <f'(dy), x> ----


@pytest.mark.parametrize("case", [c for c in cases_of("conv2d_bwd_data") if c.group != "big"], ids=lambda c: c.id)
def test_convolution_and_its_adjoints(case: Case) -> None:
    dy, w = make_inputs(case, "distinct")
    attrs = dict(case.attrs)
    size = attrs.pop("input_size")
    x = np.random.default_rng(1).standard_normal((dy.shape[0], w.shape[1] * attrs["groups"], *size))
    forward = np.vdot(dy, reference.conv2d(x, w, **attrs))
    assert np.isclose(forward, np.vdot(x, reference.conv2d_bwd_data(dy, w, input_size=size, **attrs)), atol=1e-8)
    dw = reference.conv2d_bwd_weights(dy, x, kernel_size=w.shape[2:], **attrs)
    assert np.isclose(forward, np.vdot(w, dw), atol=1e-8)


# ---- the generator of dropout ----


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        (
            (0, 0, 0, 0),
            (0, 0),
            {7: "5f6fb709 0d893f64 4f121f81 4f730a48", 10: "6627e8d5 e169c58d bc57ac4c 9b00dbd8"},
        ),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            {7: "5207ddc2 45165e59 4d8ee751 8c52f662", 10: "408f276d 41c83b0e a20bc7c6 6d5451fd"},
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            {7: "4dfccaba 190a87f0 c47362ba b6b5242a", 10: "d16cfe09 94fdcceb 5001e420 24126ea1"},
        ),
    ],
)
def test_philox_known_answers(counter: tuple[int, ...], key: tuple[int, int], words: dict[int, str]) -> None:
    """The test vectors that the authors of the generator publish."""
    given = tuple(np.array([word], np.uint64) for word in counter)
    for rounds, expected in words.items():
        made = dropout_module.philox(given, key, rounds)
        assert " ".join(f"{int(word[0]):08x}" for word in made) == expected


def test_dropout_keeps_the_share_it_says() -> None:
    x, rng = np.ones((200, 1000), np.float32), np.array([5, 1], np.uint64)
    for p in (0.1, 0.5, 0.9):
        y = reference.dropout(x, rng, p=p, stream=0, mode="element")
        assert abs((y != 0).mean() - (1 - p)) < 0.005
        assert abs(y.mean() - 1.0) < 0.02
    again = reference.dropout(x, np.array([5, 2], np.uint64), p=0.5, stream=0, mode="element")
    other = reference.dropout(x, rng, p=0.5, stream=1, mode="element")
    first = reference.dropout(x, rng, p=0.5, stream=0, mode="element")
    for different in (again, other):
        assert abs(((first != 0) == (different != 0)).mean() - 0.5) < 0.005


@pytest.mark.parametrize("p", [0.5, 0.1, 0.003])
def test_draws_of_one_word_are_independent(p: float) -> None:
    """Draws i and i + 16 of 32 are of the same word: both fall as often as if they were not, within five deviations."""
    made = dropout_module.draws(1 << 21, np.array([5, 1], np.uint64), 0).reshape(-1, 2, 16)
    dropped = made < np.uint64(round(p * 2.0**32))
    both = (dropped[:, 0] & dropped[:, 1]).mean()
    assert abs(both - p * p) <= 5 * np.sqrt(p * p * (1 - p * p) / dropped[:, 0].size)
    for half in (dropped[:, 0], dropped[:, 1]):
        assert abs(half.mean() - p) <= 5 * np.sqrt(p * (1 - p) / half.size)


# ---- the table, its generators and its tolerances ----


def test_every_case_names_a_primitive() -> None:
    assert {case.primitive for case in all_cases()} == set(PRIMITIVES)


def test_inputs_are_spread() -> None:
    """Whole numbers take all their values, floats vary along every axis, distinct values are distinct."""
    given = Input((40, 30))
    case = Case("relu", "spread", (given, given))
    for mode in MODES:
        a, b = make_inputs(case, mode)
        assert not np.array_equal(a, b)
        for array in (a, b):
            assert (np.ptp(array, axis=0) > 0).all()
            assert (np.ptp(array, axis=1) > 0).all()
            assert abs(array.mean()) < 0.3
    whole = make_inputs(case, "integers")[0]
    assert set(np.unique(whole)) == set(range(-4, 5))
    distinct = make_inputs(case, "distinct")
    values = np.sort(np.concatenate([array.ravel() for array in distinct]))
    assert np.diff(values).min() > 1e-4
    assert np.abs(values).min() > 1e-4
    for kind, low, high in (("unit", 0.0, 1.0), ("positive", 0.05, 10.0)):
        for mode in MODES:
            array = make_inputs(Case("relu", kind, (Input((500,), kind),)), mode)[0]
            assert low < array.min() < array.max() < high


def test_classes_are_spread() -> None:
    target = make_inputs(Case("nll_loss", "spread", (Input((400,), "index", 5, -100),)), "integers")[0]
    assert set(np.unique(target)) == {-100, 0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_inputs_vary_and_sums_stay_exact(name: str) -> None:
    """Random inputs are not constant, and whole-number sums stay below 2^24: the premise of the equality tests."""
    for case in cases_of(name):
        inputs = make_inputs(case, "integers", terms(case))
        for given, array in zip(case.inputs, inputs, strict=True):
            if isinstance(given, Input) and given.kind in ("normal", "positive", "unit") and array.size > 8:
                assert np.ptp(array) > 0, case.id
        if is_exact(case, "integers") and name in LARGEST_SUM_IS_LAST:
            sizes = [np.abs(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in inputs]
            assert all(value.max(initial=0) <= EXACT_LIMIT for value in run_oracle(case, sizes)), case.id


def test_bounds_notice_a_wrong_bit_pattern() -> None:
    """A bound must refuse a relative error of 1e-3 and accept one rounding."""
    for name in ("linear", "conv2d", "sigmoid", "batch_norm", "softmax", "cross_entropy"):
        case = next(c for c in cases_of(name) if c.group == "basic" and len(c.shape(0)) > 1)
        inputs = make_inputs(case, "floats")
        expected = run_oracle(case, inputs)
        limits = bounds(case, inputs, expected)
        check_bounds_are_tight(case, inputs, expected, limits)
        for value, limit in zip(expected, limits, strict=True):
            assert (np.abs(value.astype(np.float32) - value) <= limit).all()
            assert (np.abs(1e-3 * value) > limit).any()


def test_case_parts_are_plain_data() -> None:
    for case in all_cases():
        assert all(given is None or isinstance(given, (Input, Fixed, Output)) for given in case.inputs), case.id
        assert case.name == case.name.strip()
        assert " " not in case.name, case.id
