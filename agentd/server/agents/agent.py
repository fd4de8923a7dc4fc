"""An agent as the serving process sees it: many games' rows in, one forward pass, actions out.

One pass (``flush``) answers everything that arrived in one turn of the event loop, with no added
delay. A frame's life: taken → joined with the turn's other frames → checked → valued →
explored → written to the ring → answered. Acting never waits for learning unless the agent is
paced; then frames wait here until the learner has reached their due point.
"""

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from agentd.assembly.actions import codec_of
from agentd.config.records import AgentConfig
from agentd.engine.network.weights import join, split
from agentd.learner.handle import POLL_S
from agentd.memory.session_table import SessionRecord
from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.facts import check_fact_lengths
from agentd.protocol.messages import GameSettings, Hello, Step, Teach
from agentd.protocol.pattern import Pattern
from agentd.protocol.rows import check_lengths
from agentd.protocol.schema import Schema
from agentd.server.agents.game_log import GameLog
from agentd.server.agents.health import Condition, Health
from agentd.server.agents.host import AgentHost
from agentd.server.batching.actor import Actor
from agentd.server.batching.aside import Aside
from agentd.server.batching.frame_queue import FrameQueue
from agentd.server.batching.learning import Learning
from agentd.server.batching.responder import Responder
from agentd.server.batching.session import Frame, Peer, Session, count_clients
from agentd.server.batching.slots import StreamSlots
from agentd.server.batching.stacks import Stacks
from agentd.server.batching.teaching import check_teach, require_teacher
from agentd.store import read_checkpoint, write_checkpoint

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
        learning: Learning | None,
        stacks: Stacks | None,
        health: Health,
        host: AgentHost,
        pass_rows: int,
    ) -> None:
        self.name, self.checkpoints = folder.name, folder / "checkpoints"
        self.config, self.schema, self.actor = config, schema, actor
        self.learning = learning  # None: the agent learns nothing
        self.stacks = stacks  # None: a row is seen alone
        self.health = health
        parts = self.name, schema, actor, stacks, learning, host.clock, self._values
        self.responder = Responder(*parts, codec_of(config, schema))
        self.states, self.returns = self.responder.states, self.responder.returns
        self.counters = self.responder.counters
        self.sessions: dict[bytes, Session] = {}
        self.queue = FrameQueue()
        self.pass_rows = pass_rows  # rows of one pass, unless a single frame has more
        self.trained_sessions = 0
        self.log = GameLog()
        self.lost: list[str] = []  # what was missing or damaged when it was opened
        self._host = host
        self._slots = StreamSlots()
        self._flush_due, self._saving = False, asyncio.Lock()
        self._aside = Aside(actor, self.responder, self.queue, self._flush_soon)
        self._known: dict[Pattern, int] = {}  # rows of the layouts whose lengths are right

    # -- sessions ------------------------------------------------------------------------------

    def begin(self, hello: Hello, id: bytes) -> Session:
        """Begin a session for a client that is to be welcomed. Raises TableFull."""
        base = self._slots.take(hello.streams)
        window = self._host.limits.window
        session = Session(id, hello.run, hello.role, hello.streams, base, window)
        session.ask(hello)
        if self.learning is not None and session.trains:
            try:
                record = self.learning.record(session)
            except BaseException:
                self._slots.give_back(base, hello.streams)
                raise
            session.slot, session.serial = record.slot, record.serial
        self._grow()
        self.trained_sessions += session.trains
        self.sessions[session.id] = session
        return session

    def attach(self, session: Session, hello: Hello, peer: Peer) -> None:
        """Let ``peer`` carry a session; a connection that still does is closed: the newer wins."""
        session.ask(hello)
        self.responder.keeps_masks |= session.version > 1
        self._displace(session)
        session.peer = peer
        session.detached_at = None
        session.wanted = 0

    def detach(self, session: Session, peer: Peer | None) -> None:
        """Have a session wait for a resume if ``peer`` carried it, or None: nobody did."""
        if session.peer is peer:
            session.peer = None
            session.detached_at = self._host.clock()

    def leave(self, session: Session, peer: Peer) -> None:
        """End a session whose client said goodbye, unless a newer connection carries it."""
        if session.peer is peer:
            session.peer = None
            self.end(session)

    def end(self, session: Session) -> None:
        """Forget a session: its open episodes are cut (truncated), never terminated."""
        self._displace(session)
        self.cut(session)
        if self.sessions.pop(session.id, None) is None:
            return
        self.queue.drop(session)
        self.trained_sessions -= session.trains
        self._slots.give_back(session.base, session.streams)
        if self.learning is not None:
            self.learning.forget(session)
            session.slot = -1

    def cut(self, session: Session) -> None:
        """End the session's open episodes without a final row."""
        block = slice(session.base, session.base + session.streams)
        session.open_streams = b""
        self.states.open[block] = False
        self.returns.cut(block)
        if self.learning is not None:
            self.learning.cut(session)

    def revive(self, record: SessionRecord) -> None:
        """Take up a session of before a restart; it waits for its client. Raises ValueError."""
        assert self.learning is not None
        base, streams = record.base, record.streams
        last_seq, under_way = self.learning.reopen(record)
        self._slots.take_at(base, streams)
        self._grow()
        window = self._host.limits.window
        session = Session(record.id, record.run, record.role, streams, base, window)
        session.slot, session.serial = record.slot, record.serial
        session.last_seq = last_seq
        self.states.open[base : base + streams] = under_way
        if self.stacks is not None:
            self.learning.refill(self.stacks, record)
        if (masks := self.learning.masks(base, streams)) is not None:
            self.responder.masks.restore(base, masks)
        session.detached_at = self._host.clock()
        self.trained_sessions += session.trains
        self.sessions[session.id] = session

    def repeat(self, session: Session, seq: int) -> None:
        """Answer a frame that was sent again: now, or when its turn comes if it still waits."""
        session.wanted = max(session.wanted, seq)
        data = next((data for known, data in session.answers if known == seq), None)
        if data is None:
            if any(frame.seq == seq for frame in (*session.pending, *session.held)):
                return
            data = self._recall(session, seq)
        if session.peer is not None:
            session.peer.deliver(data)

    @property
    def connected(self) -> list[Session]:
        """The sessions that a connection carries now."""
        return [session for session in self.sessions.values() if session.peer is not None]

    def _grow(self) -> None:
        """Make room for every slot that is in use."""
        end = self._slots.end
        self.states.grow(end)
        self.returns.grow(end)
        self.responder.masks.grow(end)
        if self.stacks is not None:
            self.stacks.grow(end)

    @staticmethod
    def _displace(session: Session) -> None:
        """Close the connection that still carries a session."""
        peer, session.peer = session.peer, None
        if peer is not None:
            peer.close("replaced")

    def _recall(self, session: Session, seq: int) -> bytes:
        """The answer to a frame of before a restart, from the ring."""
        known = self.learning.recall(session, seq) if self.learning is not None else None
        if known is not None:
            return encode(known)
        fault = ProtocolError(
            Code.ALREADY_REFUSED, "the replay ring has no row of this frame", seq=seq, field="seq"
        )
        return encode(fault.to_message())

    # -- frames in -----------------------------------------------------------------------------

    def take(self, session: Session, message: Step | Teach, arrived: float) -> None:
        """Queue one new frame; it is answered this turn of the loop, unless the agent is paced."""
        session.last_seq = session.wanted = message.seq
        frame = Frame(session, message.seq, 0, arrived, message)
        try:
            if isinstance(message, Step):
                frame.rows = check_lengths(self.schema, message, self._host.limits.max_rows)
                check_fact_lengths(self.schema, message, frame.rows)
            else:
                frame.rows = self._check_teach(session, message)
        except ProtocolError as fault:
            fault.seq = message.seq
            frame.fault = fault
        self._enqueue(frame)

    def take_known(
        self, session: Session, pattern: Pattern, data: bytes, seq: int, arrived: float
    ) -> None:
        """Queue a step whose layout is known, as ``take`` does: ``data`` is the whole frame."""
        session.last_seq = session.wanted = seq
        rows = self._known.get(pattern)
        if rows is None:
            self._learn_layout(session, pattern, data, seq, arrived)
        else:
            self._enqueue(Frame(session, seq, rows, arrived, None, pattern, data))

    def _learn_layout(
        self, session: Session, pattern: Pattern, data: bytes, seq: int, arrived: float
    ) -> None:
        """Check the lengths of a layout once; what does not fit is refused frame by frame."""
        step = pattern.step(data, seq)
        self.take(session, step, arrived)
        if session.pending[-1].fault is None:
            if len(self._known) >= MOST_LAYOUTS:
                self._known.clear()
            self._known[pattern] = session.pending[-1].rows

    def _enqueue(self, frame: Frame) -> None:
        self.queue.add(frame.session, frame)
        if not self._flush_due:
            self._flush_soon()

    def _flush_soon(self) -> None:
        self._flush_due = True
        self._host.flushes.soon(self)

    def flush(self) -> None:
        """Answer what may be answered, no more rows than a turn has; raises nothing.

        Frames of training sessions stay while a paced learner is behind, but not past the deadline
        that their client stated, nor for a learner that makes no progress: they then get the answer
        of the weights at hand.
        """
        self._flush_due = False
        waiting = self.queue.rows
        while self.queue and not self._aside.busy:
            group = self.queue.next_group(self._may_train(), self.pass_rows)
            if not group:
                group = self._overdue()
                self.counters.overdue_frames += len(group)
                for frame in group:
                    frame.late = True
            if not group:
                left = self.queue.soonest_deadline() - ANSWER_S - self._host.clock()
                self._host.flushes.later(self, min(POLL_S, max(left, 0.0)))
                return
            if self._aside.takes(group):
                return
            self.responder.answer(group)
            answered = waiting - self.queue.rows
            if self.queue and self.queue.turn_is_over(answered, self.pass_rows):
                self._flush_soon()
                return

    def _overdue(self) -> list[Frame]:
        """Frames that have waited for the learner long enough."""
        if self.learning is not None and self.learning.stalls():
            self.learning.take_newest()
            return self.queue.next_group(True, self.pass_rows)
        return self.queue.overdue(self._host.clock() + ANSWER_S)

    def _may_train(self) -> bool:
        learning = self.learning
        if learning is None:
            return True
        if self.queue.trains:
            return learning.may_act()
        if not self.trained_sessions:
            learning.take_newest()
        return True

    @property
    def _values(self) -> bool:
        """True when taught targets are values, not classes."""
        return self.config.supervised.target == "value"

    def _check_teach(self, session: Session, message: Teach) -> int:
        require_teacher(session.role)
        supervised = self.config.learner == "supervised"
        return check_teach(
            self.schema, message, self._host.limits.max_rows, supervised, self._values
        )

    def apply_settings(self, game: dict[str, float]) -> None:
        """Go on with these settings for games, and tell the sessions that understand it."""
        self.config = msgspec.structs.replace(self.config, game=game)
        for session in self.connected:
            if session.peer is not None and session.version > 1:
                session.peer.send(GameSettings(values=game))

    # -- looking after it ------------------------------------------------------------------------

    def condition(self) -> Condition:
        """How the agent is, in a word and a reason."""
        return self.health.condition(sum(session.trains for session in self.connected))

    def stats(self) -> dict[str, Any]:
        """The agent's counters and the learner's."""
        learning, counters = self.learning, self.counters
        out: dict[str, Any] = {
            "learner": self.config.learner,
            **self._here(),
            "version": self.actor.version,
            **counters.stats(),
            **self.returns.stats(),
            "lost": self.lost,
        }
        if learning is not None:
            out["epsilon"] = self.actor.epsilon(learning.env_steps)
            out |= learning.stats() | self.responder.followed_stats()
            out["degraded"] |= bool(self.health.loss)
        return out | self.condition()._asdict()

    def share(self) -> dict[str, Any]:
        """What this process adds to the agent's stats in another one."""
        return self._here() | {"counters": self.counters.share()}

    def _here(self) -> dict[str, Any]:
        """Who plays here, what waits here, and what was logged here."""
        return {
            "sessions": len(self.sessions),
            "connections": len(self.connected),
            "clients": count_clients(self.connected),
            "queued_rows": self.queue.rows,
            "queued_frames": self.queue.frames,
            **self.log.stats(),
        }

    async def save(self, *, kept: bool = True) -> tuple[str, int]:
        """Write a checkpoint; its name and step once it is on disk. Raises StorageError."""
        await asyncio.to_thread(self.health.require_storage)
        if self.learning is not None:
            return await self.learning.save(kept=kept)
        weights = split(self.actor.network, self.actor.weights)
        facts = {"learner": "none"}
        keep, step = self.config.checkpoint.keep, self.actor.version
        write = partial(write_checkpoint, keep=keep, kept=kept)
        async with self._saving:
            name = await asyncio.to_thread(write, self.checkpoints, step, facts, weights, {})
        return name, step

    async def load(self, checkpoint: str) -> int:
        """Go back to a checkpoint; its step. Raises UnknownCheckpoint, StorageError."""
        if self.learning is not None:
            return await self.learning.load(checkpoint)
        found = await asyncio.to_thread(read_checkpoint, self.checkpoints, checkpoint)
        assert found is not None
        self.actor.weights[:] = join(self.actor.network, found.weights)
        self.actor.publish(found.step)
        return found.step

    @property
    def frozen(self) -> bool:
        """Whether learning was switched off."""
        return self.learning is not None and self.learning.handle.frozen

    async def freeze(self, on: bool) -> None:
        """Switch learning off or on; an agent that never learns is frozen already."""
        if self.learning is not None:
            await self.learning.freeze(on)

    async def close(self, save: bool = True) -> None:
        """Stop learning (saving first) and let go of the files."""
        self._aside.close()
        if self.learning is not None:
            await self.learning.close(save, 0.75 * self._host.limits.drain_s)
