"""Sequential: layers one after the other."""

from dataclasses import dataclass, replace

from agentd.engine.backend import Array, DenseLayer, DenseStack, Shape
from agentd.engine.layers.activation import PlacedActivation
from agentd.engine.layers.conv import PlacedConv2d
from agentd.engine.layers.dense import FUSED, PlacedDense
from agentd.engine.layers.layer import Layer, LayerSpec, Options, tag_of
from agentd.engine.layers.noisy import PlacedNoisyDense
from agentd.engine.layers.recording import Layout, Recording
from agentd.engine.layers.shape import PlacedReshape


class Sequential(LayerSpec, Options, frozen=True, tag="sequential"):
    """The layers of ``layers``, each one's output the next one's input."""

    layers: tuple[LayerSpec, ...]

    def place(self, at: Layout, name: str, shape: Shape) -> "PlacedSequential":
        placed: list[Layer] = []
        names: list[tuple[str, ...]] = []
        first_trained = None
        for i, spec in enumerate(self.layers):
            before = at.n_trainable
            kind = tag_of(spec)
            own = f"{name}.{i}.{kind}" if name else f"{i}.{kind}"
            layer = spec.place(at, own, shape)
            at.placed += 1
            shape = layer.out_shape
            if placed and (fused := _fuse(placed[-1], layer)):
                placed[-1] = fused
                names[-1] = (*names[-1], own)
            else:
                placed.append(layer)
                names.append((own,))
            if first_trained is None and at.n_trainable > before:
                first_trained = len(placed) - 1
        stop = len(placed) if first_trained is None else first_trained
        return PlacedSequential(tuple(placed), shape, stop, tuple(names))


def _fuse(before: Layer, layer: Layer) -> Layer | None:
    """Return one layer that does what the two do, or None where they stay two."""
    if not isinstance(before, PlacedDense | PlacedNoisyDense | PlacedConv2d):
        return None
    if not isinstance(layer, PlacedActivation) or layer.act not in FUSED:
        return None
    return replace(before, act=layer.act) if before.act == "identity" else None


@dataclass(frozen=True, slots=True)
class PlacedSequential:
    """y = layers[-1](... layers[0](x)); layers before ``first_trained`` hold no parameters.

    ``names`` are each one's, two where a layer does the work of two.
    """

    layers: tuple[Layer, ...]
    out_shape: Shape
    first_trained: int
    names: tuple[tuple[str, ...], ...]

    def forward(self, r: Recording, x: Array) -> Array:
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer.forward(r, outputs[-1]))
        r.kept[id(self)] = outputs
        return outputs[-1]

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        outputs = r.kept[id(self)]
        first = 0 if need_dx else self.first_trained
        gradient: Array | None = dy
        for i in reversed(range(first, len(self.layers))):
            assert gradient is not None, "a layer above gave no gradient"
            below = need_dx or i > first
            gradient = self.layers[i].backward(r, outputs[i], outputs[i + 1], gradient, below)
        return gradient if need_dx else None


def as_dense_stack(layer: Layer) -> DenseStack | None:
    """Return ``layer`` as dense layers one after the other; None where it is more than that."""
    if not isinstance(layer, PlacedSequential):
        return None
    stack = []
    for part in layer.layers:
        if isinstance(part, PlacedDense):
            stack.append(DenseLayer(part.w, part.b, part.act))
        elif not isinstance(part, PlacedReshape):
            return None
    return tuple(stack) or None
