"""Arithmetic on whole arrays, with sums in float64."""

from typing import Any

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.backend.checks import check_arrays, check_extreme, check_matmul, check_shapes
from agentd.engine.numpy_backend.dense import DenseOps
from agentd.engine.numpy_backend.memory import Nd

_INT32: np.dtype[Any] = np.dtype(np.int32)


class ArithmeticOps(DenseOps):
    """Ufuncs with ``out=``, silent about what IEEE 754 defines."""

    def absolute(self, x: Nd, y: Nd) -> Step:
        return self._elementwise("absolute", np.absolute, y, x=x)

    def plus(self, a: Nd, b: Nd, y: Nd) -> Step:
        return self._elementwise("plus", np.add, y, a=a, b=b)

    def minus(self, a: Nd, b: Nd, y: Nd) -> Step:
        return self._elementwise("minus", np.subtract, y, a=a, b=b)

    def times(self, a: Nd, b: Nd, y: Nd) -> Step:
        return self._elementwise("times", np.multiply, y, a=a, b=b)

    def divide(self, a: Nd, b: Nd, y: Nd) -> Step:
        return self._elementwise("divide", np.divide, y, a=a, b=b)

    def matmul(self, x: Nd, w: Nd, y: Nd) -> Step:
        check_arrays("matmul", np.ndarray, self.dtype, x=x, w=w, y=y)
        check_matmul(x, w, y)
        return self.affine(x, w, None, y)

    def sum_all(self, x: Nd, out: Nd) -> Step:
        check_arrays("sum_all", np.ndarray, self.dtype, x=x, out=out)
        check_shapes("sum_all", (1,), out=out)

        def step() -> None:
            with np.errstate(all="ignore"):
                out[0] = x.sum(dtype=np.float64) + 0.0  # a sum of -0 becomes +0

        return step

    def find_min(self, x: Nd, value: Nd, index: Nd) -> Step:
        return self._extreme("find_min", np.argmin, x, value, index)

    def find_max(self, x: Nd, value: Nd, index: Nd) -> Step:
        return self._extreme("find_max", np.argmax, x, value, index)

    def _elementwise(self, what: str, ufunc: Any, y: Nd, **given: Nd) -> Step:
        check_arrays(what, np.ndarray, self.dtype, **given, y=y)
        first, *others = given
        check_shapes(what, given[first].shape, **{name: given[name] for name in others}, y=y)
        inputs = tuple(given.values())

        def step() -> None:
            with np.errstate(all="ignore"):
                ufunc(*inputs, y)

        return step

    def _extreme(self, what: str, find: Any, x: Nd, value: Nd, index: Nd) -> Step:
        check_arrays(what, np.ndarray, self.dtype, x=x, value=value)
        check_arrays(what, np.ndarray, _INT32, index=index)
        check_extreme(what, x, value, index)

        def step() -> None:
            first = find(x)
            index[0], value[0] = first, x.take(first)

        return step
