"""A further serving process on the same port: it plays agents that do not learn.

Every process of a daemon listens on one port and the kernel deals connections out. An agent that
learns has one writer of its memory, so its sessions live in the first process, and so do admins
and whatever must be written to disk. A worker reads the hello: it keeps the connection when the
agent is on disk with ``learner: none`` and the schema of the hello, and hands it over otherwise.
Small sessions it offers first, which keeps the batches of few games whole.
The first byte of a session's id names its process, so that a resume finds it wherever it lands.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agentd.auth import Tokens
from agentd.config import ConfigError, ServerConfig
from agentd.errors import AgentdError
from agentd.protocol.codec import common_version
from agentd.protocol.errors import ProtocolError
from agentd.protocol.messages import Hello
from agentd.protocol.schema import Schema
from agentd.server.agents.registry import Registry
from agentd.server.peers.connection import Connection
from agentd.server.peers.handshake import AGENT_NAME
from agentd.server.processes.channel import GATHERED, SMALL, Channel, Handover, home_of, too_much
from agentd.server.server import Server

log = logging.getLogger("agentd.worker")

REPORT_S = 0.25


def read_task(sock: socket.socket) -> tuple[ServerConfig, int, Path]:
    """The first packet of a worker: its configuration, its number, the data directory."""
    task = msgspec.json.decode(sock.recv(1 << 16))
    return msgspec.convert(task["config"], ServerConfig), task["number"], Path(task["data_dir"])


class Worker:
    """One further serving process: a server, and the channel to the first process."""

    def __init__(
        self, config: ServerConfig, tokens: Tokens, data_dir: Path, number: int, sock: socket.socket
    ) -> None:
        self.server = Server(config, tokens, data_dir, self)
        self._number = number
        self._channel = Channel(sock, self._heard, self.server.stop)
        self._offers = GATHERED  # small sessions that may still be offered to the first process

    async def run(self, on_ready: Callable[[list[str]], None]) -> None:
        """Serve until told to stop or the first process is gone; see `Server.run`."""

        def ready(addresses: list[str]) -> None:
            self._channel.send({"do": "ready"})
            on_ready(addresses)

        reporter = asyncio.ensure_future(self._report())
        try:
            await self.server.run(ready)
        finally:
            reporter.cancel()
            self._channel.close()

    # -- routing -------------------------------------------------------------------------------

    def new_session_id(self) -> bytes:
        """16 bytes that nobody can guess but the first, which is this process's number."""
        return bytes([self._number]) + os.urandom(15)

    async def hands_over(self, connection: Connection, hello: Hello) -> bool:
        """Hand a connection to the first process unless its agent may be played here."""
        mine = home_of(hello.resume) in (None, self._number)
        fits = mine and hello.role != "admin" and AGENT_NAME.match(hello.agent)
        ours = bool(fits) and await _serves(self.server.registry, hello)
        if ours and not self._offer(connection, hello):
            return False
        if not connection.closing and not self._channel.give(connection, hello, may_return=ours):
            raise too_much()
        return True

    def _offer(self, connection: Connection, hello: Hello) -> bool:
        """Whether to offer the first process a session that may be played here, see GATHERED.

        A few at a time, so that the channel keeps up with any number of games at once.
        """
        small = hello.resume is None and hello.streams < SMALL
        if not small or connection.came_from is not None or self._offers == 0:
            return False
        self._offers -= 1
        return True

    # -- the channel ---------------------------------------------------------------------------

    def _heard(self, message: dict[str, Any], body: bytes, fd: int | None) -> None:
        match message["do"]:
            case "adopt" if fd is not None:
                self.server.adopt(0, False, Handover.read(message, body, fd))
            case "load":
                self.server.spawn(self._load(message["agent"], message["checkpoint"]))
            case "settings":
                if (agent := self.server.registry.loaded.get(message["agent"])) is not None:
                    agent.apply_settings(message["game"])
            case "drop":
                self._drop(message["agent"])
            case _:
                log.warning("packet not understood do=%s", message["do"])

    async def _load(self, name: str, checkpoint: str) -> None:
        agent = self.server.registry.loaded.get(name)
        if agent is not None:
            try:
                await agent.load(checkpoint)
            except AgentdError:
                log.exception("checkpoint not loaded agent=%s", name)

    def _drop(self, name: str) -> None:
        agent = self.server.registry.loaded.pop(name, None)
        if agent is None:
            return
        for session in list(agent.sessions.values()):
            if session.peer is not None:
                session.peer.close("shutdown")
            agent.end(session)

    async def _report(self) -> None:
        """Tell the first process what is done here: `stats` is one answer for all."""
        while True:
            await asyncio.sleep(REPORT_S)
            self._offers = GATHERED
            connections = self.server.connections
            agents = self.server.registry.loaded.items()
            self._channel.send(
                {
                    "do": "report",
                    "connections": len(connections),
                    "accepted": connections.accepted,
                    "refusals": connections.refusals,
                    "refused": dict(connections.refused),
                    "agents": {name: agent.share() for name, agent in agents},
                }
            )


async def _serves(registry: Registry, hello: Hello) -> bool:
    """Whether the agent of a hello may be played here: it is stored, it fits, it learns nothing."""
    try:
        version, stored = common_version(hello.protocol), registry.stored
        schema = Schema.from_wire(hello.observation, hello.action, version)
        if hello.agent not in registry.loaded:
            config = await asyncio.to_thread(stored.config, hello.agent)
            if config.learner != "none":
                return False
        return stored.schema(hello.agent) == schema
    except (ProtocolError, ConfigError, AgentdError, OSError, ValueError):
        return False  # the first process says what is wrong
