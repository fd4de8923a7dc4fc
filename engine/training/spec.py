"""A training run as a record, the way YAML writes it, and the network that it asks for.

    layers: [{dense: 300}, relu, {dense: 150}, relu, {dense: 64}, relu]
    optimizer: {name: adam, lr: 1e-3}
    batch: 32
    epochs: 5

Everything but the layers has a default. `optimizer: adam` and `loss: huber` are short for mappings
with that name, and `cross_entropy` for softmax_cross_entropy.
"""

from math import prod
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agentd.engine import strictyaml
from agentd.engine.backend import Shape
from agentd.engine.checkpointing import MemorySpec
from agentd.engine.checkpointing.spec import check_budget, layer_names, unknown_layer
from agentd.engine.data import DataOptions, Dataset, Normalize
from agentd.engine.data.errors import DataError
from agentd.engine.errors import ModelError
from agentd.engine.layers import Dense, LayerSpec
from agentd.engine.network import Network
from agentd.engine.network.spec import decode_hook
from agentd.engine.optim.losses import target_kind
from agentd.engine.optim.spec import LossSpec, OptimizerSpec
from agentd.engine.strictyaml import Document, Record

MAX_PARAMETERS = 2**29
"""2 GiB of float32, and as much again for the gradient and each moment."""

Count = Annotated[int, Meta(ge=1, le=2**31)]
Size = Annotated[int, Meta(ge=1, le=2**24)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]


class DataSpec(DataOptions, frozen=True, kw_only=True):
    """How files are read, and what is done with their rows."""

    normalize: Normalize = "auto"  # auto divides bytes by 255; none, range (0 to 1), standard
    validation: Annotated[float, Meta(ge=0, lt=1)] = 0.0  # share of the training rows held out


class StopSpec(Record, frozen=True, kw_only=True):
    """When training ends before its last epoch; null means never."""

    patience: Count | None = None  # epochs without a better result
    min_delta: Annotated[float, Meta(ge=0, le=1e6)] = 0.0  # what counts as better, in loss
    target_loss: Positive | None = None  # end once the epoch's loss is at most this
    target_accuracy: Annotated[float, Meta(gt=0, le=1)] | None = None
    max_steps: Count | None = None


class SaveSpec(Record, frozen=True, kw_only=True):
    """When a run is saved; the end, Ctrl-C and `q` always save."""

    every_epochs: Count | None = 1
    every_steps: Count | None = None
    keep: Annotated[int, Meta(ge=1, le=10_000)] = 3  # snapshots
    min_seconds: Annotated[float, Meta(ge=0, le=86400)] = 1.0  # epochs shorter than this share one


class TrainSpec(Record, frozen=True, kw_only=True):
    """A supervised training run."""

    layers: tuple[LayerSpec, ...] = ()
    head: Literal["auto", "none"] = "auto"  # auto: a dense output layer, unless the last is one
    input: Size | tuple[Size, ...] | None = (
        None  # shape of one input; null: as many as the data has
    )
    outputs: Size | None = None  # null: one a class, or as many as the data has
    loss: LossSpec | None = None  # null: cross-entropy for classes, squared error for numbers
    optimizer: OptimizerSpec = OptimizerSpec()
    batch: Annotated[int, Meta(ge=1, le=2**20)] = 32
    epochs: Count = 5
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    data: DataSpec = DataSpec()
    stop: StopSpec = StopSpec()
    save: SaveSpec = SaveSpec()
    memory: MemorySpec = MemorySpec()

    @property
    def is_regression(self) -> bool:
        """Whether the loss wants numbers, whatever the data looks like."""
        return self.loss is not None and target_kind(self.loss) != "class"

    @property
    def declared_outputs(self) -> int | None:
        """How many outputs the file itself names: `outputs`, or a closing dense layer's units."""
        if self.outputs is not None:
            return self.outputs
        ends = [layer for layer in self.layers if isinstance(layer, Dense)]
        closing = bool(ends) and (self.head == "none" or self.layers[-1] is ends[-1])
        return ends[-1].units if closing else None

    def reading(self) -> tuple[DataOptions, int | None]:
        """Return how to read this run's data, and a bound on its classes.

        A regression on K outputs takes the last K columns of a table as labels.
        """
        labels, target, outputs = self.data.labels, self.data.target, self.declared_outputs
        if self.is_regression and outputs and outputs > 1 and labels is None:
            labels = tuple(range(-outputs, 0))
        if target == "auto" and self.loss is not None and not self.is_regression:
            target = "class"
        if target == "auto" and self.is_regression and outputs == 1:
            target = "value"
        options = msgspec.structs.replace(self.data, labels=labels, target=target)
        return options, outputs if target != "value" else None


