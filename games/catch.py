"""Catch: a ball falls, a paddle waits at the bottom. The unit test of an agent.

The rules are those of bsuite's Catch (Osband et al. 2020, "Behaviour Suite for Reinforcement
Learning", arXiv:1908.03568): 10 rows, 5 columns.
"""

from typing import Any

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

ROWS, COLUMNS = 10, 5
LEFT, STAY, RIGHT = 0, 1, 2


class Catch:
    """S boards of Catch, side by side.

    ## Description
    A ball starts in a random column of the top row and falls one row a step. The paddle starts in
    the middle of the bottom row and moves one column a step; walls stop it.

    ## Action Space
    ``Discrete(3)``: 0 left, 1 stay, 2 right; with more actions than three the others stay, too. All
    are always legal.

    ## Observation Space
    ``board``: float32 (10, 5), 1 where the ball or the paddle is, 0 elsewhere. Row 0 is the top.

    ## Rewards
    +1 when the ball reaches the bottom row in the paddle's column, -1 when in another column, 0
    before that. The best mean return is 1; a paddle that never moves gets -0.6.

    ## Episode End
    Terminated when the ball reaches the bottom row, which is after exactly 9 steps. Never
    truncated.
    """

    def __init__(
        self,
        streams: int,
        rng: np.random.Generator,
        scale: float = 1.0,
        noise: float = 0.0,
        actions: int = 3,
    ) -> None:
        """Make ``streams`` boards. As in bsuite's diagnostics, every reward is multiplied by
        ``scale``, and gets Gaussian noise of the standard deviation ``noise``.
        """
        self.spec = Spec(
            name="catch",
            observation={"board": ArraySpec("float32", (ROWS, COLUMNS))},
            actions=actions,
            max_steps=ROWS - 1,
            masked=False,
        )
        self.streams = streams
        self._scale, self._noise = scale, noise
        self._rng = rng
        self._every = np.arange(streams)
        self._ball_row = np.zeros(streams, np.int64)
        self._ball_column = np.zeros(streams, np.int64)
        self._paddle = np.zeros(streams, np.int64)
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Drop a new ball in each of ``streams``; see ``Game.reset``."""
        which = self._every if streams is None else streams
        check_streams(which, self.streams)
        self._ball_row[which] = 0
        self._ball_column[which] = self._rng.integers(COLUMNS, size=len(which))
        self._paddle[which] = COLUMNS // 2
        return first_rows(which, {"board": self._board(which)})

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Move every paddle, then let every ball fall one row; see ``Game.step``."""
        check_actions(actions, self.streams, self.spec.actions)
        self._paddle += np.where(actions > RIGHT, STAY, actions).astype(np.int64) - STAY
        self._paddle.clip(0, COLUMNS - 1, out=self._paddle)
        self._ball_row += 1
        landed = self._ball_row == ROWS - 1
        caught = self._ball_column == self._paddle
        reward = self._scale * np.where(landed, np.where(caught, 1.0, -1.0), 0.0)
        if self._noise:
            reward += self._noise * self._rng.standard_normal(self.streams)
        frame = TimeStep(
            stream=self._every.astype(np.uint32),
            kind=outcome(landed, np.zeros_like(landed)),
            reward=reward.astype(np.float32),
            obs={"board": self._board(self._every)},
            mask=None,
        )
        return with_resets(self, frame)

    def render(self, stream: int = 0) -> str:
        """Draw the board of ``stream``."""
        return render(self._board(self._every[stream : stream + 1])[0])

    def _board(self, streams: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the boards (N, 10, 5) of ``streams`` (N,)."""
        board = np.zeros((len(streams), ROWS, COLUMNS), np.float32)
        row = np.arange(len(streams))
        board[row, self._ball_row[streams], self._ball_column[streams]] = 1.0
        board[row, ROWS - 1, self._paddle[streams]] = 1.0
        return board


def render(board: NDArray[np.float32]) -> str:
    """Draw one board (10, 5): ``o`` the ball, ``=`` the paddle.

    In the bottom row a board does not say which of two cells is the ball: both are drawn ``=``.

    >>> game = Catch(1, np.random.default_rng(1))
    >>> print(render(game.reset().obs["board"][0]).splitlines()[-1])
    |  =  |
    """
    marks = ["o"] * (ROWS - 1) + ["="]
    lines = (
        "".join(mark if cell else " " for cell in row)
        for mark, row in zip(marks, board, strict=True)
    )
    return "\n".join(f"|{line}|" for line in lines)
