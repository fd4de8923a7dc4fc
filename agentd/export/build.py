"""From an agent's or a run's network and weights to the description of what it computes."""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.actions import codec_of, numbered
from agentd.assembly.network import Q_LEARNERS, network_for
from agentd.assembly.rows import format_of
from agentd.config.records import AgentConfig
from agentd.engine.backend import Slot, Window
from agentd.engine.data.normalize import Normalizer
from agentd.engine.layers.activation import PlacedActivation
from agentd.engine.layers.conv import PlacedConv2d
from agentd.engine.layers.dense import PlacedDense
from agentd.engine.layers.dropout import PlacedDropout
from agentd.engine.layers.dueling import PlacedDueling
from agentd.engine.layers.embedding import PlacedEmbeddingBag
from agentd.engine.layers.expectation import PlacedExpectation
from agentd.engine.layers.implicit import PlacedImplicitQuantiles, features_at
from agentd.engine.layers.noisy import PlacedNoisyDense
from agentd.engine.layers.norm import FAR, PlacedBatchNorm, PlacedLayerNorm, PlacedNormalize
from agentd.engine.layers.pool import PlacedAvgPool2d, PlacedMaxPool2d
from agentd.engine.layers.residual import PlacedResidual
from agentd.engine.layers.scale import PlacedScale
from agentd.engine.layers.sequential import PlacedSequential
from agentd.engine.layers.shape import PlacedChannelsLast, PlacedReshape
from agentd.engine.network import Network
from agentd.engine.quantization import QuantizedWeights
from agentd.errors import UsageError
from agentd.export.graph import (
    Activate,
    Affine,
    Convolution,
    Expect,
    Floats,
    Keep,
    Lookup,
    Matrix,
    Merge,
    Op,
    Plus,
    PolicyGraph,
    PolicyStage,
    Pooling,
    Rescale,
    Shape,
    Standardize,
    TensorInput,
    Vector,
    View,
)
from agentd.protocol.schema import Schema

Weights: TypeAlias = NDArray[np.float32] | QuantizedWeights
"""Parameters (P,) float32, or these with their matrices in int8."""
LICENCE = (
    "The weights belong to whoever trained them; agentd claims nothing in them. "
    "The code around them is agentd's, under the Apache License 2.0."
)


def agent_policy(
    name: str,
    config: AgentConfig,
    schema: Schema,
    weights: Weights,
    facts: dict[str, Any],
    rows: int = 0,
) -> PolicyGraph:
    """Return what an agent with the weights (P,) computes when it acts greedily.

    ``rows`` were played so far. Raises ModelError, and UsageError for an agent that chooses no
    actions, whose bins still grow, or that has a layer that cannot be exported.
    """
    if config.learner not in (*Q_LEARNERS, "none", "supervised"):
        raise UsageError(f"{name}: an agent with learner {config.learner} cannot be exported")
    network, format = network_for(config, schema, acting=True), format_of(config, schema)
    if format.growth is not None and format.growth.legal(rows) is not None:
        whole = format.growth.every * max(format.growth.level)
        raise UsageError(f"{name}: its bins still grow: want {whole:,} rows played, got {rows:,}")
    codec, tensors, at = codec_of(config, schema), [], 0
    for t in format.tensors:
        tensors.append(TensorInput(t.name, t.dtype.name, t.shape, at))
        at += t.features
    told = {
        **schema.to_wire(),
        "frame_stack": format.stack,
        "last_actions": format.last_actions,
        "learner": config.learner,
        "weights": _number_type(weights),
        "licence": LICENCE,
    }
    return PolicyGraph(
        identifier(name),
        tuple(tensors),
        tuple(_chain(network, weights)),
        numbered(config, schema).branches,
        format.stack,
        format.last_actions,
        {**facts, **told},
        numbers=() if codec is None else codec.table(),
    )


