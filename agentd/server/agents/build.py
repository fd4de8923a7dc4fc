"""From an agent's folder to an ``Agent`` in memory: network, weights, ring, board, learner."""

from collections.abc import Callable
from pathlib import Path

from agentd.assembly.device import backend_for
from agentd.assembly.network import network_for
from agentd.assembly.rows import stack_of
from agentd.assembly.weights import initial_weights
from agentd.config.records import AgentConfig
from agentd.engine.network import Network
from agentd.engine.network.weights import join
from agentd.learner.handle import LearnerHandle
from agentd.learner.pace import pace_of
from agentd.memory.layout import RingLayout, slack_for
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.teach_ring import TeachLayout, TeachRing
from agentd.memory.weight_board import WeightBoard
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.agents.host import AgentHost
from agentd.server.batching.actor import Actor
from agentd.server.batching.learning import Learning
from agentd.server.batching.stacks import Stacks
from agentd.store import read_checkpoint

PASS_ROWS, PASS_BYTES = 8_192, 64 << 20
"""Rows that one forward pass takes from several frames, and their bytes."""


def build_agent(host: AgentHost, folder: Path, config: AgentConfig, schema: Schema) -> Agent:
    """Open an agent's files and make it ready to act.

    Raises ModelError (the network does not fit the schema), WeightsError (what it begins with does
    not fit the network), StorageError, NoValidCheckpoint (there are checkpoints and none is whole:
    acting with random weights is never an option).
    """
    network, stack = network_for(config, schema, acting=True), stack_of(config)
    pass_rows = max(1, min(PASS_ROWS, PASS_BYTES // schema.row_bytes))
    capacity = max(pass_rows, host.limits.max_rows)
    actor = Actor(
        schema,
        network,
        backend_for(host.device),
        config.exploration,
        config.seed,
        capacity=capacity,
        stack=stack,
    )
    _load_weights(folder, config, network, actor)
    actor.warm_up()
    learning = None
    if config.learner != "none":

        def on_publication() -> None:
            host.flushes.soon(agent)

        learning = _open_learning(host, folder, config, schema, actor, capacity, on_publication)
    stacks = Stacks(stack, schema.row_bytes) if stack > 1 else None
    agent = Agent(folder, config, schema, actor, learning, stacks, host, pass_rows)
    return agent


def _load_weights(folder: Path, config: AgentConfig, network: Network, actor: Actor) -> None:
    checkpoint = read_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        actor.weights[:] = initial_weights(config, network)
        actor.publish(0)
    else:
        actor.weights[:] = join(network, checkpoint.weights)
        actor.publish(checkpoint.step)


def _open_learning(
    host: AgentHost,
    folder: Path,
    config: AgentConfig,
    schema: Schema,
    actor: Actor,
    capacity: int,
    on_publication: Callable[[], None],
) -> Learning:
    assert host.table is not None
    board = WeightBoard.open(folder / "replay" / "weights.board", actor.network.n_params)
    ring = _open_ring(folder / "replay", config, schema, capacity)
    pace = pace_of(config)
    handle = LearnerHandle(
        folder, ring, board, pace, device=host.device, on_publication=on_publication
    )
    return Learning(config, ring, board, handle, host.table, actor, host.spawn)


def _open_ring(
    folder: Path, config: AgentConfig, schema: Schema, capacity: int
) -> ReplayRing | TeachRing:
    """The memory that the agent's learner reads; ``capacity`` is the rows of one pass at most."""
    period = config.pace.train_every if config.pace.mode == "paced" else 0
    slack = slack_for(config.replay.capacity, capacity, period)
    if config.learner == "supervised":
        target = config.supervised.target
        width = schema.n_actions if target == "value" else 1
        layout = TeachLayout(schema.row_bytes, target, width, schema.digest())
        return TeachRing.open(folder / "teach.ring", layout, config.replay.capacity, slack=slack)
    return ReplayRing.open(
        folder / "rows.ring",
        RingLayout(
            schema.row_bytes,
            schema.n_actions,
            len(schema.branches),
            schema.digest(),
            backwards=stack_of(config) > 1,
        ),
        config.replay.capacity,
        slack=slack,
    )
