"""A game's arrays as the fields of a frame, and an answer's bytes as arrays.

Shape letters: N rows of a frame, A actions of all branches, K outputs of a taught target.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentd.protocol import messages
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema

Observations: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""The rows of the only tensor, or of every tensor by name; (N, *shape), or (*shape) for one row."""


class Act(NamedTuple):
    """The answer to a step: one action a row."""

    # (N,) int32, or (N, branches) of multi_discrete, -1 on ended rows; (N, D) float32 of a box and
    # (N, heads) of a mixture, NaN on ended rows
    actions: NDArray[Any]
    version: int  # of the weights that chose
    seq: int
    q: NDArray[np.float32] | None = None  # (N, A), with explain; A as the agent learns numbers
    explored: NDArray[np.bool_] | None = None  # (N,), with explain: chosen at random
    late: bool = False  # answered at the deadline by an older policy
    novelty: NDArray[np.float32] | None = None  # (N,), with explain: how unlike the taught rows


class Taught(NamedTuple):
    """The answer to a teach: so many rows wait to be learned."""

    queued: int
    version: int
    seq: int


class Packer:
    """Turns arrays into frame fields for one schema; keeps what can be used again."""

    def __init__(self, schema: Schema, streams: int) -> None:
        self.schema = schema
        self._streams = streams
        self._first: dict[int, memoryview] = {}  # N -> stream ids 0..N-1
        self._only = schema.tensors[0] if len(schema.tensors) == 1 else None
        self._multi = schema.kind != "discrete"

    def step(
        self,
        obs: Observations,
        reward: ArrayLike,
        kind: ArrayLike,
        stream: ArrayLike | None,
        mask: ArrayLike | None,
    ) -> dict[str, Any]:
        """Return the fields of a step. Raises ValueError or TypeError, naming the field."""
        tensors, n = self.observations(obs)
        fields: dict[str, Any] = {
            "obs": tensors,
            "reward": _column("reward", reward, np.float32, n),
            "kind": _column("kind", kind, np.uint8, n),
            "stream": self._count(n) if stream is None else _column("stream", stream, np.uint32, n),
        }
        if mask is not None:
            flags = np.asarray(mask)
            if flags.dtype != np.uint8 and flags.dtype.kind in "biu":
                flags = flags != 0
            if not self.schema.branches:
                raise ValueError("mask: all actions are numbers, none is numbered")
            width = (self.schema.n_actions,)
            fields["mask"] = _rows("mask", flags, np.dtype(np.uint8), width, n)[0].data
        return fields

    def teach(
        self, obs: Observations, target: ArrayLike, weight: ArrayLike | None
    ) -> dict[str, Any]:
        """Return the fields of a teach. Raises ValueError or TypeError, naming the field.

        Integer targets are classes (N,), others are values (N, K).
        """
        tensors, n = self.observations(obs)
        goals = np.asarray(target)
        if goals.dtype.kind in "iu":
            packed = _column("target", goals, np.int32, n)
        else:
            shape = goals.shape[1:] if goals.ndim > 1 else ()
            packed = _rows("target", goals, np.dtype(np.float32), shape, n)[0].data
        fields: dict[str, Any] = {"obs": tensors, "target": packed}
        if weight is not None:
            fields["weight"] = _column("weight", weight, np.float32, n)
        return fields

    def observations(self, obs: Observations) -> tuple[dict[str, memoryview], int]:
        """Return the bytes of each tensor by name and the number of rows N."""
        if not isinstance(obs, Mapping):
            only = self._only
            if only is None:
                names = ", ".join(t.name for t in self.schema.tensors)
                raise TypeError(f"obs: want a mapping with {names}, got {type(obs).__name__}")
            rows, n = _rows(only.name, obs, only.dtype, only.shape, None)
            return {only.name: rows.data}, n
        count: int | None = None
        tensors = {}
        for t in self.schema.tensors:
            if t.name not in obs:
                raise ValueError(f"obs.{t.name}: missing")
            rows, count = _rows(t.name, obs[t.name], t.dtype, t.shape, count)
            tensors[t.name] = rows.data
        if len(obs) != len(tensors) or count is None:
            extra = ", ".join(sorted(set(obs) - set(tensors)))
            raise ValueError(f"obs.{extra}: not in the schema ({self.schema.describe()})")
        return tensors, count

    def act(self, message: messages.ActReply) -> Act:
        """Read an act message. Raises ProtocolError when its bytes are not whole rows."""
        try:
            schema = self.schema
            actions = np.frombuffer(message.action, schema.action_dtype).copy()
            if self._multi:
                actions = actions.reshape(-1, schema.action_width)
            q = explored = novelty = None
            if message.q is not None:
                width = -1 if schema.heads else schema.n_actions
                rows = len(actions) if schema.heads else -1
                q = np.frombuffer(message.q, np.float32).reshape(rows, width).copy()
            if message.explored is not None:
                explored = np.frombuffer(message.explored, np.uint8).astype(np.bool_)
            if message.novelty is not None:
                novelty = np.frombuffer(message.novelty, np.float32).copy()
        except ValueError as fault:
            raise ProtocolError(Code.BAD_SHAPE, f"an act of odd size: {fault}") from None
        return Act(actions, message.version, message.seq, q, explored, message.late, novelty)

    def _count(self, n: int) -> memoryview:
        """Return the stream ids 0..N-1; a frame that names none has all of them in order."""
        known = self._first.get(n)
        if known is None:
            if n > self._streams:
                raise ValueError(f"stream: {n} rows for {self._streams} streams need their ids")
            known = self._first[n] = np.arange(n, dtype=np.uint32).data
        return known


def _rows(
    name: str, value: ArrayLike, dtype: np.dtype[Any], shape: tuple[int, ...], n: int | None
) -> tuple[NDArray[Any], int]:
    """Return ``value`` as contiguous rows (N, *shape) of ``dtype``, and N."""
    array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype)
    if array.dtype != dtype:
        try:
            array = array.astype(dtype, casting="same_kind")
        except TypeError:
            raise TypeError(f"{name}: want {dtype.name}, got {array.dtype}") from None
    if array.shape == shape:
        array = array[np.newaxis]
    if array.ndim == 0 or array.shape[1:] != shape or (n is not None and len(array) != n):
        rows = "N" if n is None else str(n)
        want = ", ".join((rows, *map(str, shape)))
        raise ValueError(f"{name}: want shape ({want}), got {array.shape}")
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array, len(array)


def _column(name: str, value: ArrayLike, dtype: type[np.generic], n: int) -> memoryview:
    """Return ``value``, one number a row or one for all rows, as the bytes of (N,) ``dtype``."""
    array = np.asarray(value, dtype)
    if array.shape != (n,):
        if array.ndim:
            raise ValueError(f"{name}: want {n} values, one a row, got shape {array.shape}")
        array = np.full(n, array)
    return array.data if array.flags.c_contiguous else np.ascontiguousarray(array).data
