"""Bytes to frames to messages and back (R2, R3). Pure: no sockets, no clocks.

A frame is a little-endian u32 length and one msgpack map. Messages hold views into the received
bytes; what they look into is never changed, so the views stay good as long as anyone holds them.

What a hostile body may cost is bounded before it is decoded: only ``step`` and ``teach`` may be
larger than ``CONTROL_FRAME``, their types leave no room for nested values, and no map has more
keys than its message has fields.
"""

import re
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from agentd.protocol import messages as m
from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError
from agentd.protocol.messages import Step
from agentd.protocol.strict import (
    bad_message,
    check_plain,
    count_keys,
    not_a_map,
    starts_with,
    step_size,
)

HEADER = struct.Struct("<I")
"""Length of the body in bytes, the header not counted."""

CONTROL_FRAME = 16 * 1024
"""Bytes that a client's body may have when it is neither ``step`` nor ``teach``."""

PROTOCOL = 1
"""The version of the protocol that the clients of this package speak."""

PROTOCOLS = (1, 2)
"""The lowest and the highest version of the protocol that the server speaks."""

SURE_FRAME = 1024  # bytes; what is longer and free in form is counted before it is decoded
SMALL_CHUNK = 4096  # bytes; smaller pieces of a frame are copied together as they come

_TYPE, _TYPE_STEP = b"\xa4type", b"\xa4type\xa4step"
_TWO_KEYS = frozenset({m.Ping, m.Pong, m.Goodbye})  # with nothing inside: nothing more to check


class _AnyRows1(msgspec.Struct, forbid_unknown_fields=True):
    """Every key of step and teach in version 1, whichever it is."""

    type: str = ""
    seq: int = 0
    stream: m.Bin | None = None
    kind: m.Bin | None = None
    reward: m.Bin | None = None
    obs: m.Tensors | None = None
    mask: m.Bin | None = None
    target: m.Bin | None = None
    weight: m.Bin | None = None


class _AnyRows(_AnyRows1, forbid_unknown_fields=True):
    """Every key of step and teach."""

    taken: m.Bin | None = None
    by: m.Bin | None = None
    elapsed: m.Bin | None = None
    success: m.Bin | None = None


class _Decoders(NamedTuple):
    """What reads a client's bodies: any of them, long ones, and the keys of long ones."""

    client: msgspec.msgpack.Decoder[Any]
    rows: msgspec.msgpack.Decoder[Any]
    any_rows: msgspec.msgpack.Decoder[Any]


def _decoders(client: Any, rows: Any, any_rows: Any) -> _Decoders:
    return _Decoders(*map(msgspec.msgpack.Decoder, (client, rows, any_rows)))


_encoder = msgspec.msgpack.Encoder()
_newest = _decoders(m.ClientMessage, Step | m.Teach, _AnyRows)
_of_version = {1: _decoders(m.ClientMessage1, m.Step1 | m.Teach, _AnyRows1), 2: _newest}
_server: msgspec.msgpack.Decoder[m.ServerMessage] = msgspec.msgpack.Decoder(m.ServerMessage)
_WORDS = {"None": "nil", "null": "nil"}
_PATH = re.compile(r" - at `(?:(key)` in `)?\$?\.?(.*)`$")
_EXPECTED = re.compile(r"^Expected `(.*?)`(?: (of .*?))?(?:, got `?(.*?)`?)?$")

T = TypeVar("T")


