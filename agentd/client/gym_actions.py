"""Gymnasium's action spaces as branches of numbered actions. Shape letters: S environments."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agentd.client.gym_spaces import CannotBeSent, Misfit

Numbers = NDArray[np.int64]


class _Part(NamedTuple):
    """One space: the sizes of its branches, and what the environments take for their numbers."""

    sizes: tuple[int, ...]
    build: Callable[[Numbers], Any]  # (S, branches) -> arrays of S, in the space's structure
    number: Callable[[Any], Numbers]  # one action -> (branches,); anything may be wrong with it


class ActionCoder:
    """An action space as branches of numbered actions, and back.

    Discrete is one branch. MultiDiscrete of any shape has a branch a number, MultiBinary one of two
    actions a bit, and Dict and Tuple have those of their parts in order.

    Attributes:
        actions: how many actions, or how many in each branch.
        width: of a mask: the actions of all branches, A.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        """Raises CannotBeSent, a TypeError, for a space whose actions are not numbered."""
        part = _part(space)
        self._build, self._number, self._space = part.build, part.number, space
        self._sizes = part.sizes
        self.actions: int | tuple[int, ...] = part.sizes
        if isinstance(space, spaces.Discrete):
            (self.actions,) = part.sizes
        self.width = sum(part.sizes)
        self._starts = np.cumsum((0, *part.sizes[:-1]))

    def decode(self, actions: NDArray[np.integer[Any]]) -> Any:
        """Return what S environments take for ``actions``, (S,) or (S, branches).

        A -1, which answers a row that ended an episode, becomes the first action: Gymnasium does
        not look at it.
        """
        numbers: Numbers = np.maximum(actions, 0).astype(np.int64)
        return self._build(numbers.reshape(len(numbers), -1))

    def decode_one(self, actions: NDArray[np.integer[Any]]) -> Any:
        """Return what one environment takes for ``actions``, (1,) or (1, branches)."""
        return _first(self.decode(actions))

    def encode_one(self, action: Any) -> NDArray[np.int32]:
        """Return the numbers of one environment's ``action``: () or (branches,). Raises Misfit."""
        try:
            numbers = self._number(action)
        except (TypeError, ValueError, KeyError, IndexError):
            raise Misfit("action", f"one of {self._space}", repr(action)) from None
        if (
            len(numbers) != len(self._sizes)
            or (numbers < 0).any()
            or (numbers >= self._sizes).any()
        ):
            raise Misfit("action", f"one of {self._space}", repr(action))
        found = numbers.astype(np.int32)
        return found if isinstance(self.actions, tuple) else found.reshape(())

    def flat_mask(self, mask: Any) -> NDArray[np.uint8]:
        """Return one environment's mask as (A,), whether it came flat or in the space's structure.

        Raises Misfit when it is of another size.
        """
        flat = np.concatenate([np.asarray(part).reshape(-1) for part in _pieces(mask, self._space)])
        if flat.shape != (self.width,):
            raise Misfit("action_mask", f"{self.width} numbers", len(flat))
        legal: NDArray[np.uint8] = (flat != 0).astype(np.uint8)
        return legal

    def is_playable(self, mask: NDArray[np.uint8]) -> bool:
        """Whether ``mask`` (A,) leaves an action in every branch."""
        return bool(np.logical_or.reduceat(mask != 0, self._starts).all())


def _part(space: gymnasium.Space[Any]) -> _Part:
    match space:
        case spaces.Discrete():
            start = int(space.start)
            return _Part(
                (int(space.n),),
                lambda numbers: numbers[:, 0] + start,
                lambda one: _whole(one, start),
            )
        case spaces.MultiDiscrete():
            return _array(space, tuple(map(int, space.nvec.reshape(-1))), space.start)
        case spaces.MultiBinary():
            return _array(space, (2,) * math.prod(space.shape), 0)
        case spaces.Dict():
            return _several(list(space.spaces.values()), list(space.spaces))
        case spaces.Tuple():
            return _several(list(space.spaces), None)
    more = ""
    if isinstance(space, spaces.Box):
        more = "; its actions are continuous: wrap the environment to make them discrete"
    raise CannotBeSent(
        f"action {space}: want Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them"
        f"{more}"
    )


def _array(space: Any, sizes: tuple[int, ...], start: Any) -> _Part:
    def build(numbers: Numbers) -> Any:
        return numbers.reshape(len(numbers), *space.shape).astype(space.dtype) + start

    return _Part(sizes, build, partial(_whole, start=start))


def _first_branch(numbers: Numbers, start: int) -> Numbers:
    return numbers[:, 0] + start


def _whole(action: Any, start: Any) -> Numbers:
    """Return an array of whole numbers, flat and counted from 0."""
    found = np.asarray(action)
    if found.dtype.kind not in "biu":
        raise TypeError(found.dtype)
    numbers: Numbers = (found.astype(np.int64) - start).reshape(-1)
    return numbers


def _several(inner: list[gymnasium.Space[Any]], keys: list[str] | None) -> _Part:
    parts = [_part(each) for each in inner]
    ends = np.cumsum([len(part.sizes) for part in parts])[:-1]

    def build(numbers: Numbers) -> Any:
        split = np.split(numbers, ends, axis=1)
        built = tuple(part.build(own) for part, own in zip(parts, split, strict=True))
        return built if keys is None else dict(zip(keys, built, strict=True))

    def number(one: Any) -> Numbers:
        inner = one if keys is None else [one[key] for key in keys]
        return np.concatenate([part.number(own) for part, own in zip(parts, inner, strict=True)])

    return _Part(tuple(size for part in parts for size in part.sizes), build, number)


def _first(actions: Any) -> Any:
    if isinstance(actions, dict):
        return {key: _first(part) for key, part in actions.items()}
    if isinstance(actions, tuple):
        return tuple(map(_first, actions))
    return actions[0] if actions.ndim > 1 else int(actions[0])


def _pieces(mask: Any, space: gymnasium.Space[Any]) -> Iterator[Any]:
    """Yield the arrays of a mask in the order of the branches."""
    if isinstance(mask, Mapping) and isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            if key not in mask:
                raise Misfit(f"action_mask.{key}", "a mask of this part", "none")
            yield from _pieces(mask[key], part)
    elif isinstance(mask, tuple | list):
        inner = list(space.spaces) if isinstance(space, spaces.Tuple) else []
        for index, part in enumerate(mask):
            yield from _pieces(part, inner[index] if index < len(inner) else spaces.Discrete(1))
    else:
        yield mask
