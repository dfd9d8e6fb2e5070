# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The extension module: ops built from fields by name, programs run without the GIL, levels and threads.

It knows no operation by itself: each op class describes its fields and buffers (see src/fastnn.h), so a new op
needs no change here.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_FULL, PyBUF_FULL_RO, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.string cimport memset, strcmp

from fastnn cimport _c

cdef bint _poison = False


cdef class Block:
    """Aligned memory, exposed through the buffer protocol; freed when the last view of it is gone."""

    cdef void *ptr
    cdef readonly size_t nbytes

    def __cinit__(self, size_t nbytes):
        self.ptr = _c.fnn_alloc(nbytes)
        if self.ptr is NULL:
            raise MemoryError(f"cannot allocate an arena of {nbytes} bytes")
        self.nbytes = nbytes

    def __dealloc__(self):
        _c.fnn_free(self.ptr)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.ptr, <Py_ssize_t>self.nbytes, 0, flags)

    def poison(self, size_t nbytes):
        """Fill the first bytes with 0xFF: NaN as floats, 255 and -1 as whole numbers."""
        memset(self.ptr, 0xFF, min(nbytes, self.nbytes))


cdef class Op:
    """One C operation with its problem checked and its algorithm chosen.

    Parameters
    ----------
    name : str
        The op class.
    **fields
        Every field of its problem, by name: numbers, or sequences for array fields (missing tail entries are 0).

    Raises
    ------
    ValueError
        If the op refuses the problem; the message is the op's reason.
    """

    cdef _c.fnn_op *op

    def __cinit__(self, str name, dict fields):
        cdef const _c.fnn_op_class *cls = _c.fnn_op_class_find(name.encode())
        cdef _c.fnn_status status = _c.FNN_OK
        cdef char error[256]
        cdef char *problem
        if cls is NULL:
            raise KeyError(f"no C operation named {name!r}")
        _check_field_names(name, cls, fields)
        problem = <char *>PyMem_Calloc(1, cls.problem_bytes + 8)
        if problem is NULL:
            raise MemoryError()
        try:
            for i in range(cls.n_fields):
                _store_field(problem, &cls.fields[i], fields[cls.fields[i].name.decode()])
            error[0] = 0
            self.op = _c.fnn_op_new(cls, problem, &status, error)
        finally:
            PyMem_Free(problem)
        if self.op is NULL:
            if status == _c.FNN_NO_MEMORY:
                raise MemoryError(f"{name}: {error.decode() or 'out of memory'}")
            raise ValueError(error.decode() or f"{name}: invalid problem")

    def __dealloc__(self):
        if self.op is not NULL:
            _c.fnn_op_free(self.op)

    @property
    def name(self):
        return self.op.cls.name.decode()

    @property
    def n_buffers(self):
        return len(self.op.cls.buffers.decode().split())

    @property
    def algorithm(self):
        return self.op.algorithm.decode() if self.op.algorithm is not NULL else ""

    @property
    def candidates(self):
        """The ways to run this problem: name, its number, its family's, whether it can, whether it may, cycles."""
        cdef _c.fnn_candidate c
        found = []
        if self.op.cls.candidate is not NULL:
            while self.op.cls.candidate(self.op, len(found), &c):
                found.append((c.name.decode(), c.algorithm, c.family, bool(c.applies), bool(c.allowed), c.cycles))
        return found

    @property
    def flops(self):
        return self.op.flops

    @property
    def bytes(self):
        return self.op.bytes

    @property
    def units(self):
        return self.op.units

    def scratch_bytes(self, int n_threads):
        return _c.fnn_op_scratch_bytes(self.op, n_threads)


cdef int _check_field_names(str name, const _c.fnn_op_class *cls, dict fields) except -1:
    known = {cls.fields[i].name.decode() for i in range(cls.n_fields)}
    if known != fields.keys():
        raise TypeError(
            f"{name}: missing fields {sorted(known - fields.keys())}, unknown fields {sorted(fields.keys() - known)}")
    return 0


cdef int _store_field(char *problem, const _c.fnn_field *field, value) except -1:
    cdef int64_t *whole = <int64_t *>(problem + field.offset)
    if field.type == b"d":
        (<double *>(problem + field.offset))[0] = value
    elif field.count == 1:
        whole[0] = value
    else:
        if len(value) > field.count:
            raise ValueError(f"field {field.name.decode()} holds {field.count} numbers, got {len(value)}")
        for j, entry in enumerate(value):
            whole[j] = entry
    return 0


