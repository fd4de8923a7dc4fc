"""The daemon: listeners, connections, deadlines, and an orderly end.

Structure: one TaskGroup owns every task (handshakes, operations, learners, the sweep, HTTP).
Connections are protocol objects owned by ``Server.connections``; they need no task of their own.
Every fault of one connection ends that connection and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from agentd.auth import Tokens
from agentd.config.records import ServerConfig
from agentd.latency import Histogram, Sizes
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello, Operation, Ping, ServerMessage, Welcome
from agentd.protocol.pattern import Patterns
from agentd.server.agents.agent import Agent
from agentd.server.agents.registry import Registry
from agentd.server.batching.answers import Counters
from agentd.server.peers.connection import Connection
from agentd.server.peers.handshake import shake
from agentd.server.peers.operations import operate
from agentd.server.processes.pool import Workers

__all__ = ["Server"]

log = logging.getLogger("agentd.server")

SWEEP_S = 0.25
AFTER_S = 0.02
SPARE_FILES = 64  # descriptors kept back for files, pipes and listeners
RETRY_MS = 1_000


class Server:
    """One daemon on one data directory."""

    def __init__(self, config: ServerConfig, tokens: Tokens, data_dir: Path) -> None:
        self.config = config
        self.tokens = tokens
        self.data_dir = data_dir
        self.connections: set[Connection] = set()
        self.retired_latency = Histogram()  # of agents that are no longer in memory
        self.loop_lag: Histogram = Histogram()  # how late the loop came to what was due
        self.refusals = 0
        self.accepted = 0
        self.registry = Registry(self, data_dir)
        self.patterns = Patterns()
        self.workers: Workers | None = None
        if config.workers > 1:
            self.workers = Workers(self, config.workers, data_dir)
        self._tasks: asyncio.TaskGroup | None = None
        self._flushing: list[Agent] = []
        self._draining = False
        self._stop = asyncio.Event()
        self._max_connections = _room_for(config.limits.max_connections)

    # -- life ----------------------------------------------------------------------------------

    async def run(self, on_ready: Callable[[list[str]], None]) -> None:
        """Serve until SIGTERM or SIGINT; then drain, save and return.

        ``on_ready`` gets the addresses once connections are accepted. Raises OSError when an
        address cannot be bound.
        """
        self.loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            listeners = await self._listen()
            try:
                await self.registry.start()
                http = await self._start_http(tasks)
                sweeper = tasks.create_task(self._sweep())
                self._trap_signals()
                if self.workers is not None:
                    await self.workers.start(listeners[0].sockets[0].getsockname()[1])
                on_ready([_address(s) for listener in listeners for s in listener.sockets])
                await self._stop.wait()
                await self._drain(listeners)
                sweeper.cancel()
                if http is not None:
                    http.should_exit = True
            finally:
                for listener in listeners:
                    listener.close()

    def stop(self) -> None:
        """Begin the orderly end; safe to call twice."""
        self._draining = True
        self._stop.set()

    async def _listen(self) -> list[asyncio.Server]:
        context = _tls(self.config)
        listeners = [
            await self.loop.create_server(
                lambda: Connection(self),
                self.config.host,
                self.config.port,
                ssl=context,
                backlog=1024,
                reuse_address=True,
                reuse_port=self.config.workers > 1,
            )
        ]
        if self.config.unix:
            path = self.config.unix
            listeners.append(await self.loop.create_unix_server(lambda: Connection(self), path))
        return listeners

    async def _start_http(self, tasks: asyncio.TaskGroup) -> Any:
        if self.config.http_port is None:
            return None
        try:
            from agentd.server.http.http import bind_http, make_http_server
        except ImportError:
            log.warning("http off: install agentd[web] for health, metrics and the dashboard")
            return None
        sock = bind_http(self.config.host, self.config.http_port)
        server = make_http_server(self)
        log.info("http listening on %s:%d", *sock.getsockname()[:2])
        self.http_address = "{}:{}".format(*sock.getsockname()[:2])
        tasks.create_task(server.serve(sockets=[sock]))
        return server

    def _trap_signals(self) -> None:
        def on_signal() -> None:
            if self._draining:
                log.warning("second signal: leaving at once")
                raise KeyboardInterrupt
            log.info("draining connections=%d", len(self.connections))
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, NotImplementedError, RuntimeError):
                self.loop.add_signal_handler(number, on_signal)

    async def _drain(self, listeners: list[asyncio.Server]) -> None:
        """Answer what was taken, say goodbye, save; all within ``drain_s``."""
        self._draining = True
        for listener in listeners:
            listener.close()
        if self.workers is not None:
            await self.workers.stop()
        await self._until(lambda: not any(a.waiting for a in self.registry.loaded.values()))
        for connection in list(self.connections):
            if connection.welcomed:
                connection.close("shutdown")
            else:
                connection.refuse(_shutting_down())
        await self._until(lambda: not self.connections)
        for connection in list(self.connections):
            connection.abort()
        await self.registry.close()

    async def _until(self, done: Callable[[], bool]) -> None:
        """Wait for ``done``, at most a quarter of the time there is for draining."""
        end = self.now() + self.config.limits.drain_s / 4
        while not done() and self.now() < end:  # noqa: ASYNC110 - many conditions, once in a life
            await asyncio.sleep(0.01)

    # -- connections -----------------------------------------------------------------------------

    now = staticmethod(time.monotonic)
    """A monotonic clock in seconds; not the loop's, which ticks in milliseconds on uvloop."""

    def admit(self, connection: Connection) -> None:
        """Take a new connection, or refuse it with a word."""
        self.accepted += 1
        if self._draining:
            connection.refuse(_shutting_down())
        elif len(self.connections) >= self._max_connections:
            connection.refuse(
                ProtocolError(
                    Code.LIMIT,
                    "the server is full",
                    field="connections",
                    expected=f"at most {self._max_connections}",
                    retry_ms=RETRY_MS,
                )
            )
        self.connections.add(connection)

    def forget(self, connection: Connection) -> None:
        """The socket is gone: its session waits for a resume."""
        self.connections.discard(connection)
        session = connection.session
        if session is not None and session.connection is connection:
            session.detach(self.now())
        connection.session = None

    def leave(self, connection: Connection) -> None:
        """The client said goodbye: its session ends now."""
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
            connection.session = None
            session.agent.end_session(session)

    async def welcome(self, connection: Connection, hello: Hello) -> Welcome | None:
        """Answer a hello; None when another process will. Raises a fatal ProtocolError."""
        if self._draining:
            raise _shutting_down()
        if self.workers is not None and self.workers.give(connection, hello):
            return None
        return await shake(self, connection, hello)

    def new_session_id(self) -> bytes:
        """16 bytes that nobody can guess; the first is the number of the serving process."""
        return bytes([0]) + os.urandom(15) if self.workers is not None else os.urandom(16)

    def tell_workers(self, message: dict[str, Any]) -> None:
        """Send a message to the further serving processes, if there are any."""
        if self.workers is not None:
            self.workers.tell(message)

    def played_elsewhere(self, agent: str) -> int:
        """Connections to an agent in further serving processes."""
        return 0 if self.workers is None else self.workers.connections(agent)

    async def operate(self, connection: Connection, operation: Operation) -> ServerMessage:
        """Do one operation (R11). Raises ProtocolError."""
        return await operate(self, connection, operation)

    def note_refusal(self, connection: Connection, fault: ProtocolError) -> None:
        """Count and log an error that a peer was told."""
        self.refusals += 1
        log.info("refused peer=%s code=%s %s", connection.peer, fault.code, fault.message)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a connection's own work inside the server's TaskGroup."""
        assert self._tasks is not None
        self._tasks.create_task(work)

    # -- batching --------------------------------------------------------------------------------

    def wake(self, agent: Agent) -> None:
        """Have ``agent`` flushed once every socket that is ready in this turn has been read."""
        if not self._flushing:
            self.loop.call_soon(self._flush)
        if agent not in self._flushing:
            self._flushing.append(agent)

    def wake_later(self, agent: Agent, seconds: float) -> None:
        """Have ``agent`` look again so soon: a deadline, or a bell of the learner that was lost."""
        self.loop.call_later(seconds, self.wake, agent)

    def _flush(self) -> None:
        agents, self._flushing = self._flushing, []
        for agent in agents:
            agent.flush()

    # -- deadlines -------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            due = self.now() + SWEEP_S
            await asyncio.sleep(SWEEP_S)
            now = self.now()
            self.loop_lag.add(max(0.0, now - due))
            if now - due > SWEEP_S:  # we were away: what came meanwhile is read first
                await asyncio.sleep(AFTER_S)
            for connection in list(self.connections):
                self._check_deadlines(connection, now)
            self.registry.expire(now - self.config.limits.resume_s)

    def _check_deadlines(self, connection: Connection, now: float) -> None:
        limits = self.config.limits
        if connection.closing:
            if now - connection.ended > limits.slow_reader_s:
                connection.abort()
        elif not connection.welcomed:
            if now - connection.opened > limits.hello_timeout_s and not connection.shaking:
                self._expire(connection, Code.HELLO_TIMEOUT, "no hello in time")
        elif connection.choked_since is not None:
            if now - connection.choked_since > limits.slow_reader_s:
                self._expire(connection, Code.SLOW_READER, "the answers are not being read")
                connection.abort()
        elif connection.held_by_us:
            connection.heard = now  # the silence is ours: say that we are still there
            self._ping(connection, now)
        elif now - connection.heard > 2 * limits.heartbeat_s:
            self._expire(connection, Code.IDLE_TIMEOUT, "silent for two heartbeats")
        elif (since := connection.partial_since) is not None and now - since > limits.frame_s:
            self._expire(connection, Code.IDLE_TIMEOUT, "a frame was begun and not finished")
        elif now - connection.heard > limits.heartbeat_s:
            self._ping(connection, now)

    def _ping(self, connection: Connection, now: float) -> None:
        if now - connection.pinged > self.config.limits.heartbeat_s:
            connection.pinged = now
            connection.send(Ping(t=now))

    def _expire(self, connection: Connection, code: Code, message: str) -> None:
        connection.refuse(ProtocolError(code, message))

    # -- what may be seen ------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """True while games are accepted."""
        return self._tasks is not None and not self._draining

    @property
    def act_latency(self) -> Histogram:
        """From a frame's arrival to its answer written, over all agents."""
        merged = Histogram()
        merged.merge(self.retired_latency)
        for agent in self.registry.loaded.values():
            merged.merge(agent.counters.latency)
        if self.workers is not None:
            merged.merge(self.workers.counters().latency)
        return merged

    def batch_sizes(self) -> Mapping[str, Sizes]:
        """Rows of one forward pass, by agent."""
        return {name: agent.counters.batch for name, agent in self.registry.loaded.items()}

    def totals(self) -> Mapping[str, float]:
        """Counters of the whole daemon."""
        latency, agents = self.act_latency, self.registry.loaded.values()
        more = self.workers.totals if self.workers is not None else lambda key: 0
        return {
            "connections": len(self.connections) + more("connections"),
            "accepted": self.accepted + more("accepted"),
            "refusals": self.refusals + more("refusals"),
            "agents": len(self.registry.loaded),
            "act_p50_ms": round(1e3 * latency.quantile(0.5), 4),
            "act_p99_ms": round(1e3 * latency.quantile(0.99), 4),
            "act_p999_ms": round(1e3 * latency.quantile(0.999), 4),
            "loop_lag_p50_ms": round(1e3 * self.loop_lag.quantile(0.5), 4),
            "loop_lag_p99_ms": round(1e3 * self.loop_lag.quantile(0.99), 4),
            "queued_frames": sum(agent.waiting.frames for agent in agents),
            "queued_rows": sum(agent.waiting.rows for agent in agents),
        }

    def agent_stats(self, name: str | None) -> dict[str, dict[str, Any]]:
        """Counters of one agent or of all that are in memory."""
        if self.workers is None or (name is not None and name not in self.workers.agents()):
            return self.registry.stats(name)
        agents, loaded = self.workers.agents(), self.registry.loaded
        names = {*agents, *loaded} if name is None else {name}
        found = {}
        for each in names:
            agent = loaded.get(each)
            own = {"learner": "none"} if agent is None else agent.stats()
            counters = Counters() if agent is None else agent.counters
            found[each] = self.workers.stats(each, own, counters)
        return found


def _shutting_down() -> ProtocolError:
    return ProtocolError(
        Code.SHUTTING_DOWN, "the server is shutting down", retry_ms=RETRY_MS, fatal=True
    )


def _room_for(wanted: int) -> int:
    """How many connections the descriptor limit allows; raises the soft limit to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        room = wanted + SPARE_FILES if hard == resource.RLIM_INFINITY else hard
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, room), hard))
            soft = max(soft, room)
    return max(1, min(wanted, soft - SPARE_FILES))


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.tls.cert, config.tls.key)
    if config.tls.client_ca:
        context.load_verify_locations(config.tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _address(sock: Any) -> str:
    name = sock.getsockname()
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
