"""One owner per directory, by a lock that the kernel drops when the owner dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path

from agentd.errors import Locked, StorageError

_POLL_S = 0.02


class DirectoryLock:
    """An exclusive lock on a file, which says who holds it. A context manager.

    A holder that died leaves the file and no lock.
    """

    def __init__(self, path: Path, what: str) -> None:
        """``path`` is the lock file, ``what`` it guards, for the error's text."""
        self.path, self.what = path, what
        self._fd: int | None = None

    def acquire(self, patience_s: float = 0.0) -> None:
        """Take the lock, waiting up to ``patience_s`` seconds for its holder to go.

        Raises Locked, which names the holder (exit 73), or StorageError.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        give_up = time.monotonic() + patience_s
        while not _try_lock(fd):
            if time.monotonic() >= give_up:
                holder = os.pread(fd, 4096, 0)
                os.close(fd)
                raise Locked(f"{self.what} is in use by {_tell(holder)}", hint="stop it first")
            time.sleep(_POLL_S)
        self._fd = fd
        note = {"pid": os.getpid(), "host": socket.gethostname()}
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only the note is missing
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(note).encode() + b"\n", 0)

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> DirectoryLock:
        if self._fd is None:
            self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(note: bytes) -> str:
    try:
        holder = json.loads(note)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
