"""Expectation: from an action's distribution to its mean, which is what an agent acts by."""

from dataclasses import dataclass

from agentd.engine.backend import Array, Shape
from agentd.engine.errors import ModelError
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording


class Expectation(LayerSpec, Options, frozen=True, tag="expectation"):
    """The mean of each action's distribution over ``atoms`` numbers, (Z A,) to (A,).

    With ``low`` and ``high`` the inputs are logits of atoms evenly spaced between them (C51,
    arXiv:1707.06887), without they are quantiles (QR-DQN, arXiv:1710.10044; IQN). No parameters; it
    ends a network that acts and never one that is trained.
    """

    atoms: Count
    low: float | None = None
    high: float | None = None

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "it follows a network's output")
        if shape[0] % self.atoms:
            raise ModelError(f"{name}: {shape[0]} numbers are not {self.atoms} for each action")
        return PlacedExpectation(self, (shape[0] // self.atoms,))


@dataclass(frozen=True, slots=True)
class PlacedExpectation:
    """x (B, Z A) read as (B, Z, A), y (B, A)."""

    spec: Expectation
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        spec, y = self.spec, r.new(self.out_shape)
        each = r.be.reshape(x, (r.batch, spec.atoms, *self.out_shape))
        if spec.low is None or spec.high is None:
            r.do(r.be.quantile_values(each, y))
        else:
            r.do(r.be.categorical_values(each, spec.low, spec.high, y))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        raise ModelError("expectation: a network is trained on its distributions, not their means")
