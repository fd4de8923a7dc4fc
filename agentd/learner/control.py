"""The learner's end of the control pipes: commands in, events out, notifications both ways.

Stdout is kept for events alone; whatever a library prints goes to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import select
from collections import deque
from typing import Any

from agentd.children import private_channel

log = logging.getLogger(__name__)


class HungUp(Exception):
    """The server is gone, or has closed the pipe: there is nothing left to do."""


class Control:
    """Lines of JSON from ``commands``, lines of JSON to ``events``; both are descriptors."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands, self._events = commands, events
        self._partial = b""
        self._queue: deque[dict[str, Any]] = deque()
        self._poll = select.poll()  # select.select takes no descriptor above 1,023
        self._poll.register(commands, select.POLLIN)

    @classmethod
    def on_standard_streams(cls) -> Control:
        """Take stdin and stdout; see ``children.private_channel``."""
        return cls(*private_channel())

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the next command, waiting up to ``timeout_s`` for a command or a notification.

        Raises HungUp at the end of the stream, whatever was asked before.
        """
        wait = 0.0 if self._queue else timeout_s
        while self._poll.poll(1e3 * wait):
            data = os.read(self._commands, 65536)
            if not data:
                raise HungUp
            *lines, self._partial = (self._partial + data).split(b"\n")
            self._queue.extend(json.loads(line) for line in lines if line)
            wait = 0.0
        return self._queue.popleft() if self._queue else None

    def send(self, event: str, **values: Any) -> None:
        """Send one event. Raises HungUp."""
        self._write(json.dumps({"event": event, **values}).encode() + b"\n")

    def notify(self) -> None:
        """Tell the server to look at the board. Raises HungUp."""
        self._write(b"\n")

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._events, data) :]
        except BrokenPipeError:
            raise HungUp from None
