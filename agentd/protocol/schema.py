"""What a game's states and actions look like: named tensors in, actions out (R3, R4, R14).

A row's raw form is its tensors one after the other in the order of their sorted names, each
little-endian and C-contiguous. Its features are the same numbers as float32.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.actions import Bounds, Branches, Head, read_action
from agentd.protocol.errors import Code, ProtocolError

DTYPES = ("uint8", "int8", "int32", "float16", "float32")
MAX_TENSORS, MAX_RANK, MAX_DIM = 64, 4, 65536
MAX_ROW_BYTES = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


class TensorLayout(NamedTuple):
    """One observation tensor and where it lies in a raw row."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nbytes: int
    offset: int
    size: int


@dataclass(frozen=True)
class Schema:
    """Observation tensors by sorted name, and what an action is made of.

    ``branches`` are the numbers of actions that masks speak of: of each branch, or of those of the
    ``heads`` of a box or a mixture that are numbered.
    """

    tensors: tuple[TensorLayout, ...]
    branches: tuple[int, ...]
    kind: str  # "discrete" | "multi_discrete" | "box" | "mixed"
    heads: tuple[Head, ...] = ()  # of a box or a mixture

    @cached_property
    def row_bytes(self) -> int:
        """Raw bytes of one row."""
        return sum(t.nbytes for t in self.tensors)

    @cached_property
    def features(self) -> int:
        """Numbers of one row, D."""
        return sum(t.size for t in self.tensors)

    @cached_property
    def n_actions(self) -> int:
        """Width of a mask: the actions of all branches, A; 0 where all actions are numbers."""
        return sum(self.branches)

    @property
    def action_width(self) -> int:
        """Numbers of one row's action on the wire."""
        return len(self.heads or self.branches)

    @property
    def action_dtype(self) -> np.dtype[Any]:
        """What they are: int32, and float32 where some have bounds."""
        return np.dtype("<f4" if self.heads else "<i4")

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """What a network sees: a single tensor of planes (C, H, W) as it is, all else flat (D,)."""
        shape = self.tensors[0].shape
        return shape if len(self.tensors) == 1 and len(shape) == 3 else (self.features,)

    @classmethod
    def from_wire(cls, observation: object, action: object, version: int = 2) -> Schema:
        """Read hello's ``observation`` and ``action`` as a version of the protocol has them.

        Raises ProtocolError BAD_HELLO.
        """
        if not isinstance(observation, Mapping) or not 1 <= len(observation) <= MAX_TENSORS:
            raise _bad("observation", f"a map of 1..{MAX_TENSORS} tensors", _size(observation))
        tensors, offset = [], 0
        for name in sorted(observation, key=str):
            tensor = _tensor(name, observation[name], offset)
            offset += tensor.nbytes
            tensors.append(tensor)
        if offset > MAX_ROW_BYTES:
            raise _bad("observation", f"at most {MAX_ROW_BYTES} bytes a row", str(offset))
        space = read_action(action, version)
        if isinstance(space, Branches):
            return cls(tuple(tensors), space.n, space.kind)
        numbered = tuple(head for head in space.heads if isinstance(head, int))
        return cls(tuple(tensors), numbered, space.kind, space.heads)

    def to_wire(self) -> dict[str, Any]:
        """The ``observation`` and ``action`` maps as hello carries them."""
        observation = {
            t.name: {"dtype": t.dtype.name, "shape": list(t.shape)} for t in self.tensors
        }
        return {"observation": observation, "action": self._action()}

    def _action(self) -> dict[str, Any]:
        if self.kind == "box":
            bounds = [head for head in self.heads if isinstance(head, Bounds)]
            low, high = [head.low for head in bounds], [head.high for head in bounds]
            return {"kind": "box", "low": low, "high": high}
        if self.kind == "mixed":
            heads = [{"n": h} if isinstance(h, int) else h.to_wire() for h in self.heads]
            return {"kind": "mixed", "heads": heads}
        n: int | list[int] = self.branches[0] if self.kind == "discrete" else list(self.branches)
        return {"kind": self.kind, "n": n}

    def describe(self) -> str:
        """The schema in one line, for people."""
        parts = [f"{t.name}:{t.dtype.name}{list(t.shape)}" for t in self.tensors]
        n = self.branches[0] if self.kind == "discrete" else list(self.branches)
        what = ", ".join(map(str, self.heads)) if self.heads else n
        return f"{', '.join(parts)} -> {self.kind}({what})"

    def digest(self) -> str:
        """16 hex digits that two schemas share only when they are equal."""
        text = json.dumps(self.to_wire(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def raw_to_features(
    schema: Schema, raw: NDArray[np.uint8], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Raw rows (N, row_bytes) as features (N, D) float32; a view when one float32 tensor is all."""
    first = schema.tensors[0]
    if len(schema.tensors) == 1 and first.dtype == np.float32 and raw.flags.c_contiguous:
        return raw.view(np.float32)
    if out is None:
        out = np.empty((len(raw), schema.features), np.float32)
    at = 0
    for t in schema.tensors:
        column = np.ascontiguousarray(raw[:, t.offset : t.offset + t.nbytes]).view(t.dtype)
        out[: len(raw), at : at + t.size] = column
        at += t.size
    return out[: len(raw)]


def _tensor(name: object, spec: object, offset: int) -> TensorLayout:
    if not isinstance(name, str) or not _NAME.match(name):
        raise _bad("observation", "names of 1..64 letters, digits, _ . -", repr(name)[:80])
    at = f"observation.{name}"
    if not isinstance(spec, Mapping) or set(spec) != {"dtype", "shape"}:
        raise _bad(at, "a map with dtype and shape", _size(spec))
    dtype, shape = spec["dtype"], spec["shape"]
    if dtype not in DTYPES:
        raise _bad(f"{at}.dtype", " | ".join(DTYPES), repr(dtype)[:80])
    if not isinstance(shape, list | tuple) or len(shape) > MAX_RANK:
        raise _bad(f"{at}.shape", f"a list of at most {MAX_RANK} sizes", repr(shape)[:80])
    if any(type(n) is not int or not 1 <= n <= MAX_DIM for n in shape):
        raise _bad(f"{at}.shape", f"sizes of 1..{MAX_DIM}", repr(shape)[:80])
    kind = np.dtype(dtype).newbyteorder("<")
    size = math.prod(shape)
    return TensorLayout(name, kind, tuple(shape), size * kind.itemsize, offset, size)


def _size(value: object) -> str:
    return f"a map of {len(value)}" if isinstance(value, Mapping) else type(value).__name__


def _bad(field: str, expected: str, got: str) -> ProtocolError:
    return ProtocolError.unfit(Code.BAD_HELLO, field, expected, got)