def network_policy(
    name: str,
    network: Network,
    weights: Weights,
    normalizer: Normalizer,
    classes: int = 0,
    facts: dict[str, Any] | None = None,
) -> PolicyGraph:
    """Return what a trained network computes: input ``x`` as the data has it.

    With ``classes`` the action is the class of the greatest output. Raises UsageError for a layer
    that cannot be exported.
    """
    shape = network.input_shape
    stages = list(_chain(network, weights))
    if not normalizer.identity:
        scaled = Rescale(
            Vector("normalize.shift", np.atleast_1d(normalizer.shift)),
            Vector("normalize.scale", np.atleast_1d(normalizer.scale)),
            Vector("normalize.bias", np.zeros(1, np.float32)),
        )
        stages.insert(0, PolicyStage(scaled, shape, shape))
    branches = (classes,) if classes else ()
    told = {
        "observation": {"x": {"dtype": "float32", "shape": list(shape)}},
        "weights": _number_type(weights),
        "licence": LICENCE,
    }
    x = TensorInput("x", "float32", shape, 0)
    whole = {**(facts or {}), **told}
    return PolicyGraph(identifier(name), (x,), tuple(stages), branches, facts=whole, answer="y")


def identifier(name: str) -> str:
    """Return ``name`` as one that every language takes: letters, digits and _."""
    found = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return found if found[:1].isalpha() else f"agent_{found}"


def _number_type(weights: Weights) -> str:
    return "int8" if isinstance(weights, QuantizedWeights) else "float32"


def _chain(network: Network, weights: Weights) -> Iterator[PolicyStage]:
    found = list(_Reader(weights).stages(network.root, network.input_shape))
    yield from found or [PolicyStage(View(), network.input_shape, network.output_shape)]


