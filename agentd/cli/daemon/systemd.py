"""What the daemon says to the service manager that started it (``Type=notify`` of systemd).

A manager names a datagram socket in ``NOTIFY_SOCKET``: it hears ``READY=1`` once games are
accepted, ``STOPPING=1`` when the orderly end begins, and, where it watches (``WATCHDOG_USEC``),
``WATCHDOG=1`` from the event loop twice in every such period. A loop that hangs says nothing.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

log = logging.getLogger("agentd.systemd")


class ServiceManager:
    """Whoever listens at ``NOTIFY_SOCKET``; without that variable nothing is said to anybody."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._period_s = _watchdog_s(environ) / 2
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        return self

    def __exit__(self, *error: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def ready(self, status: str) -> None:
        """Say that games are accepted; ``status`` is one line for ``systemctl status``."""
        self._say(f"READY=1\nSTATUS={status}")

    async def accompany(self, stopping: Callable[[], Awaitable[None]]) -> None:
        """Say that the loop lives, and, when ``stopping`` returns, that the end begins; for ever.

        The end has its time too: signs of life go on until the task is cancelled.
        """
        async with asyncio.TaskGroup() as tasks:
            if self._period_s:
                tasks.create_task(self._tell_of_life())
            await stopping()
            self._say("STOPPING=1\nSTATUS=answering what waits, saving")

    async def _tell_of_life(self) -> None:
        while True:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._period_s)

    def _say(self, message: str) -> None:
        """Send one datagram. A manager that does not listen costs a warning, never the daemon."""
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("the service manager does not hear: %s", error)


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """After how many seconds without a sign of life this process is ended; 0 when never."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    asked = environ.get("WATCHDOG_USEC", "")
    return int(asked) / 1e6 if asked.isascii() and asked.isdigit() else 0.0
