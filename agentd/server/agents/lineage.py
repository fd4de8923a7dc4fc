"""Agents made of what there is: begun anew, copied, brought to another schema (R20).

Each is made aside, looked at, and takes its place once all of it is on disk; where that fails,
nothing of it is left, and what it was made of is as before.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from agentd.assembly.ring import plan_ring
from agentd.engine.errors import ModelError
from agentd.engine.network.growth import CannotGrow
from agentd.errors import StorageError
from agentd.learner.inherit import AgentShape, FirstState, first_state, grown_network
from agentd.memory.mapped_file import RingCounters
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema
from agentd.server.agents.build import open_ring, ring_name
from agentd.server.agents.costs import check_costs
from agentd.server.agents.faults import as_protocol_errors
from agentd.server.agents.mismatch import require_same_heads
from agentd.server.agents.registry import Registry
from agentd.store import (
    Checkpoint,
    Exploring,
    copy_folder,
    copy_sparse,
    is_frozen,
    keep_dt_ms,
    keep_exploring,
    read_checkpoint,
    read_dt_ms,
    read_exploring,
    set_frozen,
)

log = logging.getLogger("agentd.lineage")


class _Founding(NamedTuple):
    """An agent that is to be made: its name, what it is made of, and what comes along.

    weights    what the old agent knows; without, it begins by its seed
    replay     the old agent's rows; without, an empty ring
    past       the old agent's checkpoints stay beside the new one
    """

    name: str
    source: Path
    old: AgentShape
    new: AgentShape
    weights: bool = True
    replay: bool = False
    past: bool = False


async def reset_agent(registry: Registry, name: str, *, weights: bool) -> str | None:
    """Begin an agent anew with the same configuration; keep only its ``weights``, or nothing.

    What it knew is kept as a checkpoint, whose name is returned; None where it knew nothing. Raises
    ProtocolError UNKNOWN_AGENT, AGENT_IN_USE, LIMIT, BAD_CONFIG or STORAGE_FAILED.
    """
    registry.facts(name)
    with as_protocol_errors():
        if registry.stored.schema(name) is None:
            return None
    agent = await registry.ensure(name)
    registry.require_unused(agent)
    with as_protocol_errors():
        before, _ = await agent.save()
    async with registry.lock(name):
        with as_protocol_errors():
            shape = await asyncio.to_thread(_stored_shape, registry, name)
            await _put_away(registry, name, save=False)
            folder = registry.stored.folder(name)
            await _make(registry, _Founding(name, folder, shape, shape, weights=weights, past=True))
    log.info("agent reset name=%s weights=%s before=%s", name, "kept" if weights else "new", before)
    return before


async def copy_agent(registry: Registry, name: str, to: str, *, replay: bool) -> int:
    """Make an agent ``to`` that knows what agent ``name`` does, with its rows if ``replay``.

    Rows are copied at rest: agent ``name`` is then dropped from memory as by `unload`. Returns the
    updates behind the weights. Raises ProtocolError as `reset_agent`, AGENT_IN_USE only with
    ``replay``, and AGENT_EXISTS.
    """
    await _save(registry, name, to)
    async with _alone(registry, to, name if replay else None):
        with as_protocol_errors():
            shape = await asyncio.to_thread(_stored_shape, registry, name)
            if replay:
                await _put_away(registry, name, save=True)
            plan = _Founding(to, registry.stored.folder(name), shape, shape, replay=replay)
            step = await _make(registry, plan)
    log.info("agent copied name=%s to=%s step=%d replay=%s", name, to, step, replay)
    return step


async def migrate_agent(
    registry: Registry, name: str, to: str, observation: dict[str, Any], action: dict[str, Any]
) -> int:
    """Make an agent ``to`` of another schema whose network keeps what fits of agent ``name``'s.

    Returns the updates behind its weights. Raises ProtocolError as `copy_agent`, CANNOT_MIGRATE
    where the network cannot be carried over, and BAD_CONFIG for a schema that is none.
    """
    try:
        schema = Schema.from_wire(observation, action, version=2)
    except ProtocolError as fault:
        if fault.code is Code.BAD_HELLO:
            fault.code = Code.BAD_CONFIG
        raise
    await registry.ensure(name)  # one that no game has said hello to has nothing to carry over
    with as_protocol_errors():
        old = await asyncio.to_thread(_stored_shape, registry, name)
        new = AgentShape(msgspec.structs.replace(old.config, init=None), schema)
        require_same_heads(old.schema, schema)
    _require_growth(name, old, new)
    await _save(registry, name, to)
    async with _alone(registry, to):
        with as_protocol_errors():
            step = await _make(registry, _Founding(to, registry.stored.folder(name), old, new))
    log.info("agent migrated name=%s to=%s step=%d %s", name, to, step, schema.describe())
    return step


def _require_growth(name: str, old: AgentShape, new: AgentShape) -> None:
    try:
        grown_network(old, new)
    except (CannotGrow, ModelError) as fault:
        raise ProtocolError(
            Code.CANNOT_MIGRATE,
            f"agent {name} cannot be carried over: {fault}",
            field="observation" if old.schema.tensors != new.schema.tensors else "action",
            expected=f"a schema that its network can grow from {old.schema.describe()} to",
            got=new.schema.describe(),
        ) from None


async def _save(registry: Registry, name: str, to: str) -> None:
    """Write a checkpoint of what agent ``name`` knows now. Raises as `copy_agent`."""
    registry.require_new(to)
    agent = await registry.ensure(name)
    with as_protocol_errors():
        await agent.save(kept=False)


def _stored_shape(registry: Registry, name: str) -> AgentShape:
    """An agent's configuration and schema as they are on disk. Raises UNKNOWN_AGENT."""
    registry.facts(name)
    schema = registry.stored.schema(name)
    assert schema is not None, "it was in memory, so it is bound"
    return AgentShape(registry.stored.config(name), schema)


