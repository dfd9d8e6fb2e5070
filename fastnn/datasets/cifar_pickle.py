"""A reader of CIFAR's python batches: pickles of one dict of strings, a list of labels and one array of bytes.

Unpickling calls whatever the file names. This reader calls nothing: it knows the opcodes such a batch is made
of, a stack, and the three names with which NumPy's arrays are written, and refuses all else.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["parse_python_batch"]

_MARK = object()
_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE = "reconstruct", "ndarray", "dtype", "encode"
_GLOBALS = {
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _DTYPE,
    "_codecs encode": _ENCODE,  # how Python 3 writes bytes in Python 2's protocol
}


class _Global:
    """A name out of the closed list above; only REDUCE knows what to do with it."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Array:
    """An array under construction: BUILD gives it its state."""

    state: tuple[Any, ...] | None = None


class _Bytes1:
    """The dtype of single bytes, the only one expected."""


def parse_python_batch(path: str, content: bytes, pixels: int) -> np.ndarray:
    """Return the records of a python batch: (N, 1 + pixels) bytes, the label first, as in the binary form.

    Raises
    ------
    ValueError
        If ``content`` is anything else; it names ``path`` and the first thing not expected.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of escapes in a damaged string
            return _records(_Machine().run(content), pixels)
    except (ValueError, LookupError, TypeError, ArithmeticError, struct.error) as error:
        raise ValueError(f"{path}: expected a CIFAR python batch, got something else ({error})") from None


def _records(batch: Any, pixels: int) -> np.ndarray:
    if not isinstance(batch, dict):
        raise ValueError(f"a {type(batch).__name__} where a dict is expected")
    labels, data = (batch.get(key, batch.get(key.encode())) for key in ("labels", "data"))
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError("no list of labels")
    if not isinstance(data, _Array) or data.state is None or len(data.state) != 5:
        raise ValueError("no array of pixels")
    _, shape, dtype, fortran, raw = data.state
    if shape != (len(labels), pixels) or not isinstance(dtype, _Bytes1) or not labels:
        raise ValueError(f"pixels of shape {shape!r} where {(len(labels), pixels)} bytes are expected")
    if not isinstance(raw, bytes) or len(raw) != len(labels) * pixels:
        raise ValueError("another number of pixels than the shape says")
    records = np.empty((len(labels), 1 + pixels), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")
    return records


class _Machine:
    """The stack, the memo, and one method an opcode, `op_<name>`; an opcode without one is refused."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        import pickletools

        methods: dict[str, Callable[[Any], None]] = {}
        for opcode, argument, position in pickletools.genops(content):
            if opcode.name == "STOP":
                return self.stack.pop()
            method = methods.get(opcode.name)
            if method is None:
                method = getattr(self, f"op_{opcode.name.lower()}", None)
                if method is None:
                    raise ValueError(f"opcode {opcode.name} at byte {position}")
                methods[opcode.name] = method
            method(argument)
        raise ValueError("no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    op_binint = op_binint1 = op_binint2 = op_int = op_long1 = push
    op_binstring = op_short_binstring = op_binunicode = op_short_binunicode = push
    op_binbytes = op_short_binbytes = push

    def ignore(self, argument: Any) -> None:
        pass

    op_proto = op_frame = ignore

    def op_none(self, argument: Any) -> None:
        self.push(None)

    def op_newtrue(self, argument: Any) -> None:
        self.push(True)

    def op_newfalse(self, argument: Any) -> None:
        self.push(False)

    def op_mark(self, argument: Any) -> None:
        self.push(_MARK)

    def op_empty_dict(self, argument: Any) -> None:
        self.push({})

    def op_empty_list(self, argument: Any) -> None:
        self.push([])

    def op_empty_tuple(self, argument: Any) -> None:
        self.push(())

    def op_binput(self, argument: Any) -> None:
        self.memo[argument] = self.stack[-1]

    op_long_binput = op_binput

    def op_memoize(self, argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_binget(self, argument: Any) -> None:
        self.push(self.memo[argument])

    op_long_binget = op_binget

    def op_tuple(self, argument: Any) -> None:
        self.push(tuple(self.to_mark()))

    def op_tuple1(self, argument: Any) -> None:
        self.push(tuple(self.last(1)))

    def op_tuple2(self, argument: Any) -> None:
        self.push(tuple(self.last(2)))

    def op_tuple3(self, argument: Any) -> None:
        self.push(tuple(self.last(3)))

    def op_append(self, argument: Any) -> None:
        self.extend(self.last(1))

    def op_appends(self, argument: Any) -> None:
        self.extend(self.to_mark())

    def op_setitem(self, argument: Any) -> None:
        self.update(self.last(2))

    def op_setitems(self, argument: Any) -> None:
        self.update(self.to_mark())

    def op_global(self, argument: Any) -> None:
        if argument not in _GLOBALS:
            raise ValueError(f"the name {argument!r}")
        self.push(_Global(_GLOBALS[argument]))

    def op_stack_global(self, argument: Any) -> None:
        module, name = self.last(2)
        self.op_global(f"{module} {name}")

    def op_reduce(self, argument: Any) -> None:
        function, arguments = self.last(2)
        name = function.name if isinstance(function, _Global) else None
        if name == _RECONSTRUCT and isinstance(arguments[0], _Global) and arguments[0].name == _NDARRAY:
            self.push(_Array())
        elif name == _DTYPE and arguments[0] in ("u1", b"u1"):
            self.push(_Bytes1())
        elif name == _ENCODE and len(arguments) == 2 and arguments[1] == "latin1":
            self.push(arguments[0].encode("latin1"))
        else:
            raise ValueError(f"a call of {name} with {len(arguments)} arguments")

    def op_build(self, argument: Any) -> None:
        target, state = self.last(2)
        if isinstance(target, _Array) and isinstance(state, tuple) and state:
            raw = state[-1]
            # Python 2 wrote bytes as a string, which the opcode's reader decodes as Latin-1.
            target.state = (*state[:-1], raw.encode("latin1") if isinstance(raw, str) else raw)
        elif not isinstance(target, _Bytes1):
            raise ValueError(f"the state of a {type(target).__name__}")
        self.push(target)

    def last(self, count: int) -> list[Any]:
        """Pop the last ``count`` values, none of them a mark."""
        if len(self.stack) < count or any(value is _MARK for value in self.stack[-count:]):
            raise ValueError(f"fewer than {count} values on the stack")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def to_mark(self) -> list[Any]:
        """Pop the values above the last mark, and the mark."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                values = self.stack[at + 1 :]
                del self.stack[at:]
                return values
        raise ValueError("no mark on the stack")

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("values appended to something else than a list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        target = self.stack[-1]
        keys = values[::2]
        if not isinstance(target, dict) or len(values) % 2 or not all(isinstance(key, (str, bytes)) for key in keys):
            raise ValueError("items set on something else than a dict of strings")
        target.update(zip(keys, values[1::2], strict=True))
