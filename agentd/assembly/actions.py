"""From the actions that a game says it has to those that are learned, and back.

A number between bounds is learned as one of several bins, evenly spaced values of which the first
and the last are the bounds. Up to so many combinations of all heads are one branch, whose values
may depend on them in any way; more are a branch for each head (DecQN, Seyde et al. 2023,
arXiv:2210.12566). Everything behind the wire, the ring, the learners, exploration and masks, then
knows numbered actions alone.

Shape letters: N rows, H heads, M actions of the numbered heads, A actions that are learned.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.config.records import AgentConfig
from agentd.protocol.actions import Bounds, Head
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema


def codec_of(config: AgentConfig, schema: Schema) -> "ActionCodec | None":
    """Return what stands between a game's actions and the learned ones; None where they agree."""
    if not schema.heads:
        return None
    sizes = tuple(h if isinstance(h, int) else config.actions.bins for h in schema.heads)
    joint = len(sizes) == 1 or math.prod(sizes) <= config.actions.joint
    return ActionCodec(schema.heads, sizes, joint)


def numbered(config: AgentConfig, schema: Schema) -> Schema:
    """Return the schema whose actions are the learned ones: ``schema`` where it has no heads."""
    codec = codec_of(config, schema)
    if codec is None:
        return schema
    kind = "discrete" if len(codec.branches) == 1 else "multi_discrete"
    return replace(schema, branches=codec.branches, kind=kind, heads=())


def require_learnable(config: AgentConfig, schema: Schema) -> None:
    """Raise ProtocolError UNSUPPORTED_ACTION where the agent's learner takes no such actions."""
    if schema.heads and config.learner == "supervised":
        raise ProtocolError.unfit(
            Code.UNSUPPORTED_ACTION,
            "action.kind",
            "discrete | multi_discrete",
            schema.kind,
            said=f"a supervised agent answers a class: it takes no actions of kind {schema.kind}",
        )


@dataclass(frozen=True)
class ActionCodec:
    """Translates actions and masks of ``heads`` that have ``sizes`` choices each.

    ``joint``: all combinations are one branch, numbered in C order.
    """

    heads: tuple[Head, ...]
    sizes: tuple[int, ...]
    joint: bool

    @property
    def branches(self) -> tuple[int, ...]:
        """The number of learned actions of each branch."""
        return (math.prod(self.sizes),) if self.joint else self.sizes

    def values(self, head: int) -> NDArray[np.float32]:
        """Return the number that each choice of a head stands for, ascending, (size,)."""
        of, size = self.heads[head], self.sizes[head]
        if isinstance(of, int):
            return np.arange(of, dtype=np.float32)
        return np.linspace(of.low, of.high, size).clip(of.low, of.high).astype(np.float32)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        """What each learned action is in every head, then NaN for -1.

        (A + 1, H) of one branch, (most choices + 1, H) of several.
        """
        table = np.full((max(self.branches) + 1, len(self.heads)), np.nan, np.float32)
        for head, size in enumerate(self.sizes):
            if self.joint:
                table[:-1, head] = self.values(head)[self._digits[:, head]]
            else:
                table[:size, head] = self.values(head)
        return table

    @cached_property
    def _digits(self) -> NDArray[np.intp]:
        """The choice in every head that each action of a joint branch is, (A, H)."""
        return np.stack(np.unravel_index(np.arange(self.branches[0]), self.sizes), axis=1)

    def table(self) -> tuple[tuple[float, ...], ...]:
        """Return the H numbers of each action of one branch, or those of each of several."""
        if self.joint:
            return tuple(map(tuple, self._table[:-1].tolist()))
        return tuple(tuple(self.values(head).tolist()) for head in range(len(self.heads)))

    def levels(self) -> tuple[int, ...]:
        """Return when each learned action begins, (A,): both ends of a number at 0, then halves.

        A combination begins with the last of its bins.
        """
        own = []
        for of, size in zip(self.heads, self.sizes, strict=True):
            level, step = np.zeros(size, np.int64), size - 1
            while isinstance(of, Bounds) and step > 1:
                step //= 2
                level[step :: 2 * step] = (size - 1) // step
            own.append(np.where(level > 0, np.log2(np.maximum(level, 1)), 0).astype(np.int64))
        if not self.joint:
            return tuple(np.concatenate(own).tolist())
        of_heads = [level[self._digits[:, head]] for head, level in enumerate(own)]
        return tuple(np.max(of_heads, axis=0).tolist())

    def encode(self, action: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return learned actions (N, branches) as the wire has them, (N, H); NaN for -1."""
        if self.joint:
            return self._table[action[:, 0]]
        return self._table[action, np.arange(len(self.heads))]

    def decode(self, action: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the learned actions (N, branches) nearest to those of the wire (N, H).

        What is outside its bounds, or no number at all, becomes some action: rows of kind first may
        say anything.
        """
        choice = np.empty(action.shape, np.int32)
        for at, (head, size) in enumerate(zip(self.heads, self.sizes, strict=True)):
            value = np.nan_to_num(action[:, at].astype(np.float64))
            if isinstance(head, Bounds):
                value = (value - head.low) / (head.high - head.low) * (size - 1)
            choice[:, at] = np.rint(value).clip(0, size - 1)
        if not self.joint:
            return choice
        joined: NDArray[Any] = np.ravel_multi_index(tuple(choice.T), self.sizes)
        return joined.astype(np.int32)[:, np.newaxis]

    @cached_property
    def _shown(self) -> NDArray[np.uint8]:
        """1 where a learned action is the numbered one of a mask's column, (A, M)."""
        columns, at = [], 0
        for head, (of, size) in enumerate(zip(self.heads, self.sizes, strict=True)):
            if isinstance(of, int):
                one = np.zeros((sum(self.branches), of), np.uint8)
                if self.joint:
                    one[np.arange(len(one)), self._digits[:, head]] = 1
                else:
                    one[at : at + size] = np.eye(size, dtype=np.uint8)
                columns.append(one)
            at += size
        return np.concatenate(columns, axis=1)

    def spread(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a mask (N, M) of the wire as one of the learned actions, (N, A)."""
        barred = (mask == 0).astype(np.uint8) @ self._shown.T
        legal: NDArray[np.uint8] = (barred == 0).astype(np.uint8)
        return legal

    def gather_bits(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return `gather` of masks as the ring holds them, 8 actions a byte; 0 stays 0."""
        learned = np.unpackbits(bits, axis=1)[:, : sum(self.branches)]
        return np.packbits(self.gather(learned), axis=1)

    def gather(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the mask (N, M) whose ``spread`` is (N, A), where each head has a legal action."""
        legal: NDArray[np.uint8] = (mask.astype(np.int64) @ self._shown > 0).astype(np.uint8)
        return legal
