"""A further serving process on the same port: it plays agents that do not learn.

Every process of a daemon listens on one port and the kernel deals connections out. An agent that
learns has one writer of its memory, so its sessions live in the first process, and so do admins
and whatever must be written to disk. A worker reads the hello: it keeps the connection when the
agent is on disk with ``learner: none`` and the schema of the hello, and hands it over otherwise.
Small sessions it offers first, which keeps the batches of few games whole.
The first byte of a session's id names its process, so that a resume finds it wherever it lands.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agentd.auth import Tokens
from agentd.config import ConfigError, ServerConfig, load_agent_config
from agentd.errors import AgentdError
from agentd.protocol.errors import ProtocolError
from agentd.protocol.messages import Hello, Welcome
from agentd.protocol.schema import Schema
from agentd.server.agents.registry import CONFIG, Registry
from agentd.server.peers.connection import Connection
from agentd.server.peers.handshake import AGENT_NAME
from agentd.server.processes.channel import GATHERED, SMALL, Exchange, adopt, home_of, too_much
from agentd.server.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker", "read_task"]

log = logging.getLogger("agentd.worker")

REPORT_S = 0.25


class _Agents(Registry):
    """Agents that are only read: nothing is created, learned or saved here."""

    async def start(self) -> None:
        """There is nothing to take up: sessions of a worker do not outlive it."""

    async def close(self) -> None:
        """Forget every agent."""
        self.loaded.clear()

    async def serves(self, name: str, hello: Hello) -> bool:
        """Whether this agent may be played here."""
        try:
            schema = Schema.from_wire(hello.observation, hello.action)
            if name not in self.loaded:
                config = await asyncio.to_thread(load_agent_config, self.folder(name) / CONFIG)
                if config.learner != "none":
                    return False
            return self.stored_schema(name) == schema
        except (ProtocolError, ConfigError, AgentdError, OSError, ValueError):
            return False  # the first process says what is wrong


def read_task(sock: socket.socket) -> tuple[ServerConfig, int, Path]:
    """The first packet of a worker: its configuration, its number, the data directory."""
    task = msgspec.json.decode(sock.recv(1 << 16))
    return msgspec.convert(task["config"], ServerConfig), task["number"], Path(task["data_dir"])


class Worker(Server):
    """One further serving process."""

    def __init__(
        self, config: ServerConfig, tokens: Tokens, data_dir: Path, number: int, sock: socket.socket
    ) -> None:
        super().__init__(config, tokens, data_dir)
        self.workers = None
        self.number = number
        self.registry: _Agents = _Agents(self, data_dir)
        self._sock = sock
        self._exchange: Exchange | None = None
        self._offers = GATHERED  # small sessions that may still be offered to the first process

    async def run(self, on_ready: Callable[[list[str]], None]) -> None:
        """Serve until told to stop or the first process is gone; see `Server.run`."""
        self._exchange = Exchange(self._sock, self._heard, self.stop)
        reporter = asyncio.ensure_future(self._report())
        try:
            await super().run(lambda addresses: self._tell_ready(addresses, on_ready))
        finally:
            reporter.cancel()
            self._exchange.close()

    def _tell_ready(self, addresses: list[str], on_ready: Callable[[list[str]], None]) -> None:
        assert self._exchange is not None
        self._exchange.send({"do": "ready"})
        on_ready(addresses)

    async def welcome(self, connection: Connection, hello: Hello) -> Welcome | None:
        """Answer a hello, or hand the connection over and answer nothing."""
        mine = home_of(hello.resume) in (None, self.number)
        fits = mine and hello.role != "admin" and AGENT_NAME.match(hello.agent)
        ours = fits and await self.registry.serves(hello.agent, hello)
        if ours and not self._offer(connection, hello):
            return await super().welcome(connection, hello)
        if connection.closing:
            return None
        assert self._exchange is not None
        if not self._exchange.give(connection, hello, may_return=bool(ours)):
            raise too_much()
        return None

    def _offer(self, connection: Connection, hello: Hello) -> bool:
        """Whether to offer the first process a session that may be played here, see GATHERED.

        A few at a time, so that the exchange keeps up with any number of games at once.
        """
        small = hello.resume is None and hello.streams < SMALL
        if not small or connection.came_from is not None or self._offers == 0:
            return False
        self._offers -= 1
        return True

    def new_session_id(self) -> bytes:
        """16 bytes that nobody can guess but the first, which is this process's number."""
        return bytes([self.number]) + os.urandom(15)

    def _heard(self, message: dict[str, Any], body: bytes, fd: int | None) -> None:
        match message["do"]:
            case "adopt" if fd is not None:
                connection = Connection(self)
                connection.came_from = 0
                self.spawn(adopt(self, connection, fd, body))
            case "load":
                self.spawn(self._load(message["agent"], message["checkpoint"]))
            case "drop":
                self._drop(message["agent"])
            case _:
                log.warning("packet not understood do=%s", message["do"])

    async def _load(self, name: str, checkpoint: str) -> None:
        agent = self.registry.loaded.get(name)
        if agent is not None:
            try:
                await agent.load(checkpoint)
            except AgentdError:
                log.exception("checkpoint not loaded agent=%s", name)

    def _drop(self, name: str) -> None:
        agent = self.registry.loaded.pop(name, None)
        for session in list(agent.sessions.values()) if agent is not None else []:
            if session.connection is not None:
                session.connection.close("shutdown")
            agent.end_session(session)  # type: ignore[union-attr]

    async def _report(self) -> None:
        """Tell the first process what is done here: `stats` is one answer for all."""
        while True:
            await asyncio.sleep(REPORT_S)
            self._offers = GATHERED
            agents = self.registry.loaded.items()
            assert self._exchange is not None
            self._exchange.send(
                {
                    "do": "report",
                    "connections": len(self.connections),
                    "accepted": self.accepted,
                    "refusals": self.refusals,
                    "agents": {name: agent.share() for name, agent in agents},
                }
            )
