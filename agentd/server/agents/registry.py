"""All agents of the daemon: on disk, in memory, and on the way between.

agents/<name>/config.yaml    how it learns; written at creation
agents/<name>/schema.json    what its games look like; bound by the first hello
agents/<name>/checkpoints/   durable weights and learner state
agents/<name>/replay/        rows and sessions, memory-mapped
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentd.config import (
    AgentConfig,
    agent_config_from_wire,
    dump_yaml,
    load_agent_config,
    plain,
)
from agentd.engine.strictyaml import ConfigError
from agentd.errors import AgentdError, StorageError
from agentd.learner.handle import LearnerRefused
from agentd.memory.session_table import SessionTable
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.agents.build import build_agent
from agentd.store import NoValidCheckpoint, UnknownCheckpoint, list_checkpoints, write_file

if TYPE_CHECKING:
    from agentd.server.server import Server

__all__ = ["Registry"]

log = logging.getLogger("agentd.registry")

CONFIG, SCHEMA = "config.yaml", "schema.json"


class Registry:
    """Opens, creates and closes agents; one at a time per name."""

    def __init__(self, server: Server, data_dir: Path) -> None:
        self.loaded: dict[str, Agent] = {}
        self.table: SessionTable  # opened by start
        self._server = server
        self._root = data_dir / "agents"
        self._locks: dict[str, asyncio.Lock] = {}

    # -- finding -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Create configured agents; take up sessions that a killed daemon left behind.

        Raises StorageError.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        self.table = SessionTable.open(self._root.parent / "sessions.bin")
        for name, config in self._server.config.agents.items():
            if not self._exists(name):
                await asyncio.to_thread(self._write_config, name, config)
        for record in self.table.live():
            try:
                agent = await self.ensure(record.agent)
                agent.revive(record, self._server.config.limits.window, self._server.now())
            except ProtocolError as fault:
                log.error("session not taken up agent=%s %s", record.agent, fault.message)
                self.table.release(record.slot)

    async def open(self, name: str, schema: Schema) -> Agent:
        """The agent ``name`` in memory, created if allowed.

        Raises ProtocolError UNKNOWN_AGENT, SCHEMA_MISMATCH, LIMIT, BAD_CONFIG or STORAGE_FAILED.
        """
        async with self._lock(name):
            agent = self.loaded.get(name)
            if agent is None:
                if not self._exists(name):
                    self._require_autocreate(name)
                    await asyncio.to_thread(self._write_config, name, self._server.config.agent)
                stored = self.stored_schema(name)
                _require_same(name, stored or schema, schema)
                agent = await self._load(name, schema)
            else:
                _require_same(name, agent.schema, schema)
            return agent

    def get(self, name: str) -> Agent:
        """The agent ``name`` if it is in memory. Raises UNKNOWN_AGENT."""
        agent = self.loaded.get(name)
        if agent is None:
            raise self._unknown(name)
        return agent

    async def ensure(self, name: str) -> Agent:
        """The agent ``name``, loaded from disk when it has a schema. Raises UNKNOWN_AGENT."""
        async with self._lock(name):
            if name in self.loaded:
                return self.loaded[name]
            schema = self.stored_schema(name) if self._exists(name) else None
            if schema is None:
                raise self._unknown(name)
            return await self._load(name, schema)

    def list(self) -> list[dict[str, Any]]:
        """Short facts of every agent, in memory or on disk."""
        names = {p.name for p in self._root.iterdir() if (p / CONFIG).exists()}
        return [
            {
                "agent": name,
                "loaded": name in self.loaded,
                "sessions": len(self.loaded[name].sessions) if name in self.loaded else 0,
            }
            for name in sorted(names)
        ]

    # -- operations ----------------------------------------------------------------------------

    async def info(self, name: str) -> dict[str, Any]:
        """Configuration, schema and checkpoints of an agent. Raises UNKNOWN_AGENT."""
        if not self._exists(name):
            raise self._unknown(name)
        folder = self._root / name
        config = await asyncio.to_thread(load_agent_config, folder / CONFIG)
        schema = self.stored_schema(name)
        return {
            "loaded": name in self.loaded,
            "config": plain(config),
            "schema": schema.to_wire() if schema else None,
            "checkpoints": await asyncio.to_thread(list_checkpoints, folder / "checkpoints"),
        }

    async def create(self, name: str, config: dict[str, Any]) -> None:
        """Make an agent from a map. Raises AGENT_EXISTS, BAD_CONFIG, LIMIT or STORAGE_FAILED."""
        async with self._lock(name):
            if self._exists(name):
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
            await asyncio.to_thread(self._write_config, name, read)

    async def save(self, name: str) -> tuple[str, int]:
        """Write a checkpoint; its name and step once it is on disk."""
        agent = await self.ensure(name)
        with _storage():
            return await agent.save()

    async def load(self, name: str, checkpoint: str) -> int:
        """Go back to a checkpoint; its step. Raises UNKNOWN_CHECKPOINT."""
        agent = await self.ensure(name)
        with _storage():
            step = await agent.load(checkpoint)
        self._server.tell_workers({"do": "load", "agent": name, "checkpoint": checkpoint})
        return step

    async def unload(self, name: str) -> None:
        """Save and drop from memory. Raises AGENT_IN_USE while sessions are attached."""
        agent = self.get(name)
        self._require_unused(agent)
        async with self._lock(name):
            self._retire(name)
            with _storage():
                await agent.close()

    async def delete(self, name: str) -> None:
        """Remove an agent and its files. Raises AGENT_IN_USE or UNKNOWN_AGENT."""
        if not self._exists(name):
            raise self._unknown(name)
        agent = self.loaded.get(name)
        if agent is not None:
            self._require_unused(agent)
        async with self._lock(name):
            if agent is not None and self._retire(name):
                await agent.close(save=False)
            with _storage():
                await asyncio.to_thread(self._remove, name)

    async def freeze(self, name: str, on: bool) -> None:
        """Stop or resume learning."""
        agent = await self.ensure(name)
        with _storage():
            await agent.freeze(on)

    # -- housekeeping ----------------------------------------------------------------------------

    def expire(self, before: float) -> None:
        """End sessions that have waited for a resume since before ``before`` (``Server.now``)."""
        for agent in self.loaded.values():
            for session in list(agent.sessions.values()):
                if session.detached_at is not None and session.detached_at < before:
                    log.info("session ended agent=%s rows open episodes cut", agent.name)
                    agent.end_session(session)

    def stats(self, name: str | None) -> dict[str, dict[str, Any]]:
        """Counters by agent. Raises UNKNOWN_AGENT for a name that is not in memory."""
        agents = self.loaded if name is None else {name: self.get(name)}
        return {key: agent.stats() for key, agent in agents.items()}

    async def close(self) -> None:
        """Save and close every agent."""
        agents = list(self.loaded.values())
        self.loaded.clear()
        await asyncio.gather(*(agent.close() for agent in agents))
        self.table.close()

    # -- inside ----------------------------------------------------------------------------------

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def folder(self, name: str) -> Path:
        """Where an agent is kept."""
        return self._root / name

    def _exists(self, name: str) -> bool:
        return (self._root / name / CONFIG).exists()

    def stored_schema(self, name: str) -> Schema | None:
        """The schema that an agent was bound to, None before its first hello."""
        path = self._root / name / SCHEMA
        if not path.exists():
            return None
        wire = json.loads(path.read_text(encoding="utf-8"))
        return Schema.from_wire(wire["observation"], wire["action"])

    def _require_autocreate(self, name: str) -> None:
        if not self._server.config.autocreate:
            raise self._unknown(name)

    def _unknown(self, name: str) -> ProtocolError:
        return ProtocolError(
            Code.UNKNOWN_AGENT,
            f"there is no agent {name}",
            field="agent",
            expected="an agent that `agents` lists",
            got=name[:80],
        )

    def _require_unused(self, agent: Agent) -> None:
        used = sum(session.connection is not None for session in agent.sessions.values())
        used += self._server.played_elsewhere(agent.name)
        if used:
            raise ProtocolError(
                Code.AGENT_IN_USE,
                f"{used} session(s) use agent {agent.name}",
                field="agent",
                expected="no attached session",
                got=str(used),
            )

    def _write_config(self, name: str, config: AgentConfig) -> None:
        with _storage():
            folder = self._root / name
            folder.mkdir(parents=True, exist_ok=True)
            write_file(folder / CONFIG, dump_yaml(config).encode())
            log.info("agent created name=%s learner=%s", name, config.learner)

    async def _load(self, name: str, schema: Schema | None) -> Agent:
        limit = self._server.config.limits.max_agents
        if len(self.loaded) >= limit:
            raise ProtocolError(
                Code.LIMIT,
                "too many agents are in memory",
                field="agent",
                expected=f"at most {limit}",
                got=name,
                retry_ms=1_000,
            )
        folder = self._root / name
        if schema is None:
            raise self._unknown(name)
        with _storage():
            if not (folder / SCHEMA).exists():
                text = json.dumps(schema.to_wire(), indent=1, sort_keys=True)
                await asyncio.to_thread(write_file, folder / SCHEMA, text.encode())
            config = await asyncio.to_thread(load_agent_config, folder / CONFIG)
            agent = await asyncio.to_thread(build_agent, self._server, folder, config, schema)
        self.loaded[name] = agent
        return agent

    def _retire(self, name: str) -> bool:
        """Take an agent out of memory, its latencies kept; False when it was not there."""
        agent = self.loaded.pop(name, None)
        self._server.tell_workers({"do": "drop", "agent": name})
        if agent is None:
            return False
        self._server.retired_latency.merge(agent.counters.latency)
        return True

    def _remove(self, name: str) -> None:
        grave = self._root / f".deleted-{name}"
        shutil.rmtree(grave, ignore_errors=True)
        (self._root / name).rename(grave)
        shutil.rmtree(grave)


class _storage:  # noqa: N801 - reads as a statement
    """Turn storage and product faults into errors for the wire."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, ProtocolError):
            return
        if isinstance(fault, LearnerRefused):
            code = Code(fault.code)
            field = "checkpoint" if code is Code.UNKNOWN_CHECKPOINT else None
            raise ProtocolError(code, str(fault), field=field) from fault
        if isinstance(fault, UnknownCheckpoint | NoValidCheckpoint):
            raise ProtocolError(
                Code.UNKNOWN_CHECKPOINT,
                str(fault),
                field="checkpoint",
                expected="one that info lists",
            ) from fault
        if isinstance(fault, StorageError | OSError):
            raise ProtocolError(Code.STORAGE_FAILED, str(fault)) from fault
        if isinstance(fault, ConfigError | ValueError):
            raise ProtocolError(Code.BAD_CONFIG, str(fault)) from fault
        if isinstance(fault, AgentdError | TimeoutError):
            raise ProtocolError(Code.INTERNAL, str(fault) or type(fault).__name__) from fault


def _require_same(name: str, known: Schema, shown: Schema) -> None:
    if known != shown:
        raise ProtocolError(
            Code.SCHEMA_MISMATCH,
            f"agent {name} has the schema {known.describe()}, hello the schema {shown.describe()}",
            field="observation" if known.tensors != shown.tensors else "action",
            expected=known.describe(),
            got=shown.describe(),
        )
