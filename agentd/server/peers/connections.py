"""The open connections of a process: who may come in, and how many came."""

import contextlib
import logging
import resource
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from agentd.config.records import LimitsConfig
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello, Operation, ServerMessage, Welcome
from agentd.protocol.pattern import Patterns
from agentd.recording.recorder import Recorder
from agentd.server.peers.carrier import WebCarrier
from agentd.server.peers.connection import Connection
from agentd.server.peers.recorded import RecordedConnection
from agentd.server.peers.visitors import Visitors

log = logging.getLogger("agentd.connections")

SPARE_FILES = 64  # descriptors kept back for files, pipes and listeners
RETRY_MS = 1_000

Answer = Callable[[Connection, Hello], Awaitable[Welcome | None]]
Operate = Callable[[Connection, Operation], Awaitable[ServerMessage]]


class Connections:
    """Every open connection, and counters of all that came.

    accepted   sockets taken since the start
    refused    errors that peers were sent, by code; of requests by HTTP_ and their status
    visitors   which pages may come, and by which names
    answer     answers a hello; None when another process does. Raises a fatal ProtocolError
    operate    does one operation of an admin. Raises ProtocolError
    recorder   hears what every connection says; None for none
    """

    def __init__(
        self,
        limits: LimitsConfig,
        visitors: Visitors,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        answer: Answer,
        operate: Operate,
        recorder: Recorder | None = None,
    ) -> None:
        self.limits, self.visitors = limits, visitors
        self.spawn = spawn
        self.patterns = Patterns()
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.draining = False
        self._answer, self._operate, self._recorder = answer, operate, recorder
        self._open: dict[Connection, None] = {}  # in the order in which they came
        self._most = _room_for(limits.max_connections)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def refusals(self) -> int:
        """How many errors peers were sent."""
        return self.refused.total()

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open))

    def new(self, *, inside: bool = False) -> Connection:
        """A connection that is being accepted; ``inside``: its peer lives in this process."""
        if self._recorder is not None and not self._recorder.stopped:
            connection: Connection = RecordedConnection(self, self._recorder.tap())
        else:
            connection = Connection(self)
        connection.inside = inside
        return connection

    def admit(self, connection: Connection) -> None:
        """Take a connection that was made, or refuse it with a reason."""
        self.accepted += 1
        if self.draining:
            connection.refuse(shutting_down())
        elif len(self._open) >= self._most:
            connection.refuse(
                ProtocolError(
                    Code.LIMIT,
                    "the server is full",
                    field="connections",
                    expected=f"at most {self._most}",
                    retry_ms=RETRY_MS,
                )
            )
        self._open[connection] = None

    def forget(self, connection: Connection) -> None:
        """Let go of a connection whose socket is gone."""
        self._open.pop(connection, None)

    def note_refusal(self, connection: Connection, fault: ProtocolError) -> None:
        """Count and log an error that a peer is sent."""
        self.refused[fault.code] += 1
        log.info("refused peer=%s code=%s %s", connection.peer, fault.code, fault.message)

    def carrier_for(self, connection: Connection, *, upgraded: bool = False) -> WebCarrier:
        """What sees to a peer that began with an HTTP request; ``upgraded``: it has its answer."""
        return WebCarrier(self, connection, upgraded=upgraded)

    def note_http_refusal(self, connection: Connection, status: int, text: str) -> None:
        """Count and log an error that answers a request."""
        self.refused[f"HTTP_{status}"] += 1
        log.info("refused peer=%s http=%d %s", connection.peer, status, text)

    async def welcome(self, connection: Connection, hello: Hello) -> Welcome | None:
        """Answer a hello; None when another process will. Raises a fatal ProtocolError."""
        if self.draining:
            raise shutting_down()
        return await self._answer(connection, hello)

    async def operate(self, connection: Connection, operation: Operation) -> ServerMessage:
        """Do one operation (R11). Raises ProtocolError."""
        return await self._operate(connection, operation)

    def say_goodbye(self) -> None:
        """Close every connection, once what is written has left; refuse those not yet welcomed."""
        for connection in self:
            if connection.welcomed:
                connection.close("shutdown")
            else:
                connection.refuse(shutting_down())

    def abort(self) -> None:
        """Close every connection at once."""
        for connection in self:
            connection.abort()


def shutting_down() -> ProtocolError:
    """What a peer is told that comes too late."""
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
