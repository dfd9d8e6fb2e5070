"""Every layer, loss, function and tensor operation beside PyTorch.

Its recorded values are always compared; where PyTorch is installed, so are live ones, on inputs drawn afresh.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import nn
from fastnn.graph import Node
from fastnn.nn import functional as F
from tolerances import EPS, GUARD, ROUNDINGS, TINY
from torch_case import ARCHIVE, Case, Record, fill, generator, load
from torch_cases import MODULES
from torch_function_cases import EXPRESSIONS, FUNCTIONS, all_cases

CASES = all_cases()
SUBJECTS: dict[str, list[Case]] = {}
for _case in CASES.values():
    SUBJECTS.setdefault(_case.subject, []).append(_case)

# ---- fastnn's values of a case ----


class Calling(nn.Module):
    """A case's function or expression as a module: what has a gradient comes in, running statistics are buffers."""

    def __init__(self, case: Case, arrays: list[np.ndarray]) -> None:
        super().__init__()
        self.case = case
        self.places = [i for i, d in enumerate(case.arrays()) if d.kind != "running"]
        self.places.sort(key=lambda i: not case.arrays()[i].has_gradient)
        self.differentiable_inputs = sum(d.has_gradient for d in case.arrays())
        for i, drawn in enumerate(case.arrays()):
            if drawn.kind == "running":
                self.register_buffer(str(i), arrays[i])

    def forward(self, *given: Node) -> Any:
        nodes: dict[int, Any] = dict(zip(self.places, given, strict=True))
        return evaluate(self.case, [nodes[i] if i in nodes else getattr(self, str(i)) for i in range(self._count())])

    def _count(self) -> int:
        return len(self.case.arrays())


def evaluate(case: Case, values: list[Any]) -> Any:
    """Call the case's function, on nodes or on arrays."""
    if case.kind == "expression":
        return eval(case.name, {"F": F}, dict(zip("abc", values, strict=False)))
    rest = list(values)
    args = fill(case.args, rest)
    return getattr(F, case.name)(*args, *fill(case.make, rest), **fill(case.options, rest))


def made(case: Case, record: Record) -> tuple[nn.Module, list[np.ndarray]]:
    """Return the module of a case, with the record's state, and the arrays that it is called with."""
    arrays = [record[f"array.{i}"].copy() for i in range(len(case.arrays()))]
    if case.kind != "module":
        module = Calling(case, arrays)
        return module.train(case.train), [arrays[i] for i in module.places]
    rest = list(arrays)
    args = fill(case.args, rest)
    module = getattr(nn, case.name)(*fill(case.make, rest), **fill(case.options, rest)).train(case.train)
    state = part(record, "state")
    assert [(k, v.shape) for k, v in module.state_dict().items()] == [(k, v.shape) for k, v in state.items()]
    module.load_state_dict(state)
    return module, list(args)


def part(record: Record, kind: str) -> Record:
    """Return the arrays of one kind by their names."""
    return {key.removeprefix(f"{kind}."): value for key, value in record.items() if key.startswith(f"{kind}.")}


def values(case: Case, record: Record) -> Record:
    """Run the case's inputs through fastnn: outputs, gradients and buffers under the record's names."""
    module, args = made(case, record)
    y = module(*args)
    ys = list(y) if isinstance(y, tuple) else [y]
    found = {f"y.{i}": np.asarray(v) for i, v in enumerate(ys)}
    dx = module.backward(*part(record, "dy").values())
    places = module.places if isinstance(module, Calling) else range(len(args))
    with_gradient = [i for i in places if case.arrays()[i].has_gradient]
    for i, array in zip(with_gradient, dx if isinstance(dx, tuple) else [dx], strict=False):
        found[f"dx.{i}"] = array
    found |= {f"grad.{name}": p.grad for name, p in module.named_parameters()}
    return found | {f"after.{name}": value for name, value in module.named_buffers()}


# ---- comparison ----

# At -inf PyTorch's give NaN (0 times infinity), fastnn's their limit 0.
LIMIT_AT_INFINITY = ("SiLU", "GELU")


def check(case: Case, record: Record) -> None:
    """Compare everything that PyTorch gave with what fastnn gives."""
    found = values(case, record)
    compared = {key.removeprefix("scale.") for key in record if key.startswith("scale.")}
    assert compared <= set(found), f"{sorted(compared - set(found))} missing"
    for key in sorted(compared):
        compare(key, *_regular(case, record, key, found[key]), float(record[f"scale.{key}"]))
    if case.kind == "function":
        y = evaluate(case, [record[f"array.{i}"].copy() for i in range(len(case.arrays()))])
        for i, value in enumerate(y if isinstance(y, tuple) else [y]):
            key = f"y.{i}"
            compare(key, *_regular(case, record, key, np.asarray(value)), float(record[f"scale.{key}"]))


