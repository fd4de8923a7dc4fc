"""Who listens on a TCP port, as far as this machine tells (Linux: /proc)."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


class Holder(NamedTuple):
    """A process that listens on a port."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"


def find_holder(port: int, proc: Path = Path("/proc")) -> Holder | None:
    """The process listening on ``port``; None where nobody does or it cannot be told."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    if not inodes:
        return None
    for entry in proc.glob("[0-9]*"):
        if not inodes.isdisjoint(_links(entry / "fd")):
            return Holder(int(entry.name), _command(entry))
    return None


def _links(folder: Path) -> Iterator[str]:
    """What the open files of a process are; none for another user's or one that has gone."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):  # closed meanwhile
            yield os.readlink(folder / name)


def _listening_inodes(port: int, proc: Path) -> set[str]:
    """Socket inodes in LISTEN on ``port``; the line format is in proc_pid_net(5)."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) < 10 or fields[3] != LISTEN:
                continue
            if int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _command(entry: Path) -> str:
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "unknown"
    line = " ".join(word for word in words if word)
    return line if len(line) <= 80 else line[:79] + "…"
