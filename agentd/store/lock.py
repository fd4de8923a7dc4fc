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
    """An exclusive lock on a folder, with a file in it that says who holds it. A context manager.

    The folder itself is locked too, where the system can: whoever removes the file takes nothing.
    A holder that died leaves the file and no lock.
    """

    def __init__(self, path: Path, what: str) -> None:
        """``path`` is the lock file, ``what`` it guards, for the error's text."""
        self.path, self.what = path, what
        self._fds: list[int] = []

    def acquire(self, patience_s: float = 0.0) -> None:
        """Take the lock, waiting up to ``patience_s`` seconds for its holder to go.

        Raises Locked, which names the holder (exit 73), or StorageError.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._fds = [fd, os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)]
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        give_up = time.monotonic() + patience_s
        while not (_try_lock(fd) and _try_lock(self._fds[1], must=False)):
            if time.monotonic() >= give_up:
                holder = os.pread(fd, 4096, 0)
                self.release()
                raise Locked(f"{self.what} is in use by {_tell(holder)}", hint="stop it first")
            time.sleep(_POLL_S)
        note = {"pid": os.getpid(), "host": socket.gethostname()}
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only the note is missing
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(note).encode() + b"\n", 0)

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def __enter__(self) -> DirectoryLock:
        if not self._fds:
            self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _try_lock(fd: int, *, must: bool = True) -> bool:
    """Lock ``fd``; False when another holds it. Unless it ``must``, no support is no obstacle."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        if must:
            raise
    return True


def _tell(note: bytes) -> str:
    try:
        holder = json.loads(note)
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
