"""What a connection writes to when its peer lives in this process."""

import asyncio
from collections.abc import Callable
from typing import Any


class Pipe(asyncio.Transport):
    """A transport without a socket: ``heard`` gets what is written, at once.

    It never fills, so it need not pause either side.
    """

    def __init__(
        self, protocol: asyncio.BaseProtocol, heard: Callable[[bytes], None], peername: Any
    ) -> None:
        super().__init__({"peername": peername})
        self._protocol, self._heard = protocol, heard
        self._closed = False

    def write(self, data: Any) -> None:
        """Hand on ``data``, unless the pipe is closed."""
        if not self._closed:
            self._heard(bytes(data))

    def close(self) -> None:
        """End: the protocol loses its connection in the loop's next turn."""
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """As ``close``: nothing is ever left to be written."""
        self.close()

    def is_closing(self) -> bool:
        """True once it was closed."""
        return self._closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def pause_reading(self) -> None:
        """The peer here waits for its answers by itself."""

    def resume_reading(self) -> None:
        """See ``pause_reading``."""
