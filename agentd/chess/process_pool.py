"""A pool of processes that work for one parent, each at the far end of a pipe."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self


class ProcessPool:
    """``count`` processes that run ``work(pipe, *arguments)``; a context manager.

    ``pipes`` holds the parent's ends. ``work`` ends when its pipe is closed; on an error within the
    block the processes are terminated.
    """

    def __init__(self, count: int, work: Callable[..., None], *arguments: Any) -> None:
        self.count = count
        self.pipes: list[Connection] = []
        self._work, self._arguments = work, arguments
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for _ in range(self.count):
            ours, theirs = context.Pipe()
            arguments = (theirs, *self._arguments)
            process = context.Process(target=self._work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self._processes.append(process)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self._processes:
            if kind is not None:
                process.terminate()
            process.join()

    def exit_code(self, pipe: Connection) -> int | None:
        """Wait a little for the process behind ``pipe`` to die; return its exit code."""
        process = self._processes[self.pipes.index(pipe)]
        process.join(5)
        return process.exitcode
