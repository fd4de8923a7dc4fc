"""Between the serving processes of one daemon: packets of JSON, and sockets that change hands.

One pair of Unix packet sockets joins the first process with each worker. A packet is a JSON map, a
zero byte and raw bytes; a file descriptor may come with it.
"""

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello
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
        fd, rest = taken
        try:
            return self.send({"do": "adopt", "may_return": may_return}, encode(hello) + rest, fd)
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


async def adopt(connection: Connection, fd: int, data: bytes) -> None:
    """Go on with a connection that another process took in; ``data`` is what it had sent."""
    try:
        sock = socket.socket(fileno=fd)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: connection, sock)
    except OSError as error:
        log.info("connection lost on the way error=%r", str(error))
        return
    connection.data_received(data)


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
