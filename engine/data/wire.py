"""The wire format of Protocol Buffers, as far as messages of numbers need it.

A message is a row of fields: a varint key (number << 3 | type) and a value. Types: 0 varint,
1 eight bytes, 2 a length and as many bytes, 5 four bytes. Unknown fields are skipped, as the
specification asks (protobuf.dev/programming-guides/encoding).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data.errors import DataError

Value: TypeAlias = "int | memoryview"

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
_FLOAT = np.dtype("<f4")


class WireError(ValueError):
    """Bytes that are no message; the text says what is wrong."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """Yield (number, type, value) of each field. Raises WireError where the message is cut."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("field number 0")
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, kind, value
            continue
        size = {EIGHT: 8, FOUR: 4}.get(kind)
        if kind == BYTES:
            size, at = _varint(message, at)
        if size is None:
            raise WireError(f"unknown wire type {kind}")
        if at + size > end:
            raise WireError(f"expected {size} bytes, got {end - at}")
        yield number, kind, message[at : at + size]
        at += size


def floats(message: memoryview, wanted: tuple[int, ...]) -> dict[int, NDArray[np.float32]]:
    """Return the repeated float fields ``wanted`` of a message, packed or not."""
    found: dict[int, list[NDArray[np.float32]]] = {number: [] for number in wanted}
    for number, kind, value in fields(message):
        if number not in found:
            continue
        if isinstance(value, int) or kind == EIGHT or len(value) % 4:
            raise WireError(f"field {number} holds no floats")
        found[number].append(np.frombuffer(value, _FLOAT))
    empty = np.empty(0, np.float32)
    return {n: np.concatenate(p) if len(p) > 1 else p[0] if p else empty for n, p in found.items()}


def varints(packed: memoryview) -> list[int]:
    """Return the numbers of a packed field. Raises WireError where it is cut."""
    found, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        found.append(value)
    return found


def records(path: Path, number: int, limit: int = 1 << 28) -> Iterator[memoryview]:
    """Yield the messages in field ``number`` of the message that fills a file, one at a time.

    Only one record is in memory. Raises DataError naming the record.
    """
    with path.open("rb") as file:
        row = 0
        while (key := _read_varint(file, path, row + 1)) is not None:
            size = _read_varint(file, path, row + 1) if key & 7 in (VARINT, BYTES) else None
            if key & 7 == VARINT:
                continue
            size = {EIGHT: 8, FOUR: 4}.get(key & 7, size)
            if size is None or not 0 <= size <= limit or key >> 3 == 0:
                raise _no_message(path, row + 1)
            data = file.read(size)
            row += key >> 3 == number
            if len(data) != size:
                raise DataError(
                    "truncated",
                    file=str(path),
                    row=max(1, row),
                    expected=f"{size} bytes",
                    got=f"{len(data)} bytes",
                )
            if key >> 3 == number and key & 7 == BYTES:
                yield memoryview(data)
            elif key >> 3 == number:
                raise _no_message(path, row)


def put_varint(value: int) -> bytes:
    """Return ``value`` (from 0, below 2⁶⁴; negative numbers as two's complement) as a varint."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_bytes(number: int, data: bytes) -> bytes:
    """Return a field of bytes: a text, a message or packed numbers."""
    return put_varint(number << 3 | BYTES) + put_varint(len(data)) + data


def put_int(number: int, value: int) -> bytes:
    """Return an integer field."""
    return put_varint(number << 3 | VARINT) + put_varint(value)


def put_floats(number: int, values: NDArray[Any]) -> bytes:
    """Return a packed repeated float field; nothing for no values."""
    return put_bytes(number, np.ascontiguousarray(values, _FLOAT).tobytes()) if values.size else b""


def put_float(number: int, value: float) -> bytes:
    """Return one float field."""
    return put_varint(number << 3 | FOUR) + struct.pack("<f", value)


def put_double(number: int, value: float) -> bytes:
    """Return one double field."""
    return put_varint(number << 3 | EIGHT) + struct.pack("<d", value)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise WireError("cut inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise WireError("a number of more than 64 bits")


def _read_varint(file: IO[bytes], path: Path, row: int) -> int | None:
    """Return the next varint of a file, or None at its end."""
    raw = bytearray()
    while len(raw) < 10:
        byte = file.read(1)
        if not byte:
            if raw:
                raise DataError("truncated", file=str(path), row=row, expected="more of a number")
            return None
        raw += byte
        if byte[0] < 0x80:
            return _varint(memoryview(bytes(raw)), 0)[0]
    raise _no_message(path, row)


def _no_message(path: Path, row: int) -> DataError:
    return DataError("no protobuf record", file=str(path), row=row)
