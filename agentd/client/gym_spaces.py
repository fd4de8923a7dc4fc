"""Gymnasium's observation spaces as the schema's tensors. Shape letters: S environments, N rows.

What an environment hands out is held against what its space says: what could only be sent as
something else is refused by name (``Misfit``), never cast in silence.
"""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

_KEPT = ("uint8", "int8", "int32", "float16", "float32")
_CAST = {"float64": "float32", "bool": "uint8", "int16": "int32", "uint16": "int32"}
_INT32 = np.iinfo(np.int32)
WHOLE = "iub"
"""Kinds of dtypes that hold whole numbers."""
_LONGEST = 64  # characters of a tensor's name (R3)

log = logging.getLogger(__name__)

Rows = NDArray[Any]
Encode = Callable[[Rows], Rows]


class Misfit(ValueError):
    """An environment handed out what it does not say; the text names what, expected and got."""

    def __init__(self, what: str, expected: str, got: object) -> None:
        super().__init__(f"{what}: want {expected}, got {got}")


class CannotBeSent(TypeError):
    """A space that the protocol has no words for."""


class SpaceLeaf(NamedTuple):
    """One tensor of an observation: how to find it and what it becomes."""

    name: str
    path: tuple[str | int, ...]  # keys and indices from the whole observation to this part
    dtype: str
    shape: tuple[int, ...]
    inner: tuple[int, ...]  # of this part of one observation, before it is encoded
    encode: Encode  # (N, *inner) -> (N, *shape) of dtype; raises Misfit

    def batch(self, observation: Any) -> Rows:
        """Return this part of the observation of a vector environment, (S, *shape).

        Raises Misfit.
        """
        return self._rows(np.asarray(self._find(observation)))

    def single(self, observation: Any) -> Rows:
        """Return this part of one environment's observation as one row, (1, *shape).

        Raises Misfit.
        """
        return self._rows(self._copy(self._find(observation)))

    def row(self, observation: Any, index: int) -> Rows:
        """Return the row of environment ``index`` of what a vector environment put into an info.

        Gymnasium keeps such observations as arrays of objects where they are no mapping.
        """
        picked = False
        for key in self.path:
            if not picked and isinstance(observation, np.ndarray):
                observation, picked = observation[index], True
            observation = observation[key]
        return self._rows(self._copy(observation if picked else observation[index]))

    def _find(self, observation: Any) -> Any:
        try:
            for key in self.path:
                observation = observation[key]
        except (KeyError, IndexError, TypeError):
            raise Misfit(self.name, "this part in every observation", "none") from None
        return observation

    def _copy(self, value: Any) -> Rows:
        try:
            return np.array(value)[np.newaxis]
        except ValueError:  # parts of several lengths
            raise Misfit(
                self.name, f"numbers of shape {self.inner}", type(value).__name__
            ) from None

    def _rows(self, rows: Rows) -> Rows:
        if not self.inner and rows.ndim and rows.size == len(rows):
            rows = rows.reshape(-1)  # one number a row, as an array of its own
        if rows.shape[1:] != self.inner:
            raise Misfit(self.name, f"shape {self.inner}", rows.shape[1:])
        return self.encode(rows)


def leaves(space: gymnasium.Space[Any]) -> tuple[SpaceLeaf, ...]:
    """Return the tensors that an observation of ``space`` is made of.

    Box keeps uint8, int8, int32, float16 and float32; float64 becomes float32, other integers
    become int32 where their bounds allow it and float32 where not. Discrete and MultiDiscrete
    become one-hot uint8, MultiBinary uint8. Dict and Tuple give a tensor for each part, named by
    its keys with a dot between; in a name other characters than letters, digits, _ . - become _. A
    space without parts is named ``obs``. Raises CannotBeSent, a TypeError, for any other.
    """
    found = list(_parts(space, ()))
    names = _legal_names([".".join(map(str, path)) or "obs" for path, _ in found])
    return tuple(_leaf(name, path, part) for name, (path, part) in zip(names, found, strict=True))


def _parts(
    space: gymnasium.Space[Any], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], gymnasium.Space[Any]]]:
    inner: Any = ()
    if isinstance(space, spaces.Dict):
        inner = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        inner = enumerate(space.spaces)
    else:
        yield path, space
    for key, part in inner:
        yield from _parts(part, (*path, key))


def _legal_names(names: list[str]) -> list[str]:
    """Return ``names`` as R3 allows them, each once; those that are legal already stay."""
    taken = {name for name in names if name == _legal(name)}
    found = []
    for name in names:
        legal, number = _legal(name), 2
        while legal != name and legal in taken:
            legal, number = f"{_legal(name)[: _LONGEST - 4]}_{number}", number + 1
        taken.add(legal)
        found.append(legal)
    return found


