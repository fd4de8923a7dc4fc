"""What actions a game says it has: numbered ones, and from version 2 on numbers and mixtures (R14).

How a number is learned is no matter of the wire: see `agentd.assembly.actions`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from agentd.protocol.errors import Code, ProtocolError

MAX_ACTIONS, MAX_BRANCHES, MAX_NUMBERS = 65536, 64, 32
_F32 = float(np.finfo(np.float32).max)
_bad = partial(ProtocolError.unfit, Code.BAD_HELLO)


@dataclass(frozen=True, slots=True)
class Branches:
    """Numbered actions: one of ``n`` in each branch; kind is discrete or multi_discrete."""

    kind: str
    n: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number between two others, both of float32 and finite."""

    low: float
    high: float

    def to_wire(self) -> dict[str, float]:
        """Return the bounds as a head carries them."""
        return {"low": self.low, "high": self.high}

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


Head: TypeAlias = int | Bounds
"""One part of an action: how many it is numbered from, or the bounds of its number."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Several heads, each numbered (how many) or a number; kind is box or mixed."""

    kind: str
    heads: tuple[Head, ...]


ActionSpace: TypeAlias = Branches | Heads


def read_action(action: object, version: int) -> ActionSpace:
    """Read hello's ``action`` as ``version`` has it. Raises ProtocolError BAD_HELLO."""
    if version > 1 and isinstance(action, Mapping):
        match action.get("kind"):
            case "box":
                return _box(action)
            case "mixed":
                return _mixed(action)
    return _branches(action, version)


def _branches(action: object, version: int) -> Branches:
    kinds = "discrete | multi_discrete" + ("" if version == 1 else " | box | mixed")
    if not isinstance(action, Mapping) or set(action) != {"kind", "n"}:
        kind = action.get("kind") if isinstance(action, Mapping) else None
        if version > 1 and kind is not None and kind not in ("discrete", "multi_discrete"):
            raise _bad("action.kind", kinds, repr(kind)[:80])
        raise _bad("action", "a map with kind and n", _size(action))
    kind, n = action["kind"], action["n"]
    if kind == "discrete":
        branches: tuple[object, ...] = (n,)
    elif kind == "multi_discrete":
        if not isinstance(n, list | tuple) or not 1 <= len(n) <= MAX_BRANCHES:
            raise _bad("action.n", f"a list of 1..{MAX_BRANCHES} sizes", repr(n)[:80])
        branches = tuple(n)
    else:
        raise _bad("action.kind", kinds, repr(kind)[:80])
    sizes = tuple(_count(b, "action.n", "sizes", repr(n)[:80]) for b in branches)
    _require_few(sizes, "action.n")
    return Branches(kind, sizes)


def _box(action: Mapping[object, object]) -> Heads:
    if set(action) != {"kind", "low", "high"}:
        raise _bad("action", "a map with kind, low and high", _size(action))
    low, high = (_list(action[key], f"action.{key}", MAX_NUMBERS) for key in ("low", "high"))
    if len(low) != len(high):
        raise _bad("action.high", f"{len(low)} numbers, as many as low has", str(len(high)))
    pairs = enumerate(zip(low, high, strict=True))
    return Heads("box", tuple(_bounds(a, b, "action", f"[{at}]") for at, (a, b) in pairs))


def _mixed(action: Mapping[object, object]) -> Heads:
    if set(action) != {"kind", "heads"}:
        raise _bad("action", "a map with kind and heads", _size(action))
    given = _list(action["heads"], "action.heads", MAX_BRANCHES)
    heads = tuple(_head(head, f"action.heads[{at}]") for at, head in enumerate(given))
    numbers = sum(isinstance(head, Bounds) for head in heads)
    if numbers > MAX_NUMBERS:
        raise _bad("action.heads", f"at most {MAX_NUMBERS} with low and high", str(numbers))
    _require_few([head for head in heads if isinstance(head, int)], "action.heads")
    return Heads("mixed", heads)


def _head(head: object, field: str) -> Head:
    keys = set(head) - {"name"} if isinstance(head, Mapping) else set()
    if not isinstance(head, Mapping) or keys not in ({"n"}, {"low", "high"}):
        raise _bad(field, "a map with n, or with low and high, and perhaps a name", _size(head))
    name = head.get("name", "head")
    if not isinstance(name, str) or not 1 <= len(name) <= 64:
        raise _bad(f"{field}.name", "a name of 1..64 characters", repr(name)[:80])
    if "n" in head:
        return _count(head["n"], f"{field}.n", "a size", repr(head["n"])[:80])
    return _bounds(head["low"], head["high"], field)


def _bounds(low: object, high: object, field: str, at: str = "") -> Bounds:
    for value, key in (low, "low"), (high, "high"):
        if type(value) not in (int, float) or not abs(value) <= _F32:  # type: ignore[arg-type]
            raise _bad(f"{field}.{key}{at}", "a finite number of float32", repr(value)[:80])
    least, most = float(np.float32(low)), float(np.float32(high))  # type: ignore[arg-type]
    if not (math.isfinite(least) and math.isfinite(most) and least < most):
        raise _bad(f"{field}.high{at}", f"more than low ({least:g})", f"{most:g}")
    return Bounds(least, most)


def _list(value: object, field: str, most: int) -> list[object]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
        got = f"{len(value)} of them" if isinstance(value, list | tuple) else repr(value)[:80]
        raise _bad(field, f"a list of 1..{most}", got)
    return list(value)


def _count(value: object, field: str, what: str, got: str) -> int:
    if type(value) is not int or not 1 <= value <= MAX_ACTIONS:
        raise _bad(field, f"{what} of 1..{MAX_ACTIONS}", got)
    return value


def _require_few(sizes: tuple[int, ...] | list[int], field: str) -> None:
    if sum(sizes) > MAX_ACTIONS:
        raise _bad(field, f"at most {MAX_ACTIONS} actions in all", str(sum(sizes)))


def _size(value: object) -> str:
    return f"a map of {len(value)}" if isinstance(value, Mapping) else type(value).__name__
