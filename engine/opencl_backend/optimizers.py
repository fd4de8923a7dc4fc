"""Optimizer steps over flat vectors: one launch each, whatever the rule."""

from collections.abc import Callable
from typing import Any

from agentd.engine.backend import TINY, AdamStep, Step, Step3, Step4, in_order
from agentd.engine.opencl_backend.memory import Dv, MemoryOps, optional

_GROUPS_PER_UNIT = 4
_MAX_GROUPS = 256


class OptimizerOps(MemoryOps):
    """The constants of a step are set as kernel arguments just before its launch."""

    def norm(self, g: Dv, out: Dv) -> Step:
        squares, groups, part = self._squares(g)
        root = self.runtime.bind("norm", "root", (1,), (1,), groups, part, out)
        return in_order(squares, root)

    def clip_norm(self, g: Dv, limit: float, out: Dv) -> Step:
        squares, groups, part = self._squares(g)
        clip = self.spread("norm", "clip_norm", g.size, groups, part, g, float(limit), out)
        return in_order(squares, clip)

    def clip_value(self, g: Dv, limit: float) -> Step:
        return self.spread("elementwise", "clip_value", g.size, g, float(limit))

    def penalty(self, p: Dv, g: Dv, l1: float, l2: float) -> Step:
        return self.spread("elementwise", "penalty", p.size, p, g, float(l1), float(l2))

    def flush_to_zero(self, x: Dv) -> Step:
        return self.spread("elementwise", "flush_to_zero", x.size, x, TINY)

    def trace(self, g: Dv, z: Dv, out: Dv) -> Callable[[float], object]:
        grid, chunk, groups, part = self._chunks(g)
        local = (self.runtime.tuning.lanes,)
        given = (g.size, chunk, g, z, part)
        take_in = self.runtime.bind_scalars("trace", "accumulate", grid, local, *given, types="ff")
        total = self.runtime.bind("trace", "total", (1,), (1,), groups, part, out)

        def step(decay: float) -> None:
            take_in(decay, TINY)
            total()

        return step

    def sgd(self, p: Dv, g: Dv) -> Callable[[float, float], object]:
        return self._descend("sgd", p, g, types="ff")

    def momentum(self, p: Dv, g: Dv, m: Dv, nesterov: bool) -> Step3:
        return self._descend("momentum", p, g, m, int(nesterov), types="fff")

    def rmsprop(self, p: Dv, g: Dv, v: Dv, mean: Dv | None) -> Step4:
        step = self._descend("rmsprop", p, g, v, *optional(mean, v), types="fffff")
        return lambda lr, rho, eps, decay: step(lr, rho, eps, decay, 1 - rho)

    def adagrad(self, p: Dv, g: Dv, v: Dv) -> Step3:
        return self._descend("adagrad", p, g, v, types="fff")

    def adadelta(self, p: Dv, g: Dv, v: Dv, u: Dv) -> Step4:
        step = self._descend("adadelta", p, g, v, u, types="fffff")
        return lambda lr, rho, eps, decay: step(lr, rho, eps, decay, 1 - rho)

    def adam(self, p: Dv, g: Dv, m: Dv, v: Dv) -> AdamStep:
        return self._descend("adam", p, g, m, v, types="ffffffi")

    def _descend(self, name: str, p: Dv, *args: Dv, types: str) -> Callable[..., object]:
        grid, local = self.runtime.spread(p.size)
        return self.runtime.bind_scalars(
            "optimizer", name, grid, local, p.size, p, *args, types=types
        )

    def _squares(self, g: Dv) -> tuple[Step, int, Dv]:
        """Bind the partial sums of g²; return the step, their number and their buffer."""
        grid, chunk, groups, part = self._chunks(g)
        local = (self.runtime.tuning.lanes,)
        step = self.runtime.bind("norm", "squares", grid, local, g.size, chunk, g, part)
        return step, groups, part

    def _chunks(self, g: Dv) -> tuple[tuple[int], int, int, Any]:
        """Share g out to groups: the grid, numbers of a chunk, groups, room for their sums."""
        tuning = self.runtime.tuning
        least = tuning.width * tuning.lanes
        groups = max(1, min(_MAX_GROUPS, _GROUPS_PER_UNIT * self.runtime.units, g.size // 1024))
        chunk = -(-g.size // (groups * least)) * least
        groups = max(1, -(-g.size // max(chunk, 1)))
        part = self.empty((groups,)).buffer
        return (groups * tuning.lanes,), chunk, groups, part
