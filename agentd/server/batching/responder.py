"""Turn frames into answers: join, check, value, explore, keep, encode.

Frames that break a rule are refused one by one; the others of their group are answered all the
same. Shape letters: N rows of a batch.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from agentd.assembly.actions import ActionCodec
from agentd.errors import StorageError
from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import TaughtReply, Teach
from agentd.protocol.rows import StreamStates
from agentd.protocol.schema import Schema
from agentd.server.batching.actor import Actor, Choice
from agentd.server.batching.answers import Counters, encode_answers
from agentd.server.batching.batch import Batch, Joiner, check_batch, corrected
from agentd.server.batching.dialled import turn_down
from agentd.server.batching.fast_path import FastPath
from agentd.server.batching.followed import FollowedReturns
from agentd.server.batching.learning import Learning
from agentd.server.batching.masks import LastMasks
from agentd.server.batching.question import Question
from agentd.server.batching.returns import Returns
from agentd.server.batching.session import Frame
from agentd.server.batching.stacks import Stacks
from agentd.server.batching.teaching import read_teach

log = logging.getLogger("agentd.responder")


def _put_learned_first(frames: list[Frame]) -> None:
    """Put the frames whose rows are learned first, so that these can be cut off as one."""
    if len(frames) > 1:
        frames.sort(key=lambda frame: not frame.session.trains)


class Responder:
    """Answers the frames of one agent: everything between its queue and its sessions."""

    def __init__(
        self,
        name: str,
        schema: Schema,
        actor: Actor,
        stacks: Stacks | None,
        learning: Learning | None,
        clock: Callable[[], float],
        values: bool,
        codec: ActionCodec | None = None,
    ) -> None:
        self.states = StreamStates()
        self.returns = Returns()
        self.masks = LastMasks(schema)
        self.keeps_masks = False  # whether a session may say what was played
        self.counters = Counters()
        self.followed: FollowedReturns | None = None
        self._name, self._schema, self._actor, self._stacks = name, schema, actor, stacks
        self._learning, self._codec = learning, codec
        self._clock = clock
        self._values = values  # taught targets are values, not classes
        self._joiner = Joiner(schema)
        self._fast_path: FastPath | None = None
        noted = learning is not None and not learning.learns_steps  # every answered frame is noted
        if stacks is None and not noted and FastPath.fits(schema, actor, codec):
            self._fast_path = FastPath(schema, actor, codec)

    def answer(self, group: list[Frame]) -> None:
        """Answer every frame of a group, in which a session has at most one; raise nothing."""
        if not self._answer_plain(group):
            self.answer_as_batch(group)

    def answer_as_batch(self, group: list[Frame]) -> None:
        """Do as ``answer``, without the fast path: a pass that was made in advance is used."""
        steps = []
        for frame in group:
            if frame.fault is not None:
                self._refuse(frame, frame.fault)
            elif isinstance(frame.message, Teach):
                self._learn_taught(frame, frame.message)
            else:
                steps.append(frame)
        _put_learned_first(steps)
        while steps:
            batch = self._joiner.join(steps)
            try:
                check_batch(self._schema, self.states, self.masks.bits, batch)
            except ProtocolError as fault:
                steps = self._without_faulty(steps, fault)
            else:
                self._answer_batch(batch)
                return

    def foresee(self, group: list[Frame]) -> Question | None:
        """Return what the network will be asked for a group; None where it is not known yet."""
        steps = [f for f in group if f.fault is None and not isinstance(f.message, Teach)]
        _put_learned_first(steps)
        while steps:
            batch = self._joiner.join(steps)
            try:
                check_batch(self._schema, self.states, self.masks.bits, batch)
            except ProtocolError:
                steps = [frame for frame, fault in self._checked(steps) if fault is None]
            else:
                return self._question(batch)
        return None

    def _question(self, batch: Batch) -> Question | None:
        obs, played, memory = batch.obs.copy(), None, None
        if self._stacks is not None:
            if corrected(batch.facts, len(batch)) is not None:
                return None
            obs, played = self._stacks.look(batch.stream, batch.kind, obs)
            memory = self._stacks.memory(batch.stream, batch.kind)
        return Question(obs, played, self._learned_rows(batch), self._head, memory)

    def followed_stats(self) -> dict[str, Any]:
        """What was expected of actions and what followed, where that is looked at."""
        return {} if self.followed is None else self.followed.stats()

    # -- steps ---------------------------------------------------------------------------------

    def _answer_plain(self, group: list[Frame]) -> bool:
        """Answer a group of plain frames at once; False when it must be a batch."""
        if self._fast_path is None:
            return False
        try:
            answers = self._fast_path.answers(group)
        except Exception:
            self._fail(group)
        else:
            if answers is None:
                return False
            self._send(group, answers, len(group) * group[0].rows)
        return True

    def _answer_batch(self, batch: Batch) -> None:
        learning = self._learning
        try:
            choice = self._act(batch)
            answers = encode_answers(batch, choice, self._codec)
        except Exception:
            self._fail(batch.frames)
            return
        for frame in batch.frames:
            if frame.session.plain:
                frame.session.open_streams = frame.open_streams()
            if learning is not None and not learning.learns_steps:
                learning.note(frame.session, frame.seq)
        self._send(batch.frames, answers, len(batch))

    def _send(self, frames: list[Frame], answers: list[bytes], rows: int) -> None:
        if self._learning is not None and self._learning.sync.holds:
            held = [i for i, frame in enumerate(frames) if frame.session.trains]
            if held:
                self._hold(frames, answers, held)
                others = [i for i, frame in enumerate(frames) if not frame.session.trains]
                frames, answers = [frames[i] for i in others], [answers[i] for i in others]
                rows = sum(frame.rows for frame in frames)
        if frames:
            self._release(frames, answers, rows)

    def _hold(self, frames: list[Frame], answers: list[bytes], which: list[int]) -> None:
        """Send some of the answers once their rows are on the disk."""
        assert self._learning is not None
        kept = [frames[i] for i in which]
        rows = sum(frame.rows for frame in kept)
        self._learning.sync.hold(self._release, kept, [answers[i] for i in which], rows)

    def _release(self, frames: list[Frame], answers: list[bytes], rows: int) -> None:
        for frame, answer in zip(frames, answers, strict=True):
            frame.session.answer(frame.seq, answer)
        if rows:
            self.counters.count(frames, rows, self._clock())

    def _answer_alone(self, frame: Frame, answer: bytes) -> None:
        """Send an answer that no pass made, behind those of its session that are held back."""
        if frame.session.held and self._learning is not None:
            self._learning.sync.hold(self._release, [frame], [answer], 0)
        else:
            frame.session.answer(frame.seq, answer)

    def _fail(self, frames: list[Frame]) -> None:
        """Refuse every frame after a fault of ours, so that no peer waits for ever."""
        log.exception("acting failed agent=%s frames=%d", self._name, len(frames))
        for frame in frames:
            self._refuse(frame, ProtocolError(Code.INTERNAL, "the server failed; see its log"))

    def _without_faulty(self, steps: list[Frame], fault: ProtocolError) -> list[Frame]:
        if len(steps) == 1:
            self._refuse(steps[0], fault)
            return []
        checked = self._checked(steps)
        for frame, own in checked:
            if own is not None:
                self._refuse(frame, own)
        return [frame for frame, own in checked if own is None]

    def _checked(self, steps: list[Frame]) -> list[tuple[Frame, ProtocolError | None]]:
        """Each frame, and the rule that it breaks by itself, if any."""
        found: list[tuple[Frame, ProtocolError | None]] = []
        for frame in steps:
            try:
                batch = self._joiner.join([frame])
                check_batch(self._schema, self.states, self.masks.bits, batch)
                found.append((frame, None))
            except ProtocolError as fault:
                found.append((frame, fault))
        return found

    def _act(self, batch: Batch) -> Choice:
        learned = self._learned_rows(batch)
        learning, shown = self._learning, batch.mask
        if self._codec is not None:
            batch.number(self._codec)
        obs, played, memory = batch.obs, None, None
        if (taken := corrected(batch.facts, len(batch))) is not None:
            stream = batch.stream[taken.row]
            if self._stacks is not None:
                self._stacks.overrule(stream, taken.action)
            if self._actor.holds is not None:
                self._actor.holds.release(stream[taken.by > 0])
        if self._stacks is not None:
            obs, played = self._stacks.push(batch.stream, batch.kind, obs)
            memory = self._stacks.memory(batch.stream, batch.kind)
        head, steps = self._head, 0 if learning is None else learning.env_steps
        choice = self._actor.act(
            obs,
            batch.mask,
            batch.kind,
            batch.local.astype(np.int64) if self._actor.needs_streams else None,
            batch.streams,
            learned,
            head,
            steps,
            played=played,
            slot=batch.stream,
            memory=memory,
        )
        turn_down(batch, self._actor, head, steps, choice)
        if self._stacks is not None:
            self._stacks.note(batch.stream, choice.action, choice.memory)
        if learned and learning is not None:
            learning.keep(batch, learned, choice)
            if self.followed is not None:
                self._follow(self.followed, batch, learned, choice, overruled=taken is not None)
        self.states.apply(batch.stream, batch.kind)
        if self.keeps_masks:
            self.masks.note(batch.stream, shown)
        roles = [(f.session.role, end) for f, end in zip(batch.frames, batch.ends, strict=True)]
        success = None if batch.facts is None else batch.facts.success
        self.returns.add(batch.stream, batch.kind, batch.reward, roles, success)
        return choice

    def _follow(
        self, followed: FollowedReturns, batch: Batch, rows: int, choice: Choice, *, overruled: bool
    ) -> None:
        """Let the learned rows of a batch be followed, unless others chose what was played."""
        if overruled:
            followed.forget()
            return
        followed.look(
            batch.stream[:rows],
            batch.kind[:rows],
            batch.reward[:rows],
            choice.action[:rows],
            choice.q[:rows],
        )

    @property
    def _head(self) -> int:
        """Absolute index that the next learned row will have."""
        return 0 if self._learning is None else self._learning.head

    def _learned_rows(self, batch: Batch) -> int:
        """How many leading rows belong to sessions that train."""
        if self._learning is None or not self._learning.learns_steps:
            return 0
        end = 0
        for frame, upto in zip(batch.frames, batch.ends, strict=True):
            if not frame.session.trains:
                break
            end = upto
        return end

    # -- teaching and refusing -------------------------------------------------------------------

    def _learn_taught(self, frame: Frame, message: Teach) -> None:
        learning = self._learning
        assert learning is not None
        try:
            rows = read_teach(self._schema, message, frame.rows, self._values)
            queued = learning.teach(frame.session, message.seq, rows)
        except StorageError as fault:
            self._refuse(frame, ProtocolError(Code.STORAGE_FAILED, str(fault)))
            return
        except ProtocolError as fault:
            self._refuse(frame, fault)
            return
        reply = TaughtReply(seq=message.seq, queued=queued, version=self._actor.version)
        if learning.sync.holds:
            learning.sync.hold(self._release, [frame], [encode(reply)], 0)
        else:
            frame.session.answer(message.seq, encode(reply))

    def _refuse(self, frame: Frame, fault: ProtocolError) -> None:
        fault.seq = frame.seq
        if self._learning is not None:
            self._learning.note(frame.session, fault.seq)
        self.counters.refused_frames += 1
        log.info(
            "frame refused agent=%s seq=%d code=%s %s", self._name, fault.seq, fault.code, fault
        )
        self._answer_alone(frame, encode(fault.to_message()))
