"""Memory-mapped ring files: a header page, then one page-aligned column after the other.

A file has one writer. It survives ``kill -9`` at any moment with the old or the new state, never
half of one: the counters exist twice, and one aligned 8-byte word says which copy holds. What a
killed process wrote lies in the page cache, so the order of the writes is all that matters. (A
reader on another core needs that order too: x86 keeps it; elsewhere the interpreter's own locks
between two writes are what there is.)
Power loss is another matter: the file then goes back to the last `mark_durable`.

Header, little-endian, byte offsets:
    0   magic            8 identity's sha256 (32 bytes)   40 first row that counts, u64
    64  boot id (36)     104 closed cleanly, u8           192 server_waiting, i64
    256 commit: word u64, records at +64 and +128         512 durable: likewise
    1024 identity: length u32, JSON
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.errors import StorageError
from agentd.store.files import Files

PAGE = 4096
_MAGIC = b"AGDRING1"
_DIGEST, _START, _BOOT, _CLEAN, _WAITING, _COMMIT, _DURABLE, _IDENTITY = (
    *(8, 40, 64, 104, 192, 256, 512, 1024),
)
_RECORD = struct.Struct("<QQQdq")
_CHUNK_BYTES = 16 << 20
"""Disk space is claimed ahead in pieces of this size: a full disk is an error, never a SIGBUS."""


class RingMismatch(StorageError):
    """The file was made for other rows: another schema, capacity or format."""


class RingDamaged(RingMismatch):
    """The file is no ring file, or a part of one."""


class Column(NamedTuple):
    """One column: ``width`` numbers of ``dtype`` per row; width 0 makes a 1-D column."""

    name: str
    dtype: str
    width: int = 0


class RingCounters(NamedTuple):
    """What is committed together with the rows.

    head         absolute index of the next row; rows below it are complete
    env_steps    rows that got an action (kinds first and mid), as the ε schedule counts them
    episodes     episodes that ended (terminated or truncated; a cut one does not count)
    return_sum   sum of the returns of those episodes
    masks_since  absolute index of the first row that carried a mask, -1 while there is none
    """

    head: int = 0
    env_steps: int = 0
    episodes: int = 0
    return_sum: float = 0.0
    masks_since: int = -1


def boot_id() -> bytes:
    """36 bytes that change with every boot of the machine; empty where the system has none.

    Where it is empty, a file that was not closed is taken as it is.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()[:36]
    except OSError:
        return b""


class _Switch:
    """Counters in two places and the word that says which one holds."""

    def __init__(self, mapped: mmap.mmap | bytes, at: int) -> None:
        self._mapped = mapped
        self._word = memoryview(mapped)[at : at + 8].cast("Q")
        self._records = (at + 64, at + 128)

    def write(self, counters: RingCounters) -> None:
        """Make ``counters`` hold, all at once."""
        turn = self._word[0] + 1
        _RECORD.pack_into(self._mapped, self._records[turn & 1], *counters)
        self._word[0] = turn

    def read(self) -> RingCounters:
        """Return the counters that hold; consistent while another process writes."""
        while True:
            turn = self._word[0]
            counters = RingCounters._make(
                _RECORD.unpack_from(self._mapped, self._records[turn & 1])
            )
            if self._word[0] == turn:
                return counters

    @property
    def written(self) -> bool:
        """Whether anything was ever written."""
        return self._word[0] != 0