class FrameDecoder:
    """Chunks of a stream in, frame bodies out; linear in the number of bytes.

    A body that lies inside one chunk is a view of it. Pieces of a longer one are kept as they
    came, or copied together where they are small, so that a peer who dribbles single bytes costs
    no more memory than it sent.
    """

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self._chunks: deque[memoryview] = deque()
        self._small: bytearray | None = None  # the last of _chunks, while it may still grow
        self._size = 0  # bytes in _chunks and _small
        self._need: int | None = None  # body length, once its header was read

    def feed(self, data: bytes) -> None:
        """Take received bytes; they must not change afterwards."""
        if not data:
            return
        if self._size and len(data) < SMALL_CHUNK:
            if self._small is None:
                self._small = bytearray()
            self._small += data
        else:
            self._seal()
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
                said = "an empty frame"
                raise ProtocolError.unfit(Code.BAD_FRAME, "length", ">= 1", "0", said=said)
            self._need = need
        if self._size < self._need:
            return None
        need, self._need = self._need, None
        return self._take(need)

    def rest(self) -> bytes:
        """Take out everything between frames; what is left of a frame keeps its header."""
        header = b"" if self._need is None else HEADER.pack(self._need)
        self._need = None
        return header + (bytes(self._take(self._size)) if self._size else b"")

    @property
    def has_partial(self) -> bool:
        """True while bytes of an unfinished frame are held."""
        return self._need is not None or self._size > 0

    def _seal(self) -> None:
        """Let the small pieces grow no further: they are about to be looked into."""
        if self._small is not None:
            self._chunks.append(memoryview(self._small))
            self._small = None

    def _take(self, count: int) -> memoryview | bytes:
        self._seal()
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


def encode(message: m.Message) -> bytes:
    """One message as a whole frame, header included."""
    out = bytearray()
    encode_into(message, out)
    return bytes(out)


def encode_into(message: m.Message, out: bytearray) -> None:
    """Append one whole frame to ``out`` in place."""
    start = len(out)
    out += b"\0\0\0\0"
    said: Any = message
    if type(message) is m.Hello:  # of 16 fields: msgspec writes a long map, whatever is left out
        said = msgspec.to_builtins(message, builtin_types=(bytes,))
    _encoder.encode_into(said, out, start + HEADER.size)
    HEADER.pack_into(out, start, len(out) - start - HEADER.size)


def decode_client(body: memoryview | bytes, version: int = PROTOCOLS[1]) -> m.ClientMessage:
    """A client's message from a frame's body, as the session's version has it.

    Raises ProtocolError BAD_FRAME or BAD_MESSAGE.
    """
    keys, decoders = count_keys(body), _of_version[version]
    if len(body) > CONTROL_FRAME:
        if not starts_with(body, _TYPE):  # to find it costs passing over what stands before it
            _decode(decoders.any_rows, body)
        message = _decode(decoders.rows, body)
    else:
        if len(body) > SURE_FRAME and not starts_with(body, _TYPE_STEP):
            check_plain(body)
        message = _decode(decoders.client, body)
    kind = type(message)
    if kind is Step or kind is m.Step1:
        if len(body) != step_size(message):
            check_plain(body)
    elif keys != 2 or kind not in _TWO_KEYS:
        check_plain(body)
    return message if version != 1 else _as_newest(message)


def _as_newest(message: m.ClientMessage1) -> m.ClientMessage:
    """A message of version 1 as the one of version 2 that says the same."""
    if isinstance(message, m.Step1):
        return Step(
            seq=message.seq,
            stream=message.stream,
            kind=message.kind,
            reward=message.reward,
            obs=message.obs,
            mask=message.mask,
        )
    if isinstance(message, m.Hello1):
        return m.Hello(**msgspec.structs.asdict(message))
    return message


def decode_hello(body: memoryview | bytes) -> m.ClientMessage:
    """As ``decode_client``, for the first words of a connection, in the version that they choose.

    Raises UNSUPPORTED_VERSION whatever else is wrong with the hello of another version, whose
    keys this one cannot know, and BAD_HELLO for a hello that its version cannot read.
    """
    versions = _glance(body)
    try:
        return decode_client(body, common_version(versions) if versions else PROTOCOLS[0])
    except ProtocolError as fault:
        if fault.code is Code.BAD_MESSAGE and versions is not None:
            fault.code = Code.BAD_HELLO
        raise


