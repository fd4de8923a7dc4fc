"""Games of the simulation: the product's own client state machine, fed with rows that have names.

Every row carries its number in its observation, so that it is known wherever it turns up. A game
keeps what it was answered; `oracle` compares that with what the daemon has kept.
"""

from __future__ import annotations

import math
from collections import deque
from struct import pack
from typing import Any, NamedTuple

from agentd.protocol import messages as m
from agentd.protocol.connection import ClientConnection
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.rows import FIRST, MID, TERMINATED, TRUNCATED
from tests.simulation.edges import Timetable, Violation
from tests.simulation.network import Link, Network

OBSERVATION: dict[str, dict[str, Any]] = {"x": {"dtype": "float32", "shape": [4]}}
ACTION: dict[str, Any] = {"kind": "discrete", "n": 3}
SCALE = 2.0**-24
"""A row's number is x[0] / SCALE: exact in float32, and small for the network."""
REFUSES = {"BAD_ROW", "NOT_FINITE"}
_WELCOME_BACK = {
    *("SHUTTING_DOWN", "LIMIT", "IDLE_TIMEOUT", "HELLO_TIMEOUT", "SLOW_READER", "STORAGE_FAILED"),
    *("UNKNOWN_CHECKPOINT", "INTERNAL"),
}
"""Ends of a connection that are in order, each in its time; see `oracle` for which is when."""


class SentRow(NamedTuple):
    """One row of a frame that was sent."""

    number: int
    stream: int
    kind: int
    reward: float


class Answered(NamedTuple):
    """A row whose answer has come: when, and what is to be done; -1 where an episode ended."""

    row: SentRow
    action: int
    at: float


class Diary:
    """What all games have seen. ``answered`` are rows of sessions that train, newest last.

    frames   answers that have come, of all roles
    refused  frames with a number that is not finite, which were refused as they must be
    forgotten  rows of which a new life said that its ring does not hold them
    errors   what ended connections, by code
    """

    def __init__(self) -> None:
        self.rows = self.frames = self.refused = self.resumed = self.begun = 0
        self.answered: deque[Answered] = deque()
        self.forgotten: list[int] = []
        self.errors: dict[str, int] = {}
        self.last_answer = 0.0
        self.sent: dict[int, SentRow] = {}

    def number(self) -> int:
        self.rows += 1
        return self.rows


