"""One connection: bytes to messages and back, bounded on every side.

All state of the conversation lives in the sans-IO ``ServerConnection`` and in the ``Session``;
this shell moves bytes, holds back a peer that is too fast, and keeps the times that
``deadlines`` compares with the limits. Reading stops while ``window`` frames are unanswered, while
the peer does not read its answers, and during the handshake; TCP then slows the sender.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol, cast

from agentd.auth import Grant
from agentd.config.records import LimitsConfig
from agentd.protocol.address import address_of
from agentd.protocol.connection import ServerConnection
from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError
from agentd.protocol.messages import (
    ClientMessage,
    Error,
    Goodbye,
    Hello,
    Log,
    Operation,
    Ping,
    Pong,
    Reason,
    ServerMessage,
    Step,
    Teach,
    Welcome,
)
from agentd.protocol.pattern import Pattern, Patterns
from agentd.protocol.upgrade import GET
from agentd.server.agents.agent import Agent
from agentd.server.batching.session import Session
from agentd.server.peers.transport import Carrier, FrameTransport

log = logging.getLogger("agentd.connection")

HTTP = int.from_bytes(GET, "little")
"""The length that a frame would have which is an HTTP request."""

MAX_WAITING_OPERATIONS = 16
MOST_UNREAD = 64 * 1024
"""Bytes behind a hello that may go to another process with it."""


class Owner(Protocol):
    """Who keeps the open connections, as a connection uses it."""

    limits: LimitsConfig
    patterns: Patterns

    def admit(self, connection: Connection) -> None:
        """Take a connection that was made, or refuse it."""

    def forget(self, connection: Connection) -> None:
        """Let go of a connection whose socket is gone."""

    def note_refusal(self, connection: Connection, fault: ProtocolError) -> None:
        """Count an error that the peer is sent."""

    def carrier_for(self, connection: Connection) -> Carrier:
        """What sees to a peer that began with an HTTP request."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> object:
        """Run a connection's own work in a task."""

    async def welcome(self, connection: Connection, hello: Hello) -> Welcome | None:
        """Answer a hello; None when another process will. Raises a fatal ProtocolError."""

    async def operate(self, connection: Connection, operation: Operation) -> ServerMessage:
        """Do one operation (R11). Raises ProtocolError."""


