"""What all optimizers share: parameter groups, per-parameter state, plain-data state dicts."""

from __future__ import annotations

import itertools
import numbers
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .._memory import empty_aligned

__all__ = ["Optimizer", "required"]

Group = dict[str, Any]
State = dict[str, Any]


_generations = itertools.count()


class _Required:
    def __repr__(self) -> str:
        return "<required>"


required: Any = _Required()
"""Default of an option that every parameter group must give itself."""


class Optimizer:
    """Base class of the optimizers: groups of parameters, their options, and the state kept for each.

    A subclass of fastnn's own names a `primitive`, one fused C pass over a parameter, and describes that pass's
    inputs (`state_names`, `attrs`, `hyper_values`); `step` is then inherited. A user's subclass may instead
    override `step`, as in PyTorch: loop over ``self.param_groups``, read ``p.grad``, write ``p.data[...]``
    and keep what it needs in ``self.state[p]``. Both kinds work with `TrainStep` and `Trainer`.

    Parameters
    ----------
    params : iterable of Parameter, of (name, Parameter), or of dict
        What to optimize. Dicts are parameter groups: ``{"params": [...], "lr": 0.1}``.
    defaults : dict
        Options of groups that do not give their own.

    Raises
    ------
    TypeError
        For something that is not a parameter, or an unordered set of them.
    ValueError
        For no parameters at all, a parameter given twice, or an option out of range.

    Examples
    --------
    >>> import fastnn as fn
    >>> class SignDescent(fn.optim.Optimizer):
    ...     def __init__(self, params, lr=0.01):
    ...         super().__init__(params, {"lr": lr})
    ...     def step(self, closure=None):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 if p.grad is not None:
    ...                     p.data[...] -= group["lr"] * np.sign(p.grad)
    >>> import numpy as np
    >>> layer = fn.nn.Linear(2, 1)
    >>> SignDescent(layer.parameters()).param_groups[0]["lr"]
    0.01
    """

    primitive: str | None = None

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults: dict[str, Any] = dict(defaults)
        self.state: defaultdict[Any, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._detach()
        who = type(self).__name__
        if _is_parameter(params) or isinstance(params, (np.ndarray, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(f"{who}: expected an iterable of parameters or of dicts, got {type(params).__name__}")
        groups = list(_ordered(who, params))
        if not groups:
            raise ValueError(f"{who}: expected at least one parameter, got an empty list")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _detach(self) -> None:
        """Forget what plans hold of this optimizer: the scalars and states bound to them, and the program of `step`."""
        self._hyper: dict[int, np.ndarray] = {}
        self._written: dict[int, tuple[float, ...]] = {}
        self._bound: dict[int, tuple[Any, State]] = {}
        self._program: Callable[[], None] | None = None
        self._generation = next(_generations)

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without plans: they are bound to the arrays of the original.
        plans = ("_hyper", "_written", "_bound", "_program", "_generation")
        return {name: value for name, value in self.__dict__.items() if name not in plans}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._detach()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key not in ("params", "param_names")]
        return "\n".join([*lines, ")"])

    # ---- groups ----

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group of parameters, with options that override the defaults.

        Parameters
        ----------
        param_group : dict
            ``"params"`` and any option of the optimizer.
        """
        who = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"{who}: expected a parameter group as a dict with 'params', got {param_group!r}")
        group: Group = dict(param_group)
        params, names = _listed(who, group["params"])
        group["params"] = params
        if names:
            group["param_names"] = names
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"{who}: expected option '{name}' in every parameter group, got {sorted(group)}")
            group.setdefault(name, default)
        self.check_group(group)
        seen = {id(p) for p in self._parameters()}
        for position, p in enumerate(params):
            if id(p) in seen:
                raise ValueError(
                    f"{who}: expected each parameter once, got parameter {position} of the group "
                    f"(shape {p.data.shape}) a second time"
                )
            seen.add(id(p))
        self.param_groups.append(group)
        self._program = None

    def check_group(self, group: Group) -> None:
        """Raise ValueError for an option out of range; a subclass lists its own rules."""

    def _expect(self, group: Group, **least: float) -> None:
        """Check that options are at least the given values."""
        for name, low in least.items():
            value = group[name]
            if not isinstance(value, numbers.Real) and np.shape(value) != ():
                raise TypeError(f"{type(self).__name__}: expected {name} to be a number, got {value!r}")
            if value is None or isinstance(value, str) or not value >= low:
                raise ValueError(f"{type(self).__name__}: expected {name} >= {low:g}, got {value!r}")

    def _group_of(self, param: Any) -> Group:
        return next(group for group in self.param_groups if any(p is param for p in group["params"]))

    def _parameters(self) -> Iterator[Any]:
        for group in self.param_groups:
            yield from group["params"]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros.

        Parameters
        ----------
        set_to_none : bool
            False keeps the arrays and writes zeros into them.
        """
        for p in self._parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad[...] = 0.0

    # ---- what the fused pass reads ----

    @property
    def fused(self) -> bool:
        """Whether the update is a C primitive, so that a training plan can hold it."""
        return self.primitive is not None and type(self).step is Optimizer.step

    def state_names(self, group: Group) -> tuple[str | None, ...]:
        """Return the names of the primitive's state inputs, in its order; None where an optional one is absent."""
        return ()

    def attrs(self, group: Group) -> dict[str, bool]:
        """Return the options that select the primitive's code path and so belong to the plan's key."""
        return {}

    def hyper_values(self, group: Group) -> tuple[float, ...]:
        """Return the options that the primitive reads at run time, in its order."""
        return ()

    def initial_state(self, group: Group, name: str) -> float:
        """Return the value that a state array starts from."""
        return 0.0

    def hyper(self, group: Group) -> np.ndarray:
        """Return the group's run-time scalars as one float64 array, the same array for the group's whole life."""
        array = self._hyper.get(id(group))
        if array is None:
            values = self.hyper_values(group)
            array = self._hyper[id(group)] = self._numbers(values)
            self._written[id(group)] = values
        return array

    def _numbers(self, values: tuple[Any, ...]) -> np.ndarray:
        """Return options as an array; what was put into a group after it was made may be anything."""
        try:
            array = np.array(values, np.float64)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if np.isnan(array).any():
            raise ValueError(f"{type(self).__name__}: expected numbers as a group's options, got {values}")
        return array

    def refresh(self) -> None:
        """Write the groups' present options into their `hyper` arrays; called before every step."""
        for group in self.param_groups:
            values = self.hyper_values(group)
            if self._written.get(id(group)) != values:
                self.hyper(group)[:] = self._numbers(values)
                self._written[id(group)] = values

    def state_of(self, param: Any) -> State:
        """Return the state arrays of a parameter, created at first use and never reallocated.

        Returns
        -------
        dict
            ``"step"`` (float32, shape ()) and the arrays of `state_names`, float32 in C order, shaped as the
            parameter.
        """
        state: State = self.state.setdefault(param, {})
        if "step" not in state:
            state["step"] = np.zeros((), np.float32)
        group = self._group_of(param)
        for place, name in enumerate(self.state_names(group)):
            if name is not None and name not in state:
                state[name] = empty_aligned(param.data.shape, param.data, place)
                state[name][...] = self.initial_state(group, name)
        self._bound[id(param)] = (param, state)
        return state

    def signature(self) -> tuple[Any, ...]:
        """Return a hashable description of the pass over every group; a plan with another one is stale."""
        self._check_bound()
        groups = tuple(
            (id(group), *map(id, group["params"]), self.state_names(group), tuple(sorted(self.attrs(group).items())))
            for group in self.param_groups
        )
        return (self._generation, groups)

    def _check_bound(self) -> None:
        """Start anew where a state that plans hold was cleared or replaced, as ``optimizer.state.clear()`` does."""
        if any(self.state.get(p) is not state for p, state in self._bound.values()):
            self._detach()

    # ---- the update ----

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in one call.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients before the update.

        Returns
        -------
        object
            What `closure` returned, else None.
        """
        if self.primitive is None:
            raise NotImplementedError(
                f"{type(self).__name__}: expected a step() of its own or a primitive, got neither"
            )
        value = closure() if closure is not None else None
        self._check_bound()
        self.refresh()
        if self._program is None:
            from ..graph import optimizer_program

            self._program = optimizer_program(self)
        self._program()
        return value

    # ---- saving ----

    def state_dict(self) -> dict[str, Any]:
        """Return state and options as plain data and arrays, in PyTorch's structure.

        Returns
        -------
        dict
            ``{"state": {index: {name: array or number}}, "param_groups": [{option: value, "params": [index]}]}``.
            The arrays are copies.
        """
        index = {id(p): i for i, p in enumerate(self._parameters())}
        state = {index[id(p)]: {k: _copied(v) for k, v in values.items()} for p, values in self.state.items() if values}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; existing state arrays are written into, not replaced.

        Raises
        ------
        ValueError
            For another number of groups or parameters, or arrays of other shapes; nothing is changed then.
        """
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            got = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise ValueError(f"{type(self).__name__}: expected a dict with 'state' and 'param_groups', got {got}")
        saved = list(state_dict["param_groups"])
        state = {int(key): value for key, value in state_dict["state"].items()}
        self._check_saved(saved, state)
        options = [self._saved_options(other) for other in saved]
        for group, new in zip(self.param_groups, options, strict=True):
            self.check_group(group | new)
        for group, new in zip(self.param_groups, options, strict=True):
            group.update(new)
        order = [i for other in saved for i in other["params"]]
        for param, position in zip(self._parameters(), order, strict=True):
            self._load_state_of(param, state.get(int(position), {}))
        self.refresh()

    def _saved_options(self, group: Group) -> dict[str, Any]:
        """Return a saved group's options; JSON has no tuples, so that betas come back as a list."""
        return {
            key: tuple(value) if isinstance(self.defaults.get(key), tuple) else value
            for key, value in group.items()
            if key not in ("params", "param_names")
        }

    def _check_saved(self, saved: list[Any], state: dict[int, Any]) -> None:
        who = type(self).__name__
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved]
        if sizes != saved_sizes:
            raise ValueError(
                f"{who}: expected state of {len(sizes)} parameter groups with {sizes} parameters, "
                f"got {len(saved_sizes)} groups with {saved_sizes}"
            )
        order = [int(i) for group in saved for i in group["params"]]
        for param, position in zip(self._parameters(), order, strict=True):
            for name, value in state.get(position, {}).items():
                shape = np.shape(value)
                whole = self.fused and name in self.state_names(self._group_of(param))
                loose = not whole and (not isinstance(value, np.ndarray) or shape in ((), (1,)))
                if shape != param.data.shape and not loose:
                    raise ValueError(
                        f"{who}: expected state '{name}' of parameter {position} with shape "
                        f"{param.data.shape}, got {shape}"
                    )

    def _load_state_of(self, param: Any, saved: Mapping[str, Any]) -> None:
        known = self.state[param]
        if self.fused and saved:
            known = self.state_of(param)
        group = self._group_of(param)
        for name in [name for name in known if name not in saved]:
            if isinstance(known[name], np.ndarray):
                known[name][...] = self.initial_state(group, name)
            else:
                del known[name]
        for name, value in saved.items():
            have = known.get(name)
            if isinstance(have, np.ndarray):
                have[...] = np.reshape(value, have.shape)
            else:
                known[name] = _copied(value)


def _is_parameter(value: Any) -> bool:
    return isinstance(getattr(value, "data", None), np.ndarray) and hasattr(value, "grad")


def _ordered(who: str, params: Iterable[Any]) -> Iterable[Any]:
    if isinstance(params, (set, frozenset)):
        raise TypeError(f"{who}: expected parameters in a fixed order (a list), got a {type(params).__name__}")
    return params


def _listed(who: str, params: Any) -> tuple[list[Any], list[str]]:
    """Return the parameters of a group as a list, and their names where (name, parameter) pairs came."""
    entries = [params] if _is_parameter(params) else list(_ordered(who, params))
    names = [entry[0] for entry in entries if isinstance(entry, tuple)]
    if names and len(names) != len(entries):
        raise ValueError(f"{who}: expected names for all {len(entries)} parameters or for none, got {len(names)}")
    found = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
    for position, p in enumerate(found):
        if not _is_parameter(p):
            raise TypeError(f"{who}: expected a Parameter at position {position}, got {type(p).__name__}")
    return found, names


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
