"""From an agent's folder to an ``Agent`` in memory: network, weights, ring, board, learner."""

from collections.abc import Callable
from pathlib import Path

from agentd.assembly.device import backend_for
from agentd.assembly.network import network_for
from agentd.assembly.ring import plan_ring
from agentd.assembly.rows import most_rows, pass_rows, stack_of
from agentd.assembly.weights import initial_weights
from agentd.config.records import AgentConfig
from agentd.engine.network import Network
from agentd.engine.network.weights import join
from agentd.learner.handle import LearnerHandle
from agentd.learner.pace import Pace
from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.teach_ring import TeachRing
from agentd.memory.weight_board import WeightBoard
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.agents.host import AgentHost
from agentd.server.batching.actor import Actor
from agentd.server.batching.learning import Learning
from agentd.server.batching.stacks import Stacks
from agentd.store import read_checkpoint


def build_agent(host: AgentHost, folder: Path, config: AgentConfig, schema: Schema) -> Agent:
    """Open an agent's files and make it ready to act.

    Raises ModelError (the network does not fit the schema), WeightsError (what it begins with does
    not fit the network), StorageError, NoValidCheckpoint (there are checkpoints and none is whole:
    acting with random weights is never an option).
    """
    network, stack = network_for(config, schema, acting=True), stack_of(config)
    actor = Actor(
        schema,
        network,
        backend_for(host.device),
        config.exploration,
        config.seed,
        capacity=most_rows(schema, host.limits),
        stack=stack,
    )
    _load_weights(folder, config, network, actor)
    actor.warm_up()
    learning = None
    if config.learner != "none":

        def on_publication() -> None:
            host.flushes.soon(agent)

        learning = _open_learning(host, folder, config, schema, actor, on_publication)
    stacks = Stacks(stack, schema.row_bytes) if stack > 1 else None
    agent = Agent(folder, config, schema, actor, learning, stacks, host, pass_rows(schema))
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
    on_publication: Callable[[], None],
) -> Learning:
    assert host.table is not None
    board = WeightBoard.open(folder / "replay" / "weights.board", actor.network.n_params)
    ring = _open_ring(host, folder / "replay", config, schema)
    pace = Pace(config.pace.learn_start, config.pace.train_every)
    handle = LearnerHandle(
        folder, ring, board, pace, device=host.device, on_publication=on_publication
    )
    return Learning(config, ring, board, handle, host.table, actor, host.spawn)


def _open_ring(
    host: AgentHost, folder: Path, config: AgentConfig, schema: Schema
) -> ReplayRing | TeachRing:
    """The memory that the agent's learner reads."""
    layout, capacity, slack = plan_ring(config, schema, host.limits)
    if isinstance(layout, RingLayout):
        return ReplayRing.open(folder / "rows.ring", layout, capacity, slack=slack)
    return TeachRing.open(folder / "teach.ring", layout, capacity, slack=slack)
