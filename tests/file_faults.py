"""What tests of files share: exact equality of states, and an os module whose calls go wrong on demand."""

import math
import os
import struct

import numpy as np

OLD, NEW = {"a": np.zeros(5)}, {"a": np.ones(50), "b": np.ones(3, np.uint8)}


def same(a, b):
    """Whether two states are equal in every type, bit and order of keys."""
    if isinstance(a, (np.ndarray, np.generic)):
        if isinstance(a, np.ndarray) != isinstance(b, np.ndarray):
            return False
        plain = np.asarray(a).astype(np.asarray(a).dtype.newbyteorder("="), order="C")
        return (plain.dtype, plain.shape, plain.tobytes()) == (b.dtype, b.shape, np.asarray(b).tobytes())
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(k, m) and same(v, w) for (k, v), (m, w) in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    return a == b


class Shim:
    """The os module, in which the n-th call of those that touch files goes wrong, and which keeps a log of them."""

    CALLS = ("open", "fchmod", "write", "fsync", "close", "replace")

    def __init__(self, fail_at=None, action=None, short_writes=False):
        self.fail_at, self.action, self.short_writes = fail_at, action, short_writes
        self.log = []

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.CALLS:
            return real

        def call(*args, **kwargs):
            self.log.append(name)
            if name == "write" and self.short_writes:
                args = (args[0], args[1][:7])
            if len(self.log) - 1 == self.fail_at:
                self.action(name, args)
            return real(*args, **kwargs)

        return call
