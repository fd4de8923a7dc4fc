"""The network of an agent: both processes build it here, so that they never disagree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentd.config.records import AgentConfig
from agentd.protocol.schema import Schema
from engine.network import Network
from engine.replay import RowFormat, TensorFormat
from engine.spec import build_network

__all__ = ["initial_weights", "network_for", "row_format"]


def network_for(config: AgentConfig, schema: Schema) -> Network:
    """The network from a row's features to a number an action. Raises ModelError."""
    return build_network(config.model, schema.input_shape, schema.n_actions)


def initial_weights(config: AgentConfig, network: Network) -> NDArray[np.float32]:
    """The weights (P,) that an agent has before it has learned anything: its seed decides."""
    return network.init(np.random.default_rng(config.seed))


def row_format(schema: Schema) -> RowFormat:
    """How the engine reads the schema's raw rows."""
    tensors = tuple(
        TensorFormat(t.name, t.dtype, t.shape, t.offset, t.nbytes) for t in schema.tensors
    )
    return RowFormat(tensors, schema.branches)
