"""From an agent's folder to an ``Agent`` in memory: network, weights, ring, board, learner."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from agentd.assembly.actions import codec_of, numbered
from agentd.assembly.device import backend_for, int8_backend
from agentd.assembly.exploration import exploration_of
from agentd.assembly.network import network_for
from agentd.assembly.ring import RingPlan, plan_ring
from agentd.assembly.rows import format_of, most_rows, pass_rows
from agentd.assembly.weights import initial_weights
from agentd.config import ConfigError
from agentd.config.records import INT8, AgentConfig
from agentd.engine.backend import Backend
from agentd.engine.network import Network
from agentd.engine.network.weights import join
from agentd.engine.replay.rows import RowFormat
from agentd.learner.handle import LearnerHandle
from agentd.learner.pace import pace_of
from agentd.learner.priority import yield_to_others
from agentd.memory.layout import RingLayout
from agentd.memory.mapped_file import RingCounters, RingDamaged, move_aside
from agentd.memory.recorded import read_recorded
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.ring_reader import ROWS, TEACH
from agentd.memory.teach_ring import TeachRing
from agentd.memory.weight_board import WeightBoard
from agentd.protocol.schema import Schema
from agentd.replicas.identity import known_number, replica_seed
from agentd.replicas.settings import learner_command
from agentd.server.agents.agent import Agent
from agentd.server.agents.following import Follower
from agentd.server.agents.health import Health
from agentd.server.agents.host import AgentHost
from agentd.server.agents.life import Losses
from agentd.server.batching.actor import Actor
from agentd.server.batching.followed import followed_of
from agentd.server.batching.learning import Learning
from agentd.server.batching.stacks import Stacks
from agentd.simulated import check_rows
from agentd.store import Checkpoint, Footing, is_frozen, read_checkpoint, read_exploring

_WAKE_AFTER_S = 0.002
"""So long after its rows a learner is woken that no game waits for.

Woken before the answer is sent, it would take the very processor on which the game then wakes up.
"""


_FITTED = 1024
"""Recorded rows to which int8 weights are fitted here: a game may wait for it."""


_BUILDERS = ThreadPoolExecutor(32, "build", yield_to_others)
"""Agents are built in threads of their own: who else waits for the disk waits for no build.

They let every thread that has just been woken run first: it may have a game to answer.
"""


async def build_aside(host: AgentHost, folder: Path, config: AgentConfig, schema: Schema) -> Agent:
    """As `build_agent`, off the event loop."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_BUILDERS, build_agent, host, folder, config, schema)


def build_agent(host: AgentHost, folder: Path, config: AgentConfig, schema: Schema) -> Agent:
    """Open an agent's files and make it ready to act.

    Raises ConfigError (it learns, and the device only plays), ModelError (the network does not fit
    the schema, or the game is not the one that targets are searched in), WeightsError (what it
    begins with does not fit the network), StorageError, NoValidCheckpoint (there are checkpoints
    and none is whole: acting with random weights is never an option).
    """
    network, format = network_for(config, schema, acting=True), format_of(config, schema)
    if config.learner == "dqn" and config.dqn.search is not None:
        check_rows(config.dqn.search, format)
    actor = Actor(
        numbered(config, schema),
        network,
        _backend(host.device, folder, config, network, format),
        config.exploration,
        config.seed,
        capacity=most_rows(schema, host.limits),
        format=format if format.depth > 1 else None,
        growth=format.growth,
    )
    if config.learner == "supervised" and config.supervised.evidential is not None:
        actor.evidence = config.supervised.evidence
    actor.explore(*exploration_of(config, read_exploring(folder)))
    found, lost = read_checkpoint(folder / "checkpoints"), Losses(folder.name)
    _load_weights(found, config, network, actor)
    lost.note_checkpoint(found)
    actor.warm_up()
    learning = None
    if config.learner != "none":

        def on_publication() -> None:
            host.flushes.soon(agent)

        learning = _open_learning(host, folder, config, schema, actor, on_publication, found, lost)
        learning.codec = codec_of(config, schema)
    keeps_state = format.depth > 1 or network.memory
    stacks = Stacks(format, network.memory_width) if keeps_state else None
    footing = Footing(folder, *([learning.ring.path] if learning is not None else []))
    keeps, own = host.table is not None, folder / "checkpoints"
    follower = None if config.follow is None else Follower(config.follow, actor, own, keeps=keeps)
    health = Health(learning, footing, follower)
    agent = Agent(folder, config, schema, actor, learning, stacks, health, host, pass_rows(schema))
    agent.lost = lost.notes
    if learning is not None and learning.learns_steps:
        agent.responder.followed = followed_of(config, len(format.branches))
    return agent


