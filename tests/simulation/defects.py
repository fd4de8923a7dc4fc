"""Defects that are planted to see whether the simulation finds them, each by a promise's name."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from agentd.memory.ring_writer import RingWriter
from agentd.protocol import rows
from agentd.server.batching import batch, responder
from agentd.server.batching.actor import Choice
from agentd.server.batching.learning import Learning
from agentd.server.peers.connection import Connection
from agentd.store import Files, manifest


@contextlib.contextmanager
def _put(owner: Any, **defects: Any) -> Iterator[None]:
    sound = {name: getattr(owner, name) for name in defects}
    for name, defect in defects.items():
        setattr(owner, name, defect)
    try:
        yield
    finally:
        for name, each in sound.items():
            setattr(owner, name, each)


def loses_a_row() -> Any:
    """One answer in a thousand is given for rows that are not kept."""
    keep, count = Learning.keep, itertools.count(1)

    def defect(self: Learning, *of: Any) -> None:
        if next(count) % 1000:
            keep(self, *of)

    return _put(Learning, keep=defect)


def learns_twice() -> Any:
    """A frame that is sent again is taken as a new one."""
    take, take_known = Connection._take, Connection._take_known

    def defect(self: Connection, message: Any) -> None:
        assert self.session is not None
        self.session.last_seq = min(self.session.last_seq, message.seq - 1)
        take(self, message)

    def defect_known(self: Connection, pattern: Any, seq: int, data: bytes) -> None:
        assert self.session is not None
        self.session.last_seq = min(self.session.last_seq, seq - 1)
        take_known(self, pattern, seq, data)

    return _put(Connection, _take=defect, _take_known=defect_known)


def crosses_answers() -> Any:
    """Where frames of one pass bring more than three rows, the actions are dealt in reverse."""
    encode = responder.encode_answers

    def defect(frames: batch.Batch, choice: Choice, codec: Any) -> list[bytes]:
        if len(choice.action) > 3:
            choice = dataclasses.replace(choice, action=choice.action[::-1])
        return encode(frames, choice, codec)

    return _put(responder, encode_answers=defect)


def forgets_to_sync() -> Any:
    """Files of a checkpoint are given their name without a wait for the disk."""
    return _put(Files, sync=lambda self, fd: None)


def answers_too_early() -> Any:
    """With ``always`` the header is noted as durable, and never waited for."""
    return _put(RingWriter, sync_header=lambda self: None)


def believes_what_it_reads() -> Any:
    """Checkpoints are not compared with their checksums."""
    return _put(manifest, file_entry=lambda data: {"size": len(data)})


def takes_poison() -> Any:
    """Numbers that are not finite are not looked for."""
    return _put(rows, check_finite=lambda *_: None)


DEFECTS: dict[str, tuple[Callable[[], Any], str]] = {
    "loses a row": (loses_a_row, "are not in the ring"),
    "learns twice": (learns_twice, "in the ring twice"),
    "crosses answers": (crosses_answers, "in the ring|was answered by"),
    "forgets to sync": (forgets_to_sync, "was acknowledged"),
    "answers too early": (answers_too_early, "rows lost"),
    "takes poison": (takes_poison, "not finite"),
    "believes what it reads": (believes_what_it_reads, "is damaged, and was taken"),
}
"""Each defect, and what the simulation says of it."""
