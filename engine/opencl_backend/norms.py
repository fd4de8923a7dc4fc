"""LayerNorm over rows and BatchNorm over columns."""

from typing import Any

from agentd.engine.backend import Step, in_order
from agentd.engine.opencl_backend.memory import Dv, MemoryOps


class NormOps(MemoryOps):
    """The sums for gain and bias come first in every backward: dx may overwrite dy."""

    def layer_norm(self, x: Dv, gain: Dv, bias: Dv, eps: float, y: Dv, norm: Dv, scale: Dv) -> Step:
        each_row = self.runtime.each_row(x.shape[0])
        args = (x.shape[1], x, gain, bias, float(eps), y, norm, scale)
        return self.runtime.bind("normalize", "layer_norm", *each_row, *args)

    def layer_norm_backward(
        self, dy: Dv, gain: Dv, norm: Dv, scale: Dv, dgain: Dv, dbias: Dv, dx: Dv
    ) -> Step:
        each_row = self.runtime.each_row(dy.shape[0])
        args = (dy.shape[1], dy, gain, norm, scale, dx)
        down = self.runtime.bind("normalize", "layer_norm_dx", *each_row, *args)
        return in_order(self._by_column("gain_and_bias", dy, norm, dgain, dbias), down)

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
        given = (x, gain, bias, mean, variance, float(momentum), float(eps), y, norm, scale)
        return self._by_column("batch_norm", *given)

    def batch_norm_backward(
        self, dy: Dv, gain: Dv, norm: Dv, scale: Dv, dgain: Dv, dbias: Dv, dx: Dv
    ) -> Step:
        args = (dy, gain, norm, scale, dgain, dbias, dx)
        down = self.over_rows("normalize", "batch_norm_dx", *dy.shape, *args)
        return in_order(self._by_column("gain_and_bias", dy, norm, dgain, dbias), down)

    def batch_norm_apply(
        self, x: Dv, gain: Dv, bias: Dv, mean: Dv, variance: Dv, eps: float, y: Dv
    ) -> Step:
        args = (x, gain, bias, mean, variance, float(eps), y)
        return self.over_rows("normalize", "batch_norm_apply", *x.shape, *args)

    def _by_column(self, name: str, x: Dv, *args: Any) -> Step:
        """Bind a kernel with LANES items for every few columns of x (R, C)."""
        rows, n = x.shape
        lanes = self.runtime.tuning.lanes
        grid = (lanes, -(-n // self.runtime.tuning.width))
        return self.runtime.bind("normalize", name, grid, (lanes, 1), rows, n, x, *args)
