"""Memory: buffers from the pool, views, copies, and sums in place."""

from typing import Any, TypeAlias

import numpy as np

from agentd.engine.backend import Array, Host, Kind, Shape, Slot, Step, nothing
from agentd.engine.errors import ShapeError
from agentd.engine.opencl_backend.array import DeviceArray
from agentd.engine.opencl_backend.runtime import Runtime
from agentd.engine.opencl_backend.tuning import Tuning

Dv: TypeAlias = Any
"""A DeviceArray; the Protocol's ``Array`` at the border, where only the shape is promised."""

FLOAT: np.dtype[Any] = np.dtype(np.float32)
_KINDS: dict[Kind, np.dtype[Any]] = {
    "float": FLOAT,
    "int32": np.dtype(np.int32),
    "uint32": np.dtype(np.uint32),
    "uint8": np.dtype(np.uint8),
}


class MemoryOps:
    """Arrays in the device's memory; floats are float32."""

    name = "opencl"

    def __init__(
        self, device: str = "opencl", tuning: Tuning | None = None, profile: bool = False
    ) -> None:
        self.runtime = Runtime(device, tuning, profile)

    def empty(self, shape: Shape, kind: Kind = "float") -> Dv:
        return self._new(tuple(shape), _KINDS[kind])

    def zeros(self, shape: Shape, kind: Kind = "float") -> Dv:
        new = self.empty(shape, kind)
        self.fill(new, 0)()
        return new

    def asarray(self, host: Host) -> Dv:
        source = np.asarray(host)
        new = self._new(source.shape, FLOAT if source.dtype.kind == "f" else source.dtype)
        self.write(new, source)
        return new

    def to_host(self, array: Dv) -> Host:
        return self.runtime.receive(array)

    def write(self, array: Dv, source: Array | Host) -> None:
        if source.shape != array.shape:
            raise ShapeError("write", array.shape, source.shape)
        if isinstance(source, DeviceArray):
            if source.dtype == array.dtype:
                self.copy(source, array)()
                return
            source = self.to_host(source)
        if array.size:
            host = np.ascontiguousarray(source)
            self.runtime.send(array, host.astype(array.dtype, copy=False, casting="unsafe"))

    def view(self, vector: Dv, slot: Slot) -> Dv:
        return vector.part(slot.offset, slot.shape)

    def rows(self, array: Dv, start: int, stop: int) -> Dv:
        start, stop, _ = slice(start, stop).indices(array.shape[0])
        inner = array.shape[1:]
        step = DeviceArray(array.buffer, 0, inner, array.dtype).size
        return array.part(start * step, (max(stop - start, 0), *inner))

    def reshape(self, array: Dv, shape: Shape) -> Dv:
        if -1 in shape:
            known = -int(np.prod(shape))
            shape = tuple(array.size // known if n == -1 else n for n in shape)
        new = array.part(0, tuple(shape))
        if new.size != array.size:
            raise ShapeError("reshape", array.shape, shape)
        return new

    def copy(self, x: Dv, y: Dv) -> Step:
        import pyopencl as cl

        if x.shape != y.shape or x.dtype != y.dtype:
            raise ShapeError("copy", (y.shape, y.dtype), (x.shape, x.dtype))
        copy, queue, fault, size = cl.enqueue_copy, self.runtime.queue, self.runtime.fault, x.nbytes
        if x.buffer is y.buffer and x.first == y.first:
            return nothing

        def step() -> None:
            try:
                copy(
                    queue,
                    y.buffer,
                    x.buffer,
                    byte_count=size,
                    src_offset=x.start,
                    dst_offset=y.start,
                )
            except cl.Error as error:
                raise fault(error, "copy") from error

        return step if size else nothing

    def fill(self, y: Dv, value: float) -> Step:
        import pyopencl as cl

        pattern = y.dtype.type(value)
        fill, queue, fault = cl.enqueue_fill_buffer, self.runtime.queue, self.runtime.fault

        def step() -> None:
            try:
                fill(queue, y.buffer, pattern, y.start, y.nbytes)
            except cl.Error as error:
                raise fault(error, "fill") from error

        return step if y.size else nothing

    def add(self, x: Dv, y: Dv) -> Step:
        return self.spread("elementwise", "add", y.size, x, y)

    def add_row(self, row: Dv, y: Dv) -> Step:
        return self.over_rows("elementwise", "add_row", *y.shape, row, y)

    def multiply(self, x: Dv, y: Dv) -> Step:
        return self.spread("elementwise", "multiply", y.size, x, y)

    def blend(self, x: Dv, y: Dv, weight: float) -> Step:
        return self.spread("elementwise", "blend", y.size, x, y, float(weight))

    def holds(self, nbytes: int) -> bool:
        device = self.runtime.device
        room = min(device.global_mem_size // 4, device.max_mem_alloc_size)
        return self.runtime.is_gpu and nbytes <= room  # a CPU's device memory is the host's

    def gather_rows(self, table: Dv, slot: Dv, out: Dv) -> Step:
        rows, n = out.shape
        if table.shape[1:] != (n,) or slot.shape != (rows,):
            raise ShapeError("gather_rows", (rows, *table.shape[1:]), out.shape)
        name = "gather_floats" if table.dtype == FLOAT else "gather_bytes"
        args = (n, table.shape[0] - 1, table, slot, out)
        return self.runtime.bind("gather", name, *self.runtime.each_row(rows), *args)

    def spread(self, file: str, name: str, n: int, *args: Any) -> Step:
        """Bind an elementwise kernel over ``n`` numbers; its first argument is n."""
        if n == 0:
            return nothing
        return self.runtime.bind(file, name, *self.runtime.spread(n), n, *args)

    def over_rows(self, file: str, name: str, rows: int, n: int, *args: Any) -> Step:
        """Bind a kernel with an item for every few numbers of a row of n."""
        grid, local = self.runtime.items(rows * -(-n // self.runtime.tuning.width))
        return self.runtime.bind(file, name, grid, local, rows, n, *args)

    def _new(self, shape: Shape, dtype: np.dtype[Any]) -> DeviceArray:
        array = DeviceArray(None, 0, shape, dtype)
        array.buffer = self.runtime.allocate(array.nbytes)
        return array


def optional(value: Any, instead: Any) -> tuple[int, Any]:
    """Return (1, value), or (0, instead) for None: kernels look at the first of the two."""
    return (0, instead) if value is None else (1, value)
