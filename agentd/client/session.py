"""A client's whole conversation, sans-IO: arrays in, bytes out; bytes in, answers out.

The blocking and the asyncio client are shells around this object: they move bytes, wait, and
connect again. One object lives through all connections of a session (R7).
"""

import logging
from collections import deque
from collections.abc import Mapping
from typing import TypeAlias

import msgspec
from numpy.typing import ArrayLike

from agentd.client.errors import (
    PASSING_GOODBYES,
    ClientClosed,
    ClientError,
    DataRefused,
    NotAgentd,
    OperationRefused,
    OutcomeUnknown,
    Refused,
    ServerTooOld,
    SessionLost,
    WindowFull,
)
from agentd.client.frames import Act, Observations, Packer, Taught
from agentd.client.played import StepFacts, pack_facts, read_log, rows_to_cut
from agentd.client.settings import ConnectSettings
from agentd.protocol import messages as m
from agentd.protocol.codec import PROTOCOLS
from agentd.protocol.connection import ClientConnection, kind_of
from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError
from agentd.protocol.schema import Schema

log = logging.getLogger("agentd.client")

Answer: TypeAlias = Act | Taught | DataRefused
Reply: TypeAlias = m.ServerMessage | OperationRefused | OutcomeUnknown

# Doing these twice does what doing them once does, so a broken connection does not matter.
_REPEATABLE = (m.Agents, m.Info, m.Stats, m.Save, m.Freeze, m.Settings, m.Explore)


