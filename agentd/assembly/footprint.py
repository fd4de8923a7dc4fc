"""How many bytes passes and optimizers take: told before they are made.

A backend that counts is asked for what they would ask for; no op runs, no page is touched.
"""

from math import prod

import numpy as np

from agentd.engine.backend import Kind, Shape
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.numpy_backend.memory import Nd
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec

_NUMBERS = 4096


class _Counting(NumPyBackend):
    """Counts the bytes of the arrays that are asked for."""

    def __init__(self) -> None:
        self.bytes = 0
        super().__init__()
        self.bytes = 0

    def empty(self, shape: Shape, kind: Kind = "float") -> Nd:
        self.bytes += prod(shape) * self._kinds[kind].itemsize
        return super().empty(shape, kind)

    def zeros(self, shape: Shape, kind: Kind = "float") -> Nd:
        self.bytes += prod(shape) * self._kinds[kind].itemsize
        return super().zeros(shape, kind)


def pass_bytes(network: Network, rows: int, *, training: bool = False, noisy: bool = False) -> int:
    """Return about how many bytes a `Pass` of up to ``rows`` rows takes, parameters left out.

    In training every array of forward has a gradient of its size.
    """
    one, two = (_forward_bytes(network, n, training=training, noisy=noisy) for n in (1, 2))
    each = max(0, two - one)
    total = max(0, one - each) + rows * each
    return 2 * total if training else total


def optimizer_bytes(spec: OptimizerSpec, n_params: int) -> int:
    """Return how many bytes the state of an optimizer takes for a vector (n_params,)."""
    backend = _Counting()
    make_optimizer(spec, backend, _NUMBERS)
    return backend.bytes // _NUMBERS * n_params


def _forward_bytes(network: Network, rows: int, *, training: bool, noisy: bool) -> int:
    backend = _Counting()
    run = Pass(network, backend, rows, training=training, noisy=noisy)
    run.input(np.empty(network.n_params, np.float32), rows)
    return backend.bytes
