"""Gymnasium's action spaces as heads: numbered actions, and numbers between bounds (R14).

Shape letters: S environments, H heads.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agentd.client.choices import Actions, ActionShape
from agentd.client.gym_spaces import WHOLE, CannotBeSent, Misfit
from agentd.protocol.actions import MAX_BRANCHES, MAX_NUMBERS, Bounds, Head

Numbers = NDArray[Any]
"""int64, or float64 where some heads are numbers."""


class _Part(NamedTuple):
    """One space: its heads, and what the environments take for their numbers."""

    heads: tuple[Head, ...]
    build: Callable[[Numbers], Any]  # (S, H) -> arrays of S, in the space's structure
    number: Callable[[Any], Numbers]  # one action -> (H,); anything may be wrong with it


class ActionCoder:
    """An action space as heads of numbered actions and of numbers, and back.

    Discrete is one head. MultiDiscrete of any shape has a head a number, MultiBinary one of two
    actions a bit, and Dict and Tuple have those of their parts in order. A Box of floats has a
    number a head, a Box of whole numbers is numbered from its lower bounds.

    Attributes:
        actions: how many actions, or how many in each branch; of a box and a mixture as hello has
            them.
        shape: the same, read.
        width: of a mask: the actions of all numbered heads, A.
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        """Raises CannotBeSent, a TypeError, for a space that the protocol has no words for."""
        part = _part(space)
        self._build, self._number, self._space = part.build, part.number, space
        sizes = tuple(head for head in part.heads if isinstance(head, int))
        self.width, self._starts = sum(sizes), np.cumsum((0, *sizes[:-1]))
        self.actions: Actions = sizes
        if isinstance(space, spaces.Discrete):
            (self.actions,) = sizes
        elif len(sizes) < len(part.heads):
            self.actions = _numbers(part.heads, space)
        self.shape = ActionShape(part.heads, not isinstance(space, spaces.Discrete))

    def decode(self, actions: NDArray[Any]) -> Any:
        """Return what S environments take for ``actions``, (S,) or (S, H).

        A -1 or NaN, which answers a row that ended an episode, becomes the first action and the
        middle of the bounds: Gymnasium does not look at it.
        """
        if actions.dtype.kind == "f":
            numbers = np.where(np.isnan(actions), self._middle, actions).astype(np.float64)
        else:
            numbers = np.maximum(actions, 0).astype(np.int64)
        return self._build(numbers.reshape(len(numbers), -1))

    @cached_property
    def _middle(self) -> NDArray[np.float32]:
        heads = self.shape.heads
        middle = [0.0 if isinstance(h, int) else 0.5 * h.low + 0.5 * h.high for h in heads]
        return np.array(middle, np.float32)

    def decode_one(self, actions: NDArray[Any]) -> Any:
        """Return what one environment takes for ``actions``, (1,) or (1, H)."""
        return _first(self.decode(actions))

    def encode_one(self, action: Any) -> NDArray[Any]:
        """Return one environment's ``action`` as a step's ``taken``: () or (H,). Raises Misfit."""
        try:
            numbers = self._number(action)
            if numbers.shape != (len(self.shape.heads),):
                raise ValueError(numbers.shape)
            return self.shape.checked(numbers if self.shape.several else numbers[0], None)
        except (TypeError, ValueError, KeyError, IndexError):
            raise Misfit("action", f"one of {self._space}", repr(action)) from None

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
        return not self.width or bool(np.logical_or.reduceat(mask != 0, self._starts).all())


