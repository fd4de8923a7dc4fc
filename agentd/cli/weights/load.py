"""``agentd import``: weights of a PyTorch or Stable-Baselines3 DQN as a new agent."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

from agentd.cli.screen.flags import DataDir
from agentd.cli.screen.options import JsonScreen
from agentd.config import AgentConfig, default_data_dir
from agentd.config.convert import convert
from agentd.config.layers import ConfigLayer
from agentd.config.records import ServerConfig
from agentd.engine.network.spec import ModelSpec, read_layer
from agentd.errors import StorageError, UsageError
from agentd.export.arrays import Perceptron, load_arrays, read_perceptron
from agentd.learner.begin import write_first_checkpoint
from agentd.protocol.schema import Schema
from agentd.server.agents.stored import StoredAgents
from agentd.store import DirectoryLock


def load(
    screen: JsonScreen,
    file: Annotated[Path, typer.Argument(help="safetensors or npz: q_net.q_net.0.weight, …")],
    agent: Annotated[str, typer.Option(help="Name of the new agent.")],
    tensor: Annotated[str, typer.Option(help="Name of the observation.")] = "obs",
    activation: Annotated[str, typer.Option(help="Between the layers: relu, tanh, …")] = "relu",
    data_dir: DataDir = None,
) -> None:
    """Make a new agent from the weights of a PyTorch or Stable-Baselines3 DQN.

    Inputs, units and actions follow from the shapes. Nothing is ever unpickled: save the policy's
    `state_dict()` as safetensors or npz.
    """
    found = read_perceptron(load_arrays(file), str(file))
    config, schema = _described(agent, found, tensor, activation)
    root = data_dir or default_data_dir(os.environ)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"data directory {root}: {error.strerror}") from None
    stored = StoredAgents(root / "agents")
    with DirectoryLock(root / "lock", f"data directory {root}"):
        stored.make_root()
        if stored.has(agent):
            raise UsageError(f"{root} holds an agent {agent!r} already", hint="choose another name")
        flat = np.concatenate([part.reshape(-1) for layer in found.layers for part in layer])
        folder = stored.folder(agent)
        name = write_first_checkpoint(folder / "checkpoints", config, schema, flat)
        stored.bind(agent, schema)
        stored.write_config(agent, config)
    record = {
        "agent": agent,
        "checkpoint": name,
        "parameters": len(flat),
        "hidden": list(found.hidden),
        "schema": schema.to_wire(),
    }
    units = ", ".join(map(str, found.hidden)) or "none"
    screen.report(record, f"agent {agent}: {schema.describe()}, hidden units {units}")


def _described(
    agent: str, found: Perceptron, tensor: str, activation: str
) -> tuple[AgentConfig, Schema]:
    """Return how the agent learns and what it sees. Raises UsageError, ConfigError, BAD_HELLO."""
    try:
        between = read_layer(activation)
    except ValueError as fault:
        raise UsageError(f"--activation {activation}: {fault}") from None
    layers = tuple(
        layer for units in found.hidden for layer in (read_layer({"dense": units}), between)
    )
    config = msgspec.structs.replace(AgentConfig(), model=ModelSpec(layers=layers))
    convert(ConfigLayer({"agents": {agent: {}}}), ServerConfig)  # the name's form
    inputs, actions = found.layers[0][0].shape[0], found.layers[-1][0].shape[1]
    schema = Schema.from_wire(
        {tensor: {"dtype": "float32", "shape": [inputs]}}, {"kind": "discrete", "n": actions}
    )
    return config, schema
