"""One serving process: listeners, signals, an orderly end, and the parts that it wires together.

One TaskGroup owns every task (handshakes, operations, learners, deadlines, HTTP). Connections are
protocol objects that `Connections` keeps; they need no task of their own. Every fault of one
connection ends that connection and nothing else.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from agentd import __version__
from agentd.auth import Tokens
from agentd.config import plain
from agentd.config.records import ServerConfig
from agentd.errors import ExitCode
from agentd.extras import install_hint
from agentd.protocol.address import address_of
from agentd.protocol.messages import Hello, Operation, ServerMessage, Welcome
from agentd.recording.recorder import Recorder
from agentd.server.agents.agent import Agent
from agentd.server.agents.health import look_after
from agentd.server.agents.host import AgentHost
from agentd.server.agents.progress import Listener, ProgressKeeper
from agentd.server.agents.registry import Registry
from agentd.server.batching.flush_queue import FlushQueue
from agentd.server.peers.connection import Connection
from agentd.server.peers.connections import Connections
from agentd.server.peers.deadlines import keep_deadlines
from agentd.server.peers.godot import GodotDoor
from agentd.server.peers.handshake import shake
from agentd.server.peers.operations import operate
from agentd.server.peers.tls import tls_context
from agentd.server.peers.unix import UnixSocket
from agentd.server.peers.visitors import Visitors
from agentd.server.processes.channel import Handover, adopt
from agentd.server.processes.pool import Pool, PoolRouter
from agentd.server.reports import Reports
from agentd.server.stats import Statistics

log = logging.getLogger("agentd.server")


class Router(Protocol):
    """Decides which process of a daemon welcomes a hello."""

    def new_session_id(self) -> bytes:
        """16 bytes for a session that begins in this process."""

    async def hands_over(self, connection: Connection, hello: Hello) -> bool:
        """Whether another process has taken the connection. Raises a fatal ProtocolError."""


class Server:
    """One serving process on one data directory.

    ``router`` is given in a further process of a daemon: agents are then only read, and nothing is
    created, learned or saved here.
    """

    def __init__(
        self,
        config: ServerConfig,
        tokens: Tokens,
        data_dir: Path,
        router: Router | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.config = config
        self.tokens = tokens
        self.http_address: str | None = None  # HOST:PORT once it listens
        self._unix: UnixSocket | None = None
        self._keeps_agents = router is None
        reports = Reports()
        self._pool: Pool | None = None
        if config.workers > 1 and router is None:
            self._pool = Pool(config, data_dir, reports, self.spawn, self.adopt)
        host = AgentHost(
            *(config.device, config.limits, FlushQueue(), self.spawn, time.monotonic),
            shared=config.shared_learner,
        )
        self.registry = Registry(config, data_dir, host, reports.connections, self._tell_workers)
        self.progress = ProgressKeeper(lambda: self.registry.loaded, _listener(config))
        self._router = router
        if self._pool is not None:
            self._router = PoolRouter(self._pool, self.registry)
        self.connections = Connections(
            config.limits,
            Visitors(config.web),
            self.spawn,
            self._welcome,
            self._operate,
            recorder,
        )
        if recorder is not None:
            recorder.facts = self._recording_facts
        self.godot = GodotDoor(config.godot, self.connections) if config.godot else None
        self.stats = Statistics(self.registry, self.connections, reports)
        self._tasks: asyncio.TaskGroup | None = None
        self._agents_ready = asyncio.Event()  # sessions of before a restart can be resumed
        self._stop = asyncio.Event()
        self._leave: Callable[[int], object] | None = None
        self._watchdog: threading.Timer | None = None

    async def run(
        self,
        on_ready: Callable[[list[str]], None],
        leave: Callable[[int], object] | None = None,
    ) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP; then drain, save and return.

        ``on_ready`` gets the addresses once connections are accepted. ``leave`` ends the process
        with an exit code: it is called, with every child killed, when the orderly end takes longer
        than ``drain_s`` and a second, or at a second signal. Raises OSError when an address cannot
        be bound, TlsFileError, and StorageError when a last checkpoint could not be written.
        """
        self._leave = leave
        self._trap_signals()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            listeners = await self._listen()
            try:
                if self._keeps_agents:
                    await self.registry.start()
                self._agents_ready.set()
                http = await self._start_http(tasks)
                sweeper = tasks.create_task(
                    keep_deadlines(self.connections, self.registry, self.stats.loop_lag)
                )
                if self._pool is not None:
                    await self._pool.start(listeners[0].sockets[0].getsockname()[1])
                sockets = [s for listener in listeners for s in listener.sockets]
                on_ready([address_of(s.getsockname()) for s in sockets])
                watches = [tasks.create_task(look_after(self.registry.loaded.values))]
                if self._keeps_agents:
                    watches.append(tasks.create_task(self.progress.keep()))
                await self._stop.wait()
                for watch in watches:
                    watch.cancel()
                await self._drain(listeners)
                sweeper.cancel()
                if http is not None:
                    http.should_exit = True
            finally:
                for listener in listeners:
                    listener.close()
                if self._unix is not None:
                    self._unix.remove()

    def stop(self) -> None:
        """Begin the orderly end; safe to call twice."""
        self.connections.draining = True
        self._stop.set()
        if self._leave is not None and self._watchdog is None:
            late = self.config.limits.drain_s + 1
            self._watchdog = threading.Timer(
                late, self._give_up, ["no end in time", ExitCode.INTERNAL]
            )
            self._watchdog.daemon = True  # it goes with the process, not with this object
            self._watchdog.start()

    async def stopping(self) -> None:
        """Return when the orderly end has begun."""
        await self._stop.wait()

    def _give_up(self, why: str, code: int) -> None:
        """End the process and its children now, whatever hangs."""
        log.error("leaving at once: %s", why)
        self.registry.kill_learners()
        if self._pool is not None:
            self._pool.kill()
        if self._leave is not None:
            self._leave(code)

    @property
    def ready(self) -> bool:
        """True while games are accepted."""
        return self._tasks is not None and not self.connections.draining

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` inside the server's TaskGroup."""
        assert self._tasks is not None
        self._tasks.create_task(work)

    def adopt(self, came_from: int, may_return: bool, came: Handover) -> None:
        """Go on with a connection that another process took in."""
        connection = self.connections.new()
        connection.came_from, connection.may_return = came_from, may_return
        carrier = None
        if came.carried is not None:
            connection.carrier = carrier = self.connections.carrier_for(connection, upgraded=True)
        self.spawn(adopt(connection, carrier, came))

    # -- starting and ending -------------------------------------------------------------------

    async def _listen(self) -> list[asyncio.Server]:
        self._unix = UnixSocket(self.config.unix) if self.config.unix else None
        try:
            tcp = await self._listen_on_tcp()
            return [tcp, *await self._listen_on_unix(), *await self._listen_for_godot()]
        except BaseException:
            if self._unix is not None:
                self._unix.remove()
            raise

    async def _listen_on_tcp(self) -> asyncio.Server:
        config = self.config
        context = tls_context(config.tls)
        return await asyncio.get_running_loop().create_server(
            self.connections.new,
            config.host,
            config.port,
            ssl=context,
            ssl_handshake_timeout=config.limits.hello_timeout_s if context else None,
            backlog=1024,
            reuse_address=True,
            reuse_port=config.workers > 1,
        )

    async def _listen_on_unix(self) -> list[asyncio.Server]:
        if self._unix is None:
            return []
        loop, socket = asyncio.get_running_loop(), self._unix.socket
        return [await loop.create_unix_server(self.connections.new, sock=socket)]

    async def _listen_for_godot(self) -> list[asyncio.Server]:
        if self.godot is None:
            return []
        loop, config = asyncio.get_running_loop(), self.godot.config
        server = await loop.create_server(
            self.godot.new, config.host, config.port, reuse_address=True
        )
        address = address_of(server.sockets[0].getsockname())
        log.info("listening for games of Godot RL Agents on %s", address)
        return [server]

    async def _start_http(self, tasks: asyncio.TaskGroup) -> Any:
        if self.config.http_port is None:
            return None
        try:
            from agentd.server.http.app import bind_http, make_http_server
            from agentd.server.http.board import Board
        except ImportError:
            log.warning("http off: %s for health, metrics and the page", install_hint("web"))
            return None
        sock = bind_http(self.config.host, self.config.http_port)
        board = Board(self.registry, self.stats, self.progress, lambda: self.ready)
        server = make_http_server(self.config, self.tokens, board)
        self.http_address = address_of(sock.getsockname())
        log.info("http listening on %s", self.http_address)
        tasks.create_task(server.serve(sockets=[sock]))
        return server

    def _trap_signals(self) -> None:
        def on_signal() -> None:
            if self.connections.draining:
                self._give_up("a second signal", ExitCode.INTERRUPTED)
                raise KeyboardInterrupt
            log.info("draining connections=%d", len(self.connections))
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
                asyncio.get_running_loop().add_signal_handler(number, on_signal)

    async def _drain(self, listeners: list[asyncio.Server]) -> None:
        """Answer what was taken, say goodbye, save; all within ``drain_s``."""
        for listener in listeners:
            listener.close()
        if self._pool is not None:
            await self._pool.stop()
        await self._until(lambda: not any(map(_owes_answers, self.registry.loaded.values())))
        self.connections.say_goodbye()
        games = set() if self.godot is None else self.godot.games
        if self.godot is not None:
            self.godot.say_goodbye()
        await self._until(lambda: not self.connections and not games)
        self.connections.abort()
        if self.godot is not None:
            self.godot.abort()
        if self._keeps_agents:
            await self.progress.look(at_end=True)
        await self.registry.close()

    async def _until(self, done: Callable[[], bool]) -> None:
        """Wait for ``done``, at most a quarter of the time there is for draining."""
        end = time.monotonic() + self.config.limits.drain_s / 4
        while not done() and time.monotonic() < end:  # noqa: ASYNC110 - many conditions, once
            await asyncio.sleep(0.01)

    # -- what the parts call -------------------------------------------------------------------

    async def _welcome(self, connection: Connection, hello: Hello) -> Welcome | None:
        await self._agents_ready.wait()
        if self._router is not None and await self._router.hands_over(connection, hello):
            return None
        new_id = self._router.new_session_id() if self._router is not None else os.urandom(16)
        return await shake(
            connection,
            hello,
            tokens=Tokens() if connection.inside else self.tokens,
            limits=self.config.limits,
            registry=self.registry,
            session_id=new_id,
        )

    async def _operate(self, connection: Connection, operation: Operation) -> ServerMessage:
        return await operate(connection.grant, operation, self.registry, self.stats.reply)

    def _recording_facts(self, name: str) -> dict[str, Any]:
        """What the file of a recorded session says of its agent."""
        facts: dict[str, Any] = {"agentd": __version__}
        if (agent := self.registry.loaded.get(name)) is not None:
            config = plain(agent.config)
            digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
            facts |= {"config": config, "config_sha256": digest, "seed": agent.config.seed}
            facts |= {"schema": agent.schema.describe()}
        return facts

    def _tell_workers(self, message: dict[str, Any]) -> None:
        if self._pool is not None:
            self._pool.tell(message)


def _owes_answers(agent: Agent) -> bool:
    """Whether frames wait for their turn, or their answers for the disk."""
    return bool(agent.queue) or (agent.learning is not None and agent.learning.sync.waits)


def _listener(config: ServerConfig) -> Listener | None:
    """Who writes TensorBoard's event files; None where nobody wants them."""
    if config.tensorboard is None:
        return None
    from agentd.server.agents.events import (
        EventFolder,  # a fifth of a second, for those who want it
    )

    return EventFolder(Path(config.tensorboard)).write
