"""Containers: modules that hold modules, in a row, in a list or by name."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from .module import Module

__all__ = ["Identity", "ModuleDict", "ModuleList", "Sequential"]


class Identity(Module):
    """Return the input unchanged: a placeholder for a layer.

    Parameters
    ----------
    *args, **kwargs
        Accepted and ignored, so that it can stand in for any layer.

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.Identity(54, unused=True)
    Identity()
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class _Indexed(Module):
    """Children named 0, 1, 2, ...: what Sequential and ModuleList have in common."""

    def _children_list(self) -> list[Module]:
        return [child for child in self._modules.values() if child is not None]

    def _renumber(self, children: Iterable[Module]) -> None:
        self._modules.clear()
        for i, child in enumerate(children):
            self.add_module(str(i), child)
        self._changed()

    def _name_at(self, index: Any) -> str:
        i, size = operator.index(index), len(self._modules)
        if not -size <= i < size:
            raise IndexError(f"{type(self).__name__}: index {i} is out of range for {size} modules")
        return list(self._modules)[i]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children_list())

    def __contains__(self, module: object) -> bool:
        return any(child is module for child in self._modules.values())

    def __delitem__(self, index: int | slice) -> None:
        doomed = list(self._modules)[index] if isinstance(index, slice) else [self._name_at(index)]
        names = [name for name in self._modules if name not in doomed]
        named = not all(name.isdigit() for name in names)
        if named:
            for name in doomed:
                del self._modules[name]
            self._changed()
        else:
            self._renumber([self._modules[name] for name in names])  # type: ignore[misc]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end."""
        if not isinstance(modules, Iterable) or (isinstance(modules, Module) and not isinstance(modules, _Indexed)):
            raise TypeError(f"extend: expected several modules, got one {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Insert a module before the index; the later ones move up by one."""
        size = len(self)
        i = operator.index(index)
        if not -size <= i <= size:
            raise IndexError(f"insert: index {i} is out of range for {size} modules")
        children = self._children_list()
        children.insert(i, module)
        self._renumber(children)
        return self

    def pop(self, index: int | slice = -1) -> Module:
        """Remove the module at the index and return it."""
        module: Module = self[index]  # type: ignore[index]
        del self[index]
        return module


class Sequential(_Indexed):
    """Modules in a row: each one's output is the next one's input.

    Parameters
    ----------
    *args : Module, or one OrderedDict of str to Module
        The modules in order; a dictionary gives them names.

    Examples
    --------
    >>> from fastnn import nn
    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> model[0].weight.shape, len(model)
    ((3, 4), 2)
    """

    def __init__(self, *args: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, child in enumerate(args):
                self.add_module(str(i), child)  # type: ignore[arg-type]

    def forward(self, input: Any) -> Any:
        for module in self:
            input = module(input)
        return input

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))  # type: ignore[arg-type]
        return self._modules[self._name_at(index)]

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)


class ModuleList(_Indexed):
    """A list of modules that the owner calls as it likes.

    Parameters
    ----------
    modules : iterable of Module, optional

    Examples
    --------
    >>> from fastnn import nn
    >>> blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
    >>> blocks
    ModuleList(
      (0-2): 3 x Linear(in_features=8, out_features=8, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._children_list()[index])
        return self._modules[self._name_at(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def _child_lines(self) -> list[str]:
        # Neighbours that print alike share a line.
        lines: list[str] = []
        texts = [repr(child) for child in self._modules.values()]
        first = 0
        for i, text in enumerate(texts):
            if i + 1 == len(texts) or texts[i + 1] != text:
                count = i - first + 1
                label = f"({first}): " if count == 1 else f"({first}-{i}): {count} x "
                lines.append(label + text.replace("\n", "\n  "))
                first = i + 1
        return lines


class ModuleDict(Module):
    """Modules by name, in the order of insertion.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional

    Examples
    --------
    >>> from fastnn import nn
    >>> heads = nn.ModuleDict({"colour": nn.Linear(8, 3), "size": nn.Linear(8, 2)})
    >>> list(heads), heads["size"].out_features
    (['colour', 'size'], 2)
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]
        self._changed()

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return (name, module) pairs."""
        return self._modules.items()

    def clear(self) -> None:
        """Remove every module."""
        self._modules.clear()
        self._changed()

    def pop(self, key: str) -> Any:
        """Remove the module of this name and return it."""
        module = self._modules.pop(key)
        self._changed()
        return module

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules, from a mapping or pairs."""
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        if not isinstance(pairs, Iterable):
            raise TypeError(f"update: expected a mapping of names to modules, got {type(modules).__name__}")
        for key, module in pairs:
            self[key] = module
