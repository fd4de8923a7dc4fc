"""WebSocket (RFC 6455), sans-IO, for both ends of a connection: bytes to messages and back.

A binary message holds the body of one frame (R13). So that all behind it is the same for both
carriers, a message goes in and comes out as that frame: the body behind its length (R2).

Extensions are never agreed on. What a hostile peer may cost is known before it is buffered: a
frame is refused by its header, and fragments are joined up to the length of one frame.
"""

import struct
from enum import IntEnum

import numpy as np

from agentd.protocol.codec import HEADER
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Reason

MOST_CONTROL = 125
"""Bytes of a ping, a pong or a close."""

LONG = 1024
"""Bytes of a body from which on NumPy takes the mask off in less time than one long integer."""

_FIN, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_U16, _U64 = struct.Struct(">H"), struct.Struct(">Q")


class Opcode(IntEnum):
    """What a frame of RFC 6455 is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a WebSocket ends."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL = 1002
    UNSUPPORTED = 1003  # a text message
    ABSENT = 1005  # never on the wire: the peer gave none
    NOT_UTF8 = 1007
    POLICY = 1008
    TOO_LARGE = 1009
    FAILED = 1011
    TRY_LATER = 1013


CLOSE_CODES: dict[Reason, CloseCode] = {
    "client_done": CloseCode.NORMAL,
    "replaced": CloseCode.NORMAL,
    "shutdown": CloseCode.GOING_AWAY,
    "idle": CloseCode.GOING_AWAY,
    "protocol": CloseCode.PROTOCOL,
    "auth": CloseCode.POLICY,
    "slow_reader": CloseCode.POLICY,
    "limit": CloseCode.TRY_LATER,
    "error": CloseCode.FAILED,
}
"""What the reason of a goodbye is as the code of the close that follows it."""

_BY_NUMBER = {int(opcode): opcode for opcode in Opcode}
_SENDABLE = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
_WHOLE = _FIN | Opcode.BINARY
_SHORT = [bytes((_WHOLE, size)) for size in range(126)]
_LONGER = struct.Struct(">BBH").pack


class WebSocketFault(ProtocolError):
    """The peer broke a rule of the carrier: the connection ends with the code ``close``. Fatal."""

    def __init__(self, close: CloseCode, expected: str, got: str, said: str | None = None) -> None:
        code = Code.FRAME_TOO_LARGE if close is CloseCode.TOO_LARGE else Code.BAD_FRAME
        message = said or f"websocket: want {expected}, got {got}"
        super().__init__(code, message, field="websocket", expected=expected, got=got)
        self.close = close


Event = tuple[Opcode, bytes]
"""BINARY (or TEXT) with a whole frame of R2; CLOSE, PING or PONG with what they bring."""


class WebSocketDecoder:
    """Chunks of one direction of a WebSocket in, messages out; linear in the number of bytes.

    max_message  bytes of a message; it may change between messages
    masked       whether the frames are a client's, which are masked, and a server's never
    text         whether text messages are taken too, unchecked
    """

    def __init__(self, max_message: int, *, masked: bool, text: bool = False) -> None:
        self.max_message = max_message
        self._masked, self._text = masked, text
        self._held = bytearray()
        self._joined: bytearray | None = None  # a message in fragments, behind 4 bytes of room
        self._kind = Opcode.BINARY  # of that message
        self._over = False  # a close has come: nothing counts after it

    def whole(self, data: bytes) -> bytes | None:
        """The frame that ``data`` brings, when it is just one whole binary message.

        That is what nearly every chunk is. After None nothing has changed: ``receive`` the bytes.
        """
        size = len(data) - 6
        if size < 126:
            if size < 0 or data[1] != _MASKED | size:
                return None
        elif size < 0x10002:
            size -= 2
            if size < 126 or data[1] != _MASKED | 126 or data[2] << 8 | data[3] != size:
                return None
        else:
            return None
        if (
            data[0] != _WHOLE
            or self._held
            or self._joined is not None
            or size > self.max_message
            or not self._masked
            or self._over
        ):
            return None
        return _unmasked(data[-4 - size :])

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if not self._over:
            self._held += data

    def next_event(self) -> Event | None:
        """The next message or control frame; None when more bytes are needed.

        Raises WebSocketFault, as soon as a header shows it; after that, call no more.
        """
        while (frame := self._next_frame()) is not None:
            opcode, fin, body = frame
            if opcode >= Opcode.CLOSE:
                self._over = opcode is Opcode.CLOSE
                return opcode, body[HEADER.size :]
            if self._joined is None:
                if fin:
                    return opcode, body
                self._joined, self._kind = bytearray(body), opcode
            else:
                self._joined += memoryview(body)[HEADER.size :]
            if fin:
                joined, self._joined = self._joined, None
                HEADER.pack_into(joined, 0, len(joined) - HEADER.size)
                return self._kind, bytes(joined)
        return None

    def rest(self) -> bytes:
        """Take out the bytes that no event was made of, as another decoder may receive them."""
        begun = b""
        if self._joined is not None:
            key = bytes(4) if self._masked else None
            begun = encode_frame(self._kind, bytes(self._joined[HEADER.size :]), key=key, fin=False)
        rest = begun + bytes(self._held)
        self._held, self._joined = bytearray(), None
        return rest

    @property
    def has_partial(self) -> bool:
        """True while bytes of an unfinished message are held."""
        return self._joined is not None or bool(self._held)

    def _next_frame(self) -> tuple[Opcode, bool, bytes] | None:
        """Opcode, whether it ends its message, and the payload behind its length (R2)."""
        held = self._held
        if self._over or len(held) < 2:
            return None
        opcode, fin = self._check_head(held[0], held[1])
        size, start = held[1] & 0x7F, 2
        if size == 126:
            start = 4
            if len(held) < start:
                return None
            (size,) = _U16.unpack_from(held, 2)
        elif size == 127:
            start = 10
            if len(held) < start:
                return None
            (size,) = _U64.unpack_from(held, 2)
        self._check_size(opcode, size)
        start += 4 * self._masked
        end = start + size
        if len(held) < end:
            return None
        if self._masked:
            body = _unmasked(bytes(held[start - 4 : end]))
        else:
            body = HEADER.pack(size) + bytes(held[start:end])
        del held[:end]
        return opcode, fin, body

    def _check_head(self, first: int, second: int) -> tuple[Opcode, bool]:
        opcode, fin = _BY_NUMBER.get(first & 0x0F), first >= _FIN
        if first & _RESERVED:
            raise _broken("no reserved bit: no extension was agreed on", f"0x{first:02x}")
        if opcode is None:
            raise _broken("an opcode of RFC 6455", str(first & 0x0F))
        if (second >= _MASKED) is not self._masked:
            want, got = ("a mask", "none") if self._masked else ("no mask", "one")
            raise _broken(want, got)
        if opcode >= Opcode.CLOSE:
            if not fin or second & 0x7F > MOST_CONTROL:
                want = f"a control frame of at most {MOST_CONTROL} bytes, whole"
                raise _broken(want, "a longer one, or a part")
        elif (opcode is Opcode.CONTINUATION) is (self._joined is None):
            want = "a new message" if self._joined is None else "the rest of a message"
            raise _broken(want, opcode.name.lower())
        elif opcode is Opcode.TEXT and not self._text:
            raise WebSocketFault(CloseCode.UNSUPPORTED, "a binary message", "a text message")
        return opcode, fin

    def _check_size(self, opcode: Opcode, size: int) -> None:
        if opcode < Opcode.CLOSE:
            total = size + (0 if self._joined is None else len(self._joined) - HEADER.size)
            if total > self.max_message:
                said = f"a message of {total} bytes is over the limit"
                want = f"1..{self.max_message} bytes"
                raise WebSocketFault(CloseCode.TOO_LARGE, want, str(total), said)


def encode_message(frame: bytes) -> bytes:
    """The binary message, as a server sends it, for one whole frame of R2."""
    size = len(frame) - HEADER.size
    if size < 126:
        return _SHORT[size] + frame[4:]
    if size < 0x10000:
        return _LONGER(_WHOLE, 126, size) + frame[4:]
    return encode_frame(Opcode.BINARY, frame[HEADER.size :])


def encode_frame(
    opcode: Opcode, payload: bytes = b"", *, key: bytes | None = None, fin: bool = True
) -> bytes:
    """One frame of RFC 6455; a client gives a ``key`` of 4 bytes, new for each, to mask it."""
    size, mask = len(payload), 0 if key is None else _MASKED
    first = opcode | _FIN * fin
    if size < 126:
        head = bytes((first, mask | size))
    elif size < 0x10000:
        head = bytes((first, mask | 126)) + _U16.pack(size)
    else:
        head = bytes((first, mask | 127)) + _U64.pack(size)
    if key is None:
        return head + payload
    return head + key + _unmasked(key + payload)[HEADER.size :]


def encode_close(code: CloseCode, reason: str = "", *, key: bytes | None = None) -> bytes:
    """A close frame; ``reason`` of at most 123 bytes."""
    payload = b"" if code is CloseCode.ABSENT else _U16.pack(code) + reason.encode()
    return encode_frame(Opcode.CLOSE, payload, key=key)


def read_close(payload: bytes) -> int:
    """The code of a peer's close; ABSENT where it gave none. Raises WebSocketFault."""
    if not payload:
        return CloseCode.ABSENT
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or code not in _SENDABLE:
        raise _broken("a close code that may be sent", payload[:2].hex())
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketFault(CloseCode.NOT_UTF8, "a reason in UTF-8", "other bytes") from None
    return code


def _unmasked(masked: bytes) -> bytes:
    """A frame of R2 for 4 bytes of mask and the body that is masked with them.

    The mask applied to itself is 0, so that the length can be put there.
    """
    length = len(masked)
    size = length - 4
    if size < LONG:
        key = masked[:4] * (length // 4) + masked[: length & 3]
        plain = int.from_bytes(masked, "little") ^ int.from_bytes(key, "little")
        return (plain | size).to_bytes(length, "little")
    words = np.frombuffer(masked + bytes(-length % 4), "<u4")
    words = words ^ words[0]
    words[0] = size
    frame: bytes = words.tobytes()[:length]
    return frame


def _broken(expected: str, got: str) -> WebSocketFault:
    return WebSocketFault(CloseCode.PROTOCOL, expected, got)
