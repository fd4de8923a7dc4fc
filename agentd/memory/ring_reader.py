"""The rings as the learner process sees them: mapped read-only, nothing copied."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.learners.supervised import TeachRows
from agentd.engine.replay.rows import RowFormat, Rows
from agentd.memory.layout import replay_columns
from agentd.memory.mapped_file import (
    Column,
    RingCounters,
    RingDamaged,
    RingFile,
    committed,
    identity_of,
)
from agentd.memory.teach_ring import teach_columns


class RingReader:
    """What both rings have in common: counters, the window of whole rows, the waiting word."""

    def __init__(self, path: Path, identity: Mapping[str, Any], columns: tuple[Column, ...]):
        self.capacity = int(identity["capacity"])
        self.slack = int(identity["slack"])
        self._file = RingFile.read_only(path, columns, self.capacity + self.slack)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._file.path

    @property
    def head(self) -> int:
        """How many rows are committed: the absolute index of the next one."""
        return self._file.commit.read().head

    @property
    def counters(self) -> RingCounters:
        """What is committed."""
        return self._file.commit.read()

    @property
    def oldest(self) -> int:
        """Absolute index of the oldest row that counts, never one that may be written over now."""
        return self.window(self.head)[0]

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The mapped columns by name, each (C, …), indexed by ``absolute % C``."""
        return self._file.columns

    def copy(self, lo: int, hi: int, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
        """Return rows [lo, hi) of some columns as copies; None where they were written over."""
        slot = np.arange(lo, hi) % self._file.rows
        found = {name: self._file.columns[name][slot] for name in names}
        whole = max(self._file.start, self.head + self.slack // 2 - self._file.rows) <= lo
        return found if whole else None

    @property
    def awaited(self) -> int | None:
        """The due point whose publication the server waits for, None when it does not wait."""
        waiting = int(self._file.waiting[0])
        return waiting - 2 if waiting else None

    def window(self, hi: int) -> tuple[int, bool]:
        """Return the lowest row that may be sampled below ``hi``, and whether nothing is missing.

        That is ``hi - capacity`` unless the writer is so far ahead that it may be writing over
        these rows by now.
        """
        wanted = max(self._file.start, hi - self.capacity)
        safe = self.head + self.slack // 2 - self._file.rows
        return max(wanted, safe), safe <= wanted

    def sync(self) -> None:
        """Wait until the rows committed so far are on the disk. Raises OSError."""
        self._file.sync()

    def rows(self, hi: int) -> Rows | TeachRows:
        """Return the columns, as they look to someone who sees rows below ``hi`` only."""
        raise AssertionError("a reader is one of the two below")


class ReplayRingReader(RingReader):
    """Rows of steps, for Q-learning."""

    def __init__(self, path: Path, format: RowFormat) -> None:
        """Open the ring at ``path``. Raises RingMismatch, StorageError."""
        identity = identity_of(path)
        width, actions, branches = (
            int(identity[key]) for key in ("row_bytes", "n_actions", "branches")
        )
        backwards, elapsed = (bool(identity.get(key, False)) for key in ("backwards", "elapsed"))
        memory = int(identity.get("memory", 0))
        columns = replay_columns(width, actions, branches, backwards, elapsed, memory)
        super().__init__(path, identity, columns)
        column = self._file.columns
        self._rows = Rows(
            format,
            column["obs"],
            column["mask_bits"],
            column["action"],
            column["reward"],
            column["kind"],
            column["next"],
            column["explored"],
            column["stream"],
            column["version"],
            prev=column["prev"] if backwards else None,
            elapsed=column["elapsed"] if elapsed else None,
            memory=column["memory"].reshape(-1, memory) if memory else None,
        )

    def rows(self, hi: int) -> Rows:
        """Return the columns; masks count once a row below ``hi`` carried one."""
        since = self._file.commit.read().masks_since
        self._rows.has_masks = 0 <= since < hi
        return self._rows


class TeachRingReader(RingReader):
    """Taught rows, for supervised learning."""

    def __init__(self, path: Path, format: RowFormat) -> None:
        """Open the ring at ``path``. Raises RingMismatch, StorageError."""
        identity = identity_of(path)
        columns = teach_columns(
            int(identity["row_bytes"]), str(identity["target"]), int(identity["width"])
        )
        super().__init__(path, identity, columns)
        column = self._file.columns
        self._rows = TeachRows(format, column["obs"], column["target"], column["weight"])

    def rows(self, hi: int) -> TeachRows:
        """Return the columns."""
        return self._rows


def open_reader(folder: Path, format: RowFormat, *, taught: bool) -> RingReader:
    """Open the ring in an agent's ``replay`` folder. Raises RingMismatch, StorageError."""
    return (
        TeachRingReader(folder / TEACH, format)
        if taught
        else ReplayRingReader(folder / ROWS, format)
    )


def has_rows(path: Path) -> bool:
    """Whether there is a ring file into which rows were written, or one that is damaged."""
    if not path.exists():
        return False
    try:
        return committed(path).head > 0
    except RingDamaged:
        return True


ROWS, TEACH = "rows.ring", "teach.ring"
"""The rings' file names in an agent's ``replay`` folder."""
