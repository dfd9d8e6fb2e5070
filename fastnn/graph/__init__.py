"""The graph: trace, differentiate, fuse, place, run.

`apply` makes calls of primitives in the current trace; `execute_module`, `eager` and `run_primitive` are the ways in
from arrays.
"""

from . import primitives
from .capture import capture
from .checkpoint import checkpoint
from .execute import backward_module, eager, execute_module, run_primitive
from .explain import explain
from .node import Node, apply, as_index, as_node
from .optimize import optimizer_program
from .primitives.control import apply_function
from .report import module_plan, module_summary
from .runtime import grad_enabled, no_grad, structure_changed
from .spec import Spec, default_layout
from .trace import Trace, current_trace

__all__ = [
    "Node",
    "Spec",
    "Trace",
    "apply",
    "apply_function",
    "as_index",
    "as_node",
    "backward_module",
    "capture",
    "checkpoint",
    "current_trace",
    "default_layout",
    "eager",
    "execute_module",
    "explain",
    "grad_enabled",
    "module_plan",
    "module_summary",
    "no_grad",
    "optimizer_program",
    "primitives",
    "run_primitive",
    "structure_changed",
]
