"""The serving side of learning: rows into the ring, weights from the board, the learner's pace.

Everything here is memory that the learner process shares; nothing waits for it. A paced agent's
frames wait in the agent's queue until ``may_act`` finds the publication that their rows need.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.actions import ActionCodec
from agentd.config.records import AgentConfig
from agentd.errors import StorageError
from agentd.learner.handle import LearnerHandle
from agentd.learner.live import too_slow
from agentd.learner.pace import NO_DUE
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.session_table import SessionRecord, SessionTable
from agentd.memory.teach_ring import TeachRing
from agentd.memory.weight_board import Publication, WeightBoard
from agentd.protocol.messages import ActReply, TaughtReply
from agentd.server.batching.actor import Actor, Choice
from agentd.server.batching.batch import Batch, corrected, elapsed
from agentd.server.batching.row_sync import RowSync
from agentd.server.batching.session import Session
from agentd.server.batching.stacks import Stacks
from agentd.server.batching.teaching import TaughtRows
from agentd.supervision import Pulse

log = logging.getLogger("agentd.learning")

_COUNTS = ("due", "rows", "backlog", "dropped", "skipped", "stale", "checkpoint_step")
_UNKNOWN = -2  # no due point: whatever was published must be read


class Learning:
    """One agent's memory and its learner process, as the event loop uses them.

    The process is started when the first game trains, or when an operation needs it.
    """

    def __init__(
        self,
        config: AgentConfig,
        ring: ReplayRing | TeachRing,
        board: WeightBoard,
        handle: LearnerHandle,
        table: SessionTable,
        actor: Actor,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        paced_wait_s: float,
    ) -> None:
        self.handle = handle
        self.ring = ring
        self.codec: ActionCodec | None = None  # where games know other actions than the ring
        self._steps = ring if isinstance(ring, ReplayRing) else None
        self._taught = ring if isinstance(ring, TeachRing) else None
        self._board = board
        self._table = table
        self._pace = handle.pace
        self._paced = config.pace.mode == "paced" and self._steps is not None
        self._actor, self._spawn = actor, spawn
        self._started, self.lost_rows, self._refused_rows = False, 0, 0
        self._refused = ""  # why the newest rows were not kept
        self.sync = RowSync(ring, config.durability, spawn)
        self.too_slow, self._seen = "", board.stats()  # in words; the reading of the last look
        self._paced_wait_s, self._late = paced_wait_s, False
        self._progress = Pulse(lambda: (board.newest, board.updates))
        untrained = actor.version == 0 and board.newest is None
        self._acting = Publication(NO_DUE if untrained else _UNKNOWN, actor.version)
        newest = board.newest
        if newest is not None and newest.version < actor.version and not self._paced:
            self._acting = newest  # the checkpoint is newer: the board's is passed over
        self.take_newest()

    def start(self) -> None:
        """Start the learner process, once."""
        if not self._started:
            self._started = True
            self._table.skip_serials(max(self.ring.last_seqs(), default=0))
            self._spawn(self.handle.run())

    # -- counters ------------------------------------------------------------------------------

    @property
    def learns_steps(self) -> bool:
        """True when rows of ``step`` frames are kept for learning."""
        return self._steps is not None

    @property
    def head(self) -> int:
        """Absolute index that the next row will have."""
        return self.ring.head

    @property
    def env_steps(self) -> int:
        """Rows that got an action so far, over all runs and daemons that share the learner."""
        return self.ring.counters.env_steps + self.handle.elsewhere.env_steps

    # -- weights -------------------------------------------------------------------------------

    def may_act(self) -> bool:
        """Load the weights that the next learned row needs; False while they are not published.

        After False, ask again when the handle's ``on_publication`` calls, or after ``POLL_S``.
        """
        if not self._paced or not self._started or not self.handle.paces():
            self.take_newest()
            return True
        due = self._pace.required(self.head)
        if due == self._acting.due or self._take(due):
            return True
        return self.handle.expect(due) and (self._take(due) or not self.handle.paces())

    def stalls(self) -> bool:
        """Whether the learner that frames wait for has made no progress for too long.

        Then they are answered with the weights at hand until it makes some.
        """
        most = max(self._paced_wait_s, self.handle.working_s)
        self._late = self._progress.still_s() > most
        return self._late

    def take_newest(self) -> None:
        """Act with the newest weights that were published."""
        newest = self._board.newest
        if newest is not None and newest != self._acting:
            self._adopt(self._board.read_into(self._actor.weights))

    def _take(self, due: int) -> bool:
        return self._adopt(self._board.read_into(self._actor.weights, due))

    def _adopt(self, publication: Publication | None) -> bool:
        if publication is None:
            return False
        self._acting = publication
        self._actor.publish(publication.version)
        return True

    # -- rows ----------------------------------------------------------------------------------

    def keep(self, batch: Batch, rows: int, choice: Choice) -> None:
        """Write the first ``rows`` rows of a batch with their answers, which acknowledges them.

        A full disk stops no action: the rows are answered and forgotten, their episodes are cut
        so that nothing is joined across the gap, and ``degraded`` says so until space returns.
        """
        try:
            self._append(batch, rows, choice)
        except StorageError as fault:
            assert self._steps is not None
            self._steps.close_streams(batch.stream[:rows])
            self.lost_rows += rows
            if not self._refused:
                log.error("rows are not kept agent=%s %s", self.handle.agent_dir.name, fault)
            self._refused, self._refused_rows = str(fault), rows
        else:
            if self._refused:
                self._keeps_again()

    def look(self) -> None:
        """Look whether a disk that refused rows takes them again, and how the learner does."""
        before, self._seen = self._seen, self._board.stats()
        self.too_slow = too_slow(before, self._seen)
        if self._refused and self.ring.has_room(self._refused_rows):
            self._keeps_again()
        if self._late:
            self.stalls()

    def _keeps_again(self) -> None:
        log.warning("rows are kept again agent=%s", self.handle.agent_dir.name)
        self._refused = ""

    def _append(self, batch: Batch, rows: int, choice: Choice) -> None:
        assert self._steps is not None
        serials: NDArray[np.uint32] | int
        seqs: NDArray[np.uint64] | int
        if len(batch.frames) == 1:
            session = batch.frames[0].session
            serials, seqs = session.serial, batch.frames[0].seq
            slots: list[int] | int = session.slot
            newest: NDArray[np.uint64] | int = seqs
        else:
            ends = zip(batch.frames, batch.ends, strict=True)
            frames = [frame for frame, end in ends if end <= rows]
            slots = [f.session.slot for f in frames]
            newest = np.array([f.seq for f in frames], np.uint64)
            counts = [f.rows for f in frames]
            serials = np.repeat(np.array([f.session.serial for f in frames], np.uint32), counts)
            seqs = np.repeat(newest, counts)
        self._steps.append(
            batch.obs[:rows],
            None if batch.mask is None else batch.mask[:rows],
            choice.action[:rows],
            batch.reward[:rows],
            batch.kind[:rows],
            choice.explored[:rows],
            batch.stream[:rows],
            serials,
            seqs,
            choice.version,
            elapsed(batch.facts, rows),
            corrected(batch.facts, rows),
            None if choice.memory is None else choice.memory[:rows],
        )
        self._table.last_seq[slots] = newest
        self.sync.note()
        self.handle.wake()

    def teach(self, session: Session, seq: int, rows: TaughtRows) -> int:
        """Queue taught rows; returns how many rows are kept in all. Raises StorageError."""
        assert self._taught is not None
        target = rows.target if rows.target.ndim == 2 else rows.target[:, None]
        self._taught.append(rows.obs, target, rows.weight, session.serial, seq)
        self._table.last_seq[session.slot] = seq
        self.sync.note()
        self.handle.wake()
        return self._taught.head - self._taught.oldest

    # -- sessions --------------------------------------------------------------------------------

    def record(self, session: Session) -> SessionRecord:
        """Make a session durable: it can be resumed after the daemon was killed."""
        self.start()
        agent = self.handle.agent_dir.name
        parts = session.id, session.run, agent, session.role, session.streams, session.base
        record = self._table.claim(*parts)
        self._table.cut(record.slot, self.head)  # nothing of it is older than this
        if self._steps is not None:
            self._steps.reserve_streams(session.base + session.streams)
        return record

    def forget(self, session: Session) -> None:
        """Remove a durable session."""
        if session.slot >= 0:
            self._table.release(session.slot)

    def cut(self, session: Session) -> None:
        """Close the session's streams without a final row: open episodes end as truncated."""
        if self._steps is not None and session.slot >= 0:
            self._steps.close_streams(slice(session.base, session.base + session.streams))
            self._table.cut(session.slot, self.head)

    def reopen(self, record: SessionRecord) -> tuple[int, NDArray[np.bool_]]:
        """Take up a session after a restart: its newest seq, and which streams are under way.

        Raises ValueError where rows of it have left the ring: whether it may go on is not known.
        """
        if self._steps is not None and self.ring.oldest > record.since:
            newest = self._steps.newest(record.base, record.streams, record.serial, 1)
            if (newest < 0).any():
                raise ValueError("its newest rows have left the ring")
        self.start()
        seqs = self.ring.last_seqs()
        last = max(record.last_seq, seqs.get(record.serial, 0))
        if self._steps is None:
            return last, np.zeros(record.streams, np.bool_)
        self._steps.reopen(record.base, record.streams, record.serial, record.since)
        if self._actor.holds is not None:
            self._actor.holds.restore(self._steps, record.base, record.streams, record.serial)
        return last, self._steps.under_way(record.base, record.streams)

    def refill(self, stacks: Stacks, record: SessionRecord) -> None:
        """Let ``stacks`` know again what a session's streams showed and what was played there."""
        assert self._steps is not None
        stacks.restore(self._steps, record.base, record.streams, record.serial)

    def masks(self, base: int, streams: int) -> NDArray[np.uint8] | None:
        """The mask bits of the newest rows of streams, see `ReplayRing.masks`; None without any."""
        if self._steps is None or self._steps.counters.masks_since < 0:
            return None
        bits = self._steps.masks(base, streams)
        return bits if self.codec is None else self.codec.gather_bits(bits)

    def note(self, session: Session, seq: int) -> None:
        """Remember a frame that was answered and left no row: it is not to be done again."""
        if session.slot >= 0:
            self._table.last_seq[session.slot] = seq

    def recall(self, session: Session, seq: int) -> ActReply | TaughtReply | None:
        """The answer to a frame of before a restart, as the ring holds it."""
        if session.slot < 0:
            return None
        if self._taught is not None and self._taught.knows(session.serial, seq):
            queued = self._taught.head - self._taught.oldest
            return TaughtReply(seq=seq, queued=queued, version=self._actor.version)
        known = None if self._steps is None else self._steps.answer(session.serial, seq)
        if known is None:
            return None
        action = known.action if self.codec is None else self.codec.encode(known.action)
        return ActReply(
            seq=seq,
            action=memoryview(action.tobytes()),
            version=known.version,
            explored=memoryview(known.explored.tobytes()) if session.explain else None,
        )

    # -- operations ------------------------------------------------------------------------------

    async def save(self, *, kept: bool = True) -> tuple[str, int]:
        """Write a checkpoint; its name and step once it is on disk."""
        self.start()
        await self.handle.ready()
        return await self.handle.save(kept=kept)

    async def load(self, checkpoint: str) -> int:
        """Go back to a checkpoint; its step."""
        self.start()
        await self.handle.ready()
        loaded = await self.handle.load(checkpoint)
        self._acting = Publication(_UNKNOWN, loaded.step)
        return loaded.step

    async def freeze(self, on: bool) -> None:
        """Switch learning off or on."""
        self.start()
        await self.handle.ready()
        await self.handle.freeze(on)

    @property
    def updates(self) -> int:
        """Updates that the learner has made."""
        made = self._board.updates
        return self._actor.version if made is None else made

    @property
    def owes_updates(self) -> bool:
        """Whether the rows suffice for updates that the learner has not made."""
        due = self._board.stats()["due"]
        reached = self._pace.reached(self.head)
        return self._started and reached > (due if due == due else NO_DUE)

    def wants(self) -> str:
        """What the next update waits for, in words."""
        rows = self._pace.rows_at(self._pace.reached(self.head) + 1)
        return f"{self.head:,} have come, the next update is due at {rows:,}"

    def troubles(self) -> list[str]:
        """What is broken, in words, as long as it is."""
        handle, found = self.handle, []
        if self._refused:
            found.append(f"rows are not kept, {self.lost_rows:,} are lost: {self._refused}")
        if self.sync.trouble:
            found.append(self.sync.trouble)
        if handle.degraded:
            found.append(handle.why.get("degraded") or "the last checkpoint could not be written")
        if handle.state == "failed":
            found.append(f"the learner failed: {handle.failure}")
        if handle.state == "restarting":
            found.append(f"the learner is started again: {handle.failure}")
        if self._late:
            found.append("the learner makes no progress: frames get older weights")
        return found

    def stats(self) -> dict[str, Any]:
        """Counters of the memory and the learner."""
        counters, learned = self.ring.counters, _whole(self.handle.stats())
        return learned | {
            "updates": self.updates,
            "policy_lag": self._policy_lag(),
            "rows_kept": self.head - self.ring.oldest,
            "env_steps": counters.env_steps,
            "episodes": counters.episodes,
            "learner_state": self.handle.state if self._started else "idle",
            "learner_pid": self.handle.pid,
            "learner_restarts": self.handle.restarts,
            "learner_failure": self.handle.failure,
            "frozen": self.handle.frozen,
            "diverged": self.handle.diverged,
            "degraded": self.handle.degraded or bool(self._refused or self.sync.trouble),
            "lost_rows": self.lost_rows,
            "good_checkpoint": self.handle.good,
            **self.handle.elsewhere.facts,
        }

    def _policy_lag(self) -> float:
        """Updates that the learner is ahead of the acting weights; 0 before its first."""
        stats = self.handle.stats()
        made, measured = stats["updates"], stats["policy_lag"]
        if measured == measured:  # the learner knows better: it looks at the rows themselves
            return measured
        return max(0, int(made) - self._actor.version) if made == made else 0

    async def close(self, save: bool, within_s: float) -> None:
        """End the learner, after a last checkpoint if ``save``, and close the files."""
        self._refused = ""  # nobody looks for room in a closed file
        if self._started:
            await self.handle.stop(save=save, within_s=within_s)
        await self.sync.close(within_s)
        await asyncio.to_thread(self.ring.close)  # it waits for the disk


def _whole(stats: dict[str, float]) -> dict[str, float]:
    """The learner's statistics; what counts is a whole number as soon as it is known."""
    known = ((name, value) for name, value in stats.items() if name in _COUNTS and value == value)
    return stats | {name: int(value) for name, value in known}
