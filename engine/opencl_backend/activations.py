"""Activations and their derivatives."""

from agentd.engine.backend import Activation, Step
from agentd.engine.opencl_backend.memory import Dv, MemoryOps

_NAMES: dict[Activation, str] = {"tanh": "tanh_", "exp": "exp_"}  # C has functions of these names


class ActivationOps(MemoryOps):
    """Elementwise maps over arrays of any shape."""

    def activation(self, act: Activation, x: Dv, y: Dv, slope: float = 0.01) -> Step:
        if act == "identity":
            return self.copy(x, y)
        return self.spread("activation", _NAMES.get(act, act), y.size, x, y, float(slope))

    def activation_backward(
        self, act: Activation, x: Dv, y: Dv, dy: Dv, dx: Dv, slope: float = 0.01
    ) -> Step:
        if act == "identity":
            return self.copy(dy, dx)
        name = f"{_NAMES.get(act, act)}_backward"
        source = x if act == "gelu" else y
        return self.spread("activation", name, dx.size, source, dy, dx, float(slope))
