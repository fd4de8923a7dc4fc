"""A connected socket for the blocking client: sends without ever waiting on a deaf server.

Both sides of a connection may be full at the same time: a server that waits for us to read its
answers stops reading our frames. So while ``send`` waits for room it reads, and ``receive`` hands
out later what was read then.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections import deque

from agentd.client.address import Address

CHUNK = 64 * 1024
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class Wire:
    """One connection; every fault of the network is an OSError."""

    def __init__(self, connected: socket.socket) -> None:
        """Own ``connected`` from here on."""
        connected.setblocking(False)
        self._socket = connected
        self._tls = isinstance(connected, ssl.SSLSocket)
        self._early: deque[bytes] = deque()  # read while sending
        self._selector = selectors.DefaultSelector()
        self._selector.register(connected, selectors.EVENT_READ)

    @classmethod
    def connect(cls, address: Address, tls: ssl.SSLContext | None, timeout: float) -> Wire:
        """Open a connection within ``timeout`` seconds. Raises OSError."""
        if address.path is not None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            opened = socket.create_connection((address.host, address.port), timeout)
        try:
            opened.settimeout(timeout)
            if address.path is not None:
                opened.connect(address.path)
            else:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                opened = tls.wrap_socket(opened, server_hostname=address.host)
            return cls(opened)
        except BaseException:
            opened.close()
            raise

    def send(self, data: bytes, timeout: float) -> None:
        """Send all of ``data``. Raises OSError; TimeoutError when nothing moves for ``timeout``."""
        try:
            sent = self._socket.send(data)
        except _NOT_NOW:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], timeout)

    def receive(self, timeout: float) -> bytes | None:
        """Return the next bytes, b"" at the end of the stream, None after ``timeout`` seconds."""
        if self._early:
            return self._early.popleft()
        if self._tls and (data := self._read()) is not None:  # decrypted before: no poll sees it
            return data
        while self._selector.select(timeout):
            if (data := self._read()) is not None:
                return data
        return None

    def drain(self, timeout: float) -> None:
        """Read and forget until the server closes, or is silent for ``timeout`` seconds.

        Closing a socket with unread bytes would reset the connection, and a goodbye that is still
        on its way would be lost with it.
        """
        while self.receive(timeout):
            pass

    def close(self) -> None:
        """Let go of the socket."""
        self._selector.close()
        self._socket.close()

    def _read(self) -> bytes | None:
        try:
            return self._socket.recv(CHUNK)
        except _NOT_NOW:
            return None

    def _send_rest(self, data: memoryview, timeout: float) -> None:
        self._selector.modify(self._socket, _BOTH)
        try:
            while data:
                ready = self._selector.select(timeout)
                if not ready:
                    raise TimeoutError(f"the server took nothing for {timeout:g} s")
                if ready[0][1] & selectors.EVENT_READ and (got := self._read()) is not None:
                    self._early.append(got)
                    if not got:
                        raise ConnectionResetError("the server closed the connection")
                try:
                    data = data[self._socket.send(data) :]
                except _NOT_NOW:
                    continue
        finally:
            self._selector.modify(self._socket, selectors.EVENT_READ)
