"""The agents of one process: opened from disk, created, in use, unloaded, deleted."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentd.assembly.actions import require_learnable
from agentd.assembly.budget import OverBudget
from agentd.assembly.weights import is_bundled
from agentd.config import AgentConfig, agent_config_from_wire, plain
from agentd.config.changes import apply_changes
from agentd.config.records import ServerConfig
from agentd.engine.strictyaml import ConfigError
from agentd.errors import StorageError
from agentd.latency import Histogram
from agentd.memory.session_table import SessionTable
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.agents.build import build_aside
from agentd.server.agents.costs import check_costs, check_least, settle
from agentd.server.agents.faults import as_protocol_errors
from agentd.server.agents.host import AgentHost
from agentd.server.agents.mismatch import require_same
from agentd.server.agents.stored import StoredAgents
from agentd.store import Exploring, read_exploring

log = logging.getLogger("agentd.registry")

NAMED = 20
"""Agents that an error about an unknown one lists."""


class Registry:
    """Opens, creates and closes agents; one at a time per name.

    loaded   the agents in memory, by name
    stored   the agents on disk
    retired  latencies of the agents that were in memory before

    ``played_elsewhere`` counts an agent's connections in the daemon's further processes, and
    ``tell_others`` sends a message to these.
    """

    def __init__(
        self,
        config: ServerConfig,
        data_dir: Path,
        host: AgentHost,
        played_elsewhere: Callable[[str], int],
        tell_others: Callable[[dict[str, Any]], None],
    ) -> None:
        self.loaded: dict[str, Agent] = {}
        self.stored = StoredAgents(data_dir / "agents")
        self.retired = Histogram()
        self._config, self.limits = config, config.limits
        self._data_dir = data_dir
        self._host = host
        self._played_elsewhere = played_elsewhere
        self._tell_others = tell_others
        self._locks: dict[str, asyncio.Lock] = {}

    # -- finding -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Create configured agents; take up sessions that a killed daemon left behind.

        Raises StorageError.
        """
        self.stored.make_root()
        table = SessionTable.open(self._data_dir / "sessions.bin", self._config.limits.max_sessions)
        self._host = dataclasses.replace(self._host, table=table)
        for name, config in self._config.agents.items():
            if self.stored.has(name):
                await asyncio.to_thread(self._reconfigure, name, config)
            else:
                await self._create_configured(name, config)
        for record in table.live():
            try:
                agent = await self.ensure(record.agent)
                agent.revive(record)
            except (ProtocolError, ValueError) as fault:
                log.error("session not taken up agent=%s %s", record.agent, fault)
                table.release(record.slot)

    async def open(self, name: str, schema: Schema) -> Agent:
        """The agent ``name`` in memory, created if allowed.

        Raises ProtocolError UNKNOWN_AGENT, SCHEMA_MISMATCH, LIMIT, BAD_CONFIG or STORAGE_FAILED.
        """
        async with self.lock(name):
            agent = self.loaded.get(name)
            if agent is not None:
                require_same(name, agent.schema, schema, agent.config, self.stored.has)
                return agent
            self._require_room(name)
            if not self.stored.has(name):
                return await self._create_bound(name, schema)
            if (known := await self._schema(name)) is not None and known != schema:
                with as_protocol_errors():
                    config = await asyncio.to_thread(self.stored.config, name)
                    require_same(name, known, schema, config, self.stored.has)
            return await self._load(name, schema)

    def facts(self, name: str) -> dict[str, Any]:
        """What holds of an agent in memory or not. Raises UNKNOWN_AGENT."""
        if not self.stored.has(name):
            raise self._unknown(name)
        agent = self.loaded.get(name)
        return {
            "loaded": agent is not None,
            "sessions": len(agent.sessions) if agent is not None else 0,
            "frozen": self.stored.is_frozen(name) or (agent is not None and agent.frozen),
        }

    async def ensure(self, name: str) -> Agent:
        """The agent ``name``, loaded from disk when it has a schema. Raises UNKNOWN_AGENT."""
        async with self.lock(name):
            if name in self.loaded:
                return self.loaded[name]
            if not self.stored.has(name):
                raise self._unknown(name)
            schema = await self._schema(name)
            if schema is None:
                raise _unbound(name)
            self._require_room(name)
            return await self._load(name, schema)

    def list(self) -> list[dict[str, Any]]:
        """Short facts of every agent, in memory or on disk."""
        return [{"agent": name, **self.facts(name)} for name in self.stored.names()]

    # -- operations ----------------------------------------------------------------------------

    async def info(self, name: str) -> dict[str, Any]:
        """Configuration, schema and checkpoints of an agent. Raises UNKNOWN_AGENT."""
        facts = self.facts(name)
        with as_protocol_errors():
            config = await asyncio.to_thread(self.stored.config, name)
            schema = await self._schema(name)
            checkpoints = await asyncio.to_thread(self.stored.checkpoints, name)
            exploring = await asyncio.to_thread(read_exploring, self.stored.folder(name))
        return {
            **facts,
            "exploring": exploring._asdict() if exploring != Exploring() else None,
            "config": plain(config),
            "schema": schema.to_wire() if schema else None,
            "checkpoints": checkpoints,
        }

    async def create(self, name: str, config: dict[str, Any]) -> None:
        """Make an agent from a map. Raises AGENT_EXISTS, BAD_CONFIG, LIMIT or STORAGE_FAILED."""
        async with self.lock(name):
            self.require_new(name, "agent")
            try:
                read = agent_config_from_wire(config)
            except ConfigError as fault:
                raise ProtocolError(
                    Code.BAD_CONFIG,
                    str(fault),
                    field=fault.key,
                    expected=fault.expected,
                    got=fault.got,
                ) from None
            _require_no_path(read)
            with as_protocol_errors():
                check_least(read, self._config.limits)
            await self._create(name, read)

    async def save(self, name: str) -> tuple[str, int]:
        """Write a checkpoint; its name and step once it is on disk."""
        agent = await self.ensure(name)
        with as_protocol_errors():
            return await agent.save()

    async def load(self, name: str, checkpoint: str) -> int:
        """Go back to a checkpoint; its step. Raises UNKNOWN_CHECKPOINT."""
        agent = await self.ensure(name)
        with as_protocol_errors():
            step = await agent.load(checkpoint)
        self._tell_others({"do": "load", "agent": name, "checkpoint": checkpoint})
        return step

    async def unload(self, name: str) -> None:
        """Save and drop from memory. Raises AGENT_IN_USE while sessions are attached."""
        agent = self.loaded.get(name)
        if agent is None:
            self.facts(name)
            return
        self.require_unused(agent)
        async with self.lock(name):
            self.retire(name)
            with as_protocol_errors():
                await agent.close()

    async def delete(self, name: str) -> None:
        """Remove an agent and its files. Raises AGENT_IN_USE or UNKNOWN_AGENT."""
        if not self.stored.has(name):
            raise self._unknown(name)
        agent = self.loaded.get(name)
        if agent is not None:
            self.require_unused(agent)
        async with self.lock(name):
            if agent is not None and self.retire(name):
                await agent.close(save=False)
            with as_protocol_errors():
                await asyncio.to_thread(self.stored.remove, name)

    async def freeze(self, name: str, on: bool) -> None:
        """Stop or resume learning, for as long as nobody says otherwise."""
        before = self.facts(name)["frozen"]
        agent = self.loaded.get(name)
        if agent is None and not on and await self._schema(name) is not None:
            agent = await self.ensure(name)  # its checkpoint may hold that learning has paused
        with as_protocol_errors():
            await asyncio.to_thread(self.stored.freeze, name, on)
            try:
                if agent is not None:
                    await agent.freeze(on)
            except BaseException:
                await asyncio.to_thread(self.stored.freeze, name, before)
                raise

    def apply_settings(self, name: str, game: dict[str, float]) -> None:
        """Go on with an agent's settings for its games, here and in further processes."""
        if name in self.loaded:
            self.loaded[name].apply_settings(game)
        self._tell_others({"do": "settings", "agent": name, "game": game})

    async def close(self) -> None:
        """Save and close every agent. Raises StorageError when a last checkpoint was lost."""
        agents = list(self.loaded.values())
        for agent in agents:
            agent.queue.clear()  # what draining left is sent again: it was neither kept nor refused
        await asyncio.gather(*(agent.close() for agent in agents))
        self.loaded.clear()
        if self._host.table is not None:
            self._host.table.close()
        lost = [a.name for a in agents if a.learning is not None and a.learning.handle.lost_save]
        if lost:
            raise StorageError(f"the last checkpoint was lost: {', '.join(lost)}")

    def kill_learners(self) -> None:
        """Kill every learner process at once."""
        for agent in list(self.loaded.values()):
            if agent.learning is not None:
                agent.learning.handle.kill()

    # -- inside ----------------------------------------------------------------------------------

    def lock(self, name: str) -> asyncio.Lock:
        """Who holds it is alone with an agent."""
        return self._locks.setdefault(name, asyncio.Lock())

    def require_new(self, name: str, field: str = "to") -> None:
        """Raise AGENT_EXISTS where there is an agent ``name``."""
        if self.stored.has(name):
            raise ProtocolError.unfit(
                Code.AGENT_EXISTS, field, "a new name", name, said=f"agent {name} exists"
            )

    def require_unused(self, agent: Agent) -> None:
        """Raise AGENT_IN_USE while games are connected to an agent."""
        used = len(agent.connected) + self._played_elsewhere(agent.name)
        if used:
            raise ProtocolError(
                Code.AGENT_IN_USE,
                f"{used} session(s) use agent {agent.name}",
                field="agent",
                expected="no attached session",
                got=str(used),
            )

    async def _create(self, name: str, config: AgentConfig) -> None:
        with as_protocol_errors():
            await asyncio.to_thread(self.stored.write_config, name, config)
        log.info("agent created name=%s learner=%s", name, config.learner)

    async def _create_bound(self, name: str, schema: Schema) -> Agent:
        """Make an agent for its first hello; nothing of it is left when that fails."""
        named = self._config.agents.get(name)
        if named is None and not self._config.autocreate:
            raise self._unknown(name)
        config, folder = named or self._config.agent, self.stored.folder(name)
        if named is None:
            with as_protocol_errors():
                limits = self._config.limits
                config = await asyncio.to_thread(settle, folder, config, schema, limits)
        await self._create(name, config)
        try:
            return await self._load(name, schema)
        except BaseException:
            await asyncio.to_thread(self.stored.remove, name)
            raise

    async def _create_configured(self, name: str, config: AgentConfig) -> None:
        """Make an agent of the daemon's configuration, unless no game could ever play it."""
        try:
            check_least(config, self._config.limits)
        except OverBudget as fault:  # its first hello is told the same
            log.error("agent not created name=%s %s", name, fault)
            return
        await self._create(name, config)

    def _reconfigure(self, name: str, wanted: AgentConfig) -> None:
        """Apply what was edited in an agent's section, as far as it can; say what cannot."""
        try:
            config, made, left = apply_changes(self.stored.config(name), wanted)
        except ConfigError as fault:  # its first hello is told the same
            log.error("agent not configured name=%s %s", name, fault)
            return
        if made:
            self.stored.write_config(name, config)
        for change in made:
            log.info("changed agent=%s %s=%r", name, change.key, change.wanted)
        for change in left:
            log.warning(
                "not changed agent=%s %s=%r in force=%r; delete the agent, or give it a new name",
                *(name, change.key, change.wanted, change.stored),
            )

    async def _schema(self, name: str) -> Schema | None:
        with as_protocol_errors():
            return await asyncio.to_thread(self.stored.schema, name)

    def _require_room(self, name: str) -> None:
        limit = self._config.limits.max_agents
        if len(self.loaded) >= limit:
            raise ProtocolError(
                Code.LIMIT,
                "too many agents are in memory",
                field="agent",
                expected=f"at most {limit}",
                got=name,
                retry_ms=1_000,
            )

    async def _load(self, name: str, schema: Schema) -> Agent:
        folder = self.stored.folder(name)
        with as_protocol_errors():
            unbound = await self._schema(name) is None
            config = await asyncio.to_thread(self.stored.config, name)
            require_learnable(config, schema)
            await asyncio.to_thread(check_costs, folder, config, schema, self._config.limits)
            if unbound:  # a start that was cut off may have left an empty ring
                await asyncio.to_thread(self.stored.forget_replay, name)
            try:
                agent = await build_aside(self._host, folder, config, schema)
                await asyncio.to_thread(self.stored.bind, name, schema)
            except BaseException:
                if unbound:  # another hello may have another schema
                    await asyncio.to_thread(self.stored.forget_replay, name)
                raise
        self.loaded[name] = agent
        return agent

    def _unknown(self, name: str) -> ProtocolError:
        names = self.stored.names()
        listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        return ProtocolError(
            Code.UNKNOWN_AGENT,
            f"there is no agent {name[:80]}",
            field="agent",
            expected=f"one of {listed}" if names else "an agent: none was created yet",
            got=name[:80],
        )

    def retire(self, name: str) -> bool:
        """Take an agent out of memory, its latencies kept; False when it was not there."""
        agent = self.loaded.pop(name, None)
        self._tell_others({"do": "drop", "agent": name})
        if agent is None:
            return False
        self.retired.merge(agent.counters.latency)
        return True


def _require_no_path(config: AgentConfig) -> None:
    """Raise BAD_CONFIG where a game's request names a file or a folder of this machine."""
    field = wanted = got = ""
    if config.init is not None and not is_bundled(config.init.file):
        field, wanted, got = "init.file", "the name of a bundled model", config.init.file
    elif config.follow is not None:
        field, wanted, got = "follow", "null", config.follow.folder
    if field:
        said = "no verb takes a path: write it into the daemon's file"
        raise ProtocolError.unfit(Code.BAD_CONFIG, field, wanted, got[:80], said=said)


def _unbound(name: str) -> ProtocolError:
    return ProtocolError(
        Code.UNKNOWN_AGENT,
        f"agent {name} has no network yet: its first hello says what its games look like",
        field="agent",
        expected="an agent that a game has said hello to",
        got=name[:80],
    )
