"""What every layer is: a spec that can be placed, and a placed layer that can be recorded."""

from typing import Annotated, Protocol

import msgspec

from agentd.engine.backend import Array, Shape
from agentd.engine.errors import ModelError
from agentd.engine.layers.recording import Layout, Recording

Count = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class Layer(Protocol):
    """A placed layer: slots and sizes, no numbers."""

    @property
    def out_shape(self) -> Shape: ...

    def forward(self, r: Recording, x: Array) -> Array:
        """Record the ops that compute the output from x (B, *in_shape); return the output."""

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        """Record the ops that overwrite the slots' gradients; return dx, or None if not needed.

        dy (B, *out_shape) may be overwritten.
        """


class LayerSpec:
    """Base of all layer specs: what a model's description is a list of."""

    __slots__ = ()

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        """Return the layer for inputs of ``shape`` (without B), its slots taken from ``at``.

        Raises ModelError when the layer cannot follow such an input.
        """
        raise TypeError(f"{type(self).__name__} is no layer spec: it has no place method")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the specs' fields: frozen, unknown names refused."""


def want_rank(shape: Shape, rank: int, name: str, hint: str) -> None:
    """Raise ModelError unless an input without B has ``rank`` dimensions."""
    if len(shape) != rank:
        raise ModelError(f"{name}: expected an input of rank {rank}, got shape {shape}; {hint}")


def tag_of(spec: LayerSpec) -> str:
    """Return a layer's name in YAML and in the names of its slots."""
    assert isinstance(spec, msgspec.Struct), f"{type(spec).__name__} is no layer spec"
    return str(spec.__struct_config__.tag)
