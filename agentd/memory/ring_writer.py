"""What the writers of both rings share: their file, their counters and how they are closed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.errors import StorageError
from agentd.memory.mapped_file import RingCounters, RingFile
from agentd.memory.recall import last_seqs


class RingWriter:
    """The one writer of a ring file.

    Row i lies in slot ``i % physical``; of the physical slots the newest ``capacity`` count.
    """

    def __init__(self, file: RingFile, capacity: int) -> None:
        self._file, self.capacity = file, capacity
        self.physical = file.rows
        self.max_append = (self.physical - capacity) // 2
        self._counters = file.commit.read()

    @property
    def head(self) -> int:
        """Absolute index of the next row."""
        return self._counters.head

    @property
    def counters(self) -> RingCounters:
        """What is committed."""
        return self._counters

    @property
    def oldest(self) -> int:
        """Absolute index of the oldest row that is whole."""
        return max(self._file.start, self.head - self.capacity)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The mapped columns by name, each (C, …), indexed by ``absolute % physical``."""
        return self._file.columns

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._file.path

    @property
    def waiting(self) -> NDArray[np.int64]:
        """(1,) shared word: 2 + the due point whose publication the server waits for, or 0."""
        return self._file.waiting

    def last_seqs(self) -> dict[int, int]:
        """Return the newest seq of every session that has rows in the ring."""
        return last_seqs(self.columns, self.oldest, self.head)

    def mark_durable(self, counters: RingCounters) -> None:
        """Note that the rows below ``counters.head`` are on disk: power loss goes back to here."""
        if counters.head >= self._file.durable.read().head:
            self._file.durable.write(counters)

    def sync(self) -> None:
        """Wait until all rows written so far are on the disk. Raises StorageError."""
        try:
            self._file.sync()
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error

    def sync_header(self) -> None:
        """Wait until what `mark_durable` noted is on the disk. Raises StorageError."""
        try:
            self._file.sync_header()
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error

    def has_room(self, rows: int) -> bool:
        """Whether the disk takes so many rows more."""
        try:
            self._room(rows)
        except StorageError:
            return False
        return True

    def close(self, *, clean: bool = True) -> None:
        """Stop writing; ``clean`` waits until all of it is on disk. Raises OSError."""
        self._file.close(clean=clean)

    def _room(self, rows: int) -> list[tuple[slice, slice]]:
        """Claim slots for ``rows`` rows: one pair (slots, rows of the batch), or two at the end.

        Raises StorageError when the disk is full; nothing has changed then.
        """
        if not 0 < rows <= self.max_append:
            raise ValueError(f"want 1..{self.max_append} rows, got {rows}")
        slot = self.head % self.physical
        fits = min(rows, self.physical - slot)
        self._file.reserve(slot + fits)
        parts = [(slice(slot, slot + fits), slice(0, fits))]
        if fits < rows:
            parts.append((slice(0, rows - fits), slice(fits, rows)))
        return parts
