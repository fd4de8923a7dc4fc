"""An agent as the serving process sees it: many games' rows in, one forward pass, actions out.

Everything that arrived in one turn of the event loop is answered by one pass (``flush``), with no
added delay. A frame's life: taken → joined with the turn's other frames → checked → valued →
explored → written to the ring → answered. Acting never waits for learning unless the agent is
paced; then frames wait here until the learner has reached their due point.

Shape letters: N rows of a batch, A mask width.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agentd.assembly.network import flat_weights, named_weights
from agentd.config.records import AgentConfig
from agentd.learner.handle import POLL_S
from agentd.memory.session_table import SessionRecord
from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello, Step, Teach
from agentd.protocol.pattern import Pattern
from agentd.protocol.rows import check_lengths
from agentd.protocol.schema import Schema
from agentd.server.batching.actor import Actor
from agentd.server.batching.frame_queue import Waiting
from agentd.server.batching.learning import Learning
from agentd.server.batching.responder import Waves
from agentd.server.batching.session import Frame, Session
from agentd.server.batching.stacks import Stacks
from agentd.server.batching.teaching import check_teach
from agentd.store import read_checkpoint, write_checkpoint

__all__ = ["Agent"]

log = logging.getLogger("agentd.agent")

ANSWER_S = 0.002
"""How long before a deadline an answer is begun."""

MOST_LAYOUTS = 256
"""Layouts of steps that are remembered as fitting the schema."""


class Agent:
    """One agent: its sessions' waiting frames, its acting weights and its memory."""

    def __init__(
        self,
        folder: Path,
        config: AgentConfig,
        schema: Schema,
        actor: Actor,
        *,
        max_rows: int,
        max_wave: int,
        clock: Callable[[], float],
        wake: Callable[[Agent], None],
        wake_later: Callable[[Agent, float], None],
        stacks: Stacks | None = None,
    ) -> None:
        self.name = folder.name
        self.checkpoints = folder / "checkpoints"
        self.config = config
        self.schema = schema
        self.actor = actor
        self.learning: Learning | None = None  # None: the agent learns nothing
        self.stacks = stacks  # None: a row is seen alone
        self.waves = Waves(self.name, schema, actor, stacks, clock, self._values)
        self.states, self.returns = self.waves.states, self.waves.returns
        self.counters = self.waves.counters
        self.sessions: dict[bytes, Session] = {}
        self.waiting = Waiting()
        self._max_rows = max_rows
        self._clock = clock
        self.max_wave = max_wave  # rows of one pass, unless a single frame has more
        self.trained_sessions = 0
        self._wake = wake
        self._wake_later = wake_later
        self._free: list[tuple[int, int]] = []  # (base, streams) given back
        self._slots = 0
        self._awake = False  # True while a flush is on its way
        self._fitting: dict[Pattern, int] = {}  # rows of the layouts whose lengths are right

    def learn_with(self, learning: Learning) -> None:
        """Keep what the games show from now on; before the first session."""
        self.learning = learning
        self.waves.learn_with(learning)

    # -- sessions ------------------------------------------------------------------------------

    def reserve(self, streams: int, base: int | None = None) -> int:
        """A block of ``streams`` global stream slots, all closed; returns its first slot."""
        if base is None:
            for at, (free, size) in enumerate(self._free):
                if size == streams:
                    del self._free[at]
                    base = free
                    break
        if base is None:
            base = self._slots
        self._slots = max(self._slots, base + streams)
        self.states.grow(self._slots)
        self.returns.grow(self._slots)
        if self.stacks is not None:
            self.stacks.grow(self._slots)
        return base

    def begin_session(self, hello: Hello, window: int, id: bytes) -> Session:
        """A new session for a welcomed client."""
        base = self.reserve(hello.streams)
        session = Session(self, id, hello.run, hello.role, hello.streams, base, window)
        session.wishes(hello)
        if self.learning is not None and session.trains:
            self.learning.enter(session)
        self.trained_sessions += session.trains
        self.sessions[session.id] = session
        return session

    def end_session(self, session: Session) -> None:
        """Forget a session: its open episodes are cut (truncated), never terminated."""
        self.cut(session)
        if self.sessions.pop(session.id, None) is None:
            return
        self.waiting.drop(session)
        self.trained_sessions -= session.trains
        self._free.append((session.base, session.streams))
        if self.learning is not None:
            self.learning.leave(session)

    def cut(self, session: Session) -> None:
        """End the session's open episodes without a final row."""
        block = slice(session.base, session.base + session.streams)
        session.calm = b""
        self.states.open[block] = False
        self.returns.cut(block)
        if self.learning is not None:
            self.learning.cut(session)

    def revive(self, record: SessionRecord, window: int, now: float) -> None:
        """Take up a session of before a restart; it waits for its client like any lost one."""
        assert self.learning is not None
        base = self.reserve(record.streams, record.base)
        session = Session(self, record.id, record.run, record.role, record.streams, base, window)
        session.slot, session.serial = record.slot, record.serial
        session.last_seq, under_way = self.learning.reopen(record)
        self.states.open[base : base + record.streams] = under_way
        if self.stacks is not None:
            newest = self.learning.recent(base, record.streams, self.stacks.stack - 1)
            self.stacks.restore(base, newest)
        session.detached_at = now
        self.trained_sessions += session.trains
        self.sessions[session.id] = session

    # -- frames in -----------------------------------------------------------------------------

    def take(self, session: Session, message: Step | Teach, arrived: float) -> None:
        """Queue one new frame; it is answered this turn of the loop, unless the agent is paced."""
        session.last_seq = message.seq
        frame = Frame(session, message.seq, 0, arrived, message)
        try:
            if isinstance(message, Step):
                frame.rows = check_lengths(self.schema, message, self._max_rows)
            else:
                frame.rows = self._check_teach(session, message)
        except ProtocolError as fault:
            fault.seq = message.seq
            frame.fault = fault
        self._queue(frame)

    def take_alike(
        self, session: Session, pattern: Pattern, data: bytes, seq: int, arrived: float
    ) -> None:
        """As ``take``, for a step whose layout is known: ``data`` is the whole frame."""
        session.last_seq = seq
        rows = self._fitting.get(pattern)
        if rows is None:
            self._measure(session, pattern, data, seq, arrived)
        else:
            self._queue(Frame(session, seq, rows, arrived, None, pattern, data))

    def _measure(
        self, session: Session, pattern: Pattern, data: bytes, seq: int, arrived: float
    ) -> None:
        """Check the lengths of a layout once; what does not fit is refused frame by frame."""
        step = pattern.step(data, seq)
        self.take(session, step, arrived)
        if session.pending[-1].fault is None:
            if len(self._fitting) >= MOST_LAYOUTS:
                self._fitting.clear()
            self._fitting[pattern] = session.pending[-1].rows

    def _queue(self, frame: Frame) -> None:
        self.waiting.add(frame.session, frame)
        if not self._awake:
            self._rouse()

    def _rouse(self) -> None:
        self._awake = True
        self._wake(self)

    def flush(self) -> None:
        """Answer everything that may be answered; raises nothing.

        Frames of training sessions stay while a paced learner is behind, but not past the deadline
        that their client stated: they then get the answer of the weights at hand.
        """
        self._awake = False
        while self.waiting:
            wave = self.waiting.next_wave(self._may_train(), self.max_wave)
            if not wave:
                wave = self.waiting.overdue(self._clock() + ANSWER_S)
                self.counters.overdue_frames += len(wave)
            if not wave:
                left = self.waiting.soonest_deadline() - ANSWER_S - self._clock()
                self._wake_later(self, min(POLL_S, max(left, 0.0)))
                return
            self.waves.answer(wave)
            if self.waiting and self.waiting.only_bulk:
                self._rouse()
                return

    def _may_train(self) -> bool:
        learning = self.learning
        if learning is None:
            return True
        if self.waiting.trains:
            return learning.may_act()
        if not self.trained_sessions:
            learning.take_newest()
        return True

    # -- teaching --------------------------------------------------------------------------------

    @property
    def _values(self) -> bool:
        """True when taught targets are values, not classes."""
        return self.config.supervised.target == "value"

    def _check_teach(self, session: Session, message: Teach) -> int:
        if not session.trains:
            raise ProtocolError(
                Code.FORBIDDEN,
                f"a session of role {session.role} does not teach",
                field="type",
                expected="role train",
                got=f"role {session.role}",
            )
        supervised = self.config.learner == "supervised"
        return check_teach(self.schema, message, self._max_rows, supervised, self._values)

    def recall(self, session: Session, seq: int) -> bytes:
        """The answer to a frame of before a restart, from the ring."""
        known = self.learning.recall(session, seq) if self.learning is not None else None
        if known is not None:
            return encode(known)
        fault = ProtocolError(
            Code.ALREADY_REFUSED, "this frame was refused before the restart", seq=seq, field="seq"
        )
        return encode(fault.to_message())

    # -- looking after it ------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """The agent's counters and the learner's."""
        learning, counters = self.learning, self.counters
        out: dict[str, Any] = {
            "learner": self.config.learner,
            "sessions": len(self.sessions),
            "connections": sum(s.connection is not None for s in self.sessions.values()),
            "version": self.actor.version,
            **counters.stats(),
            "queued_frames": self.waiting.frames,
            "queued_rows": self.waiting.rows,
            "return_mean": self.returns.mean("train"),
            "eval_return_mean": self.returns.mean("eval"),
            "eval_episodes": self.returns.episodes["eval"],
        }
        if learning is not None:
            out["epsilon"] = self.actor.epsilon(learning.env_steps)
            out |= learning.stats()
        return out

    def share(self) -> dict[str, Any]:
        """What this process adds to the agent's stats in another one."""
        return {
            "sessions": len(self.sessions),
            "connections": sum(s.connection is not None for s in self.sessions.values()),
            "queued_rows": self.waiting.rows,
            "queued_frames": self.waiting.frames,
            "counters": self.counters.share(),
        }

    async def save(self) -> tuple[str, int]:
        """Write a checkpoint; its name and step once it is on disk. Raises StorageError."""
        if self.learning is not None:
            return await self.learning.save()
        weights = named_weights(self.actor.network, self.actor.weights.copy())
        facts = {"learner": "none"}
        keep, step = self.config.checkpoint.keep, self.actor.version
        write = partial(write_checkpoint, keep=keep, kept=True)
        name = await asyncio.to_thread(write, self.checkpoints, step, facts, weights, {})
        return name, step

    async def load(self, checkpoint: str) -> int:
        """Go back to a checkpoint; its step. Raises UnknownCheckpoint, StorageError."""
        if self.learning is not None:
            return await self.learning.load(checkpoint)
        found = await asyncio.to_thread(read_checkpoint, self.checkpoints, checkpoint)
        assert found is not None
        self.actor.weights[:] = flat_weights(self.actor.network, found.weights)
        self.actor.publish(found.step)
        return found.step

    async def freeze(self, on: bool) -> None:
        """Switch learning off or on; an agent that never learns is frozen already."""
        if self.learning is not None:
            await self.learning.freeze(on)

    async def close(self, save: bool = True) -> None:
        """Stop learning (saving first) and let go of the files."""
        if self.learning is not None:
            await self.learning.close(save)
