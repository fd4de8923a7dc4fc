"""A connected transport for the asyncio client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Self, cast

from agentd.client.address import Address
from agentd.client.web import WebSocketEnd
from agentd.protocol.address import host_port


class Link(asyncio.Protocol):
    """One connection; ``arrived`` is called with everything received.

    Attributes:
        welcomed: done when the owner has seen ``welcome``.
        lost: done when the connection is over.
        drained: set while the server takes what we write.
        heard: True when something arrived; whoever watches clears it.
        ready: done when frames can go out: at once, or when a WebSocket stands.
    """

    def __init__(self, arrived: Callable[[Link, bytes], None], web: WebSocketEnd | None) -> None:
        loop = asyncio.get_running_loop()
        self._arrived = arrived
        self._transport: asyncio.Transport | None = None
        self.welcomed: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.drained = asyncio.Event()
        self.drained.set()
        self.heard = False
        self.ready: asyncio.Future[None] = loop.create_future()
        self._web = web
        self.cause: Exception | None = None

    @classmethod
    async def open(
        cls, place: Address, tls: ssl.SSLContext | None, arrived: Callable[[Link, bytes], None]
    ) -> Self:
        """Connect to ``place``. Raises OSError."""
        loop = asyncio.get_running_loop()
        name = place.host if tls is not None else None
        web = WebSocketEnd(host_port(place.host, place.port)) if place.web else None
        if place.path is not None:
            _, link = await loop.create_unix_connection(
                lambda: cls(arrived, web), place.path, ssl=tls, server_hostname=name
            )
        else:
            _, link = await loop.create_connection(  # asyncio sets TCP_NODELAY by itself
                lambda: cls(arrived, web),
                place.host,
                place.port,
                ssl=tls,
                server_hostname=name,
            )
        try:
            await link.ready
        except BaseException:
            link.abort()
            raise
        return link

    def write(self, data: bytes) -> None:
        """Send whole frames, or forget them when the connection is over."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data if self._web is None else self._web.wrap(data))

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
        """Keep the transport, and ask for a WebSocket where there is to be one."""
        self._transport = cast(asyncio.Transport, transport)
        if self._web is None:
            self.ready.set_result(None)
        else:
            self._transport.write(self._web.request())

    def data_received(self, data: bytes) -> None:
        """Pass received bytes on."""
        self.heard = True
        if self._web is None:
            self._arrived(self, data)
        elif (frames := self._unwrap(self._web, data)) and not self.lost.done():
            self._arrived(self, frames)

    def _unwrap(self, web: WebSocketEnd, data: bytes) -> bytes:
        """The frames that received bytes bring; ends a connection that is no WebSocket."""
        assert self._transport is not None
        try:
            frames, back = web.receive(data)
        except ConnectionError as fault:
            self.cause = fault
            self._transport.abort()
            return b""
        if back:
            self._transport.write(back)
        if web.upgraded and not self.ready.done():
            self.ready.set_result(None)
        if web.over:
            self._transport.close()
        return frames

    def pause_writing(self) -> None:
        """The server does not take our bytes for now."""
        self.drained.clear()

    def resume_writing(self) -> None:
        """The server takes our bytes again."""
        self.drained.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.cause = self.cause or exc
        self.drained.set()
        self.lost.set_result(None)
        if not self.ready.done():
            self.ready.set_exception(self.cause or ConnectionResetError("no WebSocket came to be"))
