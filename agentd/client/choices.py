"""What a game's actions are, however its spec says it: one number, several, or bounds (R14).

Shape letters: N rows, A actions of all numbered heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentd.protocol.actions import Bounds, Branches, Head, read_action

Actions: TypeAlias = int | Sequence[int] | Mapping[str, Any]
"""How many actions there are, or how many in each branch, or ``action`` as hello has it (R14):
``{"kind": "box", "low": […], "high": […]}``, ``{"kind": "mixed", "heads": […]}``."""


def wire_action(actions: Actions) -> dict[str, Any]:
    """Return ``actions`` as hello has them; nothing is checked."""
    if isinstance(actions, Mapping):
        ends = {key: np.ravel(actions[key]).tolist() for key in ("low", "high") if key in actions}
        return dict(actions) | ends
    if isinstance(actions, Sequence):
        return {"kind": "multi_discrete", "n": [int(n) for n in actions]}
    return {"kind": "discrete", "n": int(actions)}


@dataclass(frozen=True)
class ActionShape:
    """The heads of one row's action: how many each is numbered from, or its bounds."""

    heads: tuple[Head, ...]
    several: bool  # a row's action is (heads,), not ()

    @classmethod
    def of(cls, actions: Actions) -> "ActionShape":
        """Read a spec's ``actions``. Raises ProtocolError BAD_HELLO."""
        space = read_action(wire_action(actions), 2)
        heads: tuple[Head, ...] = space.n if isinstance(space, Branches) else space.heads
        return cls(heads, space.kind != "discrete")

    def __str__(self) -> str:
        return " × ".join(map(str, self.heads))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """int32, or float32 where some heads are numbers."""
        return np.dtype(np.float32 if any(isinstance(h, Bounds) for h in self.heads) else np.int32)

    def blank(self, *rows: int) -> NDArray[Any]:
        """Return zeros for so many rows, (*rows,) or (*rows, heads)."""
        return np.zeros((*rows, len(self.heads)) if self.several else rows, self.dtype)

    def first_legal(self, mask: NDArray[np.uint8] | None, rows: int) -> NDArray[Any]:
        """Return the first legal action of each row; numbers are at their lower bounds."""
        out, at = np.zeros((rows, len(self.heads)), self.dtype), 0
        for column, head in enumerate(self.heads):
            if isinstance(head, Bounds):
                out[:, column] = head.low
                continue
            if mask is not None:
                out[:, column] = mask[:, at : at + head].argmax(axis=1)
            at += head
        return out if self.several else out[:, 0]

    def drawn(self, rng: np.random.Generator, mask: NDArray[np.uint8] | None) -> NDArray[Any]:
        """Return a random legal action of one row, (1,) or (1, heads); mask (A,)."""
        out, at = np.zeros((1, len(self.heads)), self.dtype), 0
        for column, head in enumerate(self.heads):
            if isinstance(head, Bounds):
                out[0, column] = rng.uniform(head.low, head.high)
                continue
            legal = np.arange(head) if mask is None else np.flatnonzero(mask[at : at + head])
            out[0, column] = rng.choice(legal)
            at += head
        return out if self.several else out[:, 0]

    def checked(self, chosen: ArrayLike, mask: NDArray[np.uint8] | None) -> NDArray[Any]:
        """Return one row's action as an array of ``dtype``, () or (heads,); mask (A,).

        Raises ValueError, in words, for an action that there is not or that the mask forbids.
        """
        action = np.asarray(chosen)
        shape = (len(self.heads),) if self.several else ()
        kinds = "iuf" if self.dtype.kind == "f" else "iu"
        if action.dtype.kind not in kinds or action.shape != shape:
            what = "action numbers" if self.dtype.kind == "i" else "numbers"
            want = f"{len(self.heads)} {what}" if self.several else "an action number"
            raise ValueError(f"want {want}, got {chosen!r}")
        start = 0
        for head, number in zip(self.heads, action.reshape(-1).tolist(), strict=True):
            if isinstance(head, Bounds):
                if not head.low <= np.float32(number) <= head.high:
                    raise ValueError(f"want {head}, got {number}")
                continue
            if number not in range(head):
                raise ValueError(f"want 0..{head - 1}, got {number}")
            if mask is not None and not mask[start + int(number)]:
                raise ValueError(f"the mask forbids {number}")
            start += head
        return action.astype(self.dtype)