cdef class Program:
    """Steps bound to buffers: what one call without the GIL runs.

    Parameters
    ----------
    ops : sequence of Op
    buffers : sequence of sequence of int
        For each op the slot of each of its buffers, -1 for an absent one.
    n_slots : int
    stops : dict of int to int
        Step index to the slot of the int32 flag that ends the run when it is not zero after the step.
    apart : sequence of int
        For each op how many right before it have no memory in common with it that either writes, scratch left aside.
        Without it none are said to.
    """

    cdef _c.fnn_step *steps
    cdef void **flat
    cdef int *flat_slot
    cdef int *stop_slot
    cdef void **slots
    cdef int n_steps, n_flat, n_slots
    cdef bint stale
    cdef list ops, holders

    def __cinit__(self, ops, buffers, int n_slots, dict stops, apart=()):
        cdef int i, k = 0, with_scratch = -1
        self.ops = list(ops)
        self.holders = [None] * n_slots
        self.n_steps, self.n_slots = len(self.ops), n_slots
        self.n_flat = sum(len(b) for b in buffers)
        self.steps = <_c.fnn_step *>PyMem_Calloc(self.n_steps + 1, sizeof(_c.fnn_step))
        self.flat = <void **>PyMem_Calloc(self.n_flat + 1, sizeof(void *))
        self.flat_slot = <int *>PyMem_Calloc(self.n_flat + 1, sizeof(int))
        self.stop_slot = <int *>PyMem_Calloc(self.n_steps + 1, sizeof(int))
        self.slots = <void **>PyMem_Calloc(n_slots + 1, sizeof(void *))
        if not (self.steps and self.flat and self.flat_slot and self.stop_slot and self.slots):
            raise MemoryError()
        for i in range(self.n_steps):
            op = <Op?>self.ops[i]
            if len(buffers[i]) != op.n_buffers:
                raise ValueError(f"{op.name} has {op.n_buffers} buffers, got {len(buffers[i])}")
            self.steps[i].op = (<Op>op).op
            self.steps[i].buf = self.flat + k
            self.stop_slot[i] = stops.get(i, -1)
            self.steps[i].apart = apart[i] if apart else 0
            if _c.fnn_op_scratch_bytes((<Op>op).op, 1) > 0:  # scratch is one block that each op cuts anew
                self.steps[i].apart = min(self.steps[i].apart, i - 1 - with_scratch)
                with_scratch = i
            for slot in buffers[i]:
                if not -1 <= slot < n_slots:
                    raise ValueError(f"slot {slot} of {op.name} is not in [0, {n_slots})")
                self.flat_slot[k] = slot
                k += 1
        self.stale = True

    def __dealloc__(self):
        PyMem_Free(self.steps)
        PyMem_Free(self.flat)
        PyMem_Free(self.flat_slot)
        PyMem_Free(self.stop_slot)
        PyMem_Free(self.slots)

    def bind(self, int slot, array, size_t offset=0, bint writable=False):
        """Point a slot at an object with the buffer protocol (any strides; its memory is kept alive)."""
        cdef Py_buffer view
        if not 0 <= slot < self.n_slots:
            raise IndexError(f"slot {slot} is not in [0, {self.n_slots})")
        PyObject_GetBuffer(array, &view, PyBUF_FULL if writable else PyBUF_FULL_RO)
        self.slots[slot] = <char *>view.buf + offset
        PyBuffer_Release(&view)
        self.holders[slot] = array
        self.stale = True

    def release(self, int slot):
        """Let go of what a slot points at; it must be bound again before the next run."""
        if not 0 <= slot < self.n_slots:
            raise IndexError(f"slot {slot} is not in [0, {self.n_slots})")
        self.slots[slot] = NULL
        self.holders[slot] = None
        self.stale = True

    def number(self, int slot):
        """Return the float32 that a slot points at."""
        if not 0 <= slot < self.n_slots or self.slots[slot] is NULL:
            raise IndexError(f"slot {slot} of {self.n_slots} holds nothing")
        return (<float *>self.slots[slot])[0]

    def scratch_bytes(self, int n_threads):
        cdef size_t most = 0, size
        cdef int i
        for i in range(self.n_steps):
            size = _c.fnn_op_scratch_bytes(self.steps[i].op, n_threads)
            most = max(most, size)
        return most

    def run(self, int first, int last, int n_threads, Block scratch, double[::1] seconds=None):
        """Run steps [first, last); return the index of the step whose flag ended the run, or last.

        What each step takes is written to its place in ``seconds``.
        """
        if not 0 <= first <= last <= self.n_steps:
            raise IndexError(f"steps [{first}, {last}) of {self.n_steps}")
        if scratch.nbytes < self.scratch_bytes(n_threads):
            raise ValueError("the scratch block is too small")
        if seconds is None:
            return self.walk(first, last, n_threads, scratch, NULL)
        if seconds.shape[0] != self.n_steps:
            raise ValueError(f"expected {self.n_steps} places for seconds, got {seconds.shape[0]}")
        return self.walk(first, last, n_threads, scratch, &seconds[0] + first if self.n_steps else NULL)

    cdef int walk(self, int first, int last, int n_threads, Block scratch, double *seconds):
        cdef int i, done
        cdef void *memory = scratch.ptr
        if self.stale:
            for i in range(self.n_flat):
                self.flat[i] = self.slots[self.flat_slot[i]] if self.flat_slot[i] >= 0 else NULL
            for i in range(self.n_steps):
                if self.stop_slot[i] >= 0:
                    self.steps[i].stop_if = <const int32_t *>self.slots[self.stop_slot[i]]
            self.stale = False
        with nogil:
            done = _c.fnn_run_timed(self.steps + first, last - first, n_threads, memory, seconds)
        return first + done


