"""The few file operations that durable state is made of, and the points where tests kill us."""

import contextlib
import errno
import os
import shutil
import signal
from pathlib import Path

from agentd.errors import StorageError

_named: set[tuple[int, int]] = set()
"""Device and inode of each directory whose name this process has synced."""


def _number(path: Path) -> tuple[int, int]:
    """Return the device and the inode of ``path``. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino


class Files:
    """Operations on real files; every one of them may raise OSError.

    Tests replace it by one that fails at the N-th call, or that forgets what was not synced.
    """

    def make_dir(self, path: Path) -> None:
        """Create one directory whose parent exists."""
        path.mkdir()

    def create(self, path: Path) -> int:
        """Create a file that does not exist yet; return its descriptor, for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: memoryview) -> int:
        """Write some of ``data``; return how many bytes."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Wait until the file's bytes are on the disk."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give ``old`` the name ``new``, within one directory."""
        old.rename(new)

    def sync_dir(self, path: Path) -> None:
        """Wait until the directory's names are on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove_tree(self, path: Path) -> None:
        """Delete a directory and everything in it."""
        shutil.rmtree(path)

    def remove(self, path: Path) -> None:
        """Delete one file."""
        path.unlink()

    def names(self, path: Path) -> list[str]:
        """Return the names in a directory."""
        return os.listdir(path)

    def is_plain(self, path: Path) -> bool:
        """Whether there is a regular file, not a link to one."""
        return path.is_file() and not path.is_symlink()

    def is_dir(self, path: Path) -> bool:
        """Whether there is a directory, not a link to one."""
        return path.is_dir() and not path.is_symlink()

    def read(self, path: Path, limit: int) -> bytes:
        """Return a file's bytes, of which there are at most ``limit``; OSError when more."""
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes", str(path))
        return data

    def write_whole(self, path: Path, data: bytes | memoryview) -> None:
        """Create ``path`` with ``data`` and wait until it is on the disk."""
        fd = self.create(path)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.write(fd, rest) :]
            self.sync(fd)
        except BaseException:
            with contextlib.suppress(OSError):
                self.close(fd)
            raise
        self.close(fd)

    def ensure_dir(self, path: Path) -> None:
        """Create ``path`` and its missing parents, and put their names on the disk.

        The name of a directory that exists may not be on the disk yet: the process that made it was
        killed before the sync, or the disk refused the sync. So each process syncs the name of each
        directory once, and goes up as far as it may write.
        """
        is_there = self.is_dir(path)
        if is_there and (_number(path) in _named or not os.access(path.parent, os.W_OK)):
            return
        if path.parent != path:
            self.ensure_dir(path.parent)
        if not is_there:
            with contextlib.suppress(FileExistsError):
                self.make_dir(path)
            _named.discard(_number(path))  # a deleted directory may have had the same inode
        self.sync_dir(path.parent)
        _named.add(_number(path))


def write_file(path: Path, data: bytes | memoryview, files: Files | None = None) -> None:
    """Make ``data`` the content of ``path``: after a crash the old content or the new. Durable.

    Raises StorageError; the old file is then as it was.
    """
    files = files or Files()
    aside = path.with_name(f".new-{path.name}")
    try:
        files.ensure_dir(path.parent)
        with contextlib.suppress(FileNotFoundError):
            files.remove(aside)
        files.write_whole(aside, data)
        files.rename(aside, path)
        files.sync_dir(path.parent)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


def reach(name: str) -> None:
    """Die here, as by ``kill -9``, when AGENTD_FAILPOINT is ``name`` or ``name:N``, the N-th time.

    The durability tests of a whole process use it; without the variable it does nothing.
    """
    wanted, _, nth = os.environ.get("AGENTD_FAILPOINT", "").partition(":")
    if wanted != name:
        return
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] >= int(nth or "1"):
        os.kill(os.getpid(), signal.SIGKILL)


_reached: dict[str, int] = {}
