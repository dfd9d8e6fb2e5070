"""Run every small case with each input flush against memory that must not be touched; a program of its own.

An access outside of an input ends the process; the last line printed names the case.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

import fastnn as fn
from case_data import make_inputs
from cases import small_cases
from fastnn import _core
from fastnn.graph import run_primitive
from oracle import placed

Array = npt.NDArray[Any]

PAGE = mmap.PAGESIZE
PROT_NONE, PROT_READ_WRITE = 0, 3
libc = ctypes.CDLL(None, use_errno=True)


class Fence:
    """A copy of an array between two pages that cannot be read or written, at the edge of one of them."""

    def __init__(self, array: Array, at_start: bool) -> None:
        memory = array if array.flags.c_contiguous else array.transpose(0, 2, 3, 1)
        assert memory.flags.c_contiguous
        self.pages = -(-max(array.nbytes, 1) // PAGE)
        self.map = mmap.mmap(-1, (self.pages + 2) * PAGE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        offset = PAGE if at_start else (self.pages + 1) * PAGE - array.nbytes
        flat = np.frombuffer(self.map, array.dtype, array.size, offset)
        inside = flat.reshape(memory.shape)
        inside[...] = memory
        self.array = inside if memory is array else inside.transpose(0, 3, 1, 2)
        self._protect(0, 1, PROT_NONE)
        self._protect(self.pages + 1, 1, PROT_NONE)

    def _protect(self, first: int, count: int, how: int) -> None:
        address = ctypes.c_void_p(self.base + first * PAGE)
        if libc.mprotect(address, ctypes.c_size_t(count * PAGE), how) != 0:
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def open(self) -> None:
        """Allow access everywhere, so that the memory can be given back."""
        self._protect(0, self.pages + 2, PROT_READ_WRITE)


def main() -> None:
    """Run all cases at every level."""
    _core.set_grain(0.0)
    fn.set_num_threads(2)
    runs = 0
    for case in small_cases():
        inputs = make_inputs(case, "floats")
        for level in _core.levels():
            _core.set_level(level)
            for at_start in (False, True):
                sys.stdout.write(f"\r{case.id}, level {level}, {'before' if at_start else 'behind'} an input")
                sys.stdout.flush()
                fences = [None if a is None else Fence(placed(case, i, a), at_start) for i, a in enumerate(inputs)]
                run_primitive(case.primitive, *(f.array if f else None for f in fences), **case.attrs)
                runs += 1
                for fence in fences:
                    if fence:
                        fence.open()
    sys.stdout.write(f"\n{runs} runs\n")


if __name__ == "__main__":
    main()
