"""The engine's ops on a CPU with the products of a network in whole numbers: to act, not to learn.

What is no product of a matrix (biases, activations, norms) stays float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from agentd.engine.backend import Activation, Slot, Step, in_order
from agentd.engine.errors import ModelError
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.quantization.calibration import QuantizedWeights
from agentd.engine.quantization.products import IntMatrix, bind_product
from agentd.engine.quantization.rounding import Floats

Quantizer = Callable[[Floats], QuantizedWeights]


class Int8Backend(NumPyBackend):
    """NumPy's ops for one network, whose matrices ``quantizer`` rounds each time they change.

    A vector of the network's parameters that is written is rounded as it is written: what is read
    back are the rounded weights. Inputs have the ranges that the weights came with; where they
    came with none, each row has its own.
    """

    name = "cpu-int8"

    def __init__(self, network: Network, quantizer: Quantizer) -> None:
        super().__init__()
        self._network, self._quantizer = network, quantizer
        self._weights: QuantizedWeights | None = None
        self._names: dict[int, str] = {}
        self._held: dict[str, IntMatrix] = {}

    def load(self, flat: Floats) -> Floats:
        """Round the parameters flat (P,) and compute with them; return them as they are now."""
        self._weights = self._quantizer(flat)
        for name, matrix in self._held.items():
            matrix.load(self._weights.matrices[name])
        return self._weights.flat

    def write(self, array: Any, source: Any) -> None:
        if source.shape == array.shape == (self._network.n_params,):
            source = self.load(np.asarray(source, np.float32))
        super().write(array, source)

    def view(self, vector: Any, slot: Slot) -> Any:
        found = super().view(vector, slot)
        self._names[found.ctypes.data] = slot.name
        return found

    def affine(self, x: Any, w: Any, b: Any, y: Any, act: Activation = "identity") -> Step:
        if self._weights is None:
            raise ModelError("int8: expected weights before the first batch")
        name = self._names.get(w.ctypes.data, "")  # drawn weights of noisy layers have no name
        if name not in self._weights.matrices:
            return super().affine(x, w, b, y, act)
        if name not in self._held:
            self._held[name] = IntMatrix(self._weights.matrices[name])
        product = bind_product(x, self._held[name], b, y, self._weights.inputs.get(name))
        return product if act == "identity" else in_order(product, self.activation(act, y, y))
