"""A device at work: context, queue, memory pool, programs, and kernels bound to their arguments."""

import os
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from agentd.engine.backend import Host, Step
from agentd.engine.opencl_backend.array import DeviceArray
from agentd.engine.opencl_backend.devices import choose, is_gpu
from agentd.engine.opencl_backend.errors import DeviceError, DeviceLostError, DeviceMemoryError
from agentd.engine.opencl_backend.programs import Programs
from agentd.engine.opencl_backend.tuning import Tuning, default_tuning, load_tuning

Grid: TypeAlias = tuple[int, ...]

_STAGED = 1 << 20  # bytes of a host array that is copied aside so that its writer need not wait
_IN_FLIGHT = 64
_TYPES: dict[str, Any] = {"f": np.float32, "i": np.int32, "u": np.uint32}
_LOST = ("DEVICE_NOT_AVAILABLE", "INVALID_CONTEXT", "INVALID_COMMAND_QUEUE", "OUT_OF_RESOURCES")
_FULL = ("MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY", "INVALID_BUFFER_SIZE")


class LocalFloats(NamedTuple):
    """A kernel's argument: so many float32 in the work-group's local memory."""

    size: int


class Runtime:
    """One in-order queue on one device. Belongs to one process and one thread.

    All runtimes of a process share the device's context and built programs; queue, memory pool and
    kernel objects are a runtime's own.
    """

    def __init__(self, asked: str, tuning: Tuning | None = None, profile: bool = False) -> None:
        self.device = choose(asked)  # before pyopencl: says by name when there is none
        import pyopencl as cl
        from pyopencl.tools import ImmediateAllocator, MemoryPool

        self.is_gpu = is_gpu(self.device)
        self.tuning = tuning or load_tuning(self.device) or default_tuning(self.device)
        self.context, self.programs = _shared(self.device)
        how: Any = cl.command_queue_properties.PROFILING_ENABLE if profile else 0
        self.queue = cl.CommandQueue(self.context, self.device, properties=how)
        self.units: int = self.device.max_compute_units
        self._pool = MemoryPool(ImmediateAllocator(self.queue))
        self._in_flight: deque[tuple[Any, Host]] = deque()
        self._process = os.getpid()

    def allocate(self, size: int) -> Any:
        """Return a buffer of at least ``size`` bytes. Raises DeviceMemoryError."""
        import pyopencl as cl

        if os.getpid() != self._process:
            raise DeviceError("opencl: a context does not survive a fork; make a backend anew")
        try:
            return self._pool.allocate(max(size, 64))
        except cl.Error as error:
            raise self.fault(error, f"allocating {size} bytes") from error

    def bind(
        self,
        file: str,
        name: str,
        grid: Grid,
        local: Grid,
        *args: Any,
        options: tuple[str, ...] = (),
    ) -> Step:
        """Return a step that launches kernel ``name`` of kernels/``file``.cl and gives its event.

        int and float become int and float arguments, an array its buffer and its first index,
        LocalFloats local memory, any other value a buffer by itself.
        """
        import pyopencl as cl

        kernel = self.kernel(file, name, args, options)
        enqueue, queue, fault = cl.enqueue_nd_range_kernel, self.queue, self.fault
        error_type = cl.Error

        def step() -> Any:
            try:
                return enqueue(queue, kernel, grid, local)
            except error_type as error:
                raise fault(error, name) from error

        step.__dict__["arguments"] = args  # the buffers live as long as the step
        return step

    def bind_scalars(
        self,
        file: str,
        name: str,
        grid: Grid,
        local: Grid,
        *args: Any,
        types: str,
        options: tuple[str, ...] = (),
    ) -> Callable[..., Any]:
        """Like ``bind``, for kernels whose last arguments come with each call.

        ``types`` has a letter for each of these: f float, i int, u unsigned.
        """
        import pyopencl as cl

        kernel = self.kernel(file, name, args, options)
        first = sum(2 if isinstance(arg, DeviceArray) else 1 for arg in args)
        casts = [(first + i, _TYPES[t]) for i, t in enumerate(types)]
        enqueue, queue, fault = cl.enqueue_nd_range_kernel, self.queue, self.fault
        error_type, set_arg = cl.Error, kernel.set_arg

        def step(*values: float) -> Any:
            try:
                for (at, cast), value in zip(casts, values, strict=True):
                    set_arg(at, cast(value))
                return enqueue(queue, kernel, grid, local)
            except error_type as error:
                raise fault(error, name) from error

        step.__dict__["arguments"] = args
        return step

    def kernel(self, file: str, name: str, args: tuple[Any, ...], options: tuple[str, ...]) -> Any:
        """Return a kernel object of its own with its first arguments set."""
        import pyopencl as cl

        program = self.programs.get(file, (*self.tuning.options, *options))
        kernel = cl.Kernel(program, name)
        at = 0
        for arg in args:
            for value in _expand(arg):
                kernel.set_arg(at, value)
                at += 1
        return kernel

    def send(self, array: DeviceArray, host: Host) -> None:
        """Copy contiguous ``host`` into ``array``; small arrays are staged, so nobody waits."""
        import pyopencl as cl

        staged = host.nbytes <= _STAGED
        source = host.copy() if staged else host
        try:
            event = cl.enqueue_copy(
                self.queue, array.buffer, source, dst_offset=array.start, is_blocking=not staged
            )
            if staged:
                self._in_flight.append((event, source))
                if len(self._in_flight) > _IN_FLIGHT:
                    self._in_flight.popleft()[0].wait()
        except cl.Error as error:
            raise self.fault(error, "write") from error

    def receive(self, array: DeviceArray) -> Host:
        """Return a host copy of ``array``: waits until everything before it is done."""
        import pyopencl as cl

        host: Host = np.empty(array.shape, array.dtype)
        if host.size:
            try:
                cl.enqueue_copy(self.queue, host, array.buffer, src_offset=array.start)
            except cl.Error as error:
                raise self.fault(error, "read") from error
        self._in_flight.clear()  # in-order: all of them were before this
        return host

    def finish(self) -> None:
        """Wait until the queue is empty."""
        import pyopencl as cl

        try:
            self.queue.finish()
        except cl.Error as error:
            raise self.fault(error, "finish") from error
        self._in_flight.clear()

    def fault(self, error: Exception, what: str) -> DeviceError:
        """Return the named error for what a driver answered."""
        text = f"opencl: {what} on {self.device.name.strip()}: {error}"
        if any(word in str(error) for word in _FULL):
            return DeviceMemoryError(text)
        if any(word in str(error) for word in _LOST):
            return DeviceLostError(text)
        return DeviceError(text)

    def spread(self, n: int) -> tuple[Grid, Grid]:
        """Return grid and group of an elementwise kernel: one item a chunk of ``n`` numbers."""
        items, lone = -(-n // self.tuning.chunk), self.tuning.chunk > self.tuning.width
        return ((items,), (1,)) if lone else self.items(items)

    def items(self, n: int) -> tuple[Grid, Grid]:
        """Return grid and group for at least ``n`` items; on a CPU small grids use small groups."""
        local = self.tuning.local
        if not self.is_gpu:
            while local > 1 and n < local * self.units:
                local //= 2
        return (-(-max(n, 1) // local) * local,), (local,)

    def each_row(self, rows: int) -> tuple[Grid, Grid]:
        """Return grid and group of a row-wise kernel: LANES items a row."""
        return (self.tuning.lanes, rows), (self.tuning.lanes, 1)


_contexts: dict[tuple[int, int], tuple[Any, Programs]] = {}


def _shared(device: Any) -> tuple[Any, Programs]:
    """Return this process's one context of ``device`` and what was built in it."""
    import pyopencl as cl

    key = (os.getpid(), device.int_ptr)
    if key not in _contexts:
        context = cl.Context([device])
        _contexts[key] = (context, Programs(context, device))
    return _contexts[key]


def _expand(arg: Any) -> tuple[Any, ...]:
    if isinstance(arg, DeviceArray):
        return arg.buffer, np.uint64(arg.first)
    if isinstance(arg, int):
        return (np.int32(arg),)
    if isinstance(arg, float):
        return (np.float32(arg),)
    if isinstance(arg, LocalFloats):
        import pyopencl as cl

        return (cl.LocalMemory(4 * arg.size),)
    return (arg,)
