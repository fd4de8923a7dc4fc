"""One game's conversation with one agent: it outlives the connections that carry it (R7)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentd.protocol.errors import ProtocolError
from agentd.protocol.messages import Hello, Step, Teach
from agentd.protocol.pattern import Pattern
from agentd.protocol.rows import TERMINATED

if TYPE_CHECKING:
    from agentd.server.agents.agent import Agent
    from agentd.server.peers.connection import Connection

__all__ = ["Frame", "Session"]


@dataclass(slots=True, eq=False)
class Frame:
    """A frame that was taken and is not yet answered: decoded, or bytes of a known layout."""

    session: Session
    seq: int
    rows: int
    arrived: float  # ``Server.now``, seconds
    message: Step | Teach | None
    pattern: Pattern | None = None
    data: bytes = b""
    fault: ProtocolError | None = None  # found on arrival; told when the frame's turn comes

    @property
    def step(self) -> Step:
        """The message of a step frame."""
        if self.pattern is not None:
            return self.pattern.step(self.data, self.seq)
        assert isinstance(self.message, Step)
        return self.message

    def streams_under_way(self) -> bytes:
        """The streams of an answered step, u32[rows], if none of its rows ended; else nothing."""
        step = self.step
        return bytes(step.stream) if max(step.kind) < TERMINATED else b""


class Session:
    """Streams, order and answers of one game process.

    ``last_seq`` is the newest frame taken. The last ``window`` answers are kept, so a frame that
    is sent again after a broken connection gets the answer it had.
    """

    __slots__ = (
        "agent",
        "answers",
        "base",
        "bulk",
        "calm",
        "connection",
        "deadline_s",
        "detached_at",
        "explain",
        "id",
        "last_seq",
        "pending",
        "plain",
        "role",
        "run",
        "serial",
        "slot",
        "streams",
        "trains",
        "wanted",
    )

    def __init__(
        self, agent: Agent, id: bytes, run: bytes, role: str, streams: int, base: int, window: int
    ) -> None:
        self.agent = agent
        self.id = id
        self.run = run
        self.role = role
        self.trains = role == "train"
        self.streams = streams
        self.base = base  # first global stream slot
        self.slot = -1  # slot in the durable session table; -1: the session is not kept
        self.serial = 0  # the number that its rows carry in the ring
        self.explain = False
        self.plain = False  # plays and asks for nothing but the action
        self.calm = b""  # the last frame's streams, if all are under way; of plain sessions only
        self.bulk = False  # realtime sessions come before it
        self.deadline_s: float | None = None  # seconds that an answer is of use
        self.last_seq = 0
        self.wanted = 0  # newest seq that the present connection has sent (again)
        self.connection: Connection | None = None
        self.detached_at: float | None = None
        self.pending: deque[Frame] = deque()
        self.answers: deque[tuple[int, bytes]] = deque(maxlen=window)

    def wishes(self, hello: Hello) -> None:
        """Take what a hello asks for beside its role; a resumed session may ask for other things.

        The priority of a session with waiting frames stays until they are answered.
        """
        self.explain = hello.explain
        self.plain = self.role == "play" and not self.explain
        self.calm = b""
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
        if self.connection is not None and seq <= self.wanted:
            self.connection.deliver(data)

    def repeat(self, seq: int) -> None:
        """Answer a frame that was sent again: now, or when its turn comes if it still waits."""
        self.wanted = max(self.wanted, seq)
        for known, data in self.answers:
            if known == seq:
                if self.connection is not None:
                    self.connection.deliver(data)
                return
        if not any(frame.seq == seq for frame in self.pending):
            data = self.agent.recall(self, seq)
            if self.connection is not None:
                self.connection.deliver(data)

    def detach(self, now: float) -> None:
        """The connection is gone; the session waits for a resume."""
        self.connection = None
        self.detached_at = now
