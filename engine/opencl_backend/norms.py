"""LayerNorm over rows and BatchNorm over columns."""

from agentd.engine.backend import Step
from agentd.engine.opencl_backend.memory import Dv, MemoryOps
from agentd.engine.opencl_backend.runtime import Grid


class NormOps(MemoryOps):
    """The sums for gain and bias come first in every backward: dx may overwrite dy."""

    def layer_norm(self, x: Dv, gain: Dv, bias: Dv, eps: float, y: Dv, norm: Dv, scale: Dv) -> Step:
        rows, n = x.shape
        grid, local = self.runtime.each_row(rows)
        args = (n, x, gain, bias, float(eps), y, norm, scale)
        return self.runtime.bind("normalize", "layer_norm", grid, local, *args)

    def layer_norm_backward(
        self, dy: Dv, gain: Dv, norm: Dv, scale: Dv, dgain: Dv, dbias: Dv, dx: Dv
    ) -> Step:
        rows, n = dy.shape
        sums = self._gain_and_bias(dy, norm, dgain, dbias)
        grid, local = self.runtime.each_row(rows)
        args = (n, dy, gain, norm, scale, dx)
        down = self.runtime.bind("normalize", "layer_norm_dx", grid, local, *args)

        def step() -> None:
            sums()
            down()

        return step

    def batch_norm(
        self,
        x: Dv,
        gain: Dv,
        bias: Dv,
        mean: Dv,
        variance: Dv,
        momentum: float,
        eps: float,
        y: Dv,
        norm: Dv,
        scale: Dv,
    ) -> Step:
        rows, n = x.shape
        grid, local = self._each_column(n)
        given = (rows, n, x, gain, bias, mean, variance, float(momentum), float(eps))
        return self.runtime.bind("normalize", "batch_norm", grid, local, *given, y, norm, scale)

    def batch_norm_backward(
        self, dy: Dv, gain: Dv, norm: Dv, scale: Dv, dgain: Dv, dbias: Dv, dx: Dv
    ) -> Step:
        rows, n = dy.shape
        sums = self._gain_and_bias(dy, norm, dgain, dbias)
        grid, local = self._each_number(rows, n)
        args = (rows, n, dy, gain, norm, scale, dgain, dbias, dx)
        down = self.runtime.bind("normalize", "batch_norm_dx", grid, local, *args)

        def step() -> None:
            sums()
            down()

        return step

    def batch_norm_apply(
        self, x: Dv, gain: Dv, bias: Dv, mean: Dv, variance: Dv, eps: float, y: Dv
    ) -> Step:
        rows, n = x.shape
        grid, local = self._each_number(rows, n)
        args = (rows, n, x, gain, bias, mean, variance, float(eps), y)
        return self.runtime.bind("normalize", "batch_norm_apply", grid, local, *args)

    def _gain_and_bias(self, dy: Dv, norm: Dv, dgain: Dv, dbias: Dv) -> Step:
        rows, n = dy.shape
        grid, local = self._each_column(n)
        args = (rows, n, dy, norm, dgain, dbias)
        return self.runtime.bind("normalize", "gain_and_bias", grid, local, *args)

    def _each_column(self, n: int) -> tuple[Grid, Grid]:
        lanes = self.runtime.tuning.lanes
        return (lanes, -(-n // self.runtime.tuning.width)), (lanes, 1)

    def _each_number(self, rows: int, n: int) -> tuple[Grid, Grid]:
        return self.runtime.items(rows * -(-n // self.runtime.tuning.width))
