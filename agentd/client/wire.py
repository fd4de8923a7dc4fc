"""A connected socket for the blocking client: sends without ever waiting on a deaf server.

Both sides of a connection may be full at the same time: a server that waits for us to read its
answers stops reading our frames. So while ``send`` waits for room it reads, and ``receive`` hands
out later what was read then.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import deque

from agentd.client.address import Address
from agentd.client.web import WebSocketEnd
from agentd.protocol.address import host_port

CHUNK = 64 * 1024
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class Wire:
    """One connection, which frames of R2 go over; every fault of the network is an OSError."""

    def __init__(self, connected: socket.socket, web: WebSocketEnd | None = None) -> None:
        """Own ``connected`` from here on; ``web`` makes messages of frames."""
        connected.setblocking(False)
        self._socket = connected
        self._web = web
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
            if not address.web:
                return cls(opened)
            wire = cls(opened, WebSocketEnd(host_port(address.host, address.port)))
        except BaseException:
            opened.close()
            raise
        try:
            wire._upgrade(timeout)
        except BaseException:
            wire.close()
            raise
        return wire

    def send(self, data: bytes, timeout: float) -> None:
        """Send whole frames. Raises OSError; TimeoutError when nothing moves for ``timeout``."""
        self._send(data if self._web is None else self._web.wrap(data), timeout)

    def _send(self, data: bytes, timeout: float) -> None:
        try:
            sent = self._socket.send(data)
        except _NOT_NOW:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:], timeout)

    def receive(self, timeout: float) -> bytes | None:
        """Return the next bytes, b"" at the end of the stream, None after ``timeout`` seconds."""
        data = self._receive(timeout)
        while data and self._web is not None:
            frames, back = self._web.receive(data)
            if back:
                self._send(back, timeout)
            if frames or self._web.over:
                return frames
            data = self._receive(timeout)
        return data

    def _upgrade(self, timeout: float) -> None:
        """Shake hands with a WebSocket server."""
        assert self._web is not None
        until = time.monotonic() + timeout
        self._send(self._web.request(), timeout)
        while not self._web.upgraded:
            data = self._receive(max(0.0, until - time.monotonic()))
            if not data:
                raise ConnectionRefusedError("no answer to the WebSocket handshake")
            frames, _ = self._web.receive(data)
            if frames:
                raise ConnectionRefusedError("a message before hello")

    def _receive(self, timeout: float) -> bytes | None:
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