class _Reader:
    """Turns placed layers into stages, their numbers read from the flat vector (P,)."""

    def __init__(self, weights: Weights) -> None:
        if isinstance(weights, QuantizedWeights):
            self._flat, self._small, self._inputs = weights.flat, weights.matrices, weights.inputs
        else:
            self._flat, self._small, self._inputs = weights, {}, {}

    def stages(self, layer: Any, shape: Shape) -> Iterator[PolicyStage]:
        """The stages that compute ``layer`` from an input of ``shape``. Raises UsageError."""
        match layer:
            case PlacedSequential():
                for inner in layer.layers:
                    yield from self.stages(inner, shape)
                    shape = inner.out_shape
            case PlacedResidual():
                yield PolicyStage(Keep(), shape, shape)
                yield from self.stages(layer.block, shape)
                yield PolicyStage(Plus(), shape, shape)
            case PlacedDueling():
                yield from self.stages(layer.streams, shape)
                merge = Merge(layer.branches, layer.atoms)
                yield PolicyStage(merge, layer.streams.out_shape, layer.out_shape)
            case PlacedImplicitQuantiles():
                yield from self._implicit(layer, shape)
            case PlacedChannelsLast():
                yield from _transposed(layer)
            case PlacedDropout():
                return
            case _:
                yield PolicyStage(self._op(layer), shape, layer.out_shape)

    def _implicit(self, layer: PlacedImplicitQuantiles, shape: Shape) -> Iterator[PolicyStage]:
        """The stages at fractions that never change: an image of a column, a fraction a place.

        A mean of one number and of padding repeats the input at every place; what follows is the
        same at each.
        """
        n, (e,) = layer.samples, shape
        repeat = Pooling(Window(1, 1, e, (n, 1), padding=(n - 1, 0)), largest=False)
        phi = features_at(self._read(layer.w), self._read(layer.b), n).reshape(-1)
        factor = _rescale(f"{layer.w.name}.phi", np.zeros(1), phi, np.zeros(1))
        yield PolicyStage(View(), shape, (1, 1, e))
        yield PolicyStage(repeat, (1, 1, e), (n, 1, e))
        yield PolicyStage(factor, (n, 1, e), (n, 1, e))
        for stage in self.stages(layer.inner, shape):
            op, takes, gives = stage.op, stage.takes[0], stage.gives[0]
            if isinstance(op, Affine):
                op = Convolution(op.w, op.b, Window(n, 1, takes, (1, 1)), op.act)
            elif isinstance(op, Merge):
                op = Merge(op.branches, n)
            yield PolicyStage(op, (n, 1, takes), (n, 1, gives))
        yield PolicyStage(View(), (n, 1, *layer.inner.out_shape), layer.out_shape)

    def _op(self, layer: Any) -> Op:
        match layer:
            case PlacedDense() | PlacedConv2d() | PlacedEmbeddingBag() | PlacedNoisyDense():
                return self._weighted(layer)
            case PlacedScale():
                factor = np.full(1, layer.factor, np.float32)
                return _rescale("scale", np.zeros(1), factor, np.zeros(1))
            case PlacedMaxPool2d() | PlacedAvgPool2d():
                return Pooling(layer.window, isinstance(layer, PlacedMaxPool2d))
            case PlacedReshape():
                return View()
            case PlacedActivation():
                return Activate(layer.act, layer.slope)
            case PlacedLayerNorm():
                return Standardize(self._vector(layer.gain), self._vector(layer.bias), layer.eps)
            case PlacedBatchNorm() | PlacedNormalize():
                return self._normalized(layer)
            case PlacedExpectation():
                return Expect(layer.spec.atoms, layer.spec.low, layer.spec.high)
        name = type(layer).__name__.removeprefix("Placed")
        raise UsageError(f"no form for a layer of kind {name}; use --to safetensors or npz")

    def _weighted(self, layer: Any) -> Op:
        match layer:
            case PlacedNoisyDense():  # without noise: the means
                mu, name = self._read(layer.mu), layer.mu.name
                bias = Vector(f"{name}.b", mu[-1])
                return Affine(self._named(f"{name}.w", name, mu[:-1]), bias, layer.act)
            case PlacedEmbeddingBag():
                return Lookup(self._matrix(layer.table), self._vector(layer.b))
            case PlacedConv2d():
                w, b = self._matrix(layer.w), self._vector(layer.b)
                return Convolution(w, b, layer.window, layer.act)
        return Affine(self._matrix(layer.w), self._vector(layer.b), layer.act)

    def _normalized(self, layer: PlacedBatchNorm | PlacedNormalize) -> Rescale:
        """Return the statistics as the engine applies them in evaluation."""
        scale = 1 / np.sqrt(self._read(layer.variance) + np.float32(layer.eps))
        name, mean = layer.mean.name, self._read(layer.mean)
        if isinstance(layer, PlacedNormalize):
            return _rescale(name, mean, scale, np.zeros(1), FAR)
        gain, bias = self._read(layer.gain), self._read(layer.bias)
        return _rescale(name, mean, scale * gain, bias)

    def _read(self, slot: Slot) -> Floats:
        return self._flat[slot.offset : slot.end].reshape(slot.shape).astype(np.float32)

    def _matrix(self, slot: Slot) -> Matrix:
        return self._named(slot.name, slot.name, self._read(slot).reshape(-1, slot.shape[-1]))

    def _named(self, name: str, slot: str, values: Floats) -> Matrix:
        whole = np.ascontiguousarray(values)
        return Matrix(name, whole, self._small.get(slot), self._inputs.get(slot))

    def _vector(self, slot: Slot | None) -> Any:
        return None if slot is None else Vector(slot.name, self._read(slot).reshape(-1))


def _transposed(layer: PlacedChannelsLast) -> Iterator[PolicyStage]:
    """The stages that turn planes into an image: each channel is one filter's only weight of 1."""
    window, c = layer.window, layer.channels
    same = Convolution(Matrix("channels_last", np.eye(c, dtype=np.float32)), None, window)
    flat = (1, window.width, c)
    yield PolicyStage(View(), (c, layer.height, layer.width), (c, window.width, 1))
    yield PolicyStage(same, (c, window.width, 1), flat)
    yield PolicyStage(View(), flat, layer.out_shape)


def _rescale(
    name: str,
    shift: NDArray[Any],
    scale: NDArray[Any],
    bias: NDArray[Any],
    limit: float | None = None,
) -> Rescale:
    return Rescale(
        Vector(f"{name}.shift", shift.astype(np.float32)),
        Vector(f"{name}.scale", scale.astype(np.float32)),
        Vector(f"{name}.bias", bias.astype(np.float32)),
        limit,
    )
