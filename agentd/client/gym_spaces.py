"""Gymnasium's spaces as the schema's tensors and actions. Shape letters: S environments, N rows."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

_KEPT = ("uint8", "int8", "int32", "float16", "float32")
_CAST = {"float64": "float32", "bool": "uint8", "int16": "int32", "uint16": "int32"}
_INT32 = np.iinfo(np.int32)


class SpaceLeaf(NamedTuple):
    """One tensor of an observation: how to find it and what it becomes."""

    name: str
    path: tuple[str | int, ...]  # keys and indices from the whole observation to this part
    dtype: str
    shape: tuple[int, ...]
    encode: Callable[[NDArray[Any]], NDArray[Any]]  # (N, *its shape) -> (N, *shape) of dtype

    def batch(self, observation: Any) -> NDArray[Any]:
        """Return this part of the observation of a vector environment, (S, *shape)."""
        return self.encode(np.asarray(self._find(observation)))

    def single(self, observation: Any) -> NDArray[Any]:
        """Return this part of one environment's observation as one row, (1, *shape)."""
        return self.encode(np.array(self._find(observation))[np.newaxis])  # a copy

    def _find(self, observation: Any) -> Any:
        for key in self.path:
            observation = observation[key]
        return observation


def leaves(space: gymnasium.Space[Any]) -> tuple[SpaceLeaf, ...]:
    """Return the tensors that an observation of ``space`` is made of.

    Box keeps uint8, int8, int32, float16 and float32; float64 becomes float32, other integers
    become int32 where their bounds allow it and float32 where not. Discrete and MultiDiscrete
    become one-hot uint8, MultiBinary uint8. Dict and Tuple give a tensor for each part, named by
    its keys with a dot between; a space without parts is named ``obs``.
    Raises TypeError for any other space.
    """
    return tuple(_leaves(space, ()))


def _leaves(space: gymnasium.Space[Any], path: tuple[str | int, ...]) -> Iterator[SpaceLeaf]:
    name = ".".join(map(str, path)) or "obs"
    match space:
        case spaces.Dict():
            for key, part in space.spaces.items():
                yield from _leaves(part, (*path, key))
        case spaces.Tuple():
            for index, part in enumerate(space.spaces):
                yield from _leaves(part, (*path, index))
        case spaces.Box():
            dtype = _wire_dtype(space)
            yield SpaceLeaf(name, path, dtype, tuple(space.shape), _cast_to(dtype))
        case spaces.MultiBinary():
            yield SpaceLeaf(name, path, "uint8", tuple(space.shape), _cast_to("uint8"))
        case spaces.Discrete():
            start, n = np.array([space.start]), np.array([space.n])
            yield SpaceLeaf(name, path, "uint8", (int(space.n),), _one_hot(start, n))
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            width = int(space.nvec.sum())
            yield SpaceLeaf(name, path, "uint8", (width,), _one_hot(space.start, space.nvec))
        case _:
            raise TypeError(
                f"observation {name}: {space} cannot be sent; want Box, Discrete, MultiDiscrete "
                "of one axis, MultiBinary, or a Dict or Tuple of them"
            )


def _wire_dtype(space: spaces.Box) -> str:
    name = np.dtype(space.dtype).name
    if name in _KEPT:
        return name
    if name in _CAST:
        return _CAST[name]
    fits = (space.low >= _INT32.min).all() and (space.high <= _INT32.max).all()
    return "int32" if fits else "float32"


def _cast_to(dtype: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    kind = np.dtype(dtype)
    return lambda rows: rows.astype(kind, copy=False)


def _one_hot(start: NDArray[Any], n: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return the encoder of numbers (N,) or (N, k), each from its ``start`` on, ``n`` many."""
    offset = np.cumsum(n) - n - start
    width = int(n.sum())

    def encode(rows: NDArray[Any]) -> NDArray[Any]:
        hot = np.zeros((len(rows), width), np.uint8)
        at = rows.reshape(len(rows), -1).astype(np.int64) + offset
        np.put_along_axis(hot, at, 1, axis=1)
        return hot

    return encode


class ActionCoder:
    """An action space as branches of numbered actions, and back.

    Attributes:
        actions: how many actions, or how many in each branch.
        width: of a mask: the actions of all branches, A.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        """Raises TypeError for a space whose actions are not numbered."""
        self.actions: int | tuple[int, ...]
        if isinstance(space, spaces.Discrete):
            self.actions = int(space.n)
            self._start: Any = int(space.start)
            self.width = self.actions
        elif isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
            self.actions = tuple(int(n) for n in space.nvec)
            self._start = np.asarray(space.start, np.int64)
            self.width = sum(self.actions)
        else:
            more = ""
            if isinstance(space, spaces.Box):
                more = "; its actions are continuous: wrap the environment to make them discrete"
            raise TypeError(f"action {space}: want Discrete, or MultiDiscrete of one axis{more}")

    def decode(self, actions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Return what environments take for ``actions``, (S,) or (S, branches).

        A -1, which answers a row that ended an episode, becomes the first action: Gymnasium does
        not look at it.
        """
        numbered: NDArray[np.int64] = np.maximum(actions, 0).astype(np.int64) + self._start
        return numbered

    def flat_mask(self, mask: Any) -> NDArray[np.uint8]:
        """Return one environment's mask as (A,); a mask of several branches may be a tuple.

        Raises ValueError when it is of another size.
        """
        parts = mask if isinstance(mask, tuple | list) else (mask,)
        flat = np.concatenate([np.asarray(part).reshape(-1) for part in parts])
        if flat.shape != (self.width,):
            raise ValueError(f"action_mask: want {self.width} numbers, got {len(flat)}")
        legal: NDArray[np.uint8] = (flat != 0).astype(np.uint8)
        return legal
