"""Ctrl-C as a wish that is granted between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """While entered, the first Ctrl-C only sets `requested`; a second one raises KeyboardInterrupt at once.

    Only the main thread can receive signals, and a program's own handler is left alone.
    """

    def __init__(self) -> None:
        self.requested = False
        self._outer: Any = None

    def __enter__(self) -> InterruptGuard:
        self.requested = False
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._outer = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._outer is not None:
            signal.signal(signal.SIGINT, self._outer)
            self._outer = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
