"""Numbers of the game's JSON as arrays, exact about the first that does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class BadValue(Exception):
    """A value that cannot be a row's: at which index (None: all of it), what was expected, got."""

    def __init__(self, index: int | None, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.index, self.expected, self.got = index, expected, got


def read_numbers(value: Any, size: int) -> NDArray[np.float32]:
    """``size`` finite numbers of float32, from a number or lists of them. Raises BadValue."""
    try:
        given = np.asarray(value)
    except ValueError:  # lists of different lengths
        given = np.empty(0, object)
    if given.dtype.kind not in "fiub":
        given = np.array(_floats(value))
    flat = given.reshape(-1)
    if len(flat) != size:
        raise BadValue(None, f"{size} numbers", str(len(flat)))
    with np.errstate(over="ignore", invalid="ignore"):
        out = flat.astype("<f4")
    fine = np.isfinite(out)
    if not fine.all():
        at = int(np.argmin(fine))
        raise BadValue(at, "a finite number of float32", f"{float(flat[at]):g}")
    return out


def read_number(value: Any) -> float:
    """One finite number. Raises BadValue."""
    return float(read_numbers(value, 1)[0])


def read_whole(value: Any, n: int) -> int:
    """A whole number of 0..n-1. Raises BadValue."""
    number = read_number(value)
    if not 0 <= number < n or number != int(number):
        raise BadValue(None, f"a whole number of 0..{n - 1}", f"{number:g}")
    return int(number)


def read_hex(value: Any, size: int) -> NDArray[np.uint8]:
    """``size`` bytes from a string of hex digits. Raises BadValue."""
    if not isinstance(value, str) or len(value) != 2 * size:
        raise BadValue(None, f"a string of {2 * size} hex digits", show(value))
    try:
        return np.frombuffer(bytes.fromhex(value), np.uint8)
    except ValueError:
        at = next(at for at, letter in enumerate(value) if letter not in "0123456789abcdefABCDEF")
        raise BadValue(at // 2, "two hex digits", repr(value[at - at % 2 :][:2])) from None


def show(value: Any) -> str:
    """A value in a few words, for an error."""
    if isinstance(value, str):
        return f"a string of {len(value)}" if len(value) > 40 else repr(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "null"
    return f"a map of {len(value)}" if isinstance(value, dict) else repr(value)[:40]


def _floats(value: Any) -> list[float]:
    """The numbers of nested lists, one by one. Raises BadValue for what is none."""
    out: list[float] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        elif isinstance(one, int | float):
            out.append(float(one) if abs(one) < 1e300 else float("inf"))
        else:
            raise BadValue(len(out), "a number", show(one))
    return out
