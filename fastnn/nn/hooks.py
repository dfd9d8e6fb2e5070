"""Handles of hooks: what a registration returns and removes it again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

__all__ = ["HookTable", "RemovableHandle"]

_ids = itertools.count()


class HookTable(dict[int, tuple[Callable[..., Any], bool]]):
    """Hooks in the order in which they run: id -> (function, whether it takes keyword arguments)."""

    def add(
        self, hook: Callable[..., Any], *, prepend: bool, with_kwargs: bool, changed: Callable[[], None]
    ) -> RemovableHandle:
        """Register a hook, before all others if asked, and return its handle, which calls ``changed`` on removal."""
        if not callable(hook):
            raise TypeError(f"expected a callable hook, got {type(hook).__name__}")
        handle = RemovableHandle(self, changed)
        others = dict(self) if prepend else {}
        if prepend:
            self.clear()
        self[handle.id] = (hook, with_kwargs)
        self.update(others)
        return handle


class RemovableHandle:
    """What registering a hook returns: `remove` takes the hook away; as a context manager it does so at the end."""

    def __init__(self, table: HookTable, changed: Callable[[], None]) -> None:
        self.id = next(_ids)
        self._table, self._changed = table, changed

    def remove(self) -> None:
        """Take the hook away; doing it twice is harmless."""
        if self._table.pop(self.id, None) is not None:
            self._changed()

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()
