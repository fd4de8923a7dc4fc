"""Models and optimizers as records, the way YAML writes them; and networks built from them.

    layers: [{dense: 128}, relu, {dense: {units: 64, init: he}}, tanh]
    optimizer: {name: adam, lr: 1e-3, schedule: {name: cosine, steps: 10000}}

A layer is its name, or its name with options; one bare option is the layer's first.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agentd.engine import layers
from agentd.engine.backend import Shape
from agentd.engine.layers import Dense, Dueling, LayerSpec, NoisyDense
from agentd.engine.network.network import Network
from agentd.engine.rules.td import HUBER_WIDTH
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


Rate = Annotated[float, Meta(gt=0, le=1e6)]
Unit = Annotated[float, Meta(ge=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0, le=1e6)]
Count = Annotated[int, Meta(ge=1, le=2**53)]


OptimizerName = Literal[
    "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "radam"
]


class ScheduleSpec(Record, frozen=True, kw_only=True):
    """How the learning rate changes with the number of updates."""

    name: Literal["constant", "step", "linear", "cosine", "plateau"] = "constant"
    steps: Count = 10_000  # updates to the final rate, or between two drops
    final: Annotated[float, Meta(ge=0, le=1)] = 0.0  # smallest share of the rate
    decay: Annotated[float, Meta(gt=0, le=1)] = 0.1  # step, plateau: factor of each drop
    patience: Count = 10  # plateau: observations without improvement before a drop
    warmup: Annotated[int, Meta(ge=0, le=2**53)] = 0  # updates of linear rise before


class OptimizerSpec(Record, frozen=True, kw_only=True):
    """The optimizer and its constants; one that the optimizer does not have is refused.

    ``null`` takes the optimizer's own default: a rate of 1e-3 (adadelta: 1), an ε of 1e-8
    (adagrad: 1e-10, adadelta: 1e-6), a ρ of 0.99 (adadelta: 0.9).
    """

    name: OptimizerName = "adam"
    lr: Rate | None = None
    momentum: Unit = 0.9  # momentum, nesterov
    rho: Unit | None = None  # rmsprop, adadelta: how much of the squares' mean stays
    centered: bool = False  # rmsprop: divide by the variance, not the mean square
    b1: Unit = 0.9  # adam, adamw, radam
    b2: Unit = 0.999
    eps: Rate | None = None
    weight_decay: NotNegative = 0.0  # added to the gradient; adamw shrinks the weights instead
    clip_norm: Rate | None = None  # bound on the gradient's norm
    clip_value: Rate | None = None  # bound on each of its numbers
    schedule: ScheduleSpec | None = None

    def __post_init__(self) -> None:
        _check_options(self, self.name, _OPTIMIZER_OPTIONS)


_ADAMS = ("adam", "adamw", "radam")
_OPTIMIZER_OPTIONS: dict[str, tuple[str, ...]] = {
    "momentum": ("momentum", "nesterov"),
    "rho": ("rmsprop", "adadelta"),
    "centered": ("rmsprop",),
    "b1": _ADAMS,
    "b2": _ADAMS,
    "eps": ("rmsprop", "adagrad", "adadelta", *_ADAMS),
}
"""Constants that not every optimizer has, and which have them."""


LossName = Literal[
    "squared_error",
    "huber",
    "softmax_cross_entropy",
    "soft_cross_entropy",
    "binary_cross_entropy",
    "quantile_huber",
]


class LossSpec(Record, frozen=True, kw_only=True):
    """The loss and its constants; ``engine.optim.losses`` binds it."""

    name: LossName = "squared_error"
    delta: Rate = HUBER_WIDTH  # huber, quantile_huber: where the loss stops being quadratic
    # softmax_cross_entropy: share of the label given to all legal classes (arXiv:1512.00567)
    smoothing: Unit = 0.0
    # softmax_cross_entropy: a factor on the gradient of each class's rows
    class_weights: tuple[NotNegative, ...] | None = None

    def __post_init__(self) -> None:
        _check_options(self, self.name, _LOSS_OPTIONS)


_LOSS_OPTIONS: dict[str, tuple[str, ...]] = {
    "delta": ("huber", "quantile_huber"),
    "smoothing": ("softmax_cross_entropy",),
    "class_weights": ("softmax_cross_entropy",),
}


def _check_options(record: Record, name: str, owners: dict[str, tuple[str, ...]]) -> None:
    """Raise ValueError when an option is set that ``name`` does not have."""
    for option, names in owners.items():
        default = record.__struct_defaults__[record.__struct_fields__.index(option)]
        if name not in names and getattr(record, option) != default:
            raise ValueError(f"{name} has no `{option}`; {', '.join(names)} have")


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
