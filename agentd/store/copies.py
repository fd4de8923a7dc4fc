"""Durable copies of an agent's files."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from agentd.errors import StorageError
from agentd.store.files import Files

_CHUNK = 16 << 20


def copy_folder(source: Path, target: Path, files: Files | None = None) -> None:
    """Make ``target`` a folder with all of ``source``; a file has two names where that is possible.

    Only for files that nobody writes to any more. Raises StorageError.
    """
    files = files or Files()
    try:
        files.ensure_dir(target)
        for name in files.names(source):
            if files.is_dir(source / name):
                copy_folder(source / name, target / name, files)
            else:
                _link(source / name, target / name)
        files.sync_dir(target)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror or error}") from error


def copy_sparse(source: Path, target: Path, files: Files | None = None) -> None:
    """Copy a large file; what was never written takes no room. Raises StorageError."""
    files = files or Files()
    try:
        files.ensure_dir(target.parent)
        with source.open("rb") as read, target.open("wb") as write:
            size = os.fstat(read.fileno()).st_size
            for at, end in _written(read.fileno(), size):
                while at < end:
                    data = os.pread(read.fileno(), min(_CHUNK, end - at), at)
                    if not data:
                        break
                    os.pwrite(write.fileno(), data, at)
                    at += len(data)
            write.truncate(size)
            files.sync(write.fileno())
        files.sync_dir(target.parent)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror or error}") from error


def _link(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):  # a file system without hard links
        os.link(source, target)
        return
    shutil.copyfile(source, target)
    fd = os.open(target, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _written(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts (begin, end) of a file that hold data, or all of it where none can tell."""
    seek_data, seek_hole = (getattr(os, name, None) for name in ("SEEK_DATA", "SEEK_HOLE"))
    if seek_data is None or seek_hole is None:
        yield 0, size
        return
    at = 0
    while at < size:
        try:
            begin = os.lseek(fd, at, seek_data)
        except OSError:  # nothing but a hole is left
            return
        at = os.lseek(fd, begin, seek_hole)
        yield begin, at