class ClientSession:
    """Frames numbered and remembered until answered; answers in order.

    Attributes:
        inbox: answers to steps and teaches that nobody has taken, in the order of their frames.
        replies: operations and their replies that nobody has taken.
        lost: set when a resume was refused; whoever tells the game clears it.
        fault: the fatal error that the server said on this connection.
        goodbye: the reason that the server gave for closing this connection.
        welcomed: True from ``welcome`` to the end of this connection.
        ponged: ``t`` of the last pong.
        address: where this connection leads; the shell sets it.
        settings: numbers that the agent's operator gives to the game (R19), as they stand now.
    """

    def __init__(self, settings: ConnectSettings) -> None:
        self.address = settings.addresses[0]
        self._wire = ClientConnection(settings.hello)
        self._packer = (
            None if settings.schema is None else Packer(settings.schema, settings.hello.streams)
        )
        self._operations: deque[m.Operation] = deque()
        self._out = bytearray()
        self._row_bytes, self._other_bytes = _frame_bytes(settings.schema)
        self._begun = False  # a frame was sent in this session
        self._leaving = False  # this connection ends to begin a new session
        self._offered = settings.hello.protocol
        said = [name for name in ("dt_ms", "level") if getattr(settings.hello, name) is not None]
        self._newer = " and ".join(said) or "this action"  # why protocol 1 was not offered
        self._newest = b""  # the last step that was sent, as a whole frame
        self.version = 0  # newest weights seen
        self.inbox: deque[Answer] = deque()
        self.replies: deque[tuple[m.Operation, Reply]] = deque()
        self.lost: SessionLost | None = None
        self.fault: Refused | None = None
        self.goodbye: str | None = None
        self.welcomed = False
        self.ponged: int | float | None = None
        self.settings: dict[str, float] = {}

    # -- what the shell asks ------------------------------------------------------------------

    @property
    def welcome(self) -> m.Welcome:
        """The server's last welcome; there is one once a connect has succeeded."""
        assert self._wire.welcome is not None
        return self._wire.welcome

    @property
    def pending(self) -> int:
        """Frames whose answer has not been taken: on their way, or in the inbox."""
        return self._wire.unanswered + len(self.inbox)

    @property
    def verdict(self) -> ClientError | None:
        """What the end of this connection means for good; None when coming back may help."""
        if self.fault is not None:
            return None if self.fault.passing else self.fault
        if self.goodbye is None or self.goodbye in PASSING_GOODBYES:
            return None
        return ClientClosed(f"the server closed the session: {self.goodbye}")

    @property
    def stay_away_s(self) -> float:
        """Seconds that the server asked us to stay away."""
        if self.fault is None or self.fault.retry_ms is None:
            return 0.0
        return self.fault.retry_ms / 1000

    # -- bytes out ----------------------------------------------------------------------------

    def open(self) -> bytes:
        """Begin on a new socket; return the bytes of hello.

        An operation that was on its way is sent again after ``welcome`` where doing it twice does
        no harm; the others are told as OutcomeUnknown.
        """
        self.welcomed = self._leaving = False
        self.fault = self.goodbye = None
        self._out.clear()
        for operation in list(self._operations):
            if not isinstance(operation, _REPEATABLE):
                self._operations.remove(operation)
                unknown = OutcomeUnknown("the connection broke before the server replied")
                self.replies.append((operation, unknown))
        return self._wire.reconnect()

    def step(
        self,
        obs: Observations,
        reward: ArrayLike,
        kind: ArrayLike,
        stream: ArrayLike | None,
        mask: ArrayLike | None,
        facts: StepFacts | None = None,
    ) -> bytes:
        """Number a step and return its bytes.

        Raises WindowFull, ServerTooOld, and ValueError or TypeError for arrays that do not fit;
        nothing is numbered then.
        """
        packer = self._ready()
        fields = packer.step(obs, reward, kind, stream, mask)
        n = len(fields["kind"])
        if facts and (more := pack_facts(packer.schema, n, facts)):
            self._need_protocol(2, ", ".join(more))
            fields |= more
            self._check_size(n, sum(column.nbytes + 16 for column in more.values()))
        else:
            self._check_size(n)
        self._begun = True
        self._newest = data = self._wire.step(**fields)
        return data

    def cut(self, stream: ArrayLike | None, reward: float) -> bytes:
        """Number a step that ends open episodes where they stand; b"" when there is none to end.

        Raises as ``step`` does, and ValueError for a stream that the last step had no open row of.
        """
        packer = self._ready()
        if not self._begun or not self._newest:
            return b""
        fields = rows_to_cut(packer.schema, self._newest, stream, reward)
        if stream is None:
            self._newest = b""
        return self._wire.step(**fields) if fields["kind"] else b""

    def teach(self, obs: Observations, target: ArrayLike, weight: ArrayLike | None) -> bytes:
        """Number a teach and return its bytes; raises as ``step`` does."""
        fields = self._ready().teach(obs, target, weight)
        self._begun = True
        return self._wire.teach(**fields)

    def operate(self, operation: m.Operation) -> bytes:
        """Remember an operation and return its bytes. Raises ServerTooOld."""
        if isinstance(operation, m.Operation2):
            self._need_protocol(2, kind_of(operation))
        self._operations.append(operation)
        return self._wire.send(operation)

    def ping(self, t: float) -> bytes:
        """Return the bytes of a ping."""
        return self._wire.send(m.Ping(t=t))

    def log(self, values: Mapping[str, float]) -> bytes:
        """Return the bytes of a log. Raises ServerTooOld; ValueError names what does not fit."""
        checked = read_log(values)
        self._need_protocol(2, "log")
        return self._wire.send(m.Log(values=checked)) if checked else b""

    def leave(self) -> bytes:
        """Return the bytes of goodbye."""
        return self._wire.send(m.Goodbye(reason="client_done"))

    def abandon(self) -> bytes:
        """End the session to begin a new one; return the bytes of goodbye for this connection."""
        self._leaving, self._begun = True, False
        self._wire.forget()
        self.inbox.clear()
        return self.leave()

    def outgoing(self) -> bytes:
        """Take what the received messages asked to be sent, such as pongs."""
        if not self._out:
            return b""
        data = bytes(self._out)
        self._out.clear()
        return data

    # -- bytes in -----------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the server. Raises ProtocolError when it breaks the protocol.

        Raises NotAgentd when it never spoke it, ConnectionResetError when it has forgotten answered
        frames and only a new connection helps. Of a session that was abandoned nothing is read.
        """
        if self._leaving:
            return
        self._wire.receive(data)
        while self.fault is None and (message := self._next_event()) is not None:
            if isinstance(message, m.ActReply) and self._packer is not None:
                self.version = message.version
                self.inbox.append(self._packer.act(message))
            else:
                self._take(message)

    def _next_event(self) -> m.ServerMessage | None:
        try:
            return self._wire.next_event()
        except FrameTooLarge as fault:
            if self.welcomed:
                raise
            raise NotAgentd(self.address, fault) from None
        except ProtocolError as fault:
            if self._wire.forgotten:  # R7: the next connection begins a new session
                raise ConnectionResetError(fault.message) from None
            raise

    def _take(self, message: m.ServerMessage) -> None:
        match message:
            case m.TaughtReply(seq=seq, queued=queued, version=version):
                self.version = version
                self.inbox.append(Taught(queued, version, seq))
            case m.Error():
                self._refused(message)
            case m.Welcome():
                self._welcomed(message)
            case m.Ping(t=t):
                self._out += self._wire.send(m.Pong(t=t))
            case m.Pong(t=t):
                self.ponged = t
            case m.GameSettings(agent=None, values=values):
                self.settings = values
            case m.Goodbye(reason=reason):
                self.goodbye = reason
            case _ if isinstance(message, m.OperationReply) and self._operations:
                self.replies.append((self._operations.popleft(), message))
            case _:
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, "an answer to nothing we asked")

    def _refused(self, error: m.Error) -> None:
        if error.code not in Code.__members__:
            raise ProtocolError(
                Code.BAD_MESSAGE, f"an error code of no protocol: {error.code[:80]}", field="code"
            )
        if error.code == Code.BAD_LOG:  # it answers nothing, and nobody waits for it
            log.warning("a log was refused: %s", error.message)
        elif not error.fatal and error.seq is not None:
            self.inbox.append(DataRefused(error))
        elif not error.fatal and self._operations:
            self.replies.append((self._operations.popleft(), OperationRefused(error)))
        else:
            if error.code == Code.UNSUPPORTED_VERSION and self._offered[0] > PROTOCOLS[0]:
                message = f"{self._newer} needs protocol {self._offered[0]}: {error.message}"
                error = msgspec.structs.replace(error, message=message)
            self.fault = Refused(error)

    def _welcomed(self, message: m.Welcome) -> None:
        low, high = self._offered
        if not low <= message.protocol <= high:
            want, got = f"{low}..{high}", str(message.protocol)
            said = "the server chose a version that was not offered"
            raise ProtocolError.unfit(Code.UNSUPPORTED_VERSION, "protocol", want, got, said=said)
        self.welcomed = True
        self.version = message.version
        self.settings = message.game or {}
        if self._wire.lost and self._begun:
            self._begun = False
            self.inbox.clear()
            self.lost = SessionLost(
                "the server began a new session: open episodes and unanswered frames are gone"
            )
        self._out += self._wire.resend()
        for operation in self._operations:
            self._out += self._wire.send(operation)

    # -- checks -------------------------------------------------------------------------------

    def _ready(self) -> Packer:
        if self._packer is None:
            raise RuntimeError("a client of role admin sends no frames")
        if self.pending >= self.welcome.window:
            raise WindowFull(f"{self.pending} frames are unanswered; receive one first")
        return self._packer

    def _need_protocol(self, version: int, what: str) -> None:
        if self.welcome.protocol < version:
            spoken = self.welcome.protocol
            raise ServerTooOld(f"{what}: needs protocol {version}, the server speaks {spoken}")

    def _check_size(self, n: int, more: int = 0) -> None:
        """Refuse a frame that the server would close the connection for; ``more`` bytes in it."""
        if n > self.welcome.max_rows:
            raise ValueError(f"want at most {self.welcome.max_rows} rows a frame, got {n}")
        other = self._other_bytes + more
        if n * self._row_bytes + other > self.welcome.max_frame:
            most = (self.welcome.max_frame - other) // self._row_bytes
            raise ValueError(f"want at most {most} rows of this size a frame, got {n}")


def _frame_bytes(schema: Schema | None) -> tuple[int, int]:
    """Bytes that one row of a step takes, and the rest of its frame: both at most."""
    if schema is None:
        return 1, 0
    row = 4 + 1 + 4 + schema.row_bytes + schema.n_actions  # stream, kind, reward, tensors, mask
    names = sum(len(t.name) + 8 for t in schema.tensors)  # 8: msgpack's heads of key and value
    return row, names + 128
