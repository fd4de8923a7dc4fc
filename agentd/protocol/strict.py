"""What a typed decode does not refuse by itself (R2, R3), and what it may cost.

A body's map has no more keys than a message has, every key once, and no extension types; the free
maps of ``hello`` and ``create`` are neither deep nor large.
"""

from typing import Any

import msgpack

from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Step, Step1

MAX_KEYS = 15  # hello has as many; a longer map is no message
MAX_VALUES = 1024  # inside one control message …
MAX_DEPTH = 16  # … and how deep its maps and lists may nest


def count_keys(body: memoryview | bytes) -> int:
    """The number of keys that a body's map header announces. Raises BAD_FRAME, BAD_MESSAGE."""
    first = body[0]
    if 0x80 <= first <= 0x8F:
        return first & 0x0F
    if first == 0xDE:
        keys = int.from_bytes(body[1:3], "big")
    elif first == 0xDF:
        keys = int.from_bytes(body[1:5], "big")
    else:
        raise not_a_map(f"a value that starts with 0x{first:02x}")
    if keys > MAX_KEYS:
        want, said = f"at most {MAX_KEYS} keys", f"a map of {keys} keys is no message"
        raise ProtocolError.unfit(Code.BAD_MESSAGE, None, want, str(keys), said=said)
    return keys


def starts_with(body: memoryview | bytes, key: bytes) -> bool:
    """True when a body's map begins with these bytes."""
    start = 1 if body[0] < 0x90 else 3 if body[0] == 0xDE else 5
    return body[start : start + len(key)] == key


def step_size(step: Step1) -> int:
    """Bytes of ``step`` in the shortest encoding, with no key twice.

    A body of just this size needs no further look; any other gets one.
    """
    n, seq = len(step.kind), step.seq
    size = 9 * n + (45 if n < 64 else 47 if n < 256 else 48 if n < 16384 else 52)
    size += 1 if seq < 0x80 else 2 if seq < 0x100 else 3 if seq < 0x10000 else 5
    for name, part in step.obs.items():
        long = len(part)
        size += long + len(name) + (3 if long < 256 else 4 if long < 65536 else 6)
    if step.mask is not None:
        size += 5 + _bin_size(step.mask)
    if isinstance(step, Step):
        facts = (step.taken, 6), (step.by, 3), (step.elapsed, 8), (step.success, 8)
        size += sum(key + _bin_size(fact) for fact, key in facts if fact is not None)
    return size if len(step.obs) < 16 else size + 2


def _bin_size(part: memoryview) -> int:
    """Bytes of a bin in the shortest encoding."""
    long = len(part)
    return long + (2 if long < 256 else 3 if long < 65536 else 5)


def check_plain(body: memoryview | bytes) -> None:
    """Refuse what a typed decode lets through: a key twice, extension types, too many values."""
    hooks = _Budget()
    try:
        value = msgpack.unpackb(
            body, object_pairs_hook=hooks.pairs, list_hook=hooks.items, strict_map_key=False
        )
        _Budget().walk(value, "", 0)
    except _BadValue as fault:
        field, expected, got = fault.args
        raise bad_message(f"want {expected}, got {got}", field, expected, got) from None
    except Exception as fault:
        raise not_a_map(f"{type(fault).__name__}: {fault}"[:200]) from None


class _Budget:
    """How many values may still come: first lists and maps as they are made, then all."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def _spend(self, key: str | None) -> None:
        self._left -= 1
        if self._left < 0:
            raise _BadValue(key, f"at most {MAX_VALUES} values", "more")

    def items(self, items: list[Any]) -> list[Any]:
        """A list, as msgpack has made it."""
        self._spend(None)
        return items

    def pairs(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        """A map of what msgpack has read of it."""
        self._spend(None)
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise _BadValue(str(twice)[:100], "each key once", "a key twice")
        return found

    def walk(self, value: object, key: str, depth: int) -> None:
        """Go through a value and all within it; ``key`` is the way to it."""
        self._spend(key)
        if isinstance(value, msgpack.ExtType | msgpack.Timestamp):
            raise _BadValue(key, "no extension type", "an extension type")
        if isinstance(value, dict | list):
            if depth == MAX_DEPTH:
                raise _BadValue(key, f"maps and lists at most {MAX_DEPTH} deep", "a deeper one")
            for name, item in value.items() if isinstance(value, dict) else enumerate(value):
                self.walk(item, f"{key}.{name}" if key else str(name), depth + 1)


class _BadValue(Exception):
    """Leaves msgpack's hooks."""


def not_a_map(got: str) -> ProtocolError:
    """BAD_FRAME for a body that is no msgpack map, or more than one."""
    want, said = "one msgpack map with string keys", "the body is not exactly one msgpack map"
    return ProtocolError.unfit(Code.BAD_FRAME, None, want, got, said=said)


def bad_message(
    said: str, field: str | None, expected: str | None, got: str | None
) -> ProtocolError:
    """BAD_MESSAGE with every text cut to a bounded length."""
    return ProtocolError(
        Code.BAD_MESSAGE,
        said[:300],
        field=field and field[:100],
        expected=expected and expected[:300],
        got=got and got[:200],
    )
