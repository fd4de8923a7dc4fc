"""Arithmetic on whole arrays; sums and extremes in stages, until one work-item is left."""

from typing import Any

import numpy as np

from agentd.engine.backend import Step, in_order, nothing
from agentd.engine.backend.checks import check_arrays, check_extreme, check_matmul, check_shapes
from agentd.engine.opencl_backend.array import DeviceArray
from agentd.engine.opencl_backend.dense import DenseOps
from agentd.engine.opencl_backend.memory import FLOAT, Dv

_INT32: np.dtype[Any] = np.dtype(np.int32)
_ROUNDED = "-cl-fp32-correctly-rounded-divide-sqrt"
_SHARE = 256  # numbers at least that are worth a work-item of their own, and two chunks
_DOWN = 2.0**-32  # scales a sum of float32 so that it cannot overflow


class ArithmeticOps(DenseOps):
    """Kernels that give NumPy's numbers, sums in pairs of floats instead of float64."""

    def absolute(self, x: Dv, y: Dv) -> Step:
        return self._elementwise("absolute", y, x=x)

    def plus(self, a: Dv, b: Dv, y: Dv) -> Step:
        return self._elementwise("plus", y, a=a, b=b)

    def minus(self, a: Dv, b: Dv, y: Dv) -> Step:
        return self._elementwise("minus", y, a=a, b=b)

    def times(self, a: Dv, b: Dv, y: Dv) -> Step:
        return self._elementwise("times", y, a=a, b=b)

    def divide(self, a: Dv, b: Dv, y: Dv) -> Step:
        return self._elementwise("divide", y, a=a, b=b)

    def matmul(self, x: Dv, w: Dv, y: Dv) -> Step:
        check_arrays("matmul", DeviceArray, FLOAT, x=x, w=w, y=y)
        check_matmul(x, w, y)
        return self.affine(x, w, None, y)

    def sum_all(self, x: Dv, out: Dv) -> Step:
        check_arrays("sum_all", DeviceArray, FLOAT, x=x, out=out)
        check_shapes("sum_all", (1,), out=out)
        if not x.size:
            return self.fill(out, 0)
        step: Step = nothing
        numbers, scaled, scale, n = x, x, _DOWN, x.size
        for items in self._stages(x.size):
            part = self.empty((2, 2 * items))
            args = (n, items, numbers, scaled, scale, part, out)
            grid = self.runtime.items(items)
            step = in_order(step, self.runtime.bind("reduce", "sum_part", *grid, *args))
            numbers, scaled, scale, n = self.rows(part, 0, 1), self.rows(part, 1, 2), 1.0, 2 * items
        return step

    def find_min(self, x: Dv, value: Dv, index: Dv) -> Step:
        return self._extreme("find_min", 0, x, value, index)

    def find_max(self, x: Dv, value: Dv, index: Dv) -> Step:
        return self._extreme("find_max", 1, x, value, index)

    def _elementwise(self, what: str, y: Dv, **given: Dv) -> Step:
        import pyopencl as cl

        check_arrays(what, DeviceArray, FLOAT, **given, y=y)
        first, *others = given
        check_shapes(what, given[first].shape, **{name: given[name] for name in others}, y=y)
        if not y.size:
            return nothing
        can = cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
        rounded = (_ROUNDED,) if self.runtime.device.single_fp_config & can else ()
        args = (y.size, *given.values(), y)
        grid = self.runtime.spread(y.size)
        return self.runtime.bind("arithmetic", what, *grid, *args, options=rounded)

    def _extreme(self, what: str, greatest: int, x: Dv, value: Dv, index: Dv) -> Step:
        check_arrays(what, DeviceArray, FLOAT, x=x, value=value)
        check_arrays(what, DeviceArray, _INT32, index=index)
        check_extreme(what, x, value, index)
        step: Step = nothing
        n, listed, among = x.size, 0, index
        for items in self._stages(x.size):
            best = index if items == 1 else self.empty((items,), "int32")
            args = (n, items, greatest, x, listed, among, best, value)
            grid = self.runtime.items(items)
            step = in_order(step, self.runtime.bind("reduce", "find_part", *grid, *args))
            n, listed, among = items, 1, best
        return step

    def _stages(self, n: int) -> list[int]:
        """Return the number of work-items of each stage over ``n`` numbers; the last is 1."""
        share = max(_SHARE, 2 * self.runtime.tuning.chunk)
        most = 4 * self.runtime.units * self.runtime.tuning.local
        stages = [min(-(-n // share), most)]
        while stages[-1] > 1:
            stages.append(-(-stages[-1] // (share // 2)))
        return stages
