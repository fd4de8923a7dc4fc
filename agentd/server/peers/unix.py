"""A unix socket's file: taken only from the dead, and gone with us."""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from agentd.errors import Unavailable

_ANSWER_S = 1.0
"""How long a daemon that listens may take to let us connect."""


class UnixSocket:
    """A bound socket and its file."""

    def __init__(self, path: str) -> None:
        """Bind to ``path``; a file that a dead daemon left there is replaced.

        Raises Unavailable for anything else that is there, and where nothing can be.
        """
        self._path = Path(path)
        _clear(self._path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(path)
            self._file = _identity(self._path)
        except OSError as fault:
            self.socket.close()
            if fault.errno == errno.ENOENT:
                raise _unavailable(path, f"there is no folder {self._path.parent}") from None
            raise _unavailable(path, (fault.strerror or str(fault)).lower()) from None

    def remove(self) -> None:
        """Close the socket and remove its file, unless another has taken the file's place."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if _identity(self._path) == self._file:
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises Unavailable when something else is there."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing is there, or bind says what is wrong
    if not stat.S_ISSOCK(mode):
        raise _unavailable(str(path), "a file or folder is there that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            pass
        except OSError as fault:
            why = (fault.strerror or str(fault)).lower()
            raise _unavailable(str(path), f"a socket is there: {why}") from None
        else:
            raise _unavailable(str(path), "a daemon listens there already")
    try:
        os.unlink(path)
    except OSError as fault:
        raise _unavailable(str(path), f"a dead socket is there: {fault.strerror}") from None


def _unavailable(path: str, why: str) -> Unavailable:
    return Unavailable(
        f"cannot listen on the unix socket {path}: {why}", hint="choose another: --unix PATH"
    )