async def _put_away(registry: Registry, name: str, *, save: bool) -> None:
    """Drop an agent from memory, if it is there; sessions that wait for a resume end.

    Raises AGENT_IN_USE.
    """
    agent = registry.loaded.get(name)
    if agent is None:
        return
    registry.require_unused(agent)
    for session in list(agent.sessions.values()):
        agent.end(session)
    registry.retire(name)
    await agent.close(save=save)


@contextlib.asynccontextmanager
async def _alone(registry: Registry, to: str, name: str | None = None) -> AsyncIterator[None]:
    """Be alone with a new agent's name, and with another agent; in one order, whoever asks."""
    async with contextlib.AsyncExitStack() as locks:
        for each in sorted({to, name or to}):
            await locks.enter_async_context(registry.lock(each))
        registry.require_new(to)
        yield


async def _make(registry: Registry, plan: _Founding) -> int:
    """Make an agent aside and let it take its place; the updates behind its weights.

    All in one thread, which ends its work whatever becomes of who waits for it.
    """

    def make() -> int:
        stored = registry.stored
        check_costs(stored.folder(plan.name), *plan.new, registry.limits)
        try:
            step = _build(registry, plan)
            stored.install(plan.name)
        finally:
            stored.discard(plan.name)
        return step

    return await asyncio.to_thread(make)


def _build(registry: Registry, plan: _Founding) -> int:
    """Write all files of an agent aside; the updates behind its weights."""
    source, (config, schema) = plan.source, plan.new
    found = read_checkpoint(source / "checkpoints") if plan.weights else None
    if plan.weights and found is None:
        raise StorageError(f"{source} holds no checkpoint")
    folder = registry.stored.prepare(plan.name, config, schema)
    exploring, dt_ms = Exploring(), read_dt_ms(source)
    if dt_ms is not None:
        keep_dt_ms(folder, dt_ms)
    if plan.weights:
        exploring = read_exploring(source)
        keep_exploring(folder, exploring)
    if is_frozen(source):
        set_frozen(folder, True)
    if plan.past:
        copy_folder(source / "checkpoints", folder / "checkpoints")
    if plan.replay and found is not None:
        first = _as_it_is(found)
    else:
        first = first_state(plan.new, exploring, dt_ms, found, plan.old)
    first.write(folder, config.checkpoint.keep)
    if config.learner != "none":
        _make_ring(registry, plan, folder, first)
    read_checkpoint(folder / "checkpoints")  # it is whole, or this says what is not
    return first.step


def _make_ring(registry: Registry, plan: _Founding, folder: Path, first: FirstState) -> None:
    ring = plan_ring(*plan.new, registry.limits)
    if plan.replay:
        for name in (ring_name(ring), "weights.board"):
            copy_sparse(plan.source / "replay" / name, folder / "replay" / name)
    open_ring(folder / "replay", ring, first.counters).close(clean=True)


def _as_it_is(found: Checkpoint) -> FirstState:
    """A checkpoint whose rows come along: nothing of it changes."""
    counters = RingCounters(**found.facts.get("counters", {}))
    return FirstState(found.step, found.facts, found.weights, found.state, counters)
