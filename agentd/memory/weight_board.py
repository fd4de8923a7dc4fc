"""The weight board: the learner's newest weights in a mapped file, two buffers deep.

The learner alone writes, the server copies. Each buffer carries a number that is odd while it is
being written, so a reader knows that it saw half of something and reads again; the buffer before
the newest stays whole until the next publication. A learner that is killed while it writes leaves
the newest publication untouched.

File, little-endian, byte offsets; P parameters:
    0    magic    8 identity's sha256 (32)    64 boot id (36)
    128  newest buffer, u64    192 wake at rows, u64    200 beats, u64    208 patience, f64
    256  statistics, f64 each
    1024 buffer heads of 64 bytes: turn u64, due i64, version u64, a sum i64
    4096 buffer 0, float32 (P,); buffer 1 on the next page
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import time
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.errors import StorageError
from agentd.memory.mapped_file import PAGE, boot_id
from agentd.store.files import Files

_MAGIC = b"AGDBOARD"
_DIGEST, _BOOT, _NEWEST, _WAKE_AT, _BEATS, _PATIENCE = 8, 64, 128, 192, 200, 208
_STATS, _HEADS = 256, 1024
_PATIENCE_S = 1.0
_TRIES = 100

log = logging.getLogger("agentd.board")

STATS = (
    *("updates", "due", "rows", "backlog", "updates_per_second", "dropped", "skipped"),
    *("loss", "q_mean", "td_abs", "grad_norm", "lr", "accuracy"),
    *("policy_lag", "policy_lag_max", "stale"),
    *("checkpoint_step", "storage_degraded", "frozen", "diverged"),
    *("demonstrations", "margin_loss"),
    *("updates_per_row", "rows_per_second", "possible_updates_per_second"),
    *("updates_owed", "updates_forgotten", "held_out_gap"),
)
"""The board's statistics by name, in file order. A value not known yet is NaN.

Live learners alone know the last two lines: R, F and U of `agentd.learner.live`; the updates that
are due now and those that were due for too long; and how much worse rows are known that were never
trained on (`agentd.engine.learners.held_out_gap`).
"""
_COUNTS = frozenset(("updates", "due", "rows", "backlog", "dropped", "skipped", "stale"))
_COUNTS |= {"updates_owed", "updates_forgotten"}
_COUNTS |= {"policy_lag_max", "checkpoint_step", "demonstrations"}


class Publication(NamedTuple):
    """Which weights these are.

    due      due point after whose updates they were published, -1 for untrained ones
    version  updates done; what every action reply carries
    """

    due: int
    version: int


class WeightBoard:
    """The learner publishes, the server reads. Open it once in either process.

    was_damaged  the file that was there could not be used
    """

    def __init__(self, path: Path, n_params: int, *, writable: bool) -> None:
        """Use `open`."""
        self.path, self.n_params = path, n_params
        self.was_damaged = False
        self._map(writable)

    def _map(self, writable: bool) -> None:
        stride = -(-4 * self.n_params // PAGE) * PAGE
        fd = os.open(self.path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
            mapped = mmap.mmap(fd, PAGE + 2 * stride, prot=protection)
            self._file_number = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        self._newest = memoryview(mapped)[_NEWEST : _NEWEST + 8].cast("Q")
        self._wake_at = memoryview(mapped)[_WAKE_AT : _WAKE_AT + 8].cast("Q")
        self._beats = memoryview(mapped)[_BEATS : _BEATS + 8].cast("Q")
        self._patience = memoryview(mapped)[_PATIENCE : _PATIENCE + 8].cast("d")
        self._heads = [memoryview(mapped)[at : at + 32].cast("q") for at in (_HEADS, _HEADS + 64)]
        self._params: list[NDArray[np.float32]] = [
            np.frombuffer(mapped, np.float32, self.n_params, at) for at in (PAGE, PAGE + stride)
        ]
        self._stats: NDArray[np.float64] = np.frombuffer(mapped, np.float64, len(STATS), _STATS)

    @classmethod
    def open(cls, path: Path, n_params: int, *, writable: bool = False) -> WeightBoard:
        """Open the board of ``n_params`` parameters.

        It is a cache: one of another size or boot, and one that is damaged, is made anew. Either
        side may come first. Raises StorageError when the disk refuses.
        """
        try:
            damaged = _is_damaged(path, n_params)
            if damaged or not _fits(path, n_params):
                _create(path, n_params)
            board = cls(path, n_params, writable=writable)
            if not board._is_whole():
                damaged = True
                _create(path, n_params)
                board = cls(path, n_params, writable=writable)
            if damaged:
                log.warning("weight board begun anew file=%s: it was damaged", path)
            board.was_damaged = damaged
            return board
        except (OSError, ValueError) as error:
            raise StorageError(f"{path}: {error}") from error

    @property
    def newest(self) -> Publication | None:
        """The newest publication, None before the first."""
        turn = self._newest[0]
        return None if turn == 0 else self._publication(turn & 1)

    @property
    def wake_at(self) -> int:
        """Row count at which the sleeping learner wants its control pipe to ring; 0: awake."""
        return self._wake_at[0]

    @wake_at.setter
    def wake_at(self, rows: int) -> None:
        self._wake_at[0] = rows

    @property
    def beats(self) -> int:
        """A count that the learner moves while it lives."""
        return self._beats[0]

    @beats.setter
    def beats(self, count: int) -> None:
        self._beats[0] = count

    @property
    def patience_s(self) -> float:
        """For how many seconds the learner may now leave ``beats`` as it is; 0: as always."""
        return self._patience[0]

    @patience_s.setter
    def patience_s(self, seconds: float) -> None:
        self._patience[0] = seconds

    def follow(self) -> None:
        """Read the file that has taken this one's place, if any: the learner made it anew."""
        with contextlib.suppress(OSError, ValueError):
            if self.path.stat().st_ino != self._file_number:
                self._map(writable=False)

    def publish(self, params: NDArray[np.float32], publication: Publication) -> None:
        """Copy ``params`` (P,) into the older buffer, then make it the newest."""
        turn = self._newest[0] + 1
        head = self._heads[turn & 1]
        head[0] |= 1  # odd: being written
        head[1], head[2] = publication
        head[3] = _sum(params, publication)
        np.copyto(self._params[turn & 1], params)
        head[0] += 1
        self._newest[0] = turn

    def read_into(self, out: NDArray[np.float32], due: int | None = None) -> Publication | None:
        """Copy a publication into ``out`` (P,), in place, and say which one it is.

        Without ``due`` that is the newest; with it, the one of that due point, or the next later
        one where the board has only later ones (the learner went back to a checkpoint). Returns
        None, with ``out`` undefined, when there is none.
        """
        give_up = time.monotonic() + _PATIENCE_S
        while (turn := self._newest[0]) != 0:
            side = self._choose(turn & 1, due)
            if side is None:
                return None
            found = self._copy(side, out)
            if found is not None and (due is None or found.due >= due):
                return found
            if time.monotonic() > give_up:
                return None
        return None

    def stats(self) -> dict[str, float]:
        """Return the statistics by name; what counts something is a whole number, once known."""
        values = zip(STATS, self._stats.tolist(), strict=True)
        return {
            name: int(value) if name in _COUNTS and isfinite(value) else value
            for name, value in values
        }

    @property
    def updates(self) -> int | None:
        """One of the statistics alone: the updates that were made; None while not known."""
        made = float(self._stats[0])
        return int(made) if made == made else None

    def set_stats(self, values: dict[str, float]) -> None:
        """Set some of the statistics; names that are not in `STATS` are left out."""
        for name, value in values.items():
            if name in _INDEX:
                self._stats[_INDEX[name]] = value

    def _is_whole(self) -> bool:
        """Whether the newest buffer holds what was published, or nothing was."""
        turn = self._newest[0]
        if turn == 0:
            return True
        found = np.empty(self.n_params, np.float32)
        head = self._heads[turn & 1]
        for _ in range(_TRIES):  # a learner may be publishing
            publication = self._copy(turn & 1, found)
            if publication is not None and head[3] == _sum(found, publication):
                return True
        return False

    def _publication(self, side: int) -> Publication:
        head = self._heads[side]
        return Publication(head[1], head[2])

    def _choose(self, newest: int, due: int | None) -> int | None:
        """Return the side to read, None when the newest is older than ``due``."""
        if due is None or self._publication(newest).due == due:
            return newest
        last, older = self._publication(newest).due, 1 - newest
        whole = self._heads[older][0] != 0 and not self._heads[older][0] & 1
        if whole and due <= self._publication(older).due < last:
            return older
        return newest if last > due else None

    def _copy(self, side: int, out: NDArray[np.float32]) -> Publication | None:
        """Copy one side; None when it was written meanwhile."""
        head = self._heads[side]
        before = head[0]
        if before & 1 or before == 0:
            return None
        found = self._publication(side)
        np.copyto(out, self._params[side])
        return found if head[0] == before else None


