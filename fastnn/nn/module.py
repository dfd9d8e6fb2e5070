"""Module: the base of every layer, network and loss."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from fastnn.graph import (
    backward_module,
    current_trace,
    execute_module,
    module_plan,
    module_summary,
    structure_changed,
)

from .hooks import HookTable, RemovableHandle
from .parameter import Parameter
from .state import IncompatibleKeys, collect_state, restore_state

__all__ = ["Module"]


class Module:
    """Base of all layers, networks and losses: a tree of modules that owns parameters and buffers.

    A subclass calls ``super().__init__()``, assigns its parts as attributes and overrides `forward`. *Calling* the
    module traces `forward` once for each input shape and mode and then runs the compiled plan; the values that
    `backward` needs are kept until the next call, or computed again where the module is in eval mode.

    Attributes
    ----------
    training : bool
        True in training mode (the start), False after `eval`.

    Notes
    -----
    Python side effects of `forward` happen when it is traced, not at each call. Its control flow may depend on shapes
    and settings; a decision that needs the values of a node raises TypeError.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> class Scaled(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Parameter(np.full(2, 3.0))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> model = Scaled()
    >>> model(np.ones((1, 2))).tolist()
    [[3.0, 3.0]]
    >>> model.backward(np.ones((1, 2))).tolist(), model.scale.grad.tolist()
    ([[3.0, 3.0]], [1.0, 1.0])
    """

    training: bool
    _version: int
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, np.ndarray | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers: set[str]
    _forward_hooks: HookTable
    _forward_pre_hooks: HookTable

    # Buffers that a state may lack without being incomplete.
    _optional_buffers: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own["_version"] = 0
        own["_parameters"], own["_buffers"], own["_modules"] = {}, {}, {}
        own["_non_persistent_buffers"] = set()
        own["_forward_hooks"], own["_forward_pre_hooks"] = HookTable(), HookTable()

    # ---- calling ----

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Define the computation on nodes; every subclass overrides it, nobody calls it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        trace = current_trace()
        if trace is None:
            return execute_module(self, args, kwargs)
        with trace.scope(self):
            return self._forward_with_hooks(args, kwargs)

    def _forward_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in tuple(self._forward_pre_hooks.values()):
            if with_kwargs:
                changed = hook(self, args, kwargs)
                args, kwargs = (args, kwargs) if changed is None else changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        trace = current_trace()
        assert trace is not None
        for hook, with_kwargs in tuple(self._forward_hooks.values()):
            trace.hooks.append((hook, self, args, kwargs if with_kwargs else None, output))
        return output

    def backward(self, *dy: Any) -> Any:
        """Propagate gradients of the last call's outputs back: add into every ``p.grad``, return the inputs' gradients.

        Parameters
        ----------
        *dy : array_like
            One gradient an output, of the output's shape. A loss that returned one number needs none.

        Returns
        -------
        ndarray, or tuple of ndarray where the module took several inputs
            None stands for an input of whole numbers. The class attribute ``differentiable_inputs`` says how many
            inputs, from the first, have gradients: with 1, a loss of one's own returns an array as the package's do.

        Raises
        ------
        RuntimeError
            If there was no call before, or another call of the module has replaced its values since.
        """
        return backward_module(self, *dy)

    def plan(self, *inputs: Any) -> Any:
        """Return the plan that a call with these inputs runs; printing it lists steps, algorithms, FLOPs and bytes."""
        return module_plan(self, *inputs)

    def summary(self, *inputs: Any) -> Any:
        """Return a printable table of every layer's output shape, parameters, FLOPs and memory for these inputs."""
        return module_summary(self, *inputs)

    # ---- registration ----

    def __setattr__(self, name: str, value: Any) -> None:
        parameters = self.__dict__.get("_parameters")
        if parameters is None:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {name!r}")
            object.__setattr__(self, name, value)
            return
        if isinstance(value, Parameter):
            self._forget(name, self._buffers, self._modules)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, self._buffers, parameters)
            self._modules[name] = value
        elif name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign {type(value).__name__} as parameter {name!r} (Parameter or None expected); "
                    f"write values with .{name}.data = ..."
                )
            parameters[name] = None
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign {type(value).__name__} as child module {name!r} (Module or None expected)"
                )
            self._modules[name] = None
        elif name in self._buffers:
            self._buffers[name] = _as_buffer(name, value)
        else:
            object.__setattr__(self, name, value)
        if current_trace() is None:
            # Inside a trace an assignment is a side effect of forward; a new version would trace again at every call.
            self._changed()

    def _changed(self) -> None:
        """Make every plan that this module is part of obsolete."""
        self.__dict__["_version"] += 1
        structure_changed()

    def _forget(self, name: str, *tables: dict[str, Any]) -> None:
        """Remove what bears the name in other tables, so that it can be registered anew as another kind."""
        self.__dict__.pop(name, None)
        for table in tables:
            table.pop(name, None)
        self._non_persistent_buffers.discard(name)

    def __getattr__(self, name: str) -> Any:
        # Called only where ordinary lookup failed.
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table)
            if found is not None and name in found:
                return found[name]
        why = " (there are hooks on forward only)" if name.endswith("backward_hook") else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{why}")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers.discard(name)
                break
        else:
            object.__delattr__(self, name)
        self._changed()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, kind: str, name: str, table: Mapping[str, Any]) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before registering {name!r}")
        if not isinstance(name, str):
            raise TypeError(f"expected the {kind}'s name to be a str, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"expected a {kind} name without dots and not empty, got {name!r}")
        if name not in table and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name, or None to reserve the name."""
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"expected parameter {name!r} to be a Parameter or None, got {type(param).__name__}")
        self._parameters[name] = param
        self._changed()

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add an array that belongs to the state but is not trained (running statistics, masks, constants).

        Parameters
        ----------
        name : str
        tensor : array_like or None
            Floats are kept as float32; whole numbers keep their type.
        persistent : bool
            Whether `state_dict` contains it.
        """
        self._check_name("buffer", name, self._buffers)
        self._buffers[name] = _as_buffer(name, tensor)
        (self._non_persistent_buffers.discard if persistent else self._non_persistent_buffers.add)(name)
        self._changed()

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        self._check_name("module", name, self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"expected child {name!r} to be a Module or None, got {type(module).__name__}")
        self._modules[name] = module
        self._changed()

    register_module = add_module

    # ---- hooks ----

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` with the arrays of each run, after the run; it cannot replace the output.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook away.
        """
        self._changed()
        return self._forward_hooks.add(hook, prepend=prepend, with_kwargs=with_kwargs, changed=self._changed)

    def register_forward_pre_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` while the module is traced, on nodes; what it returns replaces the arguments."""
        self._changed()
        return self._forward_pre_hooks.add(hook, prepend=prepend, with_kwargs=with_kwargs, changed=self._changed)

    # ---- traversal ----

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield every module of the tree with its dotted name, this one first; a shared one once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield every module of the tree, this one first; a shared one once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the immediate children with their names; a shared one once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the immediate children; a shared one once."""
        for _, child in self.named_children():
            yield child

    def _named_members(self, table: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix=prefix, remove_duplicate=unique) if recurse else iter([(prefix, self)])
        for owner_name, owner in owners:
            for name, member in getattr(owner, table).items():
                if member is None or id(member) in seen:
                    continue
                if unique:
                    seen.add(id(member))
                yield (f"{owner_name}.{name}" if owner_name else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names; a shared one once."""
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters; a shared one once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the buffers with their dotted names."""
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[np.ndarray]:
        """Yield the buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """Return the module of a dotted name; the empty name is this module."""
        found = self
        for name in target.split(".") if target else ():
            child = found._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(found).__name__} has no child module {name!r} (looking for {target!r})")
            found = child
        return found

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter of a dotted name."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return found

    def get_buffer(self, target: str) -> np.ndarray:
        """Return the buffer of a dotted name."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no buffer {target!r}")
        return found

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every child, recursively, then on this module; return this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- mode ----

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or eval mode) in the whole tree; return this module."""
        if not isinstance(mode, bool):
            raise ValueError(f"expected training mode to be a bool, got {mode!r}")
        changed = False
        for module in self.modules():
            changed |= module.__dict__["training"] is not mode
            module.__dict__["training"] = mode
        if changed:
            structure_changed()
        return self

    def eval(self) -> Self:
        """Set eval mode in the whole tree: dropout passes through, batch norm uses its running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze every parameter; a frozen one costs no gradient work."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of every parameter: to None, or to zeros in place."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad[...] = 0.0

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the module as it is: there is one device, the CPU, and one dtype, float32."""
        for word in (*args, *kwargs.values()):
            known = str(word).split(":")[0] in ("cpu", "float32", "None") or word is np.float32
            if not known and not isinstance(word, bool):
                raise ValueError(f"expected device 'cpu' or dtype float32, got {word!r}")
        return self

    def cpu(self) -> Self:
        """Return the module as it is: it is on the CPU."""
        return self

    def float(self) -> Self:
        """Return the module as it is: its parameters are float32."""
        return self

    # ---- state ----

    def state_dict(self, *, prefix: str = "") -> OrderedDict[str, np.ndarray]:
        """Return copies of all parameters and persistent buffers, under PyTorch's keys and in its order."""
        return collect_state(self, prefix)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values into parameters and buffers; nothing changes unless all of them fit.

        Parameters
        ----------
        state_dict : mapping of str to array_like
        strict : bool
            Whether missing and unexpected keys are errors. Wrong shapes always are.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        RuntimeError
            Lists every missing key, unexpected key and wrong shape.
        """
        return restore_state(self, state_dict, strict)

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without plans: they are bound to the arrays of the original.
        return {name: value for name, value in self.__dict__.items() if name != "_runtime"}

    # ---- printing ----

    def extra_repr(self) -> str:
        """Return the settings that `repr` shows between the parentheses; layers override it."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {_indented(repr(child))}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [*extra.split("\n"), *self._child_lines()] if extra else self._child_lines()
        if lines == [extra]:
            return f"{type(self).__name__}({extra})"
        body = "".join(f"\n  {line}" for line in lines)
        return f"{type(self).__name__}({body}\n)" if lines else f"{type(self).__name__}()"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _as_buffer(name: str, value: Any) -> np.ndarray | None:
    """Return an array fit to be a buffer: real numbers, C order, floats as float32; the same array where it is one."""
    if value is None:
        return None
    if isinstance(value, Parameter):
        value = value.data
    try:
        array = np.asarray(value)
    except TypeError:
        raise TypeError(f"cannot assign {type(value).__name__} as buffer {name!r} (array or None expected)") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected buffer {name!r} to hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)
