"""Prefetch: an iterator that runs in a thread of its own, a bounded number of items ahead.

The one place in the engine where threads are allowed. NumPy lets go of the interpreter while it
gathers and casts, so the reader and this thread truly overlap.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over ``items`` while a thread makes up to ``ahead`` further ones ready.

    At any moment at most ``ahead`` + 2 items exist: the reader's, the ready ones, and the one in
    the making. What the iterator raises is raised here, in its place. ``close`` (or leaving the
    ``with`` block, or the end) stops the thread. ``clock`` in seconds fills ``waited_s``, the time
    the reader spent waiting.
    """

    def __init__(
        self, items: Iterator[T], ahead: int, clock: Callable[[], float] | None = None
    ) -> None:
        if ahead < 1:
            raise ValueError(f"prefetch: expected at least 1 item ahead, got {ahead}")
        self.waited_s = 0.0
        self._clock = clock
        self._ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(ahead)
        self._closed = threading.Event()
        self._done = False
        self._thread = threading.Thread(
            target=self._run, args=(items,), name="prefetch", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        item, fault = self._next()
        if fault is not None:
            self.close()
            raise fault
        return item  # type: ignore[return-value]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread and wait for it; unread items are dropped."""
        self._done = True
        self._closed.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._thread.join()

    def _next(self) -> tuple[T | None, BaseException | None]:
        with contextlib.suppress(queue.Empty):
            return self._ready.get_nowait()
        began = self._clock() if self._clock else 0.0
        found = self._ready.get()
        if self._clock:
            self.waited_s += self._clock() - began
        return found

    def _run(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put(item, None):
                    return
            self._put(None, StopIteration())
        except BaseException as fault:
            self._put(None, fault)

    def _put(self, item: T | None, fault: BaseException | None) -> bool:
        """Hand an item over; False when nobody wants it any more."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put((item, fault), timeout=0.05)
                return True
        return False