class RingFile:
    """A mapped ring file. ``columns[name]`` is (rows,) or (rows, width), indexed by slot."""

    def __init__(self, path: Path, columns: Sequence[Column], rows: int, *, writable: bool) -> None:
        """Map an existing file; use `open` or `read_only`."""
        self.path, self.rows = path, rows
        self._columns, self._offsets = tuple(columns), _offsets(columns, rows)
        self._fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        self._mapped = mmap.mmap(self._fd, self._offsets[-1], prot=protection)
        self.commit = _Switch(self._mapped, _COMMIT)
        self.durable = _Switch(self._mapped, _DURABLE)
        self.waiting = np.frombuffer(self._mapped, np.int64, 1, _WAITING)
        self._start = np.frombuffer(self._mapped, np.uint64, 1, _START)
        self.columns = {
            column.name: self._map(column, offset)
            for column, offset in zip(self._columns, self._offsets, strict=False)
        }
        self._reserved = 0

    @classmethod
    def open(
        cls,
        path: Path,
        identity: Mapping[str, Any],
        columns: Sequence[Column],
        rows: int,
        begin: RingCounters,
    ) -> tuple[RingFile, bool]:
        """Open for writing, or create with counters ``begin``; say whether it was created.

        Raises RingMismatch when the file is of another identity, RingDamaged when it is none or
        was cut, StorageError when the disk refuses.
        """
        try:
            created = not path.exists()
            if created:
                _create(path, identity, _offsets(columns, rows)[-1], begin)
            check_identity(path, identity)
            _check_size(path, _offsets(columns, rows)[-1])
            file = cls(path, columns, rows, writable=True)
        except (OSError, ValueError) as error:
            raise StorageError(f"{path}: {error}") from error
        if not file._counts():
            file.close()
            raise RingDamaged(f"{path}: its counters contradict each other")
        file._reserved = 0 if created else file._allocated()
        return file, created

    @classmethod
    def read_only(cls, path: Path, columns: Sequence[Column], rows: int) -> RingFile:
        """Open for reading. Raises StorageError."""
        try:
            return cls(path, columns, rows, writable=False)
        except (OSError, ValueError) as error:
            raise StorageError(f"{path}: {error}") from error

    @property
    def start(self) -> int:
        """Absolute index of the first row that counts; earlier ones are void."""
        return int(self._start[0])

    def set_start(self, start: int) -> None:
        """Make rows below ``start`` void."""
        self._start[0] = start

    def lost_power(self) -> bool:
        """Whether the machine went down while the file was open for writing."""
        boot = self._mapped[_BOOT : _BOOT + 36].rstrip(b"\0")
        return not self._mapped[_CLEAN] and bool(boot) and boot != boot_id()

    def begin_writing(self) -> None:
        """Note on disk that the file is in use in this boot of the machine."""
        self._mapped[_BOOT : _BOOT + 36] = boot_id().ljust(36, b"\0")
        self._mapped[_CLEAN] = 0
        self.waiting[0] = 0
        self.sync_header()

    def reserve(self, end: int) -> None:
        """Claim disk space for the slots below ``end``. Raises StorageError on a full disk."""
        if end <= self._reserved:
            return
        row_bytes = max(1, (self._offsets[-1] - PAGE) // self.rows)
        end = min(self.rows, max(end, self._reserved + max(256, _CHUNK_BYTES // row_bytes)))
        try:
            for column, offset in zip(self._columns, self._offsets, strict=False):
                size = _row_size(column)
                _claim(self._fd, offset + self._reserved * size, (end - self._reserved) * size)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        self._reserved = end

    def sync(self) -> None:
        """Wait until everything written so far, by any process, is on the disk."""
        getattr(os, "fdatasync", os.fsync)(self._fd)

    def sync_header(self) -> None:
        """Wait until the header is on the disk."""
        self._mapped.flush(0, PAGE)

    def close(self, *, clean: bool = False) -> None:
        """Forget the file; ``clean`` puts everything on disk first and says so in the header."""
        if clean:
            self.sync()
            self._mapped[_CLEAN] = 1
            self.sync()
        os.close(self._fd)
        self.columns = {}

    def _counts(self) -> bool:
        """Whether the counters are numbers that a writer may have left."""
        newest, durable = self.commit.read(), self.durable.read()
        return (
            self.start <= newest.head
            and durable.head <= newest.head
            and all(
                0 <= c.head < 2**62
                and min(c.env_steps, c.episodes) >= 0
                and math.isfinite(c.return_sum)
                and -1 <= c.masks_since <= c.head
                for c in (newest, durable)
            )
        )

    def _map(self, column: Column, offset: int) -> NDArray[Any]:
        count = self.rows * max(1, column.width)
        flat: NDArray[Any] = np.frombuffer(self._mapped, column.dtype, count, offset)
        return flat.reshape(self.rows, column.width) if column.width else flat

    def _allocated(self) -> int:
        """Slots that have disk space: none or all, as far as can be told cheaply."""
        enough = os.fstat(self._fd).st_blocks * 512 >= self._offsets[-1] - PAGE
        return self.rows if enough else 0


def file_bytes(columns: Sequence[Column], rows: int) -> int:
    """How large a ring file of ``rows`` slots is, once all of them were written."""
    return _offsets(columns, rows)[-1]


def kept_slack(path: Path, slack: int) -> int:
    """The slack of the ring file at ``path`` where it has more than ``slack``; else ``slack``."""
    try:
        found = identity_of(path).get("slack")
    except (OSError, RingDamaged):
        return slack
    return found if type(found) is int and found > slack else slack


def identity_of(path: Path) -> dict[str, Any]:
    """Read what a ring file says about itself. Raises RingDamaged when it is no ring file."""
    with path.open("rb") as file:
        header = file.read(PAGE)
    size = int.from_bytes(header[_IDENTITY : _IDENTITY + 4], "little")
    text = header[_IDENTITY + 4 : _IDENTITY + 4 + size]
    whole = len(header) == PAGE and header[:8] == _MAGIC and len(text) == size
    if not whole or hashlib.sha256(text).digest() != header[_DIGEST : _DIGEST + 32]:
        raise RingDamaged(f"{path}: no ring file", hint="move it away; a new one is then made")
    found: dict[str, Any] = json.loads(text)
    return found


def committed(path: Path) -> RingCounters:
    """Read what is committed in a ring file. Raises RingDamaged when it is no ring file."""
    identity_of(path)
    with path.open("rb") as file:
        return _Switch(file.read(PAGE), _COMMIT).read()


def check_identity(path: Path, identity: Mapping[str, Any]) -> None:
    """Raise RingMismatch, naming the difference, unless the file is of this identity."""
    found = identity_of(path)
    for key in sorted({*identity, *found}):
        if identity.get(key) != found.get(key):
            raise RingMismatch(
                f"{path}: want {key} {identity.get(key)!r}, the file has {found.get(key)!r}",
                hint="move the file away to start with an empty one",
            )


def move_aside(path: Path) -> Path:
    """Rename a damaged file so that a new one can take its place; return its new name.

    Those of before are deleted where the disk has no room for another file of its size.
    """
    numbers = (number for number in itertools.count(1) if not _aside(path, number).exists())
    aside = _aside(path, next(numbers))
    found = os.statvfs(path.parent)
    if found.f_bavail * found.f_frsize < path.stat().st_size:
        for old in path.parent.glob(f"{path.name}.damaged-*"):
            old.unlink()
    path.replace(aside)
    return aside


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}")


def _check_size(path: Path, size: int) -> None:
    found = path.stat().st_size
    if found < size:
        raise RingDamaged(f"{path}: cut off: want {size:,} bytes, the file has {found:,}")


def _create(path: Path, identity: Mapping[str, Any], size: int, begin: RingCounters) -> None:
    """Make a sparse file under another name, then give it its own: never half a header. Durable."""
    text = json.dumps(dict(identity), sort_keys=True).encode()
    header = bytearray(PAGE)
    header[:8] = _MAGIC
    header[_DIGEST : _DIGEST + 32] = hashlib.sha256(text).digest()
    header[_START : _START + 8] = begin.head.to_bytes(8, "little")
    header[_IDENTITY : _IDENTITY + 4 + len(text)] = len(text).to_bytes(4, "little") + text
    _RECORD.pack_into(header, _COMMIT + 64, *begin)
    _RECORD.pack_into(header, _DURABLE + 64, *begin)
    files = Files()
    files.ensure_dir(path.parent)
    aside = path.with_name(path.name + ".new")
    with aside.open("wb") as file:
        file.write(header)
        file.truncate(size)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    files.sync_dir(path.parent)  # what is synced in it later can be found again


def _offsets(columns: Sequence[Column], rows: int) -> list[int]:
    """Where each column begins, and the file's size at the end; all multiples of a page."""
    offsets = [PAGE]
    for column in columns:
        size = rows * _row_size(column)
        offsets.append(offsets[-1] + -(-size // PAGE) * PAGE)
    return offsets


def _row_size(column: Column) -> int:
    return np.dtype(column.dtype).itemsize * max(1, column.width)


def _claim(fd: int, offset: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, size)
