"""Models as records, the way YAML writes them; and networks built from them.

    layers: [{dense: 128}, relu, {dense: {units: 64, init: he}}, tanh]

A layer is its name, or its name with options; one bare option is the layer's first.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from agentd.engine import layers
from agentd.engine.backend import Shape
from agentd.engine.layers import (
    Conv2d,
    Dense,
    Dueling,
    EmbeddingBag,
    Gru,
    LayerSpec,
    Lstm,
    NoisyDense,
    Residual,
    Rnn,
)
from agentd.engine.layers.implicit import ImplicitQuantiles
from agentd.engine.network.network import Network
from agentd.engine.strictyaml import Record, describe, suggest

LAYERS: dict[str, type[LayerSpec]] = {
    str(kind.__struct_config__.tag): kind
    for kind in vars(layers).values()
    if isinstance(kind, type) and issubclass(kind, LayerSpec) and issubclass(kind, msgspec.Struct)
}
"""Every layer that YAML may name."""


class ModelSpec(Record, frozen=True, kw_only=True):
    """The hidden layers, input to output; the output layer follows from what is to be learned."""

    layers: tuple[LayerSpec, ...] = ()
    dueling: bool = False  # values and advantages instead of one Dense


def read_layer(node: Any) -> LayerSpec:
    """Return the layer that one entry of a YAML list describes.

    Raises ValueError naming the layer, what was expected and what came.
    """
    if isinstance(node, LayerSpec):
        return node
    name, options = _name_and_options(node)
    kind = LAYERS.get(name)
    if kind is None:
        hint = suggest(name, LAYERS) or f"one of {', '.join(sorted(LAYERS))}"
        raise ValueError(f"no such layer `{name}`; {hint}")
    if not isinstance(options, dict):
        fields: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
        if not fields:
            raise ValueError(f"layer `{name}` takes no options, got {describe(options)}")
        options = {fields[0]: options}
    try:
        return msgspec.convert(options, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as fault:
        raise ValueError(f"layer `{name}`: {fault}") from None


def _name_and_options(node: Any) -> tuple[str, Any]:
    """Split ``relu``, ``{dense: 128}``, ``{dense: {units: 128}}`` or ``{type: dense, ...}``."""
    if isinstance(node, str):
        return node, {}
    if isinstance(node, dict) and isinstance(node.get("type"), str):
        return node["type"], {key: value for key, value in node.items() if key != "type"}
    if isinstance(node, dict) and len(node) == 1 and isinstance(next(iter(node)), str):
        name, options = next(iter(node.items()))
        return name, {} if options is None else options
    raise ValueError(f"expected a layer's name or {{name: options}}, got {describe(node)}")


class _LayerHook:
    """Teaches ``strictyaml.convert`` and msgspec to read layers."""

    def __call__(self, kind: type, value: Any, /) -> Any:
        if kind is LayerSpec:
            return read_layer(value)
        raise TypeError(f"no conversion to {kind.__name__}")

    def parts(self, kind: type, value: Any) -> Iterator[tuple[str | int, Any, Any]]:
        """Yield the options of a layer, so that an error can name the very option."""
        if kind is LayerSpec and isinstance(value, dict) and len(value) == 1:
            name, options = next(iter(value.items()))
            if name in LAYERS and isinstance(options, dict):
                yield name, options, LAYERS[name]


decode_hook = _LayerHook()
"""The ``dec_hook`` of everything that holds a ModelSpec."""


def build_network(
    spec: ModelSpec,
    input_shape: Shape,
    outputs: int | tuple[int, ...],
    atoms: int = 1,
    noisy: bool = False,
    tail: tuple[LayerSpec, ...] = (),
    wrapped: ImplicitQuantiles | None = None,
) -> Network:
    """Return the network of ``spec`` with its output layer: a Dense, or a dueling head.

    ``outputs`` counts the outputs, or the actions of each branch; there are ``atoms`` numbers for
    each. ``noisy`` puts noise on every dense layer of the model. ``tail`` follows the output layer.
    The output layer, and the last dense one before it with what follows that, lie in the layer
    ``wrapped`` where there is one; not the first layer with weights, which reads the input. Raises
    ModelError when the layers do not fit each other or the input.
    """
    total = outputs if isinstance(outputs, int) else sum(outputs)
    sigma = NoisyDense(1).sigma if noisy else None
    head: LayerSpec = Dense(total * atoms)
    if spec.dueling:
        head = Dueling(outputs, atoms=atoms, sigma=sigma)
    layers = (*spec.layers, head)
    if noisy:
        layers = tuple(NoisyDense(x.units) if isinstance(x, Dense) else x for x in layers)
    if wrapped is not None:
        at = _last_block(layers)
        layers = (*layers[:at], msgspec.structs.replace(wrapped, layers=layers[at:]))
    return Network(*layers, *tail, input_shape=input_shape)


def _last_block(layers: tuple[LayerSpec, ...]) -> int:
    """Return where the last hidden dense layer is; the output layer if there is no second one."""
    kinds = (Conv2d, Dense, EmbeddingBag, Gru, Lstm, NoisyDense, Residual, Rnn)
    weighted = [at for at, layer in enumerate(layers[:-1]) if isinstance(layer, kinds)]
    dense = [at for at in weighted[1:] if isinstance(layers[at], Dense | NoisyDense)]
    return dense[-1] if dense else len(layers) - 1
