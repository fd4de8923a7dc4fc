"""The session table: who was connected, in a mapped file that survives ``kill -9`` of the daemon.

A record is written field by field and counts once its ``live`` byte is set, so a killed writer
leaves the record or none. After power loss the table is empty: clients begin new sessions.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.errors import StorageError
from agentd.memory.mapped_file import Column, RingCounters, RingFile, RingMismatch, move_aside

_COLUMNS = (
    Column("live", "u1"),
    Column("id", "u1", 16),
    Column("run", "u1", 16),
    Column("agent", "u1", 64),
    Column("role", "u1", 8),
    Column("streams", "<u4"),
    Column("base", "<u4"),
    Column("serial", "<u4"),
    Column("since", "<u8"),
    Column("last_seq", "<u8"),
)


log = logging.getLogger("agentd.sessions")

MOST_STREAMS, MOST_SLOTS = 2**20, 2**26
"""More streams of a session, or a higher slot, are damage: nobody ever had so many."""


class TableFull(StorageError):
    """Every slot holds a live session."""


class SessionRecord(NamedTuple):
    """One live session.

    slot      where it lies in the table
    serial    number that no other session of this data directory has: the rows' ``session``
    base      its first global stream slot in its agent; it owns ``streams`` of them
    since     ring head when its streams were last closed: episodes of older rows are over
    last_seq  newest frame taken, as far as the table knows; the ring may know a newer one
    """

    slot: int
    serial: int
    id: bytes
    run: bytes
    agent: str
    role: str
    streams: int
    base: int
    since: int
    last_seq: int


class SessionTable:
    """All sessions of a data directory. One process writes; ``last_seq[slots] = seqs`` is open.

    ``last_seq`` (slots,) uint64 is the mapped column: store a frame's number after its rows are
    in the ring.
    """

    def __init__(self, file: RingFile) -> None:
        """Use `open`."""
        self._file = file
        self._serial = file.commit.read().head
        live = file.columns["live"] == 1
        self._free = np.flatnonzero(~live)[::-1].tolist()
        self.last_seq: NDArray[np.uint64] = file.columns["last_seq"]

    @classmethod
    def open(cls, path: Path, slots: int = 16384) -> SessionTable:
        """Open or create the table; one that is damaged or of another size is begun anew.

        A lost table ends sessions: their clients begin new ones. Raises StorageError.
        """
        identity = {"file": "sessions", "format": 1, "slots": slots}
        try:
            file, _ = RingFile.open(path, identity, _COLUMNS, slots, RingCounters(head=1))
        except RingMismatch as fault:
            aside = move_aside(path)
            log.warning("session table begun anew kept=%s reason=%r", aside, str(fault))
            begin = RingCounters(head=1 + int(time.time()) % 2**31)  # above the serials of before
            file, _ = RingFile.open(path, identity, _COLUMNS, slots, begin)
        file.reserve(slots)
        if file.lost_power():
            file.columns["live"][:] = 0
        file.begin_writing()
        return cls(file)

    def skip_serials(self, last: int) -> None:
        """Give no serial up to ``last``: rows have it that outlived this table's memory of it."""
        self._serial = max(self._serial, last + 1)

    def claim(
        self, id: bytes, run: bytes, agent: str, role: str, streams: int, base: int
    ) -> SessionRecord:
        """Enter a new session. Raises TableFull; ValueError on ids that are not 16 bytes."""
        if len(id) != 16 or len(run) != 16 or len(agent.encode()) > 64 or len(role) > 8:
            raise ValueError("want id and run of 16 bytes, agent of at most 64, role of at most 8")
        if not self._free:
            raise TableFull("the session table is full")
        slot = self._free.pop()
        serial = self._serial
        self._serial += 1
        self._file.commit.write(RingCounters(head=self._serial))  # a serial is never given twice
        for name, value in (
            *(("id", _bytes(id, 16)), ("run", _bytes(run, 16)), ("role", _bytes(role, 8))),
            *(("agent", _bytes(agent, 64)), ("streams", streams), ("base", base)),
            *(("serial", serial), ("since", 0), ("last_seq", 0)),
        ):
            self._file.columns[name][slot] = value
        self._file.columns["live"][slot] = 1
        return self.record(slot)

    def release(self, slot: int) -> None:
        """Remove a session; its slot may be given away at once."""
        if self._file.columns["live"][slot]:
            self._file.columns["live"][slot] = 0
            self._free.append(slot)

    def cut(self, slot: int, head: int, run: bytes | None = None) -> None:
        """Note that the session's streams were closed at ring head ``head``, maybe by a new run."""
        self._file.columns["since"][slot] = head
        if run is not None:
            self._file.columns["run"][slot] = _bytes(run, 16)

    def record(self, slot: int) -> SessionRecord:
        """Return the live session in ``slot``. Raises KeyError when there is none."""
        column = self._file.columns
        if not column["live"][slot]:
            raise KeyError(slot)
        numbers = ("serial", "streams", "base", "since", "last_seq")
        return SessionRecord(
            slot=slot,
            id=column["id"][slot].tobytes(),
            run=column["run"][slot].tobytes(),
            agent=_text(column["agent"][slot]),
            role=_text(column["role"][slot]),
            **{name: int(column[name][slot]) for name in numbers},
        )

    def live(self) -> list[SessionRecord]:
        """Return every live session, by slot; what is no session is released with a warning."""
        found = []
        for slot in np.flatnonzero(self._file.columns["live"]).tolist():
            try:
                found.append(self._checked(slot))
            except ValueError as fault:
                log.warning("session forgotten slot=%d reason=%r", slot, str(fault))
                self.release(slot)
        return found

    def _checked(self, slot: int) -> SessionRecord:
        """The record in ``slot``. Raises ValueError when it is none that was ever claimed."""
        record = self.record(slot)
        if not 1 <= record.streams <= MOST_STREAMS or record.base > MOST_SLOTS or not record.agent:
            raise ValueError(f"no session: {record.streams} streams from slot {record.base}")
        return record

    def close(self, *, clean: bool = True) -> None:
        """Stop writing; ``clean`` waits until all of it is on disk. Raises OSError."""
        self._file.close(clean=clean)


def _bytes(value: bytes | str, width: int) -> NDArray[np.uint8]:
    raw = value.encode() if isinstance(value, str) else value
    return np.frombuffer(raw.ljust(width, b"\0"), np.uint8)


def _text(raw: NDArray[Any]) -> str:
    return raw.tobytes().rstrip(b"\0").decode()
