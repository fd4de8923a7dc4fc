"""The network of an agent: both processes build it here, so that they never disagree."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agentd.config.records import STREAMING, AgentConfig
from agentd.engine.backend import Backend
from agentd.engine.devices import make_backend
from agentd.engine.errors import EngineError, ModelError, ShapeError
from agentd.engine.layers import Dense, Flatten, Normalize
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.network import Network
from agentd.engine.network.spec import build_network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.opencl_backend.errors import NoPlatformError
from agentd.engine.replay.rows import RowFormat, TensorFormat
from agentd.errors import UsageError
from agentd.protocol.schema import Schema

__all__ = [
    "backend_for",
    "flat_weights",
    "named_weights",
    "network_for",
    "row_format",
    "stack_of",
]

Q_LEARNERS = ("dqn", *STREAMING)
"""Learners whose outputs are values of actions, branch by branch."""

log = logging.getLogger(__name__)


def network_for(config: AgentConfig, schema: Schema, *, acting: bool = False) -> Network:
    """The network from a row's features to what is learned of each action.

    Raises ModelError, also where noise is to explore and no layer has any.

    Of values that is one number an action, of distributions several; ``acting`` ends in one number
    either way, from the same weights. A model that begins with Dense, such as the preset's, takes
    planes as well: they are flattened.
    """
    model, format, dqn = config.model, row_format(schema, stack_of(config)), _dqn_of(config)
    first = [layer for layer in model.layers if not isinstance(layer, Normalize)][:1]
    layers = model.layers
    if len(format.input_shape) > 1 and all(isinstance(x, Dense) for x in first):
        layers = (Flatten(), *layers)
    if dqn.normalize_observations and not any(isinstance(x, Normalize) for x in layers):
        layers = (Normalize(), *layers)
    model = msgspec.structs.replace(model, layers=layers)
    actions = schema.branches if config.learner in Q_LEARNERS else schema.n_actions
    head = dqn.head()
    network = build_network(
        model,
        format.input_shape,
        actions,
        atoms=head.atoms,
        noisy=dqn.noisy,
        tail=head.expectation() if acting else (),
    )
    noisy = any(slot.name.endswith(".sigma") for slot in network.slots)
    if config.exploration.kind == "noisy" and not noisy:
        raise ModelError("exploration.kind noisy: expected a model with noisy_dense layers")
    return network


def stack_of(config: AgentConfig) -> int:
    """How many rows of a stream make one input."""
    return _dqn_of(config).frame_stack


def _dqn_of(config: AgentConfig) -> DqnConfig:
    """The options of replay learning; the defaults where the agent learns in another way."""
    return config.dqn if config.learner == "dqn" else DqnConfig()


def backend_for(device: str) -> Backend:
    """The backend that computes on ``device``; the CPU's, and a warning, without any OpenCL.

    Raises UsageError for a device that is not there, and where ``device`` ends in "!" also when
    this machine has no OpenCL platform at all.
    """
    try:
        return make_backend(device.removesuffix("!"))
    except NoPlatformError as error:
        if device.endswith("!"):
            raise UsageError(
                str(error), hint="without the ! it would compute on the CPU"
            ) from error
        log.warning("computing on the CPU asked=%s reason=%r", device, str(error))
        return NumPyBackend()
    except EngineError as error:
        raise UsageError(str(error), hint="`agentd devices` lists what there is") from error


def named_weights(network: Network, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The flat vector (P,) as views by slot name, for a checkpoint."""
    return {slot.name: flat[slot.offset : slot.end].reshape(slot.shape) for slot in network.slots}


def flat_weights(network: Network, named: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """A checkpoint's arrays as the flat vector (P,). Raises ShapeError when they do not fit."""
    flat = np.zeros(network.n_params, np.float32)
    for slot in network.slots:
        array = named.get(slot.name)
        if array is None or array.shape != slot.shape:
            raise ShapeError(slot.name, slot.shape, None if array is None else array.shape)
        flat[slot.offset : slot.end] = array.reshape(-1)
    return flat


def row_format(schema: Schema, stack: int = 1) -> RowFormat:
    """How the engine reads the schema's raw rows, ``stack`` of a stream at a time."""
    tensors = tuple(
        TensorFormat(t.name, t.dtype, t.shape, t.offset, t.nbytes) for t in schema.tensors
    )
    return RowFormat(tensors, schema.branches, stack)
