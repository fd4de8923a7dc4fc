"""Snake: eat, grow, and do not run into a wall or into yourself."""

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

UP, RIGHT, DOWN, LEFT = 0, 1, 2, 3
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # (row, column) of each action
HEAD, BODY, TAIL, FOOD = 0, 1, 2, 3  # planes of the observation
FIRST_LENGTH = 3


class Snake:
    """S snakes, each on a grid of its own.

    ## Description
    A snake of three cells starts somewhere on a grid of ``size`` x ``size`` cells, one food lies
    on a free cell. Each step moves the head one cell; the tail follows, except in the step in
    which the snake eats: then it grows by one cell and the next food appears on a free cell. The
    head may enter the cell that the tail leaves in the same step.

    ## Action Space
    ``Discrete(4)``: 0 up, 1 right, 2 down, 3 left. Turning back on itself is illegal; the mask
    says so (three of the four actions are legal in every state).

    ## Observation Space
    ``planes``: uint8 (4, size, size), 1 where the plane's thing is: the head, the body without
    the head, the tail's end (which is part of the body as well), the food. When the snake has
    died, the head stands where it stood before the fatal step.

    ## Rewards
    +1 for food, -1 for dying, 0 otherwise. The best return is ``size * size - 3``.

    ## Episode End
    Terminated when the head leaves the grid or enters the body, and when the snake fills the
    grid. Truncated when it has not eaten for ``patience`` steps (it starves).
    """

    def __init__(
        self,
        streams: int,
        rng: np.random.Generator,
        size: int = 8,
        patience: int | None = None,
    ) -> None:
        """Make ``streams`` games on ``size`` x ``size`` cells (5..64).

        ``patience`` is 2 ``size`` x ``size`` steps when not given. Raises ValueError when an
        argument is out of its range.
        """
        if not 5 <= size <= 64:
            raise ValueError(f"want a size of 5..64, got {size}")
        self.patience = 2 * size * size if patience is None else patience
        if self.patience < 1:
            raise ValueError(f"want a patience of at least 1 step, got {patience}")
        self.spec = Spec(
            name="snake",
            observation={"planes": ArraySpec("uint8", (4, size, size))},
            actions=4,
            max_steps=self.patience * (size * size - FIRST_LENGTH + 1),
            masked=True,
        )
        self.streams = streams
        self._size = size
        self._rng = rng
        self._every = np.arange(streams)
        # Steps until the snake has left a cell, 0 where it is not: the head's cell holds the
        # length, the tail's end holds 1, and no list of segments is needed.
        self._left_in = np.zeros((streams, size, size), np.int32)
        self._head = np.zeros((streams, 2), np.int64)  # row, column
        self._heading = np.zeros(streams, np.int64)  # the last action, which may not be undone
        self._food = np.zeros((streams, 2), np.int64)
        self._length = np.zeros(streams, np.int32)
        self._hunger = np.zeros(streams, np.int64)  # steps since the last food
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Lay a new snake of three cells and a food in each of ``streams``; see ``Game.reset``."""
        which = self._every if streams is None else streams
        check_streams(which, self.streams)
        n = len(which)
        # Two cells from every wall, so that the body fits and no first step is fatal.
        self._head[which] = self._rng.integers(2, self._size - 2, size=(n, 2))
        self._heading[which] = self._rng.integers(4, size=n)
        self._length[which] = FIRST_LENGTH
        self._hunger[which] = 0
        self._left_in[which] = 0
        for behind in range(FIRST_LENGTH):
            cell = self._head[which] - behind * MOVES[self._heading[which]]
            self._left_in[which, cell[:, 0], cell[:, 1]] = FIRST_LENGTH - behind
        self._place_food(which)
        frame = first_rows(which, {"planes": self._planes(which)})
        return frame._replace(mask=self._mask(which))

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Move every snake by one cell; see ``Game.step``."""
        self._check_legal(actions)
        to = self._head + MOVES[actions]
        ate = (to == self._food).all(axis=1)
        died = ((to < 0) | (to >= self._size)).any(axis=1)
        live = np.flatnonzero(~died)
        # A snake that eats keeps its tail for this step: that is how it grows.
        freed = (self._left_in - (~ate)[:, None, None]).clip(0)
        died[live] = freed[live, to[live, 0], to[live, 1]] > 0
        self._advance(np.flatnonzero(~died), to, ate, freed, actions)
        full = ~died & (self._length == self._size**2)
        frame = TimeStep(
            stream=self._every.astype(np.uint32),
            kind=outcome(died | full, self._hunger >= self.patience),
            reward=ate.astype(np.float32) - died,
            obs={"planes": self._planes(self._every)},
            mask=self._mask(self._every),
        )
        return with_resets(self, frame)

    def render(self, stream: int = 0) -> str:
        """Draw the grid of ``stream``."""
        return render(self._planes(self._every[stream : stream + 1])[0])

    def _advance(
        self,
        moved: NDArray[np.int64],
        to: NDArray[np.int64],
        ate: NDArray[np.bool_],
        freed: NDArray[np.int32],
        actions: NDArray[np.integer[Any]],
    ) -> None:
        """Put the heads of the streams ``moved`` on their cells ``to``; feed those that ``ate``."""
        self._left_in[moved] = freed[moved]
        self._length[moved] += ate[moved]
        self._left_in[moved, to[moved, 0], to[moved, 1]] = self._length[moved]
        self._head[moved] = to[moved]
        self._heading[moved] = actions[moved]
        self._hunger += 1
        self._hunger[ate] = 0
        self._place_food(np.flatnonzero(ate))

    def _place_food(self, streams: NDArray[np.integer[Any]]) -> None:
        """Lay a food on a random free cell of each of ``streams``, off the grid where none is."""
        for stream in streams:
            free = np.flatnonzero(self._left_in[stream] == 0)
            if free.size:
                cell = int(free[self._rng.integers(free.size)])
                self._food[stream] = divmod(cell, self._size)
            else:
                self._food[stream] = -1

    def _check_legal(self, actions: NDArray[np.integer[Any]]) -> None:
        """Raise ValueError unless every one of ``actions`` (S,) is in range and legal."""
        check_actions(actions, self.streams, 4)
        back = actions == (self._heading + 2) % 4
        if back.any():
            wrong = int(np.flatnonzero(back)[0])
            raise ValueError(f"action {int(actions[wrong])} turns stream {wrong} back on itself")

    def _mask(self, streams: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return the legal actions (N, 4) of ``streams`` (N,)."""
        mask = np.ones((len(streams), 4), np.uint8)
        mask[np.arange(len(streams)), (self._heading[streams] + 2) % 4] = 0
        return mask

    def _planes(self, streams: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return the observations (N, 4, size, size) of ``streams`` (N,)."""
        left_in, length = self._left_in[streams], self._length[streams, None, None]
        planes = np.empty((len(streams), 4, self._size, self._size), np.uint8)
        planes[:, HEAD] = left_in == length
        planes[:, BODY] = (left_in > 0) & (left_in < length)
        planes[:, TAIL] = left_in == 1
        planes[:, FOOD] = 0
        lies = np.flatnonzero(self._food[streams, 0] >= 0)
        at = self._food[streams[lies]]
        planes[lies, FOOD, at[:, 0], at[:, 1]] = 1
        return planes


def render(planes: NDArray[np.uint8]) -> str:
    """Draw one observation (4, size, size): ``@`` head, ``o`` body, ``.`` tail's end, ``*`` food.

    >>> planes = np.zeros((4, 2, 3), np.uint8)
    >>> planes[HEAD, 0, 2] = planes[BODY, 0, :2] = planes[TAIL, 0, 0] = planes[FOOD, 1, 1] = 1
    >>> print(render(planes))
    +---+
    |.o@|
    | * |
    +---+
    """
    cells = np.full(planes.shape[1:], " ")
    for plane, mark in ((BODY, "o"), (TAIL, "."), (HEAD, "@"), (FOOD, "*")):
        cells[planes[plane] > 0] = mark
    edge = "+" + "-" * planes.shape[2] + "+"
    return "\n".join((edge, *(f"|{''.join(row)}|" for row in cells), edge))