class SimulatedGame:
    """One game process with a few streams."""

    def __init__(
        self, name: str, agent: str, role: str, network: Network, diary: Diary, streams: int
    ) -> None:
        self.name, self.role, self.diary, self.network = name, role, diary, network
        self.timetable: Timetable = network.timetable
        self.agent, self.n_streams = agent, streams
        self.link: Link | None = None
        self._poison = False  # the frame that waits for its answer has a number that is not finite
        self._welcomed = False
        self._again = 0  # which of the timers counts
        self.past: deque[tuple[float, str, Any]] = deque(maxlen=12)  # what it said and heard last
        self._new_session()

    def _note(self, what: str, of: Any) -> None:
        self.past.append((self.timetable.now, what, of))

    def _new_session(self) -> None:
        chance = self.timetable.chance
        hello = m.Hello(
            protocol=(1, 2),
            client=self.name,
            role=self.role,
            run=chance.randbytes(16),
            agent=self.agent,
            observation=OBSERVATION,
            action=ACTION,
            streams=self.n_streams,
        )
        self.wire = ClientConnection(hello)
        self._start_over()

    def _start_over(self) -> None:
        """Every episode begins anew."""
        self.open = [False] * self.n_streams
        self.waiting: deque[tuple[int, list[SentRow]]] = deque()
        self._poison = False

    # -- its connection ----------------------------------------------------------------------------

    def dial(self) -> None:
        self._welcomed = False
        self.network.dial(self)

    def connected(self, link: Link) -> None:
        self.link = link
        link.send(self.wire.reconnect())

    def lost(self) -> None:
        self.link = None
        self._again += 1
        self.timetable.later(0.05 + 0.5 * self.timetable.chance.random(), self.dial)

    def received(self, data: bytes) -> None:
        self.wire.receive(data)
        while True:
            try:
                message = self.wire.next_event()
            except ProtocolError as fault:
                if not self.wire.forgotten:
                    raise Violation(f"{self.name} got {fault}") from fault
                self._start_over()
                self._close()
                return
            if message is None:
                return
            self._take(message)

    def vanish(self) -> None:
        """Crash: nobody comes back for the session; another one begins."""
        if self.link is not None:
            self._close()
            self.link.deaf = True
            self._new_session()
            self.lost()

    def _close(self) -> None:
        if self.link is not None:
            self.link.hang_up()

    # -- what it hears -----------------------------------------------------------------------------

    def _take(self, message: m.ServerMessage) -> None:
        match message:
            case m.Welcome():
                self._welcome(message)
            case m.ActReply():
                self._answer(message)
            case m.Error():
                self._error(message)
            case m.Ping():
                if self.link is not None:
                    self.link.send(self.wire.send(m.Pong(t=message.t)))
            case m.Goodbye() | m.Pong():
                pass
            case _:
                raise Violation(f"{self.name} was sent {message}")

    def _welcome(self, message: m.Welcome) -> None:
        self._welcomed = True
        self._note("welcome", message)
        if message.resumed:
            self.diary.resumed += 1
        else:
            self.diary.begun += 1
            self._start_over()
        if self.link is not None and (again := self.wire.resend()):
            self.link.send(again)
        if not self.waiting:
            self._think()

    def _error(self, message: m.Error) -> None:
        if message.seq is not None and not message.fatal:
            seq, rows = self.waiting.popleft()
            self._note("error", message)
            if message.code == Code.ALREADY_REFUSED and not self._poison:
                self.diary.forgotten += [row.number for row in rows]
                self._think()
                return
            if not self._poison or seq != message.seq:
                raise Violation(f"{self.name}: {rows} refused: {message}")
            self._poison = False
            self.diary.refused += 1
            self._think()
            return
        self.diary.errors[message.code] = self.diary.errors.get(message.code, 0) + 1
        if message.code not in _WELCOME_BACK:
            raise Violation(f"{self.name} was sent {message}")

    def _answer(self, message: m.ActReply) -> None:
        if not self.waiting or self.waiting[0][0] != message.seq:
            raise Violation(f"{self.name}: an answer to {message.seq}, waiting {self.waiting}")
        _, rows = self.waiting.popleft()
        self._note("act", message.seq)
        if self._poison:
            raise Violation(f"{self.name}: a row that is not finite was taken: {rows}")
        actions = memoryview(message.action).cast("i").tolist()
        if len(actions) != len(rows):
            raise Violation(f"{self.name}: {len(rows)} rows, {len(actions)} actions")
        now, train = self.timetable.now, self.role == "train"
        for row, action in zip(rows, actions, strict=True):
            if (action == -1) != (row.kind >= TERMINATED) or not -1 <= action < ACTION["n"]:
                raise Violation(f"{self.name}: {row} was answered by {action}")
            if train:
                self.diary.answered.append(Answered(row, action, now))
        self.diary.frames += 1
        self.diary.last_answer = now
        self._think()

    # -- what it says ------------------------------------------------------------------------------

    def _think(self) -> None:
        self._again += 1
        mine, chance = self._again, self.timetable.chance
        pause = 30.0 if chance.random() < 0.0005 else 0.004 + 0.008 * chance.random()
        self.timetable.later(pause, lambda: self._step() if mine == self._again else None)

    def _step(self) -> None:
        if self.link is None or not self._welcomed or self._poison:
            return
        if not self.waiting and self.timetable.chance.random() < 0.004:
            self._send(math.nan)
            self._poison = True
            return
        most = 3 if self.timetable.chance.random() < 0.1 else 1
        while len(self.waiting) < most:
            self._send(1.0)

    def _send(self, factor: float) -> None:
        chance, rows = self.timetable.chance, []
        for stream in range(self.n_streams):
            if self.n_streams > 1 and chance.random() < 0.1:
                continue
            kind = FIRST
            if self.open[stream]:
                end = chance.random()
                kind = TERMINATED if end < 0.03 else TRUNCATED if end < 0.05 else MID
            if factor == 1.0:
                self.open[stream] = kind < TERMINATED
            reward = float(chance.randrange(-2, 3))
            rows.append(SentRow(self.diary.number(), stream, kind, reward))
        if not rows:
            return self._send(factor)
        for row in rows:
            if self.role == "train":
                self.diary.sent[row.number] = row
        x = (pack("<4f", row.number * SCALE, factor * chance.random(), 0, 0) for row in rows)
        data = self.wire.step(
            stream=pack(f"<{len(rows)}I", *(row.stream for row in rows)),
            kind=bytes(row.kind for row in rows),
            reward=pack(f"<{len(rows)}f", *(row.reward for row in rows)),
            obs={"x": b"".join(x)},
        )
        self.waiting.append((self.wire.last_seq, rows))
        self._note("step", (self.wire.last_seq, factor, rows))
        if self.link is not None:
            self.link.send(data)
        return None


class SimulatedAdmin:
    """Asks for a checkpoint now and then, and keeps what it was told."""

    def __init__(self, agent: str, network: Network) -> None:
        self.agent, self.network, self.timetable = agent, network, network.timetable
        self.saved: m.Saved | None = None
        self.saves = 0
        self.link: Link | None = None

    def dial(self) -> None:
        self.network.dial(self)

    def connected(self, link: Link) -> None:
        hello = m.Hello(
            protocol=(1, 2), client="admin", role="admin", run=self.timetable.chance.randbytes(16)
        )
        self.wire, self.link = ClientConnection(hello), link
        link.send(self.wire.reconnect())

    def lost(self) -> None:
        self.link = None
        self.timetable.later(0.2 + self.timetable.chance.random(), self.dial)

    def received(self, data: bytes) -> None:
        self.wire.receive(data)
        while (message := self.wire.next_event()) is not None:
            if isinstance(message, m.Saved):
                self.saved, self.saves = message, self.saves + 1
            if isinstance(message, m.Ping) and self.link is not None:
                self.link.send(self.wire.send(m.Pong(t=message.t)))
            if isinstance(message, m.Welcome | m.Saved | m.Error):
                self.timetable.later(0.2 + self.timetable.chance.random(), self._ask)

    def _ask(self) -> None:
        if self.link is not None:
            self.link.send(self.wire.send(m.Save(agent=self.agent)))
