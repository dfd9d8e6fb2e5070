"""Calls: `apply` makes every one of a graph, with its inputs as the primitive demands them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .prepare import real_array
from .primitive import Call, InputRule, find
from .spec import Spec, default_layout
from .trace import current_trace
from .value import Value

if TYPE_CHECKING:
    from .node import Node

__all__ = ["apply", "as_index", "as_node"]


LARGEST_VALUE = 2**44  # elements
_NAMED = "fastnn_named"  # marks an error whose message already says who


def as_node(value: Any, exact: bool = False) -> Node:
    """Return the node of a Node, Parameter, array or number in the current trace; ``exact`` keeps an array's dtype."""
    trace = current_trace()
    if isinstance(value, Value):
        if value.trace is not trace:
            raise RuntimeError(
                "a Node outlived its trace: values inside forward are symbolic and cannot be stored; "
                "use register_forward_hook or fastnn.capture to read them"
            )
        return cast("Node", value)
    if trace is None:
        raise RuntimeError("operations on nodes work only while a model is traced")
    if hasattr(value, "requires_grad") and isinstance(getattr(value, "data", None), np.ndarray):
        return trace.parameter(value)
    array = value if isinstance(value, np.ndarray) else _plain_array(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected numbers, got an array of dtype {array.dtype}")
    if exact:
        return trace.array(array)
    if array.dtype.kind == "f" and array.dtype != np.float32:
        array = array.astype(np.float32)
    elif array.dtype.kind in "iub" and array.dtype not in (np.uint8, np.int64, np.int32, np.uint64):
        array = array.astype(np.int64)
    return trace.array(array)


def _plain_array(value: Any) -> np.ndarray:
    """Return a number or nested lists of numbers as an array."""
    if value is None or isinstance(value, (str, bytes, dict)):
        raise TypeError(f"expected an array of numbers, got {type(value).__name__}")
    if isinstance(value, (tuple, list)) and any(isinstance(v, Value) for v in value):
        raise TypeError(f"expected one array of numbers, got a {type(value).__name__} of {len(value)} values")
    return real_array(value)


def as_index(node: Node) -> Node:
    """Return an input of uint8 (labels as they lie in many files), reshaped or not, as int64; any other node as it is.

    There is no such step in C: the plan binds a widened copy of the array.
    """
    if node.spec.dtype != "uint8":
        return node
    if node.call is not None and node.call.name == "reshape" and node.call.inputs[0] is not None:
        inner = as_index(node.call.inputs[0])
        return node if inner.spec.dtype == "uint8" else apply("reshape", inner, shape=node.shape)
    if node.source is None or node.source[0] != "input":
        return node
    key = (node, "int64", "c")
    cache = node.trace.converted
    if key not in cache:
        spec = replace(node.spec, dtype="int64", layout="c")
        cache[key] = node.trace.node(spec, source=("index", node.source[1]))
    return cache[key]


def _converted(node: Node, rule: InputRule) -> Node:
    """Return ``node`` as the input rule demands, through a cached conversion."""
    if rule.demand == "any":
        return node
    dtype = "int64" if rule.demand == "int" else "float32"
    layout = node.spec.layout
    if rule.demand == "nhwc":
        layout = default_layout(node.ndim)
    elif rule.demand in ("c", "int"):
        layout = "c"
    if dtype == "int64":
        node = as_index(node)
    if node.spec.dtype != dtype and dtype == "int64":
        raise TypeError(f"expected whole numbers as int64 for {rule.name}, got dtype {node.spec.dtype}")
    key = (node, dtype, layout)
    cache = node.trace.converted
    if key not in cache:
        value = node
        if value.spec.dtype != dtype:
            value = _call(find("convert"), (value,), {})
        if value.spec.layout != layout:
            value = _call(find("relayout"), (value,), {"layout": layout})
        cache[key] = value
    return cache[key]


def _call(primitive: Any, inputs: tuple[Node | None, ...], attrs: dict[str, Any]) -> Any:
    trace = current_trace()
    assert trace is not None
    specs = primitive.infer(*(None if i is None else i.spec for i in inputs), **attrs)
    single = isinstance(specs, Spec)
    for spec in (specs,) if single else specs:
        _expect_addressable(spec)
    call = Call(primitive, inputs, attrs, scope=trace.scope_label)
    call.outputs = tuple(trace.node(s, call=call, index=i) for i, s in enumerate((specs,) if single else specs))
    trace.add_call(call)
    return call.outputs[0] if single else call.outputs


def _expect_addressable(spec: Spec) -> None:
    """Refuse a value that no machine holds before its size overflows in C; extents of 0 do not hide the others."""
    size = math.prod(max(n, 1) for n in spec.shape)
    if size > LARGEST_VALUE:
        raise ValueError(f"expected values of at most {LARGEST_VALUE} elements, got shape {spec.shape} of {size}")


def apply(name: str, *inputs: Any, **attrs: Any) -> Any:
    """Apply a primitive in the current trace; errors are prefixed with the module or function that called.

    Parameters
    ----------
    name : str
        The primitive.
    *inputs : Node, Parameter, ndarray, number or None
        Converted to the dtype and layout that the primitive demands.
    **attrs
        The primitive's attributes, normalised.

    Returns
    -------
    Node or tuple of Node
    """
    primitive = find(name)
    trace = current_trace()
    try:
        rules = primitive.rules
        if rules and rules[-1].variadic:
            rules = rules[:-1] + (rules[-1],) * (len(inputs) - len(rules) + 1)
        if len(inputs) > len(rules):
            raise TypeError(f"expected at most {len(rules)} inputs of {name}, got {len(inputs)}")
        nodes: list[Node | None] = []
        for rule, value in zip(rules, inputs, strict=False):
            if value is None:
                if not rule.optional:
                    raise TypeError(f"expected an array for {rule.name} of {name}, got None")
                nodes.append(None)
            else:
                nodes.append(_converted(as_node(value, rule.demand == "any"), rule))
        nodes.extend([None] * (len(rules) - len(nodes)))
        return _call(primitive, tuple(nodes), attrs)
    except (ValueError, TypeError) as error:
        who = trace.scope_label if trace is not None else ""
        if getattr(error, _NAMED, False):
            raise
        named: Exception = type(error)(f"{who or name}: {error}")
        setattr(named, _NAMED, True)
        raise named from None
