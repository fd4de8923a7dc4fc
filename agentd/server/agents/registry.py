"""The agents of one process: opened from disk, created, in use, unloaded, deleted."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentd.config import AgentConfig, agent_config_from_wire, plain
from agentd.config.records import ServerConfig
from agentd.engine.strictyaml import ConfigError
from agentd.latency import Histogram
from agentd.memory.session_table import SessionTable
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.agents.build import build_agent
from agentd.server.agents.faults import as_protocol_errors
from agentd.server.agents.host import AgentHost
from agentd.server.agents.stored import StoredAgents

log = logging.getLogger("agentd.registry")


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
        self._config = config
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
        table = SessionTable.open(self._data_dir / "sessions.bin")
        self._host = dataclasses.replace(self._host, table=table)
        for name, config in self._config.agents.items():
            if not self.stored.has(name):
                await self._create(name, config)
        for record in table.live():
            try:
                agent = await self.ensure(record.agent)
                agent.revive(record)
            except ProtocolError as fault:
                log.error("session not taken up agent=%s %s", record.agent, fault.message)
                table.release(record.slot)

    async def open(self, name: str, schema: Schema) -> Agent:
        """The agent ``name`` in memory, created if allowed.

        Raises ProtocolError UNKNOWN_AGENT, SCHEMA_MISMATCH, LIMIT, BAD_CONFIG or STORAGE_FAILED.
        """
        async with self._lock(name):
            agent = self.loaded.get(name)
            if agent is not None:
                _require_same(name, agent.schema, schema)
                return agent
            if not self.stored.has(name):
                if not self._config.autocreate:
                    raise _unknown(name)
                await self._create(name, self._config.agent)
            _require_same(name, self.stored.schema(name) or schema, schema)
            return await self._load(name, schema)

    def get(self, name: str) -> Agent:
        """The agent ``name`` if it is in memory. Raises UNKNOWN_AGENT."""
        agent = self.loaded.get(name)
        if agent is None:
            raise _unknown(name)
        return agent

    async def ensure(self, name: str) -> Agent:
        """The agent ``name``, loaded from disk when it has a schema. Raises UNKNOWN_AGENT."""
        async with self._lock(name):
            if name in self.loaded:
                return self.loaded[name]
            schema = self.stored.schema(name) if self.stored.has(name) else None
            if schema is None:
                raise _unknown(name)
            return await self._load(name, schema)

    def list(self) -> list[dict[str, Any]]:
        """Short facts of every agent, in memory or on disk."""
        return [
            {
                "agent": name,
                "loaded": name in self.loaded,
                "sessions": len(self.loaded[name].sessions) if name in self.loaded else 0,
            }
            for name in self.stored.names()
        ]

    # -- operations ----------------------------------------------------------------------------

    async def info(self, name: str) -> dict[str, Any]:
        """Configuration, schema and checkpoints of an agent. Raises UNKNOWN_AGENT."""
        if not self.stored.has(name):
            raise _unknown(name)
        config = await asyncio.to_thread(self.stored.config, name)
        schema = self.stored.schema(name)
        return {
            "loaded": name in self.loaded,
            "config": plain(config),
            "schema": schema.to_wire() if schema else None,
            "checkpoints": await asyncio.to_thread(self.stored.checkpoints, name),
        }

    async def create(self, name: str, config: dict[str, Any]) -> None:
        """Make an agent from a map. Raises AGENT_EXISTS, BAD_CONFIG, LIMIT or STORAGE_FAILED."""
        async with self._lock(name):
            if self.stored.has(name):
                raise ProtocolError(
                    Code.AGENT_EXISTS,
                    f"agent {name} exists",
                    field="agent",
                    expected="a new name",
                    got=name,
                )
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
        agent = self.get(name)
        self._require_unused(agent)
        async with self._lock(name):
            self._retire(name)
            with as_protocol_errors():
                await agent.close()

    async def delete(self, name: str) -> None:
        """Remove an agent and its files. Raises AGENT_IN_USE or UNKNOWN_AGENT."""
        if not self.stored.has(name):
            raise _unknown(name)
        agent = self.loaded.get(name)
        if agent is not None:
            self._require_unused(agent)
        async with self._lock(name):
            if agent is not None and self._retire(name):
                await agent.close(save=False)
            with as_protocol_errors():
                await asyncio.to_thread(self.stored.remove, name)

    async def freeze(self, name: str, on: bool) -> None:
        """Stop or resume learning."""
        agent = await self.ensure(name)
        with as_protocol_errors():
            await agent.freeze(on)

    # -- housekeeping ----------------------------------------------------------------------------

    def expire(self, before: float) -> None:
        """End sessions that have waited for a resume since before ``before``, monotonic seconds."""
        for agent in self.loaded.values():
            for session in list(agent.sessions.values()):
                if session.detached_at is not None and session.detached_at < before:
                    log.info("session ended agent=%s rows open episodes cut", agent.name)
                    agent.end(session)

    async def close(self) -> None:
        """Save and close every agent."""
        agents = list(self.loaded.values())
        self.loaded.clear()
        await asyncio.gather(*(agent.close() for agent in agents))
        if self._host.table is not None:
            self._host.table.close()

    # -- inside ----------------------------------------------------------------------------------

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _require_unused(self, agent: Agent) -> None:
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

    async def _load(self, name: str, schema: Schema) -> Agent:
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
        with as_protocol_errors():
            await asyncio.to_thread(self.stored.bind, name, schema)
            config = await asyncio.to_thread(self.stored.config, name)
            folder = self.stored.folder(name)
            agent = await asyncio.to_thread(build_agent, self._host, folder, config, schema)
        self.loaded[name] = agent
        return agent

    def _retire(self, name: str) -> bool:
        """Take an agent out of memory, its latencies kept; False when it was not there."""
        agent = self.loaded.pop(name, None)
        self._tell_others({"do": "drop", "agent": name})
        if agent is None:
            return False
        self.retired.merge(agent.counters.latency)
        return True


def _unknown(name: str) -> ProtocolError:
    return ProtocolError(
        Code.UNKNOWN_AGENT,
        f"there is no agent {name}",
        field="agent",
        expected="an agent that `agents` lists",
        got=name[:80],
    )


def _require_same(name: str, known: Schema, shown: Schema) -> None:
    if known != shown:
        raise ProtocolError(
            Code.SCHEMA_MISMATCH,
            f"agent {name} has the schema {known.describe()}, hello the schema {shown.describe()}",
            field="observation" if known.tensors != shown.tensors else "action",
            expected=known.describe(),
            got=shown.describe(),
        )
