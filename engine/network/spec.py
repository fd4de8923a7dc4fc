"""Models as records, the way YAML writes them; and networks built from them.

    layers: [{dense: 128}, relu, {dense: {units: 64, init: he}}, tanh]

A layer is its name, or its name with options; one bare option is the layer's first.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import msgspec

from agentd.engine import layers
from agentd.engine.backend import Shape
from agentd.engine.layers import Dense, Dueling, LayerSpec, NoisyDense
from agentd.engine.network.network import Network
from agentd.engine.strictyaml import Record, describe

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
        near = get_close_matches(name, LAYERS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; one of {', '.join(sorted(LAYERS))}"
        raise ValueError(f"no such layer `{name}`{hint}")
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
) -> Network:
    """Return the network of ``spec`` with its output layer: a Dense, or a dueling head.

    ``outputs`` counts the outputs, or the actions of each branch; there are ``atoms`` numbers for
    each. ``noisy`` puts noise on every dense layer. ``tail`` follows the output layer. Raises
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
    return Network(*layers, *tail, input_shape=input_shape)
