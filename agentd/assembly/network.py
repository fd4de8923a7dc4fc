"""The network of an agent: both processes build it here, so that they never disagree."""

import msgspec

from agentd.assembly.actions import numbered
from agentd.assembly.rows import format_of
from agentd.config.records import STREAMING, AgentConfig
from agentd.engine.errors import ModelError
from agentd.engine.layers import Dense, Flatten, Normalize
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.network import Network
from agentd.engine.network.network import refuse_memory
from agentd.engine.network.spec import build_network
from agentd.protocol.schema import Schema

Q_LEARNERS = ("dqn", *STREAMING)
"""Learners whose outputs are values of actions, branch by branch."""


def network_for(config: AgentConfig, schema: Schema, *, acting: bool = False) -> Network:
    """Build the network from a row's features to its outputs: one value an action, or several.

    A distribution of returns has several numbers an action while it is learned; ``acting`` reduces
    them to one, from the same weights. A model that begins with Dense takes planes as well: they
    are flattened. Raises ModelError where the layers do not fit, and where noise is to explore and
    no layer has any.
    """
    model, format, dqn = config.model, format_of(config, schema), _dqn_of(config)
    schema = numbered(config, schema)
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
        atoms=head.columns,
        noisy=dqn.noisy,
        tail=head.expectation() if acting else (),
        wrapped=head.wrapped(acting),
    )
    if config.learner not in ("dqn", "none"):
        refuse_memory(network, f"learner {config.learner}")
    noisy = any(slot.name.endswith(".sigma") for slot in network.slots)
    if config.exploration.kind == "noisy" and not noisy:
        raise ModelError("exploration.kind noisy: expected a model with noisy_dense layers")
    return network


def _dqn_of(config: AgentConfig) -> DqnConfig:
    """Return the options of replay learning; the defaults where the agent learns otherwise."""
    return config.dqn if config.learner == "dqn" else DqnConfig()