def extremes(array):
    """Return the least and the greatest of an array of int64 in C order, of at least one element."""
    cdef Py_buffer view
    cdef Py_ssize_t i
    cdef int64_t *values
    cdef int64_t low, high
    PyObject_GetBuffer(array, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    try:
        if view.itemsize != 8 or view.format[0] not in b"lq" or view.len == 0:
            raise TypeError(f"extremes: expected some numbers of int64, got format {view.format.decode()!r}")
        values = <int64_t *>view.buf
        low = high = values[0]
        for i in range(1, view.len // 8):
            low, high = min(low, values[i]), max(high, values[i])
    finally:
        PyBuffer_Release(&view)
    return low, high


def op_classes():
    """Return a dict of every C op class: its buffers string and field names."""
    cdef const _c.fnn_op_class *cls
    table = {}
    for i in range(_c.fnn_op_class_count()):
        cls = _c.fnn_op_class_at(i)
        table[cls.name.decode()] = (cls.buffers.decode(), [cls.fields[j].name.decode() for j in range(cls.n_fields)])
    return table


def levels():
    """Return the names of the levels that this build has and this machine runs, lowest first."""
    return [_c.fnn_level_name(i).decode() for i in range(_c.fnn_level_detected() + 1)]


def compiled_levels():
    """Return the names of all levels in this build, lowest first."""
    return [_c.fnn_level_name(i).decode() for i in range(_c.fnn_level_count())]


def active_level():
    """Return the name of the level whose kernels new plans use."""
    return _c.fnn_level_name(_c.fnn_level_active()).decode()


def set_level(str name):
    """Make new plans use the kernels of this level; plans of another level are not used again."""
    names = levels()
    if name not in names:
        raise ValueError(f"expected a level among {names}, got {name!r}")
    _c.fnn_set_level(names.index(name))


def tile():
    """Return the active level's vector lanes and register tile (MR, NR)."""
    cdef const _c.fnn_kernels *k = _c.fnn_kernels_active()
    return {"vl": k.vl, "mr": k.gemm_mr, "nr": k.gemm_nr}


def cpu_features():
    """Return what cpuid and the operating system say of the processor, as words."""
    return _c.fnn_cpu_features().decode()


def default_threads():
    """Return the thread count that affinity, the cgroup's quota and the cores allow, and the reason."""
    cdef char why[256]
    why[0] = 0
    n = _c.fnn_default_threads(why, sizeof(why))
    return n, why.decode()


def set_team_backend(str name):
    """Choose "pthreads" or "openmp" for the threads of a step."""
    if _c.fnn_set_team_backend(name.encode()) != 0:
        raise ValueError(f"expected a team back end among {team_backends()}, got {name!r}")


def team_backend():
    """Return the name of the back end that runs the threads of a step."""
    return _c.fnn_team_backend().decode()


def team_backends():
    """Return the back ends in this build."""
    return ["pthreads"] + (["openmp"] if _c.fnn_has_openmp() else [])


def set_grain(double nanoseconds):
    """Share a step among threads only if it would take longer than this on one (0: always)."""
    _c.fnn_set_grain(nanoseconds)


def get_grain():
    """Return the grain in nanoseconds."""
    return _c.fnn_get_grain()


def last_team_size():
    """Return how many threads the last parallel step ran on since the last call."""
    return _c.fnn_last_team_size()


def set_poison(bint on):
    """Fill arenas and scratch with NaN before each run: for tests."""
    global _poison
    _poison = on


def poisoning():
    """Tell whether arenas are filled with NaN before each run."""
    return _poison


include "_shortcut.pxi"
