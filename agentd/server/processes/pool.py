"""The further serving processes as the first one sees them: started, watched, fed, added up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agentd.children import child_environment, python_module
from agentd.config.records import AgentConfig, ServerConfig
from agentd.protocol.messages import Hello
from agentd.server.batching.answers import Counters
from agentd.server.peers.connection import Connection
from agentd.server.processes.channel import GATHERED, Exchange, adopt, home_of, too_much

if TYPE_CHECKING:
    from agentd.server.server import Server

__all__ = ["Workers"]

log = logging.getLogger("agentd.workers")

_FIRST_DELAY_S, _LAST_DELAY_S = 0.1, 10.0
_SUMS = ("sessions", "connections", "queued_rows", "queued_frames")


class _Worker:
    """One process, its end of the exchange, and what it reported last."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.exchange: Exchange | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.report: dict[str, Any] = {}
        self.ready = asyncio.Event()


class Workers:
    """The workers of one daemon, numbered from 1; number 0 is the first process itself."""

    def __init__(self, server: Server, count: int, data_dir: Path) -> None:
        self._server, self._data_dir = server, data_dir
        self._all = [_Worker(number) for number in range(1, count)]
        self._ending = asyncio.Event()

    async def start(self, port: int) -> None:
        """Start every worker on ``port``; return once each accepts connections or has failed."""
        for worker in self._all:
            self._server.spawn(self._keep(worker, port))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                for worker in self._all:
                    await worker.ready.wait()

    async def stop(self) -> None:
        """Have every worker drain and end."""
        self._ending.set()
        ending = [w.process for w in self._all if w.process is not None]
        for process in ending:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in ending:
            await process.wait()

    def give(self, connection: Connection, hello: Hello) -> bool:
        """Send a connection to the worker that its session lives in; False when it is ours.

        A small session that a worker gave up goes back where enough are gathered here.
        """
        home = home_of(hello.resume)
        if connection.may_return and self._streams_here() >= GATHERED:
            home = connection.came_from
        elif connection.came_from == home:
            return False
        worker = next((w for w in self._all if w.number == home), None)
        if worker is None or worker.exchange is None:
            return False
        if not worker.exchange.give(connection, hello):
            raise too_much()
        return True

    def _streams_here(self) -> int:
        """Streams of the sessions that are connected to the first process."""
        agents = self._server.registry.loaded.values()
        sessions = (session for agent in agents for session in agent.sessions.values())
        return sum(session.streams for session in sessions if session.connection is not None)

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message to every worker."""
        for worker in self._all:
            if worker.exchange is not None:
                worker.exchange.send(message)

    # -- sums ----------------------------------------------------------------------------------

    def connections(self, agent: str) -> int:
        """Connections that play an agent elsewhere, a quarter of a second ago."""
        return sum(share["connections"] for share in self._shares(agent))

    def totals(self, key: str) -> int:
        """The sum of one of the counters ``connections``, ``accepted`` and ``refusals``."""
        return sum(worker.report.get(key, 0) for worker in self._all)

    def counters(self) -> Counters:
        """What the workers have answered, of all agents."""
        out = Counters()
        for worker in self._all:
            for share in worker.report.get("agents", {}).values():
                out.add(share["counters"])
        return out

    def stats(self, agent: str, own: Mapping[str, Any], counters: Counters) -> dict[str, Any]:
        """An agent's stats in this process and all others; ``counters`` are this one's."""
        merged = Counters()
        merged.add(counters.share())
        out = dict(own)
        for share in self._shares(agent):
            merged.add(share["counters"])
            for key in _SUMS:
                out[key] = out.get(key, 0) + share[key]
        return out | merged.stats()

    def agents(self) -> set[str]:
        """Names of the agents that a worker plays."""
        return {name for worker in self._all for name in worker.report.get("agents", {})}

    def _shares(self, agent: str) -> list[dict[str, Any]]:
        found = [worker.report.get("agents", {}).get(agent) for worker in self._all]
        return [share for share in found if share is not None]

    # -- one process -----------------------------------------------------------------------------

    async def _keep(self, worker: _Worker, port: int) -> None:
        """Keep a worker running, with growing pauses between starts."""
        loop, delay = asyncio.get_running_loop(), _FIRST_DELAY_S
        while not self._ending.is_set():
            started = loop.time()
            code = await self._live(worker, port)
            worker.report = {}
            worker.ready.set()
            if self._ending.is_set():
                return
            delay = _FIRST_DELAY_S if loop.time() - started > 10 else delay
            log.warning("worker ended number=%d exit=%d pause=%.1fs", worker.number, code, delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_DELAY_S)

    async def _live(self, worker: _Worker, port: int) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.send(self._task(worker.number, port))
        command = python_module("agentd", "serve", "--worker", str(theirs.fileno()))
        command += ["-q"] if log.getEffectiveLevel() > logging.INFO else []
        with theirs:
            worker.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=child_environment(),
            )

        def heard(message: dict[str, Any], body: bytes, fd: int | None) -> None:
            self._heard(worker, message, body, fd)

        worker.exchange = Exchange(ours, heard, lambda: None)
        try:
            return await worker.process.wait()
        finally:
            worker.exchange.close()
            worker.exchange = None
            if worker.process.returncode is None:  # we are cancelled
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()

    def _task(self, number: int, port: int) -> bytes:
        config: ServerConfig = msgspec.structs.replace(
            self._server.config,
            port=port,
            http_port=None,
            agents={},
            agent=AgentConfig(),
            unix=None,
        )
        settings = msgspec.to_builtins(config)
        del settings["agent"]  # workers read each agent's own file
        task = {"config": settings, "number": number, "data_dir": str(self._data_dir)}
        return msgspec.json.encode(task)

    def _heard(self, worker: _Worker, message: dict[str, Any], body: bytes, fd: int | None) -> None:
        server = self._server
        match message["do"]:
            case "adopt" if fd is not None:
                connection = Connection(server)
                connection.came_from = worker.number
                connection.may_return = message["may_return"]
                server.spawn(adopt(server, connection, fd, body))
            case "report":
                worker.report = message
            case "ready":
                worker.ready.set()
            case _:
                log.warning("packet not understood do=%s", message["do"])