_INDEX = {name: at for at, name in enumerate(STATS)}


def _sum(params: NDArray[np.float32], publication: Publication) -> int:
    """A number that differs wherever a word of the parameters or their publication was changed."""
    words = int(np.add.reduce(params.view(np.uint32), dtype=np.int64))
    return words + publication.due + 3 * publication.version


def _identity(n_params: int) -> bytes:
    return hashlib.sha256(f"board 2 {n_params} {' '.join(STATS)}".encode()).digest()


def _fits(path: Path, n_params: int) -> bool:
    """Whether there is a board of this size that no loss of power has touched."""
    try:
        with path.open("rb") as file:
            header = file.read(PAGE)
    except FileNotFoundError:
        return False
    same = header[_DIGEST : _DIGEST + 32] == _identity(n_params)
    boot = header[_BOOT : _BOOT + 36].rstrip(b"\0")
    return len(header) == PAGE and header[:8] == _MAGIC and same and boot == boot_id()


def _is_damaged(path: Path, n_params: int) -> bool:
    """Whether there is a file that is no board, or a part of one."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        header = file.read(PAGE)
    cut = path.stat().st_size != PAGE + _size(n_params)
    return header[:8] != _MAGIC or (cut and header[_DIGEST : _DIGEST + 32] == _identity(n_params))


def _size(n_params: int) -> int:
    """Bytes of both buffers."""
    return 2 * -(-4 * n_params // PAGE) * PAGE


def _create(path: Path, n_params: int) -> None:
    """Write an empty board aside, with disk space for all of it, and give it its name."""
    header = bytearray(PAGE)
    header[:8] = _MAGIC
    header[_DIGEST : _DIGEST + 32] = _identity(n_params)
    header[_BOOT : _BOOT + 36] = boot_id().ljust(36, b"\0")
    header[_STATS : _STATS + 8 * len(STATS)] = np.full(len(STATS), np.nan).tobytes()
    size = _size(n_params)
    Files().ensure_dir(path.parent)
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with aside.open("wb") as file:
        file.write(header)
        for _ in range(0, size, 1 << 20):
            file.write(bytes(min(1 << 20, size)))  # written, not sparse: a full disk shows here
        file.truncate(PAGE + size)
    aside.replace(path)
