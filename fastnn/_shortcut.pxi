# Part of _core.pyx: calls that were made before, made again.

cdef enum:
    MOST_INPUTS = 8
    MOST_NDIM = 6

cdef struct Expected:
    int slot, ndim
    char code
    Py_ssize_t shape[MOST_NDIM]
    Py_ssize_t strides[MOST_NDIM]


cdef class Shortcut:
    """A program that was run before, ready for a call with the same constants and arrays of the same kind.

    Parameters
    ----------
    program : Program
    plan : object
        With ``settle(threads)``, which binds the program to its memory, and ``arena``.
    arguments, keywords : tuple, dict
        The call: an array stands for all of its shape, dtype and strides, anything else for itself.
    slots : list of int
        Slots of the arrays in the order of the call; -1 where the program does not read one.
    outputs : list of tuple
        For each output its slot and a function that makes an array.
    finish : callable
        Makes what the caller gets of the list of outputs.
    array_type : type
    """

    cdef Program program
    cdef object plan, arena, finish, array_type, generation, block
    cdef tuple arguments
    cdef dict keywords
    cdef list outputs
    cdef Expected expected[MOST_INPUTS]
    cdef int n_arrays, level, threads
    cdef readonly bint finished

    def __init__(self, Program program, plan, tuple arguments, dict keywords, list slots, list outputs, finish,
                 array_type):
        cdef Py_buffer view
        cdef Expected *e
        cdef int d
        self.program, self.plan, self.arena = program, plan, plan.arena
        self.arguments, self.keywords = arguments, keywords
        self.outputs, self.finish, self.array_type = outputs, finish, array_type
        self.level, self.threads = _c.fnn_level_active(), 0
        for value in (*arguments, *keywords.values()):
            if type(value) is not array_type:
                continue
            if self.n_arrays == MOST_INPUTS or value.ndim > MOST_NDIM:
                raise ValueError("too many arrays or dimensions for a shortcut")
            e = &self.expected[self.n_arrays]
            PyObject_GetBuffer(value, &view, PyBUF_FULL_RO)
            e.slot, e.ndim, e.code = slots[self.n_arrays], view.ndim, view.format[0]
            for d in range(view.ndim):
                e.shape[d], e.strides[d] = view.shape[d], view.strides[d]
            PyBuffer_Release(&view)
            self.n_arrays += 1
        self.arguments = tuple([_ANY if type(v) is array_type else v for v in arguments])
        self.keywords = {k: _ANY if type(v) is array_type else v for k, v in keywords.items()}

    def __call__(self, tuple arguments, dict keywords, int threads):
        """Return the call's result, or None where this shortcut does not serve it."""
        return self.run(threads) if self.takes(arguments, keywords) else None

    cpdef bint takes(self, tuple arguments, dict keywords) except -1:
        """Tell whether this shortcut serves a call; if so, the program points at its arrays until it has run."""
        cdef int n = 0
        cdef Py_ssize_t i
        if len(arguments) != len(self.arguments) or len(keywords) != len(self.keywords):
            return False
        if _c.fnn_level_active() != self.level:
            return False
        for i in range(len(arguments)):
            if not self.serves(<object>arguments[i], <object>self.arguments[i], &n):
                return False
        for name, wanted in self.keywords.items():
            if name not in keywords or not self.serves(keywords[name], wanted, &n):
                return False
        return True

    cdef bint serves(self, value, wanted, int *n) except -1:
        """Tell whether an argument is as expected, and point the program at an array."""
        cdef Py_buffer view
        cdef Expected *e
        cdef bint same
        cdef int d
        if wanted is not _ANY:
            return _same(value, wanted)
        if type(value) is not self.array_type:
            return False
        e = &self.expected[n[0]]
        n[0] += 1
        PyObject_GetBuffer(value, &view, PyBUF_FULL_RO)
        same = view.ndim == e.ndim and view.format[0] == e.code and view.format[1] == 0
        for d in range(view.ndim if same else 0):
            same = same and view.shape[d] == e.shape[d] and (view.strides[d] == e.strides[d] or e.shape[d] == 1)
        if e.slot >= 0:
            self.program.slots[e.slot] = view.buf
        PyBuffer_Release(&view)
        return same

    cpdef run(self, int threads, double[::1] seconds=None):
        """Run the program for the call that it takes; `finished` tells whether it came to its end.

        ``seconds`` is as for `Program.run`.
        """
        cdef Program program = self.program
        cdef Py_buffer view
        cdef double *times = NULL
        if (threads != self.threads or self.arena.generation is not self.generation
                or self.arena.scratch is not self.block):
            self.plan.settle(threads)
            self.threads, self.generation, self.block = threads, self.arena.generation, self.arena.scratch
        if _poison:
            self.arena.poison(self.plan.arena_bytes, self.plan._scratch[1])
        made = []
        for slot, make in self.outputs:
            array = make()
            PyObject_GetBuffer(array, &view, PyBUF_FULL)
            program.slots[<int>slot] = view.buf
            if _poison:
                memset(view.buf, 0xFF, view.len)
            PyBuffer_Release(&view)
            made.append(array)
        program.stale = True
        if seconds is not None and seconds.shape[0] == program.n_steps and program.n_steps > 0:
            times = &seconds[0]
        self.finished = program.walk(0, program.n_steps, threads, <Block>self.block, times) == program.n_steps
        return self.finish(made)


cdef object _ANY = object()


cdef bint _same(a, b) except -1:
    """Tell whether two constants are the same for a plan: equal and of one type, all the way down."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple or type(a) is list:
        return len(a) == len(b) and all([_same(x, y) for x, y in zip(a, b)])
    return type(a) in (int, float, str) and a == b
