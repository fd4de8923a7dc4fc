"""The conversation as two pure state machines: bytes in, messages out, bytes to send.

Rule for editors: every rule about *when* a message may come is in ``TRANSITIONS``; nothing else in
the project decides that. PROTOCOL.md prints the same table.

    AWAIT_HELLO ──hello──► SHAKING ──welcome sent──► OPEN ──goodbye──► CLOSED
"""

from collections import deque
from enum import Enum
from typing import get_args

from agentd.protocol import messages as m
from agentd.protocol.codec import (
    HEADER,
    PROTOCOLS,
    FrameDecoder,
    common_version,
    decode_client,
    decode_hello,
    decode_server,
    encode,
)
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.pattern import Pattern, Patterns

HANDSHAKE_FRAME = 16 * 1024
"""Bytes that a frame may have before ``welcome``."""

FIRST_ANSWER = 64 * 1024
"""Bytes that a server's frame may have before ``welcome``: a longer one is not the protocol's."""

ANY_ANSWER = 2**31 - 1

MOST_LAYOUTS = 16
"""Layouts of steps that one connection is recognised by."""


class State(Enum):
    """Where a session's connection stands, as the server sees it."""

    AWAIT_HELLO = "await_hello"
    SHAKING = "shaking"
    OPEN = "open"
    CLOSED = "closed"


_ALWAYS: dict[type[m.Message], State] = {m.Goodbye: State.CLOSED}
TRANSITIONS: dict[State, dict[type[m.Message], State]] = {
    State.AWAIT_HELLO: {m.Hello: State.SHAKING, **_ALWAYS},
    State.SHAKING: {},
    State.OPEN: {
        **dict.fromkeys(
            (m.Step, m.Teach, m.Log, m.Ping, m.Pong, *get_args(m.Operation)), State.OPEN
        ),
        **_ALWAYS,
    },
    State.CLOSED: {},
}
"""State × message from the client → next state; what is not listed is UNEXPECTED_MESSAGE."""

NOT_FOR_ADMIN: frozenset[type[m.Message]] = frozenset({m.Step, m.Teach, m.Log})
"""What a connection of role ``admin`` may not send: it has no streams."""

SINCE_2: frozenset[type[m.Message]] = frozenset({m.Log, m.Settings})
"""What no session of version 1 may send."""


