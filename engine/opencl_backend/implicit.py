"""Implicit quantiles: features of fractions, and rows multiplied with them."""

from typing import Any

from agentd.engine.backend import Step, in_order
from agentd.engine.backend.checks import check_modulated, check_shapes
from agentd.engine.opencl_backend.memory import Dv, MemoryOps


class ImplicitOps(MemoryOps):
    """Row b n + i is row b at its fraction i."""

    def cosines(self, tau: Dv, out: Dv) -> Step:
        check_shapes("cosines", (tau.size, out.shape[1]), out=out)
        return self._bind_implicit("cosines", out.size, out.shape[1], tau, out)

    def modulate(self, x: Dv, phi: Dv, y: Dv) -> Step:
        _, n, e = check_modulated("modulate", x, phi, y)
        return self._bind_implicit("modulate", y.size, n, e, phi.shape[0], x, phi, y)

    def modulate_backward(self, dy: Dv, x: Dv, phi: Dv, dphi: Dv, dx: Dv | None) -> Step:
        _, n, e = check_modulated("modulate_backward", x, phi, dy)
        check_shapes("modulate_backward", dy.shape, phi=phi, dphi=dphi)
        back = self._bind_implicit("modulate", dy.size, n, e, dy.shape[0], x, dy, dphi)
        if dx is None:
            return back
        return in_order(self._bind_implicit("modulate_dx", dx.size, n, e, dy, phi, dx), back)

    def _bind_implicit(self, name: str, items: int, *args: Any) -> Step:
        return self.runtime.bind("implicit", name, *self.runtime.items(items), items, *args)
