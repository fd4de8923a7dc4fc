"""Between the serving processes of one daemon: packets of JSON, and sockets that change hands.

One pair of Unix packet sockets joins the first process with each worker. A packet is a JSON map, a
zero byte and raw bytes; a file descriptor may come with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello
from agentd.server.peers.carrier import WebCarrier
from agentd.server.peers.connection import Connection

log = logging.getLogger("agentd.channel")

MOST_BYTES = 128 * 1024
"""Bytes of a packet; what a peer sent behind its hello must fit as well."""

SMALL, GATHERED = 16, 64
"""Sessions of fewer than SMALL streams are gathered in the first process until it has GATHERED
streams: the rows of small games cost least in one batch, which more processes only divide."""

Heard = Callable[[dict[str, Any], bytes, int | None], None]


class Channel:
    """One end of a pair. ``heard`` gets every packet: its map, its bytes, its descriptor.

    ``gone`` is called when the other side has closed.
    """

    def __init__(self, sock: socket.socket, heard: Heard, gone: Callable[[], None]) -> None:
        self._socket, self._heard, self._gone = sock, heard, gone
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read)

    def send(self, message: dict[str, Any], body: bytes = b"", fd: int | None = None) -> bool:
        """Send one packet now; False when the other side is gone or does not keep up."""
        packet = json.dumps(message).encode() + b"\0" + body
        try:
            socket.send_fds(self._socket, [packet], [] if fd is None else [fd])
        except OSError as error:
            log.warning("packet not sent bytes=%d error=%r", len(packet), str(error))
            return False
        return True

    def give(self, connection: Connection, hello: Hello, *, may_return: bool = False) -> bool:
        """Hand a connection that waits for its welcome to the other side; False: it stays here.

        ``may_return``: this side would play it as well.
        """
        taken = connection.take_socket()
        if taken is None:
            return False
        fd, rest, carried = taken
        message = {"do": "adopt", "may_return": may_return}
        message["carried"] = None if carried is None else len(carried)
        try:
            return self.send(message, encode(hello) + rest + (carried or b""), fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the socket."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(self._socket, 2 * MOST_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._loop.remove_reader(self._socket.fileno())
            self._gone()
            return
        head, _, body = packet.partition(b"\0")
        self._heard(json.loads(head), body, fds[0] if fds else None)


class Handover(NamedTuple):
    """A connection on its way: its socket, its frames, and what its carrier had of more."""

    fd: int
    frames: bytes
    carried: bytes | None  # None: it has no carrier

    @classmethod
    def read(cls, message: dict[str, Any], body: bytes, fd: int) -> Handover:
        """The connection that a packet brings, as `Channel.give` wrote it."""
        size = message["carried"]
        if size is None:
            return cls(fd, body, None)
        end = len(body) - size
        return cls(fd, body[:end], body[end:])


async def adopt(connection: Connection, carrier: WebCarrier | None, came: Handover) -> None:
    """Go on with a connection that another process took in."""
    try:
        sock = socket.socket(fileno=came.fd)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: carrier or connection, sock)
    except OSError as error:
        log.info("connection lost on the way error=%r", str(error))
        return
    connection.data_received(came.frames)
    if carrier is not None and came.carried:
        carrier.data_received(came.carried)


def home_of(session: bytes | None) -> int | None:
    """The process that a session lives in: the first byte of its id; None without a session."""
    return session[0] if session else None


def too_much() -> ProtocolError:
    """What a peer is told that sent too many bytes before its welcome."""
    return ProtocolError(
        Code.LIMIT,
        "too many bytes before welcome",
        field="hello",
        expected=f"at most {MOST_BYTES // 2} bytes",
        retry_ms=100,
        fatal=True,
    )