class Connection(asyncio.Protocol):
    """The asyncio side of one peer; created by the listener for every accepted socket.

    agent, session  what it carries since its welcome; None before, and for an admin
    carrier         what stands between it and its socket (R13); None on bare TCP
    reason          of the goodbye that was said last
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.limits = owner.limits
        self.wire = ServerConnection(self.limits.max_frame, owner.patterns)
        self.grant = Grant.NONE
        self.agent: Agent | None = None
        self.session: Session | None = None
        self.peer = "?"
        self.closing = False
        self.opened = self.heard = self.pinged = time.monotonic()
        self.partial_since: float | None = None  # an unfinished frame has been waiting since
        self.choked_since: float | None = None  # the peer has not read its answers since
        self.operations: deque[Operation] = deque()
        self.carrier: Carrier | None = None
        self.reason: Reason = "error"
        self._transport: FrameTransport | None = None
        self.shaking = self.welcomed = False
        self.came_from: int | None = None  # number of the process that took it in
        self.may_return = False  # that process would play it as well
        self.ended = 0.0  # when goodbye was said
        self._operating = self._reading_paused = self._pump_soon = False
        self._unanswered = 0

    # -- asyncio's callbacks -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register, or refuse politely when the house is full."""
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=self.limits.write_buffer_bytes)
        self.peer = address_of(transport.get_extra_info("peername")) or "unix"
        self._owner.admit(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes and act on every message that is complete."""
        if self.closing:
            return
        self.heard = time.monotonic()
        if self.session is not None and not self._held():
            known = self.wire.known_step(data)
            if known is not None:
                self._take_known(*known, data)
                return
        self.wire.receive(data)
        self._pump()

    def pause_writing(self) -> None:
        """The peer reads too slowly: take no more frames until it has read."""
        self.choked_since = time.monotonic()
        self._flow()

    def resume_writing(self) -> None:
        """The peer has read its answers: go on."""
        self.choked_since = None
        self._pump_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone; the session waits for a resume unless it ended orderly."""
        self.closing = True
        self.operations.clear()
        self._owner.forget(self)
        self._detach()

    # -- messages in ---------------------------------------------------------------------------

    def _pump(self) -> None:
        self._pump_soon = False
        while not self._held():
            try:
                message = self.wire.next_event()
                if message is None:
                    break
                self._dispatch(message)
            except ProtocolError as fault:
                if isinstance(fault, FrameTooLarge) and fault.size == HTTP and not self.welcomed:
                    self._answer_http()
                else:
                    self.refuse(fault)
        if not self.closing:
            self.note_partial()
            self._flow()

    def note_partial(self) -> None:
        """Keep since when an unfinished frame has been waiting."""
        if not self.wire.has_partial:
            self.partial_since = None
        elif self.partial_since is None:
            self.partial_since = time.monotonic()

    def _answer_http(self) -> None:
        """Leave the socket to a carrier: the first bytes are those of a request."""
        transport, data = cast(asyncio.Transport, self._transport), GET + self.wire.unread()
        self.wire = ServerConnection(self.limits.max_frame, self._owner.patterns)
        self._transport = self.carrier = self._owner.carrier_for(self)
        self.carrier.take_over(transport, data)

    def _held(self) -> bool:
        return (
            self.closing
            or self.shaking
            or self._unanswered >= self.limits.window
            or self.choked_since is not None
            or len(self.operations) >= MAX_WAITING_OPERATIONS
        )

    def _dispatch(self, message: ClientMessage) -> None:
        self.partial_since = None
        match message:
            case Step() | Teach():
                self._take(message)
            case Ping():
                self.send(Pong(t=message.t))
            case Pong():
                pass
            case Log():
                if self.agent is not None and self.session is not None:
                    self.agent.log.take(self.session, message.values, self.heard)
            case Hello():
                self.shaking = True
                self._owner.spawn(self._shake(message))
            case Goodbye():
                if self.agent is not None and self.session is not None:
                    self.agent.leave(self.session, self)
                self.close("client_done")
            case _:
                self.operations.append(message)
                if not self._operating:
                    self._operating = True
                    self._owner.spawn(self._operate())

    def _take(self, message: Step | Teach) -> None:
        agent, session = self.agent, self.session
        if agent is None or session is None:
            raise ProtocolError(Code.FORBIDDEN, "a session of role admin takes no frames")
        self._unanswered += 1
        if message.seq <= session.last_seq:
            agent.repeat(session, message.seq)
        else:
            agent.take(session, message, self.heard)

    def _take_known(self, pattern: Pattern, seq: int, data: bytes) -> None:
        agent, session = self.agent, self.session
        assert agent is not None
        assert session is not None
        self._unanswered += 1
        if seq <= session.last_seq:
            agent.repeat(session, seq)
        else:
            agent.take_known(session, pattern, data, seq, self.heard)
        if self._unanswered >= self.limits.window:
            self._flow()

    async def _shake(self, hello: Hello) -> None:
        try:
            welcome = await self._owner.welcome(self, hello)
            if welcome is None:
                return  # another process welcomes it
            if self.closing:  # the peer has left meanwhile: its session waits for a resume
                self._detach()
            else:
                self.welcomed = True
                self.write(self.wire.welcome(welcome))
        except ProtocolError as fault:
            self.refuse(fault)
        except Exception:
            self._fail("hello", fatal=True)
        finally:
            self.shaking = False
            self._pump_later()

    async def _operate(self) -> None:
        try:
            while self.operations and not self.closing:
                operation = self.operations.popleft()
                try:
                    self.send(await self._owner.operate(self, operation))
                except ProtocolError as fault:
                    fault.fatal = False  # whatever the code: an operation never ends a connection
                    self.refuse(fault)
                except Exception:
                    self._fail(type(operation).__name__.lower(), fatal=False)
        finally:
            self._operating = False
            self._pump_later()

    def _fail(self, what: str, *, fatal: bool) -> None:
        """A fault of ours that nobody foresaw ends this request and nothing else."""
        log.exception("%s failed peer=%s", what, self.peer)
        message = "the server failed; its log says why"
        self.refuse(ProtocolError(Code.INTERNAL, message, fatal=fatal))

    def carry(self, agent: Agent, session: Session, hello: Hello) -> None:
        """Carry a session from now on."""
        self.agent, self.session = agent, session
        agent.attach(session, hello, self)

    def _detach(self) -> None:
        """Leave the session to a resume."""
        if self.agent is not None and self.session is not None:
            self.agent.detach(self.session, self)

    # -- messages out --------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        """Write the answer to one frame; a held peer may go on."""
        self._unanswered -= 1
        if self._transport is not None and not self.closing:
            self._transport.write(data)
        if self._reading_paused:
            self._pump_later()

    def send(self, message: ServerMessage) -> None:
        """Encode and write one message."""
        if not self.closing:
            self.write(self.wire.send(message))

    def write(self, data: bytes) -> None:
        """Write bytes unless the connection is ending."""
        if self._transport is not None and not self.closing:
            self._transport.write(data)

    def refuse(self, fault: ProtocolError) -> None:
        """Tell the peer what was wrong; a fatal fault ends the connection."""
        self._owner.note_refusal(self, fault)
        error: Error = fault.to_message()
        self.send(error)
        if error.fatal:
            self.close(fault.code.goodbye)

    def close(self, reason: Reason) -> None:
        """Say goodbye and close once everything written has left."""
        if not self.closing:
            self.send(Goodbye(reason=reason))
            self.reason = reason
            self.hang_up()
            if self._transport is not None:
                self._transport.close()

    def hang_up(self) -> None:
        """Neither take nor send any more."""
        if not self.closing:
            self.closing = True
            self.ended = time.monotonic()

    def take_socket(self) -> tuple[int, bytes, bytes | None] | None:
        """Let go of a socket that waits for its welcome: a descriptor and the unread frames.

        The third are the unread bytes of its carrier, None without one. The connection is over
        here and not for the peer. None when the bytes are too many, or the peer has left.
        """
        rest, carried = self.wire.unread(), None
        if self.carrier is not None:
            carried = self.carrier.unread()
        if self._transport is None or self.closing or len(rest + (carried or b"")) > MOST_UNREAD:
            return None
        fd = os.dup(self._transport.get_extra_info("socket").fileno())
        self.abort()
        return fd, rest, carried

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    # -- flow ----------------------------------------------------------------------------------

    def _pump_later(self) -> None:
        if not self._pump_soon and not self.closing:
            self._pump_soon = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _flow(self) -> None:
        hold = self._held()
        if self._transport is None or self.closing or hold == self._reading_paused:
            return
        self._reading_paused = hold
        if hold:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    @property
    def held_by_us(self) -> bool:
        """True while we do not read: silence is then not the peer's."""
        return self._reading_paused