def _regular(case: Case, record: Record, key: str, found: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return found and expected without the gradients at NaN and infinity.

    PyTorch's gradient there is NaN where a limit exists (silu, gelu), or depends on the place in a vector (hardtanh).
    """
    expected = record[key]
    if found is None:  # nothing depends on this input
        found = np.zeros(expected.shape)
    assert found.shape == expected.shape, f"{key}: shape {found.shape}, PyTorch's is {expected.shape}"
    if case.name in LIMIT_AT_INFINITY and key == "y.0":
        regular = np.isfinite(record["array.0"]) | np.isfinite(expected)
        return found[regular], expected[regular]
    index = key.removeprefix("dx.")
    if key.startswith("dx.") and case.arrays()[int(index)].kind == "special":
        regular = np.isfinite(record[f"array.{index}"]) & np.isfinite(expected)
        return found[regular], expected[regular]
    return found, expected


def compare(key: str, found: np.ndarray, expected: np.ndarray, scale: float) -> None:
    """Accept a few roundings of the terms that the value is a sum of; the record comes from float64."""
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=bound(scale), err_msg=key)


def bound(scale: float) -> float:
    """Return the largest allowed difference for a value whose terms are of this size."""
    return ROUNDINGS * EPS * scale + TINY


@pytest.fixture(scope="module")
def recorded() -> dict[str, Record]:
    return load()[0]


def test_the_archive_is_up_to_date(recorded: dict[str, Record]) -> None:
    assert load()[1].startswith("2.13")
    assert list(recorded) == list(CASES)
    assert sum(path.stat().st_size for path in ARCHIVE.parent.glob("torch_*.npz")) < 2_000_000


def test_bounds_are_tight(recorded: dict[str, Record]) -> None:
    for name, record in recorded.items():
        for key, scale in part(record, "scale").items():
            value = record[key][np.isfinite(record[key])].astype(np.float64)
            if value.any():
                assert bound(float(scale)) < GUARD * np.sqrt(np.mean(value**2)), f"{name}: {key}"


def check_all(cases: list[Case], expected: Callable[[Case], Record], note: str = "") -> None:
    """Check cases to the end and name every one that fails."""
    problems = []
    for case in cases:
        try:
            check(case, expected(case))
        except Exception as problem:  # any error of one case must not hide the others
            problems.append(f"{case.id}{note}: {type(problem).__name__}: {problem}")
    assert not problems, "\n\n".join([f"{len(problems)} of {len(cases)} cases", *problems])


@pytest.mark.parametrize("subject", SUBJECTS)
def test_recorded_values(subject: str, recorded: dict[str, Record]) -> None:
    check_all(SUBJECTS[subject], lambda case: recorded[case.id])


def test_live_values() -> None:
    pytest.importorskip("torch", reason="PyTorch is not needed: its recorded values are compared in any case")
    import torch_values

    seed = int(np.random.default_rng().integers(1, 2**32))
    check_all(list(CASES.values()), lambda case: torch_values.values(case, generator(case, seed)), f", seed {seed}")


# ---- nothing is missing ----

# Not compared, and why.
EXEMPT = {
    "Module": "has no values of its own",
    "Sequential": "test_port.py compares whole networks",
    "ModuleList": "has no forward",
    "ModuleDict": "has no forward",
    "StochasticDepth": "PyTorch has none; test_functional.py checks it",
    "stochastic_depth": "PyTorch has none; test_functional.py checks it",
    "Normalize": "PyTorch has none; test_normalize.py compares it with transforms.Normalize",
    "normalize_channels": "PyTorch has none; test_normalize.py compares it with transforms.Normalize",
    "one_hot": "gives integers at once, not a node; test_functional.py checks it",
}
# Accepted for PyTorch's sake; no value depends on them, or only one is allowed.
NO_VALUES = {"inplace", "return_indices", "padding_mode", "mode", "args", "kwargs", "algorithm"}
OLD_WORDS = {"size_average", "reduce"}  # read by one helper for all losses; MSELoss and two others have cases

MODULE_CLASSES = {
    name: getattr(nn, name)
    for name in nn.__all__
    if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
}


def test_every_module_and_function_has_a_case() -> None:
    missing = {*MODULE_CLASSES, *F.__all__} - {case.name for case in [*MODULES, *FUNCTIONS]} - set(EXEMPT)
    assert not missing, f"add cases to torch_cases.py and run write_torch_values.py: {sorted(missing)}"
    assert set(EXEMPT) <= {*nn.__all__, *F.__all__}


def _options(case: Case) -> set[str]:
    """Names of the parameters that the case gives."""
    if case.kind == "module":
        return set(inspect.signature(MODULE_CLASSES[case.name]).bind(*case.make, **case.options).arguments)
    return set(inspect.signature(getattr(F, case.name)).bind(*case.args, *case.make, **case.options).arguments)


@pytest.mark.parametrize("name", sorted({case.name for case in [*MODULES, *FUNCTIONS]}))
def test_every_option_has_a_case(name: str) -> None:
    cases = [case for case in [*MODULES, *FUNCTIONS] if case.name == name]
    called = MODULE_CLASSES[name] if cases[0].kind == "module" else getattr(F, name)
    options = set(inspect.signature(called).parameters) - NO_VALUES - OLD_WORDS
    assert options - set().union(*map(_options, cases)) == set()


def test_every_operation_of_nodes_has_a_case() -> None:
    used = set(re.findall(r"\.(\w+)", " ".join(case.name for case in EXPRESSIONS)))
    facts = {"shape", "dtype", "ndim", "dim", "numel", "size", "item", "numpy"}
    operations = {name for name in vars(Node) if not name.startswith("_")} - facts - set(Node.__slots__)
    assert operations - used == set()


def test_a_wrong_value_is_seen(recorded: dict[str, Record]) -> None:
    case = CASES["Linear(4, 3) on 5x4"]
    for key in ("y.0", "dx.0", "grad.weight", "grad.bias"):
        wrong = {k: v.copy() for k, v in recorded[case.id].items()}
        wrong[key].flat[np.abs(wrong[key]).argmax()] *= 1.0 + 1e-4
        with pytest.raises(AssertionError):
            check(case, wrong)
