"""MinAtar's Breakout and Space Invaders, many boards at once.

The rules are those of Young & Tian 2019, "MinAtar: An Atari-Inspired Testbed" (arXiv:1903.03176),
version 1.0.15 of their package, with the actions that do something (v1). Written anew over arrays;
a test plays both side by side, step for step.

Shapes: S streams, N of them, C channels. Boards are (10, 10), row 0 at the top.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import (
    ArraySpec,
    Spec,
    TimeStep,
    check_actions,
    check_streams,
    first_rows,
    outcome,
    with_resets,
)

SIDE = 10
STICKY = 0.1
"""How often an action is not played but the one before it again."""
MAX_STEPS = 10_000
NOTHING, LEFT, RIGHT, FIRE = range(4)

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Flags = NDArray[np.bool_]


class _Boards(ABC):
    """What the games share: sticky actions, frames, and episodes that a limit cuts."""

    name: ClassVar[str]
    actions: ClassVar[int]
    marks: ClassVar[str]

    def __init__(self, streams: int, rng: np.random.Generator) -> None:
        self.spec = Spec(
            name=self.name,
            observation={"board": ArraySpec("uint8", (SIDE, SIDE, len(self.marks)))},
            actions=self.actions,
            max_steps=MAX_STEPS,
            masked=False,
        )
        self.streams = streams
        self._rng, self._every = rng, np.arange(streams)
        self._last_action = np.zeros(streams, np.int64)
        self._steps = np.zeros(streams, np.int64)
        self._make()
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Begin anew in each of ``streams``; see ``Game.reset``.

        The last action of the episode before may still be played again, as in the original.
        """
        which = self._every if streams is None else streams
        check_streams(which, self.streams)
        self._steps[which] = 0
        self._begin(which, self._rng.integers(2, size=len(which)))
        return first_rows(which, {"board": self._board(which)})

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Play one step in every stream; see ``Game.step``."""
        check_actions(actions, self.streams, self.spec.actions)
        sticks = self._rng.random(self.streams) < STICKY
        self._last_action = np.where(sticks, self._last_action, actions.astype(np.int64))
        reward, over = self._play(self._last_action)
        self._steps += 1
        frame = TimeStep(
            stream=self._every.astype(np.uint32),
            kind=outcome(over, self._steps >= MAX_STEPS),
            reward=reward.astype(np.float32),
            obs={"board": self._board(self._every)},
            mask=None,
        )
        return with_resets(self, frame)

    def render(self, stream: int = 0) -> str:
        """Draw the board of ``stream``: of several things in a cell the last channel's shows."""
        board = self._board(self._every[stream : stream + 1])[0]
        top = np.where(board.any(2), board.shape[2] - 1 - board[:, :, ::-1].argmax(2), -1)
        cells = np.array([*self.marks, " "])[top]
        return "\n".join(f"|{''.join(row)}|" for row in cells)

    @abstractmethod
    def _make(self) -> None:
        """Make the arrays of all streams."""

    @abstractmethod
    def _begin(self, which: NDArray[np.integer[Any]], coin: NDArray[np.integer[Any]]) -> None:
        """Put streams ``which`` (N,) at an episode's start; ``coin`` (N,) is 0 or 1."""

    @abstractmethod
    def _play(self, action: _Ints) -> tuple[_Floats, _Flags]:
        """Play ``action`` (S,); return the rewards and which episodes are over, (S,) each."""

    @abstractmethod
    def _board(self, which: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return the observations (N, 10, 10, C) of streams ``which`` (N,)."""


class Breakout(_Boards):
    """S boards of MinAtar's Breakout.

    ## Description
    A paddle on the bottom row, three rows of bricks below the top one, and a ball on a diagonal. It
    bounces off walls, bricks and the paddle: off the paddle's middle as off a wall, and back the
    way it came where it meets the paddle from beside it. No two bricks break in steps that follow
    each other. When all are broken and the ball is low, three new rows appear. One action in ten
    is the one before it again.

    ## Action Space
    ``Discrete(3)``: 0 nothing, 1 left, 2 right.

    ## Observation Space
    ``board``: uint8 (10, 10, 4) of 0 and 1: paddle, ball, where the ball was, bricks.

    ## Rewards
    +1 for each brick.

    ## Episode End
    Terminated when the ball passes the paddle. Truncated after 10,000 steps (the original: never).
    """

    name, actions, marks = "minatar-breakout", 3, "=o.#"
    _across, _down = np.array([-1, 1, 1, -1]), np.array([-1, -1, 1, 1])
    _off_side, _off_top, _back = (np.array(n) for n in ([1, 0, 3, 2], [3, 2, 1, 0], [2, 3, 0, 1]))

    def _make(self) -> None:
        n = self.streams
        self._pos, self._x, self._y, self._way = (np.zeros(n, np.int64) for _ in range(4))
        self._before_x, self._before_y = (np.zeros(n, np.int64) for _ in range(2))
        self._struck = np.zeros(n, np.bool_)
        self._bricks = np.zeros((n, SIDE, SIDE), np.bool_)

    def _begin(self, which: NDArray[np.integer[Any]], coin: NDArray[np.integer[Any]]) -> None:
        self._pos[which], self._y[which], self._struck[which] = 4, 3, False
        self._x[which], self._way[which] = np.where(coin, 9, 0), np.where(coin, 3, 2)
        self._before_x[which], self._before_y[which] = self._x[which], 3
        self._bricks[which] = False
        self._bricks[which, 1:4] = True

    def _play(self, action: _Ints) -> tuple[_Floats, _Flags]:
        self._pos += (action == RIGHT).astype(np.int64) - (action == LEFT)
        self._pos.clip(0, SIDE - 1, out=self._pos)
        old_x, old_y = self._x, self._y
        x, y = old_x + self._across[self._way], old_y + self._down[self._way]
        side = (x < 0) | (x >= SIDE)
        x = x.clip(0, SIDE - 1)
        way = np.where(side, self._off_side[self._way], self._way)
        top = y < 0
        y = y.clip(0)
        brick = self._bricks[self._every, y, x] & ~top
        broken = brick & ~self._struck
        low = ~top & ~brick & (y == SIDE - 1)
        self._bricks[self._every[broken], y[broken], x[broken]] = False
        empty = low & ~self._bricks.any((1, 2))
        self._bricks[empty, 1:4] = True
        middle = low & (old_x == self._pos)
        beside = low & ~middle & (x == self._pos)
        way = np.where(top | broken | middle, self._off_top[way], way)
        self._way = np.where(beside, self._back[way], way)
        self._x, self._y = x, np.where(broken | middle | beside, old_y, y)
        self._before_x, self._before_y, self._struck = old_x, old_y, brick
        return broken.astype(np.float64), low & ~middle & ~beside

    def _board(self, which: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        board, row = np.zeros((len(which), SIDE, SIDE, 4), np.uint8), np.arange(len(which))
        board[row, SIDE - 1, self._pos[which], 0] = 1
        board[row, self._y[which], self._x[which], 1] = 1
        board[row, self._before_y[which], self._before_x[which], 2] = 1
        board[:, :, :, 3] = self._bricks[which]
        return board


class SpaceInvaders(_Boards):
    """S boards of MinAtar's Space Invaders.

    ## Description
    A cannon on the bottom row, a cluster of aliens that moves sideways, and at an edge one row down
    and back. The fewer are left, the more often they move; every ten steps the one nearest to the
    cannon's column shoots. The cannon shoots at most every five steps. A cleared wave is followed
    by another one, which moves more often, up to every sixth step. One action in ten is the one
    before it again.

    ## Action Space
    ``Discrete(4)``: 0 nothing, 1 left, 2 right, 3 fire.

    ## Observation Space
    ``board``: uint8 (10, 10, 6) of 0 and 1: cannon, aliens, aliens that go left, aliens that go
    right, own shots, the aliens' shots.

    ## Rewards
    +1 for each alien.

    ## Episode End
    Terminated when a shot or an alien reaches the cannon, or aliens would leave the bottom row.
    Truncated after 10,000 steps (the original: never).
    """

    name, actions, marks = "minatar-space-invaders", 4, "A?<>'!"
    _reload, _pause, _slowest, _fastest = 5, 10, 12, 6

    def _make(self) -> None:
        n = self.streams
        self._pos, self._way, self._interval = (np.zeros(n, np.int64) for _ in range(3))
        self._to_move, self._to_shoot, self._to_fire = (np.zeros(n, np.int64) for _ in range(3))
        self._own, self._theirs, self._aliens = (
            np.zeros((n, SIDE, SIDE), np.bool_) for _ in range(3)
        )

    def _begin(self, which: NDArray[np.integer[Any]], coin: NDArray[np.integer[Any]]) -> None:
        self._pos[which], self._way[which], self._to_fire[which] = 5, -1, 0
        self._interval[which] = self._to_move[which] = self._slowest
        self._to_shoot[which] = self._pause
        for board in (self._own, self._theirs, self._aliens):
            board[which] = False
        self._aliens[which, 0:4, 2:8] = True

    def _play(self, action: _Ints) -> tuple[_Floats, _Flags]:
        every, last = self._every, SIDE - 1
        fires = (action == FIRE) & (self._to_fire == 0)
        self._pos += (action == RIGHT).astype(np.int64) - (action == LEFT)
        self._pos.clip(0, last, out=self._pos)
        self._own[every[fires], last, self._pos[fires]] = True
        self._to_fire[fires] = self._reload
        self._own[:, :-1], self._own[:, -1] = self._own[:, 1:].copy(), False
        self._theirs[:, 1:], self._theirs[:, 0] = self._theirs[:, :-1].copy(), False
        over = self._theirs[every, last, self._pos] | self._aliens[every, last, self._pos]
        over |= self._march(self._to_move == 0)
        self._shoot(every[self._to_shoot == 0])
        killed = self._aliens & self._own
        self._aliens &= ~killed
        self._own &= ~killed
        self._to_fire -= self._to_fire > 0
        self._to_move -= 1
        self._to_shoot -= 1
        cleared = ~self._aliens.any((1, 2))
        self._interval -= cleared & (self._interval > self._fastest)
        self._aliens[cleared, 0:4, 2:8] = True
        return killed.sum((1, 2)).astype(np.float64), over

    def _march(self, moves: _Flags) -> _Flags:
        """Move the aliens of streams ``moves`` (S,); return where they are at the cannon, (S,)."""
        over = np.zeros(self.streams, np.bool_)
        if not moves.any():
            return over
        aliens = self._aliens
        left = aliens.sum((1, 2))
        self._to_move[moves] = np.minimum(left, self._interval)[moves]
        at_edge = np.where(self._way < 0, aliens[:, :, 0].any(1), aliens[:, :, -1].any(1))
        down, across = moves & at_edge, moves & ~at_edge
        over[down] = aliens[down, -1].any(1)
        self._way[down] *= -1
        aliens[down] = np.roll(aliens[down], 1, axis=1)
        for way in (-1, 1):
            going = across & (self._way == way)
            aliens[going] = np.roll(aliens[going], way, axis=2)
        over[moves] |= aliens[moves, -1, self._pos[moves]]
        return over

    def _shoot(self, which: NDArray[np.integer[Any]]) -> None:
        """Let the lowest alien of the column nearest to the cannon shoot, the left one of two."""
        if not len(which):
            return
        self._to_shoot[which] = self._pause
        column, pos = np.arange(SIDE), self._pos[which, None]
        far = 2 * np.abs(column - pos) + (column > pos)
        aliens = self._aliens[which]
        nearest = np.where(aliens.any(1), far, 4 * SIDE).argmin(1)
        lowest = SIDE - 1 - aliens[np.arange(len(which)), ::-1, nearest].argmax(1)
        self._theirs[which, lowest, nearest] = True

    def _board(self, which: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        board, aliens = np.zeros((len(which), SIDE, SIDE, 6), np.uint8), self._aliens[which]
        left = (self._way[which] < 0)[:, None, None]
        board[np.arange(len(which)), SIDE - 1, self._pos[which], 0] = 1
        board[..., 1], board[..., 2], board[..., 3] = aliens, aliens & left, aliens & ~left
        board[..., 4], board[..., 5] = self._own[which], self._theirs[which]
        return board