def common_version(versions: tuple[int, int]) -> int:
    """The highest version that a client and the server have in common.

    Raises ProtocolError UNSUPPORTED_VERSION.
    """
    (low, high), (lowest, highest) = versions, PROTOCOLS
    if not max(low, lowest) <= min(high, highest):
        said = f"this server speaks protocol {lowest} to {highest}, the client {low} to {high}"
        want, got = f"[{lowest}, {highest}]", f"[{low}, {high}]"
        raise ProtocolError.unfit(Code.UNSUPPORTED_VERSION, "protocol", want, got, said=said)
    return min(high, highest)


def decode_server(body: memoryview | bytes) -> m.ServerMessage:
    """A server's message from a frame's body. Raises ProtocolError BAD_FRAME or BAD_MESSAGE."""
    return _decode(_server, body)


class _Glance(msgspec.Struct, tag_field="type", tag="hello"):
    """The two keys of a hello that every version has."""

    protocol: msgspec.Raw = msgspec.Raw()


_glancer: msgspec.msgpack.Decoder[_Glance] = msgspec.msgpack.Decoder(_Glance)
_pair: msgspec.msgpack.Decoder[tuple[int, int]] = msgspec.msgpack.Decoder(tuple[int, int])


def _glance(body: memoryview | bytes) -> tuple[int, int] | tuple[()] | None:
    """The versions in what calls itself a hello: () when unreadable, None when it is no hello."""
    try:
        shown = _glancer.decode(body).protocol
    except Exception:
        return None
    try:
        return _pair.decode(shown)
    except Exception:
        return ()


def _decode(decoder: msgspec.msgpack.Decoder[T], body: memoryview | bytes) -> T:
    try:
        message: T = decoder.decode(body)
        return message
    except msgspec.ValidationError as fault:
        raise _explain(str(fault), len(body), decoder.type) from None
    except Exception as fault:  # malformed input can also end in TypeError or RecursionError
        raise not_a_map(f"{type(fault).__name__}: {fault}"[:200]) from None


def _explain(text: str, size: int, kind: Any) -> ProtocolError:
    """Split msgspec's sentence about a ``kind`` into field, expected and got."""
    at = _PATH.search(text)
    field = at.group(2) or at.group(1) if at else None
    said = text[: at.start()] if at else text
    unknown = re.match(r"Object contains unknown field `(.*)`", said)
    missing = re.match(r"Object missing required field `(.*)`", said)
    typed = _EXPECTED.match(said)
    invalid = re.match(r"Invalid (?:enum )?value (.*)", said)
    if unknown:
        return bad_message(said, _join(field, unknown.group(1)), "no such key", "an unknown key")
    if missing:
        return bad_message(said, _join(field, missing.group(1)), "this key", "nothing")
    if typed:
        wish = " ".join(part for part in typed.group(1, 2) if part)
        return bad_message(said, field, _wire_words(wish), _wire_words(typed.group(3)))
    if invalid and field == "type" and size > CONTROL_FRAME:
        wish = f"step or teach in a frame of more than {CONTROL_FRAME} bytes"
        return bad_message(f"want {wish}", field, wish, invalid.group(1))
    if invalid and (wish := " | ".join(_choices(kind, field or ""))):
        return bad_message(f"{field}: want {wish}, got {invalid.group(1)}", field, wish, invalid[1])
    return bad_message(said, field, None, invalid.group(1) if invalid else None)


def _choices(kind: Any, field: str) -> Iterator[str]:
    """The words that a field of a message may hold; none where it is not one of a few."""
    for message in get_args(kind) or (kind,):
        if field == "type":
            yield message.__struct_config__.tag
        for each in msgspec.structs.fields(message):
            if each.encode_name == field and get_origin(each.type) is Literal:
                yield from get_args(each.type)


def _join(field: str | None, key: str) -> str:
    return f"{field}.{key}" if field else key


def _wire_words(text: str | None) -> str | None:
    """Speak of maps, bins and nil, as msgpack does."""
    if text is None:
        return None
    return _WORDS.get(text) or text.replace("object", "map").replace("bytes", "bin")
