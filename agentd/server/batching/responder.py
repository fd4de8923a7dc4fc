"""A wave of frames becomes answers: joined, checked, valued, explored, kept, encoded.

Frames that break a rule are refused one by one and the others of their wave are answered all the
same. Shape letters: N rows of a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from agentd.errors import StorageError
from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Taught, Teach
from agentd.protocol.rows import StreamStates
from agentd.protocol.schema import Schema
from agentd.server.batching.actor import Actor, Choice
from agentd.server.batching.answers import Counters, encode_answers
from agentd.server.batching.batch import Batch, Joiner, check_batch
from agentd.server.batching.fast_path import Quick
from agentd.server.batching.learning import Learning
from agentd.server.batching.returns import Returns
from agentd.server.batching.session import Frame
from agentd.server.batching.stacks import Stacks
from agentd.server.batching.teaching import read_teach

__all__ = ["Waves"]

log = logging.getLogger("agentd.waves")


class Waves:
    """Answers the frames of one agent: everything between its queue and its sessions."""

    def __init__(
        self,
        name: str,
        schema: Schema,
        actor: Actor,
        stacks: Stacks | None,
        clock: Callable[[], float],
        values: bool,
    ) -> None:
        self.learning: Learning | None = None
        self.states = StreamStates()
        self.returns = Returns()
        self.counters = Counters()
        self._name, self._schema, self._actor, self._stacks = name, schema, actor, stacks
        self._clock = clock
        self._values = values  # taught targets are values, not classes
        self._joiner = Joiner(schema)
        self._quick: Quick | None = None
        if stacks is None and Quick.fits(schema, actor):
            self._quick = Quick(schema, actor)

    def learn_with(self, learning: Learning) -> None:
        """Keep rows and tell taught ones; before the first wave."""
        self.learning = learning
        if not learning.learns_steps:  # every frame that is answered must be noted
            self._quick = None

    def answer(self, wave: list[Frame]) -> None:
        """Answer every frame of a wave, in which a session has at most one; raises nothing."""
        if self._answer_plain(wave):
            return
        steps = []
        for frame in wave:
            if frame.fault is not None:
                self._refuse(frame, frame.fault)
            elif isinstance(frame.message, Teach):
                self._learn_taught(frame, frame.message)
            else:
                steps.append(frame)
        if len(steps) > 1:  # rows that are learned stand first, so that they can be cut off as one
            steps.sort(key=lambda frame: not frame.session.trains)
        while steps:
            batch = self._joiner.join(steps)
            try:
                check_batch(self._schema, self.states, batch)
            except ProtocolError as fault:
                steps = self._without_guilty(steps, fault)
            else:
                self._answer_batch(batch)
                return

    # -- steps ---------------------------------------------------------------------------------

    def _answer_plain(self, wave: list[Frame]) -> bool:
        """Answer a wave of plain frames at once; False when it must be a batch."""
        if self._quick is None:
            return False
        try:
            answers = self._quick.answers(wave)
        except Exception:
            self._fail(wave)
        else:
            if answers is None:
                return False
            self._send(wave, answers, len(wave))
        return True

    def _answer_batch(self, batch: Batch) -> None:
        learning = self.learning
        try:
            choice = self._act(batch)
            answers = encode_answers(batch, choice)
        except Exception:
            self._fail(batch.frames)
            return
        for frame in batch.frames:
            if frame.session.plain:
                frame.session.calm = frame.streams_under_way()
            if learning is not None and not learning.learns_steps:
                learning.note(frame.session, frame.seq)
        self._send(batch.frames, answers, len(batch))

    def _send(self, frames: list[Frame], answers: list[bytes], rows: int) -> None:
        for frame, answer in zip(frames, answers, strict=True):
            frame.session.answer(frame.seq, answer)
        self.counters.count(frames, rows, self._clock())

    def _fail(self, frames: list[Frame]) -> None:
        """Tell the peers that wait of a fault of ours instead of leaving them to wait."""
        log.exception("acting failed agent=%s frames=%d", self._name, len(frames))
        for frame in frames:
            self._refuse(frame, ProtocolError(Code.INTERNAL, "the server failed; see its log"))

    def _without_guilty(self, steps: list[Frame], fault: ProtocolError) -> list[Frame]:
        if len(steps) == 1:
            self._refuse(steps[0], fault)
            return []
        good = []
        for frame in steps:
            try:
                check_batch(self._schema, self.states, self._joiner.join([frame]))
                good.append(frame)
            except ProtocolError as own:
                self._refuse(frame, own)
        return good

    def _act(self, batch: Batch) -> Choice:
        learned = self._learned_rows(batch)
        learning = self.learning
        obs = batch.obs
        if self._stacks is not None:
            obs = self._stacks.push(batch.stream, batch.kind, obs)
        choice = self._actor.act(
            obs,
            batch.mask,
            batch.kind,
            batch.local.astype(np.int64) if self._actor.needs_streams else None,
            batch.streams,
            learned,
            learning.head if learning is not None else 0,
            learning.env_steps if learning is not None else 0,
        )
        if learned and learning is not None:
            learning.keep(batch, learned, choice)
        self.states.apply(batch.stream, batch.kind)
        roles = [(f.session.role, end) for f, end in zip(batch.frames, batch.ends, strict=True)]
        self.returns.add(batch.stream, batch.kind, batch.reward, roles)
        return choice

    def _learned_rows(self, batch: Batch) -> int:
        """How many leading rows belong to sessions that train."""
        if self.learning is None or not self.learning.learns_steps:
            return 0
        end = 0
        for frame, upto in zip(batch.frames, batch.ends, strict=True):
            if not frame.session.trains:
                break
            end = upto
        return end

    # -- teaching and refusing -------------------------------------------------------------------

    def _learn_taught(self, frame: Frame, message: Teach) -> None:
        learning = self.learning
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
        reply = Taught(seq=message.seq, queued=queued, version=self._actor.version)
        frame.session.answer(message.seq, encode(reply))

    def _refuse(self, frame: Frame, fault: ProtocolError) -> None:
        fault.seq = frame.seq
        if self.learning is not None:
            self.learning.note(frame.session, fault.seq)
        self.counters.refused_frames += 1
        log.info(
            "frame refused agent=%s seq=%d code=%s %s", self._name, fault.seq, fault.code, fault
        )
        frame.session.answer(fault.seq, encode(fault.to_message()))
