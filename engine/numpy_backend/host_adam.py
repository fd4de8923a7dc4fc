"""Adam in one pass over memory, where PoCL is installed: NumPy alone needs ten.

PoCL is OpenCL on this very CPU. Its buffers can be NumPy's own memory, so one of our kernels may
walk the parameter vector with all cores and nothing is copied. ``kernels/host_adam.cl`` does the
same operations in the same order as the NumPy loop and gives the same bits; a trial at the start
makes sure of both. Which of them steps, and in what blocks, a second trial decides by time, on
vectors of the size at hand: the bits are the same, so nothing needs to be recorded. Small vectors
are NumPy's without a trial.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from agentd.engine.backend import AdamStep
from agentd.engine.errors import EngineError
from agentd.engine.numpy_backend.adam import BLOCKS, adam_in_blocks
from agentd.engine.numpy_backend.memory import Nd, aligned
from agentd.engine.numpy_backend.trial import fastest

FROM = 1 << 16
"""Numbers from which a trial pays: NumPy steps over fewer in the time of a launch or two."""

_LARGEST = 1 << 20
"""Numbers of a trial's vectors, at most."""
_CHUNK = 32_768
_OPTIONS = ("-cl-fp32-correctly-rounded-divide-sqrt", f"-DCHUNK={_CHUNK}")
_PLATFORM = "Portable Computing Language"


class HostDevice:
    """PoCL's device over host memory. Belongs to one process; steps belong to one thread."""

    def __init__(self) -> None:
        import pyopencl as cl

        from agentd.engine.opencl_backend.devices import choose
        from agentd.engine.opencl_backend.programs import Programs

        device = choose(f"opencl:{_PLATFORM}")
        self._context = cl.Context([device])
        self._queue = cl.CommandQueue(self._context, device)
        self._program = Programs(self._context, device).get("host_adam", _OPTIONS)

    def adam(self, p: Nd, g: Nd, m: Nd, v: Nd) -> AdamStep:
        """Bind Adam over contiguous float32 vectors of one size; see ``Backend.adam``."""
        import pyopencl as cl

        kernel, queue, grid = cl.Kernel(self._program, "adam"), self._queue, (-(-p.size // _CHUNK),)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR
        buffers = [cl.Buffer(self._context, flags, hostbuf=array) for array in (p, g, m, v)]
        kernel.set_args(np.int32(p.size), *buffers, *([np.float32(0)] * 6), np.int32(0))
        enqueue, set_arg, number = cl.enqueue_nd_range_kernel, kernel.set_arg, np.float32

        def step(*constants: float) -> None:  # the last one, adaptive, is a bool
            for at, value in enumerate(constants[:6], 5):
                set_arg(at, number(value))
            set_arg(11, np.int32(constants[6]))
            enqueue(queue, kernel, grid, (1,))
            queue.finish()

        step.__dict__["buffers"] = buffers  # they live as long as the step
        return step


def fastest_adam(p: Nd, g: Nd, m: Nd, v: Nd) -> AdamStep:
    """Bind Adam the way that is fastest here; see ``Backend.adam``."""
    vectors = (p, g, m, v)
    if p.size < FROM or any(a.dtype != np.float32 or not a.flags.c_contiguous for a in vectors):
        return adam_in_blocks(*vectors)
    ways = ways_of(*vectors)
    return ways[_fastest_way(os.getpid(), min(p.size, _LARGEST).bit_length(), len(ways))]()


def ways_of(p: Nd, g: Nd, m: Nd, v: Nd) -> list[Callable[[], AdamStep]]:
    """Return what binds Adam in each way there is: NumPy by size of the blocks, then PoCL."""
    ways: list[Callable[[], AdamStep]] = [
        partial(adam_in_blocks, p, g, m, v, about) for about in BLOCKS
    ]
    device = host_device()
    return ways if device is None else [*ways, partial(device.adam, p, g, m, v)]


@cache
def _fastest_way(process: int, bits: int, count: int) -> int:
    """Return which way is fastest for vectors of 2^(bits - 1) numbers, by a trial."""
    start: Any = np.linspace(0.1, 1, 1 << (bits - 1), dtype=np.float32)
    steps = [way() for way in ways_of(*(_copy(start) for _ in range(4)))]
    return fastest([partial(step, 0.9, 0.999, 1e-3, 1e-7, 0.0, 1.0, True) for step in steps])


def host_device() -> HostDevice | None:
    """Return PoCL's device if it is there, builds our kernel, and passes a trial."""
    return _device_of(os.getpid())  # a context does not survive a fork


@cache
def _device_of(process: int) -> HostDevice | None:
    try:
        import pyopencl as cl
    except ImportError:
        return None
    try:
        device = HostDevice()
        return device if _passes(device) else None
    except (EngineError, ImportError, RuntimeError, cl.Error):
        return None


def _passes(device: HostDevice) -> bool:
    """Return whether a step on a small vector gives NumPy's bits, in NumPy's memory."""
    start: Any = np.linspace(-1, 1, 4 * 37, dtype=np.float32).reshape(4, 37)
    start[3] **= 2
    ours, theirs = (tuple(map(_copy, start)) for _ in range(2))
    for constants in (
        (0.9, 0.999, 1e-3, 1e-7, 0.0, 1.0, True),
        (0.8, 0.99, 1e-2, 1e-3, 0.1, 0.9, False),
    ):
        device.adam(*ours)(*constants)
        adam_in_blocks(*theirs)(*constants)
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def _copy(row: Nd) -> Nd:
    new = aligned(row.shape, row.dtype)
    np.copyto(new, row)
    return new
