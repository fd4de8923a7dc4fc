"""The further serving processes as the first one sees them: started, watched, fed."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from agentd.children import Child, child_environment, python_module, start_s
from agentd.config.records import AgentConfig, ServerConfig
from agentd.protocol.messages import Hello
from agentd.server.agents.registry import Registry
from agentd.server.peers.connection import Connection
from agentd.server.processes.channel import GATHERED, Channel, Handover, home_of, too_much
from agentd.server.reports import Reports
from agentd.supervision import Pulse, keep_running, watching

log = logging.getLogger("agentd.workers")


class _Worker:
    """One further process and its end of the channel."""

    def __init__(self, number: int, start_s: float) -> None:
        self.number, self.start_s = number, start_s
        self.channel: Channel | None = None
        self.process: Child | None = None
        self.ready = asyncio.Event()
        self.serves = False
        self.packets = 0  # it reports four times a second: its sign of life


class Pool:
    """The further processes of one daemon, numbered from 1; number 0 is the first one itself.

    ``adopt`` goes on with a connection that a worker hands over: the worker's number, whether it
    may go back there, and the connection. ``spawn`` keeps a coroutine running while the daemon
    serves.
    """

    def __init__(
        self,
        config: ServerConfig,
        data_dir: Path,
        reports: Reports,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        adopt: Callable[[int, bool, Handover], None],
    ) -> None:
        self._config, self._data_dir = config, data_dir
        self._reports, self._spawn, self._adopt = reports, spawn, adopt
        self._all = [_Worker(n, start_s(config.device)) for n in range(1, config.workers)]
        self._ending = asyncio.Event()

    async def start(self, port: int) -> None:
        """Start every worker on ``port``; return once each accepts connections or has failed."""
        for worker in self._all:
            self._spawn(self._keep(worker, port))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                for worker in self._all:
                    await worker.ready.wait()

    async def stop(self) -> None:
        """Have every worker drain and end; kill those that do not within half of ``drain_s``."""
        self._ending.set()
        ending = [w.process for w in self._all if w.process is not None]
        for process in ending:
            process.terminate()
        try:
            async with asyncio.timeout(self._config.limits.drain_s / 2):
                for process in ending:
                    await process.wait()
        except TimeoutError:
            log.error("workers killed: they did not end in time")
            self.kill()

    def kill(self) -> None:
        """Kill every worker at once."""
        for worker in self._all:
            self._kill(worker)

    def give(self, number: int | None, connection: Connection, hello: Hello) -> bool:
        """Hand a connection to a worker; False when there is no such worker running.

        Raises ProtocolError when the peer has sent too much to go along.
        """
        worker = next((w for w in self._all if w.number == number), None)
        if worker is None or worker.channel is None:
            return False
        if not worker.channel.give(connection, hello):
            raise too_much()
        return True

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message to every worker."""
        for worker in self._all:
            if worker.channel is not None:
                worker.channel.send(message)

    def _kill(self, worker: _Worker) -> None:
        if worker.process is not None:
            worker.process.kill()

    # -- one process -----------------------------------------------------------------------------

    async def _keep(self, worker: _Worker, port: int) -> None:
        """Keep a worker running, with growing pauses between starts."""

        def ended(code: int, pause_s: float) -> bool:
            self._reports.restarts += 1
            log.warning("worker ended number=%d exit=%d pause=%.2fs", worker.number, code, pause_s)
            return True

        async def live() -> int:
            code = await self._live(worker, port)
            self._reports.drop(worker.number)
            worker.ready.set()
            return code

        await keep_running(live, self._ending, ended)

    async def _live(self, worker: _Worker, port: int) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.send(self._task(worker.number, port))
        command = python_module("agentd", "serve", "--worker", str(theirs.fileno()))
        command += ["-q"] if log.getEffectiveLevel() > logging.INFO else []
        with theirs:
            worker.process = Child(
                command,
                env=child_environment(),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

        def heard(message: dict[str, Any], body: bytes, fd: int | None) -> None:
            self._heard(worker, message, body, fd)

        def hangs(still_s: float) -> None:
            log.error("worker hangs number=%d: killed after %.1f s", worker.number, still_s)
            worker.start_s *= 1 if worker.serves else 2
            self._kill(worker)

        worker.channel = Channel(ours, heard, lambda: None)
        most_s = self._config.limits.hang_s
        pulse = Pulse(lambda: worker.packets)
        try:
            with watching(pulse, lambda: most_s if worker.serves else worker.start_s, hangs):
                return await worker.process.wait()
        finally:
            worker.serves = False
            worker.channel.close()
            worker.channel = None
            if worker.process.returncode is None:  # we are cancelled
                self._kill(worker)

    def _task(self, number: int, port: int) -> bytes:
        config: ServerConfig = msgspec.structs.replace(
            self._config,
            port=port,
            http_port=None,
            agents={},
            agent=AgentConfig(),
            unix=None,
            godot=None,
        )
        settings = msgspec.to_builtins(config)
        del settings["agent"]  # workers read each agent's own file
        task = {"config": settings, "number": number, "data_dir": str(self._data_dir)}
        return msgspec.json.encode(task)

    def _heard(self, worker: _Worker, message: dict[str, Any], body: bytes, fd: int | None) -> None:
        worker.packets += 1
        match message["do"]:
            case "adopt" if fd is not None:
                came = Handover.read(message, body, fd)
                self._adopt(worker.number, message["may_return"], came)
            case "report":
                self._reports.put(worker.number, message)
            case "ready":
                worker.serves = True
                worker.ready.set()
            case _:
                log.warning("packet not understood do=%s", message["do"])


class PoolRouter:
    """Decides in the first process which process welcomes a hello."""

    def __init__(self, pool: Pool, registry: Registry) -> None:
        self._pool, self._registry = pool, registry

    def new_session_id(self) -> bytes:
        """16 bytes that nobody can guess but the first, which is this process's number."""
        return bytes([0]) + os.urandom(15)

    async def hands_over(self, connection: Connection, hello: Hello) -> bool:
        """Send a connection to the worker that its session lives in; False when it is ours.

        A small session that a worker gave up goes back where enough are gathered here.
        """
        home = home_of(hello.resume)
        if connection.may_return and self._streams_here() >= GATHERED:
            home = connection.came_from
        elif connection.came_from == home:
            return False
        return self._pool.give(home, connection, hello)

    def _streams_here(self) -> int:
        """Streams of the sessions that are connected to this process."""
        agents = self._registry.loaded.values()
        return sum(session.streams for agent in agents for session in agent.connected)
