"""`fastnn info`."""

from __future__ import annotations

import argparse

__all__ = ["info"]


def info(args: argparse.Namespace) -> int:
    """Print what runs, and why."""
    import fastnn as fn

    fn.show_config()
    return 0
