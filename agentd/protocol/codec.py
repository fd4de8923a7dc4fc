"""Bytes to frames to messages and back (R2, R3). Pure: no sockets, no clocks.

A frame is a little-endian u32 length and one msgpack map. Messages hold views into the received
bytes; received chunks are never changed, so the views stay good as long as anyone holds them.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from typing import TypeVar

import msgspec

from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError
from agentd.protocol.messages import ClientMessage, Message, ServerMessage

__all__ = ["HEADER", "FrameDecoder", "decode_client", "decode_server", "encode", "encode_into"]

HEADER = struct.Struct("<I")
"""Length of the body in bytes, the header not counted."""

_encoder = msgspec.msgpack.Encoder()
_client: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_server: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(ServerMessage)
_PATH = re.compile(r" - at `\$?\.?(.*)`$")
_EXPECTED = re.compile(r"^Expected `(.*?)`(?: [^,]*)?(?:, got `?(.*?)`?)?$")

T = TypeVar("T")


class FrameDecoder:
    """Chunks of a stream in, frame bodies out; linear in the number of bytes."""

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self._chunks: deque[memoryview] = deque()
        self._size = 0  # bytes in _chunks
        self._need: int | None = None  # body length, once its header was read

    def feed(self, data: bytes) -> None:
        """Take received bytes; they must not change afterwards."""
        if data:
            self._chunks.append(memoryview(data))
            self._size += len(data)

    def next_frame(self) -> memoryview | bytes | None:
        """The next body, or None while it is incomplete.

        Raises FrameTooLarge as soon as a header announces more than ``max_frame`` bytes, and
        ProtocolError BAD_FRAME for a length of 0.
        """
        if self._need is None:
            if self._size < HEADER.size:
                return None
            (need,) = HEADER.unpack(self._take(HEADER.size))
            if need > self.max_frame:
                raise FrameTooLarge(need, self.max_frame)
            if need == 0:
                raise ProtocolError(
                    Code.BAD_FRAME, "an empty frame", field="length", expected=">= 1", got="0"
                )
            self._need = need
        if self._size < self._need:
            return None
        need, self._need = self._need, None
        return self._take(need)

    @property
    def has_partial(self) -> bool:
        """True while bytes of an unfinished frame are held."""
        return self._need is not None or self._size > 0

    def _take(self, count: int) -> memoryview | bytes:
        self._size -= count
        first = self._chunks[0]
        if len(first) >= count:
            if len(first) == count:
                self._chunks.popleft()
            else:
                self._chunks[0] = first[count:]
            return first[:count]
        parts = []
        while count:
            part = self._chunks.popleft()
            if len(part) > count:
                self._chunks.appendleft(part[count:])
                part = part[:count]
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def encode(message: Message) -> bytes:
    """One message as a whole frame, header included."""
    out = bytearray(HEADER.size)
    _encoder.encode_into(message, out, HEADER.size)
    HEADER.pack_into(out, 0, len(out) - HEADER.size)
    return bytes(out)


def encode_into(message: Message, out: bytearray) -> None:
    """Append one whole frame to ``out`` in place."""
    start = len(out)
    out += b"\0\0\0\0"
    _encoder.encode_into(message, out, start + HEADER.size)
    HEADER.pack_into(out, start, len(out) - start - HEADER.size)


def decode_client(body: memoryview | bytes) -> ClientMessage:
    """A client's message from a frame's body. Raises ProtocolError BAD_FRAME or BAD_MESSAGE."""
    return _decode(_client, body)


def decode_server(body: memoryview | bytes) -> ServerMessage:
    """A server's message from a frame's body. Raises ProtocolError BAD_FRAME or BAD_MESSAGE."""
    return _decode(_server, body)


def _decode(decoder: msgspec.msgpack.Decoder[T], body: memoryview | bytes) -> T:
    try:
        message: T = decoder.decode(body)
        return message
    except msgspec.ValidationError as fault:
        raise _explain(str(fault)) from None
    except Exception as fault:  # malformed input can also end in TypeError or RecursionError
        text = f"{type(fault).__name__}: {fault}"[:200]
        raise ProtocolError(
            Code.BAD_FRAME,
            "the body is not exactly one msgpack map",
            expected="one msgpack map with string keys",
            got=text,
        ) from None


def _explain(text: str) -> ProtocolError:
    """Split msgspec's sentence into field, expected and got."""
    at = _PATH.search(text)
    field = at.group(1) if at else None
    said = text[: at.start()] if at else text
    unknown = re.match(r"Object contains unknown field `(.*)`", said)
    missing = re.match(r"Object missing required field `(.*)`", said)
    typed = _EXPECTED.match(said)
    if unknown:
        where = unknown.group(1) if field is None else f"{field}.{unknown.group(1)}"
        return _bad(said, where, "no such key", "an unknown key")
    if missing:
        where = missing.group(1) if field is None else f"{field}.{missing.group(1)}"
        return _bad(said, where, "this key", "nothing")
    if typed:
        return _bad(said, field, typed.group(1), typed.group(2))
    return _bad(said, field, None, None)


def _bad(said: str, field: str | None, expected: str | None, got: str | None) -> ProtocolError:
    return ProtocolError(
        Code.BAD_MESSAGE, said[:300], field=field and field[:100], expected=expected, got=got
    )
