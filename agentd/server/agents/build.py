"""From an agent's folder to an ``Agent`` in memory: network, weights, ring, board, learner."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from agentd.assembly.first_weights import initial_weights
from agentd.assembly.network import (
    backend_for,
    flat_weights,
    network_for,
    stack_of,
)
from agentd.config.records import AgentConfig
from agentd.engine.network import Network
from agentd.learner.handle import LearnerHandle
from agentd.learner.pace import Pace
from agentd.memory.replay_ring import ReplayRing, RingLayout, slack_for
from agentd.memory.teach_ring import TeachLayout, TeachRing
from agentd.memory.weight_board import WeightBoard
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.batching.actor import Actor
from agentd.server.batching.learning import Learning
from agentd.server.batching.stacks import Stacks
from agentd.store import read_checkpoint

if TYPE_CHECKING:
    from agentd.server.server import Server

__all__ = ["build_agent"]

log = logging.getLogger("agentd.build")

WAVE_ROWS, WAVE_BYTES = 8_192, 64 << 20
"""Rows that one pass takes from several frames, and their bytes."""


def build_agent(server: Server, folder: Path, config: AgentConfig, schema: Schema) -> Agent:
    """Open an agent's files and make it ready to act.

    Raises ModelError (the network does not fit the schema), WeightsError (what it begins with does
    not fit the network), StorageError, NoValidCheckpoint (there are checkpoints and none is whole:
    acting with random weights is never an option).
    """
    limits = server.config.limits
    network, stack = network_for(config, schema, acting=True), stack_of(config)
    wave = max(1, min(WAVE_ROWS, WAVE_BYTES // schema.row_bytes))
    actor = Actor(
        schema,
        network,
        backend_for(server.config.device),
        config.exploration,
        config.seed,
        capacity=max(wave, limits.max_rows),
        stack=stack,
    )
    _load_weights(folder, config, network, actor)
    actor.rehearse()
    agent = Agent(
        folder,
        config,
        schema,
        actor,
        max_rows=limits.max_rows,
        max_wave=wave,
        clock=server.now,
        wake=server.wake,
        wake_later=server.wake_later,
        stacks=Stacks(stack, schema.row_bytes) if stack > 1 else None,
    )
    if config.learner != "none":
        agent.learn_with(_open_learning(server, folder, agent, wave))
    return agent


def _load_weights(folder: Path, config: AgentConfig, network: Network, actor: Actor) -> None:
    checkpoint = read_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        actor.weights[:] = initial_weights(config, network)
        actor.publish(0)
    else:
        actor.weights[:] = flat_weights(network, checkpoint.weights)
        actor.publish(checkpoint.step)


def _open_learning(server: Server, folder: Path, agent: Agent, wave: int) -> Learning:
    config, schema = agent.config, agent.schema
    period = config.pace.train_every if config.pace.mode == "paced" else 0
    slack = slack_for(config.replay.capacity, max(wave, server.config.limits.max_rows), period)
    replay = folder / "replay"
    ring: ReplayRing | TeachRing
    if config.learner == "supervised":
        target = config.supervised.target
        width = schema.n_actions if target == "value" else 1
        ring = TeachRing.open(
            replay / "teach.ring",
            TeachLayout(schema.row_bytes, target, width, schema.digest()),
            config.replay.capacity,
            slack=slack,
        )
    else:
        ring = ReplayRing.open(
            replay / "rows.ring",
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
    board = WeightBoard.open(replay / "weights.board", agent.actor.network.n_params)
    pace = Pace(config.pace.learn_start, config.pace.train_every)
    handle = LearnerHandle(
        folder,
        ring,
        board,
        pace,
        device=server.config.device,
        on_publication=lambda: server.wake(agent),
    )
    return Learning(config, ring, board, handle, server.registry.table, agent.actor, server.spawn)
