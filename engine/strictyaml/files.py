"""Files that hold a configuration: what is none is refused before it can hang or flood us."""

import os
import stat
from pathlib import Path

from agentd.engine.strictyaml.document import ConfigError

MOST_BYTES = 16 << 20


def read_file(path: Path) -> bytes:
    """Return the bytes of a file, or of a pipe that somebody writes into.

    Raises ConfigError naming the file where it is a folder, a pipe without a writer, too large, or
    not ours to read; FileNotFoundError, OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe opens at once
    except PermissionError:
        raise ConfigError("permission denied", file=str(path)) from None
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        os.close(fd)
        raise ConfigError("wrong file", file=str(path), expected="a file", got="a directory")
    with os.fdopen(fd, "rb") as file:
        os.set_blocking(fd, True)
        data = file.read(MOST_BYTES + 1)
    if not data and stat.S_ISFIFO(mode):
        raise ConfigError("wrong file", file=str(path), expected="a file", got="an empty pipe")
    if len(data) > MOST_BYTES:
        raise ConfigError("too large", file=str(path), expected=f"at most {MOST_BYTES:,} bytes")
    return data