def _backend(
    device: str, folder: Path, config: AgentConfig, network: Network, format: RowFormat
) -> Backend:
    """Return what the agent acts on. Raises ConfigError where that is for players and it learns."""
    if device != INT8:
        return backend_for(device, rowwise=bool(network.memory))
    if config.learner != "none":
        learner, name = config.learner, folder.name
        raise ConfigError(f"device {INT8} only plays, and agent {name} learns (learner: {learner})")
    recorded = read_recorded(folder / "replay", format, _FITTED)
    rows = None if recorded is None else recorded.fitted.reshape(-1, *network.input_shape)
    return int8_backend(network, rows)


def _load_weights(
    checkpoint: Checkpoint | None, config: AgentConfig, network: Network, actor: Actor
) -> None:
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
    found: Checkpoint | None,
    lost: Losses,
) -> Learning:
    assert host.table is not None
    board = WeightBoard.open(folder / "replay" / "weights.board", actor.network.n_params)
    begin = _counters_of(found)
    ring = _open_ring(folder / "replay", plan_ring(config, schema, host.limits), begin, lost)
    lost.note_memory(found, board, ring, config.pace.learn_start)
    if config.durability != "os":  # a frame that is sent again is answered from these rows
        ring.sync()
        ring.mark_durable(ring.counters)
        ring.sync_header()
    pace = pace_of(config)
    limits = host.limits
    handle = LearnerHandle(
        folder,
        ring,
        board,
        pace,
        device=host.device,
        hang_s=limits.hang_s,
        wake_after_s=0.0 if config.pace.mode == "paced" else _WAKE_AFTER_S,
        on_publication=on_publication,
        command=learner_command(host.shared),
    )
    if host.shared is not None:
        seed_of = partial(replica_seed, config.seed)
        actor.reseed(seed_of(known_number(folder)))
        handle.elsewhere.on_number = lambda number: actor.reseed(seed_of(number))
    handle.frozen = is_frozen(folder)
    return Learning(config, ring, board, handle, host.table, actor, host.spawn, limits.paced_wait_s)


def _counters_of(found: Checkpoint | None) -> RingCounters:
    """What a ring begins with where there is none: without rows, but not without a past."""
    if found is None or "counters" not in found.facts:
        return RingCounters()
    return RingCounters(**found.facts["counters"])._replace(head=0, masks_since=-1)


def _open_ring(
    folder: Path, plan: RingPlan, begin: RingCounters, lost: Losses
) -> ReplayRing | TeachRing:
    """The memory that the agent's learner reads; a damaged file is set aside, an empty one made."""

    path = folder / ring_name(plan)
    if begin.env_steps and not path.exists():
        lost.note(f"{path.name} is missing: an empty one was begun")
    try:
        return open_ring(folder, plan, begin)
    except RingDamaged as fault:
        aside = move_aside(path)
        lost.note(f"{path.name} was damaged, kept as {aside.name}; an empty one was begun: {fault}")
        return open_ring(folder, plan, begin)


def open_ring(folder: Path, plan: RingPlan, begin: RingCounters) -> ReplayRing | TeachRing:
    """Open an agent's ring in its folder ``replay``, or make one with counters ``begin``.

    Raises RingMismatch, StorageError.
    """
    path, slack = folder / ring_name(plan), plan.slack
    if isinstance(plan.layout, RingLayout):
        return ReplayRing.open(path, plan.layout, plan.capacity, slack=slack, begin=begin)
    return TeachRing.open(path, plan.layout, plan.capacity, slack=slack, begin=begin)


def ring_name(plan: RingPlan) -> str:
    """The name of a ring's file."""
    return ROWS if isinstance(plan.layout, RingLayout) else TEACH