def _part(space: gymnasium.Space[Any]) -> _Part:
    match space:
        case spaces.Discrete():
            start = int(space.start)
            return _Part(
                (int(space.n),),
                lambda numbers: numbers[:, 0].astype(np.int64) + start,
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
        case spaces.Box():
            return _box(space)
    raise CannotBeSent(
        f"action {space}: want Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of "
        "them"
    )


def _box(space: spaces.Box) -> _Part:
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    if np.dtype(space.dtype).kind in WHOLE:
        sizes = (high.astype(object) - low.astype(object) + 1).tolist()
        return _array(space, tuple(map(int, sizes)), space.low)
    with np.errstate(over="ignore"):
        least, most = low.astype(np.float32), high.astype(np.float32)
    for a, b in zip(least.tolist(), most.tolist(), strict=True):
        if not (math.isfinite(a) and math.isfinite(b) and a < b):
            raise CannotBeSent(
                f"action {space}: want finite bounds, low below high, got {a:g}..{b:g}: wrap the "
                "environment (RescaleAction, ClipAction)"
            )
    heads = tuple(map(Bounds, least.tolist(), most.tolist()))

    def build(numbers: Numbers) -> Any:
        rows = numbers.reshape(len(numbers), *space.shape)
        return rows.clip(space.low, space.high).astype(space.dtype)  # float32 may round outwards

    def number(action: Any) -> Numbers:
        found = np.asarray(action)
        if found.dtype.kind not in WHOLE + "f" or found.shape != space.shape:
            raise TypeError(found)
        if not ((found >= space.low) & (found <= space.high)).all():
            raise ValueError(found)
        flat: Numbers = found.reshape(-1).astype(np.float64).clip(least, most)
        return flat

    return _Part(heads, build, number)


def _numbers(heads: tuple[Head, ...], space: gymnasium.Space[Any]) -> dict[str, Any]:
    """Return hello's ``action`` for heads of which some are numbers. Raises CannotBeSent."""
    bounds = [head for head in heads if isinstance(head, Bounds)]
    if len(bounds) > MAX_NUMBERS or len(heads) > MAX_BRANCHES:
        raise CannotBeSent(
            f"action {space}: want at most {MAX_NUMBERS} numbers and {MAX_BRANCHES} heads in all, "
            f"got {len(bounds)} and {len(heads)}"
        )
    if len(bounds) == len(heads):
        ends = [h.low for h in bounds], [h.high for h in bounds]
        return {"kind": "box", "low": ends[0], "high": ends[1]}
    mixed = [{"n": head} if isinstance(head, int) else head.to_wire() for head in heads]
    return {"kind": "mixed", "heads": mixed}


def _array(space: Any, sizes: tuple[int, ...], start: Any) -> _Part:
    def build(numbers: Numbers) -> Any:
        return numbers.reshape(len(numbers), *space.shape).astype(space.dtype) + start

    return _Part(sizes, build, partial(_whole, start=start))


def _whole(action: Any, start: Any) -> Numbers:
    """Return an array of whole numbers, flat and counted from 0."""
    found = np.asarray(action)
    if found.dtype.kind not in "biu":
        raise TypeError(found.dtype)
    numbers: Numbers = (found.astype(np.int64) - start).reshape(-1)
    return numbers


def _several(inner: list[gymnasium.Space[Any]], keys: list[str] | None) -> _Part:
    parts = [_part(each) for each in inner]
    ends = np.cumsum([len(part.heads) for part in parts])[:-1]

    def build(numbers: Numbers) -> Any:
        split = np.split(numbers, ends, axis=1)
        built = tuple(part.build(own) for part, own in zip(parts, split, strict=True))
        return built if keys is None else dict(zip(keys, built, strict=True))

    def number(one: Any) -> Numbers:
        inner = one if keys is None else [one[key] for key in keys]
        return np.concatenate([part.number(own) for part, own in zip(parts, inner, strict=True)])

    return _Part(tuple(head for part in parts for head in part.heads), build, number)


def _first(actions: Any) -> Any:
    if isinstance(actions, dict):
        return {key: _first(part) for key, part in actions.items()}
    if isinstance(actions, tuple):
        return tuple(map(_first, actions))
    return actions[0] if actions.ndim > 1 or actions.dtype.kind == "f" else int(actions[0])


def _is_numbers(space: gymnasium.Space[Any]) -> bool:
    """Whether no head of a space is numbered, so that masks do not speak of it."""
    return not any(isinstance(head, int) for head in _part(space).heads)


def _pieces(mask: Any, space: gymnasium.Space[Any]) -> Iterator[Any]:
    """Yield the arrays of a mask in the order of the branches."""
    if isinstance(mask, Mapping) and isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            if key not in mask and _is_numbers(part):
                continue
            if key not in mask:
                raise Misfit(f"action_mask.{key}", "a mask of this part", "none")
            yield from _pieces(mask[key], part)
    elif isinstance(mask, tuple | list):
        inner = list(space.spaces) if isinstance(space, spaces.Tuple) else []
        for index, part in enumerate(mask):
            yield from _pieces(part, inner[index] if index < len(inner) else spaces.Discrete(1))
    else:
        yield mask
