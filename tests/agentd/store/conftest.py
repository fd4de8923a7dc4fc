"""File layers that fail on purpose, and checkpoints to write with them."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agentd.store import Files, write_checkpoint

CALLS = (
    *("make_dir", "create", "write", "sync", "close", "rename", "sync_dir", "remove_tree"),
    *("remove", "names", "read", "is_dir", "is_plain"),
)


class FailingFiles(Files):
    """Fails at the N-th call of any kind, and at every later one if ``for_good``.

    ``how`` is an errno, or "short": a write that takes half of the bytes and then finds no space.
    """

    def __init__(self, fail_at: int, how: int | str, for_good: bool = False) -> None:
        self.fail_at, self.how, self.for_good = fail_at, how, for_good
        self.calls: list[str] = []
        self.wrote_short = False

    def _count(self, name: str) -> bool:
        self.calls.append(name)
        n = len(self.calls)
        return n == self.fail_at or (self.for_good and n > self.fail_at)

    def write(self, fd: int, data: memoryview) -> int:
        if self._count("write"):
            if self.how != "short":
                raise OSError(self.how, os.strerror(int(self.how)))
            if len(data) > 1 and not self.wrote_short:
                self.wrote_short = True
                return os.write(fd, data[: len(data) // 2])
        return super().write(fd, data)


def _failing(name: str) -> Callable[..., Any]:
    def call(self: FailingFiles, *arguments: Any) -> Any:
        if self._count(name):
            if name == "close":
                os.close(arguments[0])  # the descriptor is gone even where close reports an error
            number = errno.ENOSPC if self.how == "short" else int(self.how)
            raise OSError(number, os.strerror(number))
        return getattr(Files, name)(self, *arguments)

    return call


for _name in CALLS:
    if _name != "write":
        setattr(FailingFiles, _name, _failing(_name))


class ForgetfulFiles(Files):
    """Records what was done and what was synced, to build any disk that a power loss may leave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[tuple[Any, ...]] = []
        self._open: dict[int, Path] = {}

    def make_dir(self, path: Path) -> None:
        super().make_dir(path)
        self.log.append(("make_dir", path))

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._open[fd] = path
        self.log.append(("create", path))
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        n = super().write(fd, data)
        self.log.append(("write", self._open[fd], bytes(data[:n])))
        return n

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self.log.append(("sync", self._open[fd]))

    def close(self, fd: int) -> None:
        super().close(fd)
        del self._open[fd]

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self.log.append(("rename", old, new))

    def sync_dir(self, path: Path) -> None:
        super().sync_dir(path)
        if path.is_relative_to(self.root):
            self.log.append(("sync_dir", path))

    def remove_tree(self, path: Path) -> None:
        super().remove_tree(path)
        self.log.append(("remove_tree", path))


class Node:
    """A file or directory as a disk knows it: what is on the platter, what is only in memory."""

    def __init__(self, is_dir: bool) -> None:
        self.is_dir = is_dir
        self.durable: Any = {} if is_dir else b""
        self.volatile: Any = {} if is_dir else b""

    def write_to(self, path: Path, what: Callable[[Any, Any], Any]) -> None:
        content = what(self.durable, self.volatile)
        if self.is_dir:
            path.mkdir()
            for name, node in content.items():
                node.write_to(path / name, what)
        else:
            path.write_bytes(content)


def disk_after(
    log: list[tuple[Any, ...]], root: Path, to: Path, what: Callable[[Any, Any], Any]
) -> None:
    """Build in ``to`` what is left of ``root`` when power goes after these operations.

    ``what(durable, volatile)`` chooses, for each file and directory, what had reached the disk.
    """
    top = Node(is_dir=True)

    def find(path: Path) -> Node:
        node = top
        for part in path.relative_to(root).parts:
            node = node.volatile[part]
        return node

    for operation, path, *more in log:
        parent = find(path.parent) if path != root else top
        if operation in ("make_dir", "create"):
            parent.volatile = {**parent.volatile, path.name: Node(operation == "make_dir")}
        elif operation == "write":
            find(path).volatile += more[0]
        elif operation == "rename":
            names = dict(parent.volatile)
            names[more[0].name] = names.pop(path.name)
            parent.volatile = names
        elif operation == "remove_tree":
            parent.volatile = {k: v for k, v in parent.volatile.items() if k != path.name}
        else:
            node = find(path) if path != root else top
            node.durable = node.volatile
    if to.exists():
        shutil.rmtree(to)
    top.write_to(to, what)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """A folder for checkpoints, and ``save(step)``, whose contents follow from the step."""

    def arrays(step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        rng = np.random.default_rng(step)
        return (
            {"a.w": rng.standard_normal((7, 5)).astype(np.float32), "a.b": np.zeros(5, np.float32)},
            {"m": rng.standard_normal(40).astype(np.float32), "n": np.arange(3, dtype=np.int64)},
        )

    def save(step: int, folder: Path | None = None, keep: int = 3, **more: Any) -> str:
        weights, state = arrays(step)
        facts = {"rng": 2**127 + step, "epsilon": 0.1, "note": "ε"}
        where = folder or tmp_path / "checkpoints"
        return write_checkpoint(where, step, facts, weights, state, keep=keep, **more)

    return SimpleNamespace(
        folder=tmp_path / "checkpoints",
        root=tmp_path,
        save=save,
        arrays=arrays,
        failing=FailingFiles,
        forgetful=ForgetfulFiles,
        disk_after=disk_after,
    )