class ServerConnection:
    """The server's half of one connection.

    ``receive`` takes bytes; ``next_event`` gives the next legal message, None when more bytes are
    needed, or raises ProtocolError. Anything else it raises is a bug. After a fatal error the
    machine is CLOSED and stays there.

    Once two steps of one size came one after the other, ``known_step`` takes further ones of their
    layout without decoding them. Connections share ``patterns``.
    """

    def __init__(self, max_frame: int, patterns: Patterns | None = None) -> None:
        self._patterns = patterns or Patterns()
        self._layouts: dict[int, Pattern | None] = {}  # by bytes of the frame; None: not worth it
        self._step_bytes = 0  # of the last step that was decoded
        self.state = State.AWAIT_HELLO
        self._max_frame = max_frame
        self._decoder = FrameDecoder(min(max_frame, HANDSHAKE_FRAME))
        self.version = PROTOCOLS[0]  # of the protocol; the hello chooses it
        self._role = ""
        self._seqs = (1, 1)  # lowest and highest seq that may come next
        self.begun = False  # a carrier holds the beginning of a frame

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; they must not change afterwards."""
        self._decoder.feed(data)

    def unread(self) -> bytes:
        """Take out the bytes that no event was made of."""
        return self._decoder.rest()

    @property
    def has_partial(self) -> bool:
        """True while an unfinished frame is held."""
        return self.begun or self._decoder.has_partial

    def known_step(self, data: bytes) -> tuple[Pattern, int] | None:
        """Layout and seq of ``data`` when it is one whole step of a known layout, come in order.

        The step is then taken. After None nothing has changed: ``receive`` the bytes.
        """
        pattern = self._layouts.get(len(data))
        if pattern is None or self._decoder.has_partial or self.state is not State.OPEN:
            return None
        seq = pattern.seq_of(data)
        low, high = self._seqs
        if not low <= seq <= high:
            return None
        self._seqs = (seq + 1, seq + 1)
        return pattern, seq

    def next_event(self) -> m.ClientMessage | None:
        """The next message that is legal now."""
        if self.state is State.CLOSED or self.state is State.SHAKING:
            return None
        try:
            body = self._decoder.next_frame()
            if body is None:
                return None
            fresh = self.state is State.AWAIT_HELLO
            message = decode_hello(body) if fresh else decode_client(body, self.version)
            self._check(message)
        except ProtocolError as fault:
            if fault.fatal:
                self.state = State.CLOSED
            raise
        if type(message) is m.Step:
            if len(body) == self._step_bytes:
                self._learn(body, message)
            self._step_bytes = len(body)
        return message

    def _learn(self, body: memoryview | bytes, step: m.Step) -> None:
        """Know the next step of this layout."""
        size = len(body) + HEADER.size
        if size not in self._layouts:
            if len(self._layouts) >= MOST_LAYOUTS:
                self._layouts.clear()
            self._layouts[size] = self._patterns.of(body, step)

    def welcome(self, message: m.Welcome) -> bytes:
        """Open the session; bytes to send. From here on frames may be as large as agreed."""
        self.state = State.OPEN
        self._decoder.max_frame = self._max_frame
        self._seqs = (1, message.last_seq + 1)  # a resumed client may begin with frames of before
        return encode(message)

    def send(self, message: m.ServerMessage) -> bytes:
        """Bytes of any other message; goodbye and fatal errors close the machine."""
        if isinstance(message, m.Goodbye) or (isinstance(message, m.Error) and message.fatal):
            self.state = State.CLOSED
        return encode(message)

    def _check(self, message: m.ClientMessage) -> None:
        kind = type(message)
        after = TRANSITIONS[self.state].get(kind)
        if after is None or (self._role == "admin" and kind in NOT_FOR_ADMIN):
            raise self._unexpected(message)
        if kind is m.Step or kind is m.Teach:
            self._check_seq(message.seq)  # type: ignore[union-attr]
        elif isinstance(message, m.Hello):
            self._role = message.role
            self.version = common_version(message.protocol)
        self.state = after

    def _check_seq(self, seq: int) -> None:
        low, high = self._seqs
        if not low <= seq <= high:
            want, said = str(high) if low == high else f"{low}..{high}", "seq must grow by 1"
            raise ProtocolError.unfit(Code.BAD_SEQ, "seq", want, str(seq), seq=seq, said=said)
        self._seqs = (seq + 1, seq + 1)

    def _unexpected(self, message: m.ClientMessage) -> ProtocolError:
        where = f"state {self.state.value}"
        legal = set(TRANSITIONS[self.state])
        if self._role == "admin":
            where = f"role admin, {where}"
            legal -= NOT_FOR_ADMIN
        if self.version == 1:
            legal -= SINCE_2
        got, want = kind_of(message), " | ".join(sorted(map(kind_of, legal)))
        said = f"{got} is not allowed in {where}"
        return ProtocolError.unfit(Code.UNEXPECTED_MESSAGE, "type", want, got, said=said)


class ClientConnection:
    """The client's half: numbers the frames, remembers what is unanswered, resumes.

    One object lives through all connections of a session: call ``reconnect`` for each new socket,
    send the bytes of ``hello``, and after ``welcome`` the bytes of ``resend``.
    """

    def __init__(self, hello: m.Hello) -> None:
        self._hello = hello
        self._decoder = FrameDecoder(FIRST_ANSWER)
        self._unanswered: deque[tuple[int, bytes]] = deque()
        self.welcome: m.Welcome | None = None
        self.last_seq = 0
        self.lost = False  # the server did not resume: streams start anew
        self._anew = False  # the next hello asks for a new session

    def reconnect(self) -> bytes:
        """Begin on a new socket: the bytes of hello, with ``resume`` once there was a session."""
        self._decoder = FrameDecoder(FIRST_ANSWER)
        hello = self._hello
        if self.welcome is not None and not self._anew:
            hello = m.replace(hello, resume=self.welcome.session)
        return encode(hello)

    @property
    def forgotten(self) -> bool:
        """True when the server has forgotten frames that it had answered: begin a new session."""
        return self.lost and self.welcome is None

    def forget(self) -> None:
        """End the session here: no frame waits any more, and the next hello begins a new one."""
        self._anew = True
        self.last_seq = 0
        self._unanswered.clear()

    def receive(self, data: bytes) -> None:
        """Take bytes from the server; they must not change afterwards."""
        self._decoder.feed(data)

    def next_event(self) -> m.ServerMessage | None:
        """The next message, None when more bytes are needed. Raises ProtocolError."""
        body = self._decoder.next_frame()
        if body is None:
            return None
        message = decode_server(body)
        seq = _answers(message)
        if seq is not None:
            self._answered(seq)
        elif isinstance(message, m.Welcome):
            self._welcomed(message)
        return message

    def step(self, **fields: object) -> bytes:
        """Bytes of the next ``step`` frame; ``fields`` as in ``messages.Step`` without seq."""
        return self._number(m.Step(seq=self.last_seq + 1, **fields))  # type: ignore[arg-type]

    def teach(self, **fields: object) -> bytes:
        """Bytes of the next ``teach`` frame; ``fields`` as in ``messages.Teach`` without seq."""
        return self._number(m.Teach(seq=self.last_seq + 1, **fields))  # type: ignore[arg-type]

    def send(self, message: m.ClientMessage) -> bytes:
        """Bytes of a message without a seq."""
        return encode(message)

    def resend(self) -> bytes:
        """Every unanswered frame again, in order."""
        return b"".join(data for _, data in self._unanswered)

    @property
    def unanswered(self) -> int:
        """Frames that wait for their answer."""
        return len(self._unanswered)

    def _number(self, message: m.Step | m.Teach) -> bytes:
        data = encode(message)
        self.last_seq += 1
        self._unanswered.append((self.last_seq, data))
        return data

    def _answered(self, seq: int) -> None:
        if not self._unanswered or self._unanswered[0][0] != seq:
            waiting = str(self._unanswered[0][0]) if self._unanswered else "no frame"
            said = "an answer out of order"
            raise ProtocolError.unfit(Code.BAD_SEQ, "seq", waiting, str(seq), said=said)
        self._unanswered.popleft()

    def _welcomed(self, message: m.Welcome) -> None:
        self._decoder.max_frame = ANY_ANSWER
        begun = self.welcome is not None or self.lost
        self.lost = begun and not message.resumed and not self._anew
        self._anew = False
        answered = self.last_seq - len(self._unanswered)
        if message.resumed and message.last_seq < answered:
            self.welcome, self.lost = None, True  # the next hello asks for a new session
            want, got = f">= {answered}", str(message.last_seq)
            said = "the server has forgotten frames that it had answered"
            raise ProtocolError.unfit(Code.BAD_SEQ, "last_seq", want, got, said=said)
        if not message.resumed:
            self.last_seq = 0
            self._unanswered.clear()
        self.welcome = message


def kind_of(message: m.Message | type[m.Message]) -> str:
    """The ``type`` of a message on the wire."""
    config = message.__struct_config__
    return str(config.tag)


def _answers(message: m.ServerMessage) -> int | None:
    """The seq that a message answers, if it answers one."""
    if isinstance(message, m.Error):
        return None if message.fatal else message.seq
    return message.seq if isinstance(message, m.ActReply | m.TaughtReply) else None
