"""Fusion rules of several calls each, one a file; `graph.fuse` lists all rules and applies them in order."""

from __future__ import annotations

from .gated_norm import gate_into_norm
from .norm_conv import norm_into_depthwise

__all__ = ["gate_into_norm", "norm_into_depthwise"]
