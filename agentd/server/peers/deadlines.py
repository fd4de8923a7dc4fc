"""How long a peer may stay silent, unread or half-said, checked four times a second."""

import asyncio
import time

from agentd.config.records import LimitsConfig
from agentd.latency import Histogram
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Ping
from agentd.server.agents.registry import Registry
from agentd.server.agents.sessions import expire_sessions
from agentd.server.peers.connection import Connection
from agentd.server.peers.connections import Connections

PERIOD_S = 0.25
AFTER_S = 0.02


async def keep_deadlines(connections: Connections, registry: Registry, loop_lag: Histogram) -> None:
    """End what is overdue, for ever; add to ``loop_lag`` how late the loop came here (seconds)."""
    limits = connections.limits
    while True:
        due = time.monotonic() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        now = time.monotonic()
        loop_lag.add(max(0.0, now - due))
        if now - due > PERIOD_S:  # the loop was blocked: what came meanwhile is read first
            await asyncio.sleep(AFTER_S)
        for connection in connections:
            _check(connection, limits, now)
        expire_sessions(registry, now - limits.resume_s)


def _check(connection: Connection, limits: LimitsConfig, now: float) -> None:
    if connection.closing:
        if now - connection.ended > limits.slow_reader_s:
            connection.abort()
    elif not connection.welcomed:
        if now - connection.opened > limits.hello_timeout_s and not connection.shaking:
            _expire(connection, Code.HELLO_TIMEOUT, "no hello in time")
    elif connection.inside:
        pass  # its listener knows whether the game is there
    elif connection.choked_since is not None:
        if now - connection.choked_since > limits.slow_reader_s:
            _expire(connection, Code.SLOW_READER, "the answers are not being read")
            connection.abort()
    elif connection.held_by_us:
        connection.heard = now  # we do not read: show that we are still there
        _ping(connection, limits, now)
    elif now - connection.heard > 2 * limits.heartbeat_s:
        _expire(connection, Code.IDLE_TIMEOUT, "silent for two heartbeats")
    elif (since := connection.partial_since) is not None and now - since > limits.frame_s:
        _expire(connection, Code.IDLE_TIMEOUT, "a frame was begun and not finished")
    elif now - connection.heard > limits.heartbeat_s:
        _ping(connection, limits, now)


def _ping(connection: Connection, limits: LimitsConfig, now: float) -> None:
    if now - connection.pinged > limits.heartbeat_s:
        connection.pinged = now
        connection.send(Ping(t=now))


def _expire(connection: Connection, code: Code, message: str) -> None:
    connection.refuse(ProtocolError(code, message))
