"""A connected transport for the asyncio client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self, cast

from agentd.client.address import Address
from agentd.client.settings import ConnectSettings


class Link(asyncio.Protocol):
    """One connection; ``arrived`` is called with everything received.

    Attributes:
        welcomed: done when the owner has seen ``welcome``.
        lost: done when the connection is over.
        drained: set while the server takes what we write.
        heard: True when something arrived; whoever watches clears it.
    """

    def __init__(self, arrived: Callable[[Link, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self._arrived = arrived
        self._transport: asyncio.Transport | None = None
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.drained = asyncio.Event()
        self.drained.set()
        self.heard = False
        self.cause: Exception | None = None

    @classmethod
    async def open(cls, settings: ConnectSettings, arrived: Callable[[Link, bytes], None]) -> Self:
        """Connect to the address of ``settings``. Raises OSError."""
        loop = asyncio.get_running_loop()
        place: Address = settings.address
        name = place.host if settings.tls is not None else None
        if place.path is not None:
            _, link = await loop.create_unix_connection(
                lambda: cls(arrived), place.path, ssl=settings.tls, server_hostname=name
            )
        else:
            _, link = await loop.create_connection(  # asyncio sets TCP_NODELAY by itself
                lambda: cls(arrived), place.host, place.port, ssl=settings.tls, server_hostname=name
            )
        return link

    def write(self, data: bytes) -> None:
        """Send ``data``, or forget it when the connection is over."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close when everything written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio's callbacks -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass received bytes on."""
        self.heard = True
        self._arrived(self, data)

    def pause_writing(self) -> None:
        """The server does not take our bytes for now."""
        self.drained.clear()

    def resume_writing(self) -> None:
        """The server takes our bytes again."""
        self.drained.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.cause = exc
        self.drained.set()
        self.lost.set_result(None)
