"""TensorBoard's event files: scalars over steps, written without TensorFlow.

A file is a row of TFRecords: length u64, masked CRC-32C of the length, data, masked CRC-32C of the
data, all little-endian. The data are messages of tensorflow/core/util/event.proto: wall_time = 1
(double), step = 2, file_version = 3, summary = 5; a summary holds value = 1 with tag = 1 and
simple_value = 2 (float).
"""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agentd.engine.data import wire
from agentd.errors import StorageError
from agentd.store import write_file

_WALL_TIME, _STEP, _VERSION, _SUMMARY = 1, 2, 3, 5
_VALUE, _TAG, _SIMPLE = 1, 1, 2
_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected (RFC 3720, appendix B.4)


class EventWriter:
    """Appends scalars to a new event file in a folder. ``clock`` gives seconds since 1970."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        now = clock()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.agentd"
        self.path = folder / name
        version = wire.put_bytes(_VERSION, b"brain.Event:2")
        self._append(wire.put_double(_WALL_TIME, now) + version)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write scalars by tag at ``step``. Raises StorageError."""
        summary = b"".join(
            wire.put_bytes(
                _VALUE, wire.put_bytes(_TAG, tag.encode()) + wire.put_float(_SIMPLE, value)
            )
            for tag, value in scalars.items()
        )
        event = wire.put_double(_WALL_TIME, self._clock()) + wire.put_int(_STEP, step)
        self._append(event + wire.put_bytes(_SUMMARY, summary))

    def _append(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        record = length + masked_crc32c(length) + data + masked_crc32c(data)
        try:
            with self.path.open("ab") as file:
                file.write(record)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror or error}") from error


def cut_events(folder: Path, steps: int) -> None:
    """Drop what our event files in ``folder`` tell of later than ``steps`` steps.

    A run that goes on from a checkpoint writes these steps again. What a kill cut off is dropped
    too; files of other programs are left alone. Raises StorageError.
    """
    for path in sorted(folder.glob("events.out.tfevents.*.agentd")):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}") from error
        kept = b"".join(record for step, record in _records(data) if step <= steps)
        if kept != data:
            write_file(path, kept)


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (step, bytes) of each whole record of an event file; the first damaged one ends it."""
    at = 0
    while at + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        end = at + 16 + size
        event = data[at + 12 : end - 4]
        if end > len(data) or data[end - 4 : end] != masked_crc32c(event):
            return
        try:
            found = {number: value for number, _, value in wire.fields(memoryview(event))}
        except wire.WireError:
            return
        step = found.get(_STEP, 0)
        yield step if isinstance(step, int) else 0, data[at:end]
        at = end


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of ``data``: 0xE3069283 for b"123456789"."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> bytes:
    """Return the checksum as TFRecord stores it: rotated by 15 bits, plus a constant."""
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()
