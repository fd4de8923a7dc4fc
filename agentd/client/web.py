"""The client's end of a WebSocket, sans-IO: frames of R2 out and in, messages on the wire (R13)."""

from __future__ import annotations

import base64
import os

from agentd.protocol.codec import HEADER
from agentd.protocol.upgrade import accept_key
from agentd.protocol.websocket import Opcode, WebSocketDecoder, WebSocketFault, encode_frame

MOST_HEAD = 64 * 1024
"""Bytes of an answer to the handshake."""

MOST_MESSAGE = 2**31 - 1


class WebSocketEnd:
    """One connection, from its handshake on.

    upgraded  whether the server has agreed: ``request`` is the first to send, frames come after
    over      whether the server has closed
    """

    def __init__(self, host: str) -> None:
        self._key = base64.b64encode(os.urandom(16)).decode()
        self._host = host
        self._head = b""
        self._decoder = WebSocketDecoder(MOST_MESSAGE, masked=False)
        self.upgraded = self.over = False

    def request(self) -> bytes:
        """The bytes that ask for a WebSocket."""
        lines = ["GET / HTTP/1.1", f"Host: {self._host}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {self._key}"]
        return "\r\n".join([*lines, "Sec-WebSocket-Version: 13", "", ""]).encode()

    def wrap(self, frames: bytes) -> bytes:
        """The messages for any number of whole frames."""
        out, at = [], 0
        while at < len(frames):
            start = at + HEADER.size
            at = start + HEADER.unpack_from(frames, at)[0]
            out.append(encode_frame(Opcode.BINARY, frames[start:at], key=os.urandom(4)))
        return b"".join(out)

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; return the frames that they bring, and bytes to send back at once.

        Raises ConnectionError when the server refuses, or breaks RFC 6455.
        """
        if not self.upgraded:
            data = self._agreed(data)
        self._decoder.receive(data)
        frames, back = b"", b""
        try:
            while (event := self._decoder.next_event()) is not None:
                opcode, payload = event
                if opcode is Opcode.BINARY:
                    frames += payload
                elif opcode is Opcode.PING:
                    back += encode_frame(Opcode.PONG, payload, key=os.urandom(4))
                elif opcode is Opcode.CLOSE:
                    self.over = True
                    back += encode_frame(Opcode.CLOSE, payload[:2], key=os.urandom(4))
        except WebSocketFault as fault:
            raise ConnectionAbortedError(str(fault)) from None
        return frames, back

    def _agreed(self, data: bytes) -> bytes:
        """Take bytes of the answer to the handshake; return what stands behind it."""
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > MOST_HEAD or not b"HTTP/1.1 ".startswith(self._head[:9]):
                raise ConnectionRefusedError("no WebSocket is spoken there")
            return b""
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if first.split(" ")[1:2] != ["101"]:
            said = rest.decode("latin-1").partition("\n")[0][:200]
            raise ConnectionRefusedError(f"{first.partition(' ')[2]}: {said}")
        if headers.get("sec-websocket-accept") != accept_key(self._key):
            raise ConnectionRefusedError("the answer to the WebSocket handshake is not one")
        self.upgraded = True
        return rest
