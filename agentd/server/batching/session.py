"""One game's conversation with one agent: it outlives the connections that carry it (R7)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agentd.engine.rules.dial import BEST, Dial
from agentd.protocol.codec import common_version
from agentd.protocol.errors import ProtocolError
from agentd.protocol.messages import Hello, Reason, ServerMessage, Step, Teach
from agentd.protocol.pattern import Pattern
from agentd.protocol.rows import TERMINATED


class Peer(Protocol):
    """The connection that carries a session now, as the session uses it."""

    def deliver(self, data: bytes) -> None:
        """Send the answer to one frame."""

    def send(self, message: ServerMessage) -> None:
        """Send what answers no frame."""

    def close(self, reason: Reason) -> None:
        """Say goodbye and close."""


@dataclass(slots=True, eq=False)
class Frame:
    """A frame that was taken and is not yet answered: decoded, or bytes of a known layout."""

    session: Session
    seq: int
    rows: int
    arrived: float  # monotonic seconds
    message: Step | Teach | None
    pattern: Pattern | None = None
    data: bytes = b""
    fault: ProtocolError | None = None  # found on arrival, answered when the frame's turn comes
    late: bool = False  # its deadline has come: it is answered by an older policy

    @property
    def step(self) -> Step:
        """The message of a step frame."""
        if self.pattern is not None:
            return self.pattern.step(self.data, self.seq)
        assert isinstance(self.message, Step)
        return self.message

    def open_streams(self) -> bytes:
        """The streams of an answered step, u32[rows]; nothing if a row ended or had a mask."""
        step = self.step
        going = step.mask is None and max(step.kind) < TERMINATED
        return bytes(step.stream) if going else b""


@dataclass(slots=True, eq=False)
class Session:
    """Streams, order and answers of one game process. Only its `Agent` begins or changes one.

    The last ``window`` answers are kept, so that a frame that is sent again after a broken
    connection gets the answer that it had.
    """

    id: bytes
    run: bytes
    role: str
    streams: int
    base: int  # first global stream slot
    window: int
    slot: int = -1  # in the durable session table; -1: the session is not kept there
    serial: int = 0  # the number that its rows carry in the ring
    version: int = 1  # of the protocol
    client: str = ""  # what the program calls itself
    explain: bool = False  # answers bring values and the explored flag
    bulk: bool = False  # realtime sessions are answered before it
    deadline_s: float | None = None  # seconds for which an answer is of use
    dial: Dial | None = None  # None: it plays as well as it can
    last_seq: int = 0  # newest frame taken
    wanted: int = 0  # newest seq that the present connection has sent or sent again
    peer: Peer | None = None
    detached_at: float | None = None  # since when it waits for a resume, monotonic seconds
    open_streams: bytes = b""  # the last frame's streams, if all are open; of plain sessions only
    log_since: float = float("-inf")  # begin of the second in which it has sent ``logged`` logs
    logged: int = 0
    pending: deque[Frame] = field(default_factory=deque)
    held: deque[Frame] = field(default_factory=deque)  # whose answers wait for the disk
    trains: bool = field(init=False)
    plain: bool = field(init=False, default=False)  # plays, and asks for nothing but the action
    answers: deque[tuple[int, bytes]] = field(init=False)

    def __post_init__(self) -> None:
        self.trains = self.role == "train"
        self.answers = deque(maxlen=self.window)

    def ask(self, hello: Hello) -> None:
        """Take what a hello asks for beside its role; a resumed one may ask for other things.

        The priority of a session with waiting frames stays until they are answered.
        """
        self.version = common_version(hello.protocol)
        self.client = hello.client
        self.explain = hello.explain
        if self.dial is None or self.dial.level != hello.level:
            seed, level = int.from_bytes(self.run[:8], "little"), hello.level
            self.dial = Dial(level, seed) if level is not None and level < BEST else None
        self.plain = self.role == "play" and not self.explain and self.dial is None
        self.open_streams = b""
        self.deadline_s = None if hello.deadline_ms is None else hello.deadline_ms / 1e3
        if not self.pending:
            self.bulk = hello.priority == "bulk"

    def deadline_of_oldest(self) -> float:
        """When the oldest unanswered frame's answer comes too late; infinity without a deadline."""
        if self.deadline_s is None or not self.pending:
            return float("inf")
        return self.pending[0].arrived + self.deadline_s

    def answer(self, seq: int, data: bytes) -> None:
        """Keep the answer to ``seq`` and send it if the present connection asked for it."""
        self.answers.append((seq, data))
        if self.peer is not None and seq <= self.wanted:
            self.peer.deliver(data)


def count_clients(sessions: Iterable[Session]) -> dict[str, int]:
    """How many of ``sessions`` each program has, by what it calls itself."""
    return dict(Counter(session.client for session in sessions))