def load_spec(source: Path | str) -> TrainSpec:
    """Read a run's YAML: a path is opened, a string is the text itself. Raises ConfigError."""
    if isinstance(source, Path):
        document = strictyaml.parse(strictyaml.read_file(source), str(source))
    else:
        document = strictyaml.parse(source)
    return convert_spec(document)


def convert_spec(document: Document) -> TrainSpec:
    """Return the document as a TrainSpec and see that its layers fit each other, as far as known.

    Raises ConfigError with file, line and key.
    """
    if not isinstance(document.value, dict):
        got = strictyaml.describe(document.value)
        raise document.error((), "wrong value", expected="a mapping with `layers`", got=got)
    for key in ("loss", "optimizer"):
        if isinstance(document.value.get(key), str):
            document.marks[(key, "name")] = document.mark((key,))
            document.value[key] = {"name": document.value[key]}
    loss = document.value.get("loss")
    if isinstance(loss, dict) and loss.get("name") == "cross_entropy":
        loss["name"] = "softmax_cross_entropy"
    spec = strictyaml.convert(document, TrainSpec, decode_hook)
    _check_memory(document, spec)
    if spec.input is not None:
        try:
            make_network(spec, _shape(spec.input), spec.declared_outputs or 2)
        except ModelError as fault:
            raise document.error(("layers",), str(fault)) from None
    return spec


def _check_memory(document: Document, spec: TrainSpec) -> None:
    """Refuse a budget that is no number, and a policy for a layer that is not there."""
    try:
        check_budget(spec.memory.budget)
    except ModelError:
        got = strictyaml.describe(spec.memory.budget)
        wish = "a number from 0 to 1"
        at = ("memory", "budget")
        raise document.error(at, "wrong value", expected=wish, got=got) from None
    layers = _all_layers(spec, 1)
    wrong = unknown_layer(spec.memory.policy, layers)
    if wrong is not None:
        known = layer_names(layers)
        expected, hint = f"one of {', '.join(known)}", strictyaml.suggest(wrong, known)
        key = ("memory", "policy", wrong)
        raise document.key_error(key, "no such layer", expected=expected, hint=hint)


def _all_layers(spec: TrainSpec, outputs: int) -> tuple[LayerSpec, ...]:
    """Return the layers with the output layer that `head` adds."""
    if spec.head == "auto" and not (spec.layers and isinstance(spec.layers[-1], Dense)):
        return (*spec.layers, Dense(outputs))
    return spec.layers


def make_network(spec: TrainSpec, input_shape: Shape, outputs: int) -> Network:
    """Return the network of ``spec`` for inputs and outputs of these sizes.

    Raises ModelError when the layers do not fit each other or end in another number of outputs.
    """
    network = Network(*_all_layers(spec, outputs), input_shape=input_shape)
    if network.n_params > MAX_PARAMETERS:
        raise ModelError(f"{network.n_params:,} parameters, more than {MAX_PARAMETERS:,}")
    if network.output_shape != (outputs,):
        raise ModelError(
            f"the layers end in {network.output_shape}: expected {outputs} outputs; "
            "put an activation behind the last layer, or set its size"
        )
    return network


def fit_network(spec: TrainSpec, data: Dataset) -> Network:
    """Return the network of ``spec`` for ``data``. Raises DataError where they do not fit."""
    shape = (data.features,) if spec.input is None else _shape(spec.input)
    if prod(shape) != data.features:
        raise DataError(
            "inputs of another size than the model's",
            file=data.file,
            expected=" x ".join(map(str, shape)),
            got=" x ".join(map(str, data.shape)),
        )
    outputs = spec.declared_outputs or data.outputs
    if data.classes:
        outputs = max(outputs, data.classes) if spec.declared_outputs is None else outputs
    if outputs != data.outputs and not (data.classes and data.classes < outputs):
        raise DataError(
            "targets of another size than the model's outputs",
            file=data.file,
            expected=outputs,
            got=data.outputs,
        )
    return make_network(spec, shape, outputs)


def _shape(size: int | tuple[int, ...]) -> Shape:
    return (size,) if isinstance(size, int) else size


def plain_spec(spec: TrainSpec) -> dict[str, object]:
    """Return the spec as JSON values that ``strictyaml.convert`` reads back."""
    values: dict[str, object] = msgspec.to_builtins(spec)
    return values