def _legal(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_LONGEST] or "_"


def _leaf(name: str, path: tuple[str | int, ...], space: gymnasium.Space[Any]) -> SpaceLeaf:
    inner = tuple(space.shape or ())
    match space:
        case spaces.Box():
            dtype = _wire_dtype(space)
            return SpaceLeaf(name, path, dtype, inner, inner, _numbers(name, space, dtype))
        case spaces.MultiBinary():
            return SpaceLeaf(name, path, "uint8", inner, inner, _bits(name))
        case spaces.Discrete():
            sizes, start = np.array([space.n]), np.array([space.start])
        case spaces.MultiDiscrete():
            sizes, start = space.nvec.reshape(-1), space.start.reshape(-1)
        case _:
            raise CannotBeSent(
                f"observation {name}: {space} cannot be sent; want Box, Discrete, MultiDiscrete, "
                "MultiBinary, or a Dict or Tuple of them"
            )
    width = (int(sizes.sum()),)
    return SpaceLeaf(name, path, "uint8", width, inner, _one_hot(name, start, sizes))


def _wire_dtype(space: spaces.Box) -> str:
    name = np.dtype(space.dtype).name
    if name in _KEPT:
        return name
    if name in _CAST:
        return _CAST[name]
    fits = (space.low >= _INT32.min).all() and (space.high <= _INT32.max).all()
    return "int32" if fits else "float32"


def _numbers(name: str, space: spaces.Box, dtype: str) -> Encode:
    """Return the encoder of numbers (N, *inner): whole ones where the space says so.

    Numbers that lie outside the space's bounds can be sent: that is told once, no more.
    """
    kind, whole = np.dtype(dtype), np.dtype(space.dtype).kind in WHOLE
    low, high = space.low, space.high
    wary = bool(np.isfinite(low).any() or np.isfinite(high).any())

    def encode(rows: Rows) -> Rows:
        nonlocal wary
        if rows.dtype.kind not in (WHOLE if whole else WHOLE + "f"):
            raise Misfit(name, f"{space.dtype}, as its space says", rows.dtype)
        if wary and ((rows < low).any() or (rows > high).any()):
            outside = rows[(rows < low) | (rows > high)].reshape(-1)[0]
            log.warning("observation %s: %s lies outside its space %s", name, outside, space)
            wary = False
        if rows.dtype != kind:
            _check_range(name, rows, kind)
            with np.errstate(over="ignore"):
                rows, given = rows.astype(kind), rows
        else:
            given = rows
        if kind.kind == "f" and not np.isfinite(rows).all():
            wrong = given[~np.isfinite(rows)].reshape(-1)[0]
            raise Misfit(name, f"finite numbers of {kind}", wrong)
        return rows

    return encode


def _check_range(name: str, rows: Rows, kind: np.dtype[Any]) -> None:
    """Raise Misfit when a whole number of ``rows`` does not fit into ``kind``."""
    if kind.kind in "iu" and rows.size and rows.dtype.kind in "iu":
        bounds = np.iinfo(kind)
        for value in (int(rows.min()), int(rows.max())):
            if not bounds.min <= value <= bounds.max:
                raise Misfit(name, f"numbers of {kind}", value)


def _bits(name: str) -> Encode:
    def encode(rows: Rows) -> Rows:
        if rows.dtype.kind not in WHOLE:
            raise Misfit(name, "zeros and ones", rows.dtype)
        wrong = rows[(rows != 0) & (rows != 1)]
        if wrong.size:
            raise Misfit(name, "zeros and ones", wrong.reshape(-1)[0])
        return rows.astype(np.uint8, copy=False)

    return encode


def _one_hot(name: str, start: Rows, n: Rows) -> Encode:
    """Return the encoder of numbers (N,) or (N, k), each from its ``start`` on, ``n`` many."""
    offset = np.cumsum(n) - n
    width = int(n.sum())

    def encode(rows: Rows) -> Rows:
        if rows.dtype.kind not in WHOLE:
            raise Misfit(name, "whole numbers, as its space says", rows.dtype)
        at = rows.reshape(len(rows), -1).astype(np.int64) - start
        wrong = np.argwhere((at < 0) | (at >= n))
        if len(wrong):
            row, column = wrong[0]
            low, got = int(start[column]), int(at[row, column] + start[column])
            raise Misfit(name, f"a number in {low}..{low + int(n[column]) - 1}", got)
        hot = np.zeros((len(rows), width), np.uint8)
        np.put_along_axis(hot, at + offset, 1, axis=1)
        return hot

    return encode
