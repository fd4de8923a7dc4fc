"""What every stream leaves to its next row: its last rows and actions, a network's memory.

Shapes: N rows of a batch, K rows of a stack, L last actions, S numbers of a memory; streams are
global slots.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import RowFormat
from agentd.memory.replay_ring import ReplayRing
from agentd.protocol.rows import FIRST


class Stacks:
    """What each stream showed last, K - 1 raw rows, and the L actions that were played there.

    Oldest first. A learner finds the same in the ring by itself (`engine.replay.rows.inputs`). And
    what a network that remembers, of ``memory`` numbers a stream, carries from row to row.
    """

    def __init__(self, format: RowFormat, memory: int = 0) -> None:
        self.stack, self.last_actions = format.stack, format.last_actions
        self._rows: NDArray[np.uint8] = np.zeros((64, self.stack - 1, format.row_bytes), np.uint8)
        shape = (64, self.last_actions, len(format.branches))
        self._played: NDArray[np.int32] = np.full(shape, -1, np.int32)
        self._memory: NDArray[np.float32] = np.zeros((64, memory), np.float32)

    def grow(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        have = len(self._rows)
        if slots > have:
            more = max(slots, 2 * have) - have
            rows, played = self._rows.shape[1:], self._played.shape[1:]
            self._rows = np.concatenate([self._rows, np.zeros((more, *rows), np.uint8)])
            self._played = np.concatenate([self._played, np.full((more, *played), -1, np.int32)])
            blank = np.zeros((more, self._memory.shape[1]), np.float32)
            self._memory = np.concatenate([self._memory, blank])

    def push(
        self, stream: NDArray[np.int64], kind: NDArray[np.uint8], obs: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Take in rows obs (N, row_bytes); return the stacks that they end, (N K, row_bytes).

        And the actions before each of them, (N, L, branches), -1 for none. An episode's first row
        stands for those before it. Of a stream that ends and begins again in one batch the later
        row counts.
        """
        rows, played = self.look(stream, kind, obs)
        self._rows[stream] = rows.reshape(len(obs), self.stack, -1)[:, 1:]
        self._played[stream] = played
        return rows, played

    def look(
        self, stream: NDArray[np.int64], kind: NDArray[np.uint8], obs: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return what ``push`` would, and take in nothing."""
        n, width = obs.shape
        first = kind == FIRST
        stacks = np.empty((n, self.stack, width), np.uint8)
        stacks[:, :-1] = self._rows[stream]
        stacks[first, :-1] = obs[first, np.newaxis]
        stacks[:, -1] = obs
        played = self._played[stream]
        played[first] = -1
        return stacks.reshape(-1, width), played

    def memory(
        self, stream: NDArray[np.int64], kind: NDArray[np.uint8]
    ) -> NDArray[np.float32] | None:
        """Return what the rows before these left, (N, S), 0 for an episode's first row.

        None for a network that does not remember.
        """
        if not self._memory.shape[1]:
            return None
        memory: NDArray[np.float32] = self._memory[stream]
        memory[kind == FIRST] = 0.0
        return memory

    def note(
        self,
        stream: NDArray[np.int64],
        action: NDArray[np.int32],
        memory: NDArray[np.float32] | None = None,
    ) -> None:
        """Remember what was answered (N, branches) to the rows of the last ``push``.

        And what these leave, (N, S): of two rows of a stream the later one counts.
        """
        if memory is not None:
            self._memory[stream] = memory
        if self.last_actions:
            kept = self._played[stream, 1:]
            self._played[stream] = np.concatenate([kept, action[:, np.newaxis]], axis=1)

    def overrule(self, stream: NDArray[np.int64], action: NDArray[np.int32]) -> None:
        """Replace the answers to the last rows of streams (M,) by what was played, (M, branches).

        To be called before the next rows of these streams are pushed.
        """
        if self.last_actions:
            self._played[stream, -1] = action

    def restore(self, ring: ReplayRing, base: int, streams: int, session: int) -> None:
        """Know again what a session's slots showed last and what was played there."""
        at = slice(base, base + streams)
        self._rows[at] = ring.recent(base, streams, self.stack - 1)
        row = ring.newest(base, streams, session, self.last_actions)[:, ::-1]
        self._played[at] = ring.columns["action"][row % ring.physical]
        self._played[at][row < 0] = -1
        if self._memory.shape[1]:
            last = ring.newest(base, streams, session, 1)[:, 0]
            self._memory[at] = ring.columns["memory"][last % ring.physical]
            self._memory[at][last < 0] = 0.0
