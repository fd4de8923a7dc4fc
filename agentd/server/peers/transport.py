"""What a connection writes to: the transport of bare TCP, or what carries its frames otherwise."""

import asyncio
from typing import Any, Protocol


class FrameTransport(Protocol):
    """What a connection writes to: a transport, or a carrier."""

    def write(self, data: bytes) -> None:
        """Send one frame."""

    def close(self) -> None:
        """Close once everything written has left."""

    def abort(self) -> None:
        """Close now."""

    def pause_reading(self) -> None:
        """Read nothing for now."""

    def resume_reading(self) -> None:
        """Read again."""

    def get_extra_info(self, name: str) -> Any:
        """A fact about the socket."""


class Carrier(FrameTransport, Protocol):
    """A transport whose frames are messages of another protocol (R13)."""

    def take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Go on with a socket of which ``data`` was read."""

    def unread(self) -> bytes:
        """Take out the bytes that no message was made of."""
