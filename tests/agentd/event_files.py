"""Reads TensorBoard's event files, to see what was written: tag numbers as in event.proto."""

import struct
from collections.abc import Iterator
from pathlib import Path

from agentd.engine.data import wire
from agentd.runs.tensorboard import masked_crc32c


def read_events(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield (step, scalars by tag) of an event file, checksums checked. Raises ValueError."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        head = data[at : at + 8]
        (size,) = struct.unpack("<Q", head)
        body = data[at + 12 : at + 12 + size]
        tail = data[at + 12 + size : at + 16 + size]
        if data[at + 8 : at + 12] != masked_crc32c(head) or tail != masked_crc32c(body):
            raise ValueError(f"{path}: damaged record at byte {at}")
        step, scalars = _event(memoryview(body))
        if scalars:
            yield step, scalars
        at += 16 + size


def _event(body: memoryview) -> tuple[int, dict[str, float]]:
    step, scalars = 0, {}
    for number, _, value in wire.fields(body):
        if number == 2 and isinstance(value, int):
            step = value
        if number != 5 or isinstance(value, int):
            continue
        for _, _, entry in wire.fields(value):
            if isinstance(entry, int):
                continue
            parts = {number: part for number, _, part in wire.fields(entry)}
            tag, simple = parts.get(1), parts.get(2)
            if isinstance(tag, memoryview) and isinstance(simple, memoryview):
                scalars[bytes(tag).decode()] = float(struct.unpack("<f", simple)[0])
    return step, scalars
