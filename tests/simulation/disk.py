"""The disk of the simulation: real files in memory, and beside them what a power failure leaves.

Every call that changes a file goes through here, by whatever name of ``os``, ``io`` or ``mmap`` the
product calls it. It may be refused (no space, an error of the device), cut short, or be the last
that its process makes. What is not synced may be forgotten: names of a folder as a whole, bytes of
a file page by page, so that a row may be torn.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import mmap
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.simulation.edges import Killed

PAGE = 4096
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_REAL = {name: getattr(os, name) for name in ("open", "close", "write", "fsync", "pipe")}
_REAL |= {name: getattr(os, name) for name in ("mkdir", "rename", "replace", "unlink")}
_REAL |= {name: getattr(os, name) for name in ("fdatasync", "posix_fallocate")}
_OPEN, _MAP = io.open, mmap.mmap


class Node:
    """A file or folder; ``durable``: its bytes or names on the platter, None before any sync."""

    def __init__(self, is_dir: bool) -> None:
        self.is_dir = is_dir
        self.durable: Any = {} if is_dir else None


class Disk:
    """Files below ``root``. ``actor`` is the process that runs now.

    calls    how many calls could have been refused
    refuses  errno of every call at present, 0 for none
    fail_in  so many calls from now one is refused or cut short, 0 for none
    kill_in  so many calls from now the process that makes one ends, 0 for none
    muted    what a process does after its end: nothing
    """

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root, self.chance = root, chance
        self.actor: object = None
        self.calls = self.refused = 0
        self.refuses = self.fail_in = self.kill_in = 0
        self.muted = False
        self.boot = 0
        self.on_pipe: Callable[[int], None] = lambda fd: None
        self._peers: dict[int, int] = {}  # the write end of a pipe, and its read end
        self._owners: dict[int, object] = {}
        self._nodes: dict[int, Node] = {}
        self._top = Node(is_dir=True)
        root.mkdir(parents=True)
        self._nodes[root.stat().st_ino] = self._top

    # -- in place of the machine's calls -----------------------------------------------------------

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Be the machine's disk."""
        names = {"open": self._open, "close": self._close, "write": self._write}
        names |= {"fsync": self._sync, "fdatasync": self._sync, "pipe": self._pipe}
        names |= {"mkdir": self._mkdir, "posix_fallocate": self._fallocate}
        names |= {"rename": self._renaming("rename"), "replace": self._renaming("replace")}
        names |= {"unlink": self._unlink}
        disk = self

        class Mapped(_MAP):  # type: ignore[valid-type,misc]
            def __new__(cls, fd: int, *args: Any, **named: Any) -> Any:
                made = super().__new__(cls, fd, *args, **named)
                made.number = os.fstat(fd).st_ino
                made.path = os.readlink(f"/proc/self/fd/{fd}")
                return made

            def flush(self, offset: int = 0, size: int = 0) -> None:
                disk.meet()
                disk.keep(self.number, bytes(self[offset : offset + (size or len(self))]), offset)

        for name, value in names.items():
            setattr(os, name, value)
        io.open = builtins.open = self._open_file  # type: ignore[assignment]
        mmap.mmap = Mapped  # type: ignore[misc]
        try:
            yield
        finally:
            for name, value in _REAL.items():
                setattr(os, name, value)
            io.open = builtins.open = _OPEN  # type: ignore[assignment]
            mmap.mmap = _MAP  # type: ignore[misc]

    def meet(self, cut: Callable[[], object] | None = None) -> None:
        """Let a call go on, or raise what becomes of it; ``cut`` is what half of it does."""
        if self.muted:
            raise Killed
        self.calls += 1
        if self.kill_in:
            self.kill_in -= 1
            if not self.kill_in:
                if cut is not None and self.chance.random() < 0.5:
                    cut()
                raise Killed
        number = self.refuses
        if self.fail_in:
            self.fail_in -= 1
            if not self.fail_in:
                number = self.chance.choice((errno.ENOSPC, errno.EIO))
        if number:
            self.refused += 1
            raise OSError(number, os.strerror(number))

    def _ours(self, path: Any) -> bool:
        return str(path).startswith(str(self.root))

    def _open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT and self._ours(path):
            is_new = not os.path.exists(path)
            self.meet()
            fd: int = _REAL["open"](path, flags, *more, **named)
            if is_new:
                self._nodes[os.fstat(fd).st_ino] = Node(is_dir=False)
        else:
            fd = _REAL["open"](path, flags, *more, **named)
        self._owners[fd] = self.actor
        return fd

    def _close(self, fd: int) -> None:
        if self._owners.pop(fd, None) is not None:
            self._peers.pop(fd, None)
            _REAL["close"](fd)

    def _pipe(self) -> tuple[int, int]:
        read, write = _REAL["pipe"]()
        self._owners |= {read: self.actor, write: self.actor}
        self._peers[write] = read
        return read, write

    def _write(self, fd: int, data: Any) -> int:
        if fd in self._peers:
            if self.muted:
                raise Killed
            done: int = _REAL["write"](fd, data)
            self.on_pipe(self._peers[fd])
            return done
        half = memoryview(data)[: len(data) // 2]
        self.meet(lambda: _REAL["write"](fd, half))
        if len(half) and self.chance.random() < 0.02:  # a short write is no error
            return int(_REAL["write"](fd, half))
        return int(_REAL["write"](fd, data))

    def _sync(self, fd: int) -> None:
        self.meet()
        found = os.fstat(fd)
        node = self._nodes.get(found.st_ino)
        if node is None:
            return
        path = os.readlink(f"/proc/self/fd/{fd}")
        if node.is_dir:
            node.durable = self._names(path)
        elif os.path.exists(path):
            with _OPEN(path, "rb") as file:
                node.durable = bytearray(found.st_size)
                file.readinto(node.durable)

    def keep(self, number: int, data: bytes, offset: int) -> None:
        """A part of a file is on the platter from now on."""
        node = self._nodes.get(number)
        if node is not None and node.durable is not None:
            node.durable[offset : offset + len(data)] = data

    def _mkdir(self, path: Any, *more: Any, **named: Any) -> None:
        if self._ours(path) and not os.path.exists(path):
            self.meet()
        _REAL["mkdir"](path, *more, **named)
        if self._ours(path):
            self._nodes[os.stat(path).st_ino] = Node(is_dir=True)

    def _fallocate(self, fd: int, offset: int, size: int) -> None:
        self.meet()
        _REAL["posix_fallocate"](fd, offset, size)

    def _renaming(self, name: str) -> Callable[..., None]:
        def rename(old: Any, new: Any, **named: Any) -> None:
            self.meet()
            _REAL[name](old, new, **named)

        return rename

    def _unlink(self, path: Any, **named: Any) -> None:
        if self.muted:
            raise Killed
        _REAL["unlink"](path, **named)

    def _open_file(self, path: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
        if str(path) == BOOT_ID:
            return io.BytesIO(f"{self.boot:036d}\n".encode())
        if isinstance(path, int):
            self._owners.pop(path, None)  # the file object closes it
        if isinstance(path, int) or not self._ours(path) or not set(mode) & set("wax+"):
            return _OPEN(path, mode, *more, **named)
        is_new = not os.path.exists(path)
        self.meet()
        file = _OPEN(path, mode, *more, **named)
        if is_new:
            self._nodes[os.fstat(file.fileno()).st_ino] = Node(is_dir=False)
        return file

    def _names(self, path: str) -> dict[str, Node]:
        with os.scandir(path) as found:
            pairs = {entry.name: self._nodes.get(entry.inode()) for entry in found}
        return {name: node for name, node in pairs.items() if node is not None}

    # -- ends --------------------------------------------------------------------------------------

    def close_all(self, actor: object) -> None:
        """The kernel closes what a process had open, and drops its locks."""
        for fd in [fd for fd, owner in self._owners.items() if owner is actor]:
            self._close(fd)

    def rot(self, path: Path, bit: int) -> None:
        """Flip a bit of a file on the platter: no call fails, and who reads it gets it so."""
        at, mask = bit // 8, 1 << bit % 8
        with _OPEN(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ mask]))
            number = os.fstat(file.fileno()).st_ino
        self.keep(number, bytes([byte ^ mask]), at)

    def let_go(self) -> None:
        """Close what anybody has open: nothing of this disk is needed any more."""
        for fd in list(self._owners):
            self._close(fd)

    def lose_power(self) -> None:
        """Leave what has reached the platter, and by chance some of the rest; a new boot begins."""
        rest = self._as_it_is(self.root, self._top)
        shutil.rmtree(self.root)
        self._nodes.clear()
        self._leave(self.root, self._top, rest)
        self.boot += 1

    def _as_it_is(self, path: Path, node: Node) -> Any:
        """What a reader would see now: {name: (node, content)}, or bytes."""
        if not node.is_dir:
            return path.read_bytes()
        return {
            name: (each, self._as_it_is(path / name, each))
            for name, each in sorted(self._names(str(path)).items())
        }

    def _leave(self, path: Path, node: Node, seen: Any) -> None:
        """Write one file or folder as it is after the failure."""
        if not node.is_dir:
            data = self._some_pages(node.durable, seen)
            path.write_bytes(data)
            node.durable = bytearray(data)
        else:
            path.mkdir(exist_ok=True)
            kept = {name: (each, None) for name, each in sorted(node.durable.items())}
            if seen is not None and self.chance.random() < 0.5:
                kept = seen
            found = dict((seen or {}).values()) if seen else {}
            for name, (each, _) in kept.items():
                self._leave(path / name, each, found.get(each))
            node.durable = {name: each for name, (each, _) in kept.items()}
        self._nodes[path.stat().st_ino] = node

    def _some_pages(self, durable: bytearray | None, seen: bytes | None) -> bytes | bytearray:
        """A file of which some pages were written and others not."""
        if seen is None or durable == seen:
            return durable or b""
        if durable is None:
            durable = bytearray(0 if self.chance.random() < 0.5 else len(seen))
        how = self.chance.randrange(3)
        if how == 0:
            return durable
        if how == 1:
            return seen
        size = self.chance.choice((len(durable), len(seen)))
        whole = bytearray(durable.ljust(size, b"\0")[:size])
        for at in range(0, size, PAGE):
            new = seen[at : at + PAGE]
            if new != durable[at : at + PAGE] and self.chance.random() < 0.5:
                whole[at : min(at + len(new), size)] = new[: max(0, size - at)]
        return whole
