"""Ctrl-C and SIGTERM as a flag."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Ctrl-C and SIGTERM as a flag; the second one interrupts for good."""

    def __init__(self) -> None:
        self.seen = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True

    @contextmanager
    def trapped(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM inside the block."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._take) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
