"""Connect Four: drop discs into columns; four in a row win. And players to measure an agent by."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import ArraySpec, Observations, Spec
from agentd.games.negamax import Outcome
from agentd.games.two_player import Advance, Player, Tables, pick_any

ROWS, COLUMNS = 6, 7
CELLS = ROWS * COLUMNS


def _lines() -> NDArray[np.int64]:
    """The 69 lines of four cells, (69, 4) indices into a board of 42."""
    found = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(row + i * down, column + i * right) for i in range(4)]
                if all(r < ROWS and 0 <= c < COLUMNS for r, c in cells):
                    found.append([r * COLUMNS + c for r, c in cells])
    return np.array(found)


LINES = _lines()
ON_LINE = np.zeros((CELLS, len(LINES)), np.float32)  # 1 where a cell is one of a line's four
ON_LINE[LINES.T, np.arange(len(LINES))] = 1
PLANES = 5


class ConnectFour:
    """T boards of Connect Four, a two-player game (``games.two_player``).

    ## Description
    Two sides drop discs in turn into one of seven columns of six cells. Who begins is drawn anew
    for every episode, and with ``opening`` the first few moves are. Four discs of one side in a
    row, column or diagonal win.

    ## Action Space
    ``Discrete(7)``: the column. A full column is illegal; the mask says so.

    ## Observation Space
    ``board``: uint8 (6, 7, 5), five planes of 0 and 1, row 0 at the top: the discs of the side that
    looks; the other's; the empty cells where a disc would connect four, for the side that looks;
    the same for the other; and the cells into which a disc may fall now.

    ## Rewards
    +1 for the side that connects four, -1 for the other, 0 for a draw and before the end.

    ## Episode End
    Terminated by four in a row or by a full board. Never truncated.

    Attributes:
        board: (T, 42) int8, 1 for a disc of seat 0, -1 for one of seat 1, row by row from the top.
        turn: (T,) int64, the seat that moves next.
    """

    spec = Spec(
        name="connect4",
        observation={"board": ArraySpec("uint8", (ROWS, COLUMNS, PLANES))},
        actions=COLUMNS,
        max_steps=CELLS,
        masked=True,
    )

    def __init__(self, tables: int, rng: np.random.Generator, opening: int = 0) -> None:
        """Make ``tables`` boards. Each episode opens with up to ``opening`` random moves, so that
        self-play does not play one game over and over.
        """
        self.opening = opening
        self.tables = tables
        self.board = np.zeros((tables, CELLS), np.int8)
        self.turn = np.zeros(tables, np.int64)
        self._rng = rng

    def begin(self, tables: Tables) -> None:
        """Empty the boards, or play the opening; see ``TwoPlayerGame.begin``."""
        board = np.zeros((len(tables), CELLS), np.int8)
        turn = self._rng.integers(2, size=len(tables))
        moves = self._rng.integers(self.opening + 1, size=len(tables))
        for move in range(self.opening):
            rows = np.flatnonzero(moves > move)
            side = sides(turn[rows])
            after = dropped(board[rows], pick_any(self._rng, open_columns(board[rows])), side)
            after[has_four(after, side)] = 0  # that game is over: begin it again
            board[rows], turn[rows] = after, 1 - turn[rows]
        self.board[tables], self.turn[tables] = board, turn

    def turns(self, tables: Tables) -> NDArray[np.bool_]:
        """One seat at a time; see ``TwoPlayerGame.turns``."""
        return np.asarray(self.turn[tables][:, None] == np.arange(2))

    def observe(self, tables: Tables, seats: Tables) -> Observations:
        """The board as each seat sees it; see ``TwoPlayerGame.observe``."""
        return self.look(self.board[tables] * sides(seats)[:, None])

    def legal(self, tables: Tables, seats: Tables) -> NDArray[np.uint8]:
        """The columns with room; all of them where the board is full."""
        room = open_columns(self.board[tables])
        room[~room.any(axis=1)] = True  # the last row of a drawn game: nobody will move
        return room.astype(np.uint8)

    def check(self, tables: Tables, seat: int, actions: NDArray[np.integer[Any]]) -> None:
        """See ``TwoPlayerGame.check``."""
        unsigned = actions.astype(np.uint64)
        if (unsigned >= COLUMNS).any():
            wrong = int(actions[np.flatnonzero(unsigned >= COLUMNS)[0]])
            raise ValueError(f"want actions in 0..{COLUMNS - 1}, got {wrong}")
        full = self.board[tables, actions] != 0
        if full.any():
            wrong = int(np.flatnonzero(full)[0])
            raise ValueError(f"column {int(actions[wrong])} of table {int(tables[wrong])} is full")

    def advance(self, tables: Tables, actions: NDArray[np.integer[Any]]) -> Advance:
        """Drop the disc of the side whose turn it is; see ``TwoPlayerGame.advance``."""
        rows = np.arange(len(tables))
        turn = self.turn[tables]
        side = sides(turn)
        board = dropped(self.board[tables], actions[rows, turn], side)
        self.board[tables] = board
        self.turn[tables] = 1 - turn
        won = has_four(board, side)
        reward = np.zeros((len(tables), 2), np.float32)
        reward[rows, turn] = won
        reward[rows, 1 - turn] = -1.0 * won
        over = won | (board[:, :COLUMNS] != 0).all(axis=1)
        return Advance(reward, over, np.zeros_like(over))

    def positions(self, tables: Tables) -> NDArray[np.int8]:
        """Boards (N, 42), 1 for the discs of the side that moves; see ``SimulatedGame``."""
        return self.board[tables] * sides(self.turn[tables])[:, None]

    def moves(self, positions: NDArray[np.int8]) -> NDArray[np.bool_]:
        """The columns with room; see ``SimulatedGame.moves``."""
        return open_columns(positions)

    def outcome(self, positions: NDArray[np.int8], actions: NDArray[np.integer[Any]]) -> Outcome:
        """Drop a disc of the side that moves; see ``SimulatedGame.outcome``."""
        own = np.ones(len(positions), np.int8)
        after = dropped(positions, actions, own)
        won = has_four(after, own)
        return Outcome(-after, won, ~won & ~open_columns(after).any(axis=1))

    def look(self, positions: NDArray[np.int8]) -> Observations:
        """The five planes of boards (N, 42); see ``SimulatedGame.look``."""
        own, its = positions > 0, positions < 0
        planes = (own, its, *fourth_cells(own, its), landings(positions == 0))
        board = np.stack(planes, axis=2).astype(np.uint8)
        return {"board": board.reshape(-1, ROWS, COLUMNS, PLANES)}

    def position_of(self, observations: Observations) -> NDArray[np.int8]:
        """The boards (N, 42) of such planes; see ``SimulatedGame.position_of``."""
        planes = np.asarray(observations["board"]).reshape(-1, CELLS, PLANES).astype(np.int8)
        return planes[:, :, 0] - planes[:, :, 1]

    def render(self, table: int) -> str:
        """Draw the board of ``table``; see ``TwoPlayerGame.render``."""
        return render(self.board[table])


def sides(seats: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
    """The number of each seat's discs: 1 for seat 0, -1 for seat 1."""
    return (1 - 2 * seats).astype(np.int8)


def open_columns(board: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which columns (..., 7) of boards (..., 42) have room."""
    room: NDArray[np.bool_] = board[..., :COLUMNS] == 0
    return room


def dropped(
    board: NDArray[np.int8], columns: NDArray[np.integer[Any]], side: NDArray[np.int8]
) -> NDArray[np.int8]:
    """Return boards (N, 42) after a disc of ``side`` (N,) fell into ``columns`` (N,), with room."""
    rows = np.arange(len(board))
    filled = (board.reshape(-1, ROWS, COLUMNS)[rows, :, columns] != 0).sum(axis=1)
    after = board.copy()
    after[rows, (ROWS - 1 - filled) * COLUMNS + columns] = side
    return after


def has_four(board: NDArray[np.int8], side: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return whether ``side`` (N,) has four in a row on boards (N, 42)."""
    sums = board[:, LINES].sum(axis=2, dtype=np.int8)
    four: NDArray[np.bool_] = (sums == 4 * side[:, None]).any(axis=1)
    return four


def fourth_cells(
    own: NDArray[np.bool_], its: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the empty cells that make a four of ``own`` discs, and of ``its``: (N, 42) each."""
    count = [discs.astype(np.float32) @ ON_LINE for discs in (own, its)]  # on each line, (N, 69)
    three = [(a == 3) & (b == 0) for a, b in (count, reversed(count))]
    mine, others = (~(own | its) & (lines.astype(np.float32) @ ON_LINE.T > 0) for lines in three)
    return mine, others


def landings(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells (N, 42) into which a disc may fall: empty ones with no empty one below."""
    lowest = empty.copy()
    lowest[:, :-COLUMNS] &= ~empty[:, COLUMNS:]
    return lowest


def search_player(rng: np.random.Generator) -> Player:
    """A player that searches two plies: it wins at once where it can, and never moves so that the
    other wins at once where it can be helped. Among moves of the same value it draws lots.
    """

    def choose(world: ConnectFour, tables: Tables, seat: int) -> NDArray[np.integer[Any]]:
        return pick_any(rng, best_of_two_plies(world.board[tables], sides(np.array([seat]))[0]))

    return choose


def best_of_two_plies(board: NDArray[np.int8], side: np.int8) -> NDArray[np.bool_]:
    """Return which columns (N, 7) are best for ``side`` on boards (N, 42), two plies ahead."""
    legal = open_columns(board)
    after, won = _try_columns(board, side)
    wins: NDArray[np.bool_] = legal & won
    _, lost = _try_columns(after.reshape(-1, CELLS), np.int8(-side))
    loses = lost.reshape(len(board), COLUMNS, COLUMNS).any(axis=2)
    safe: NDArray[np.bool_] = legal & ~loses
    best: NDArray[np.bool_] = np.where(wins.any(axis=1, keepdims=True), wins, safe)
    return np.where(best.any(axis=1, keepdims=True), best, legal)


def _try_columns(
    board: NDArray[np.int8], side: np.int8
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Boards (N, 7, 42) after ``side`` drops into each column, and whether it won, (N, 7).

    A full column's board and answer mean nothing.
    """
    n = len(board)
    many = np.repeat(board, COLUMNS, axis=0)
    columns = np.tile(np.arange(COLUMNS), n)
    each = np.full(len(many), side, np.int8)
    full = ~open_columns(many)[np.arange(len(many)), columns]
    many[full] = 0  # so that the disc falls somewhere
    after = dropped(many, columns, each)
    won: NDArray[np.bool_] = has_four(after, each) & ~full
    after[full] = 0
    return after.reshape(n, COLUMNS, CELLS), won.reshape(n, COLUMNS)


def render(board: NDArray[np.int8]) -> str:
    """Draw one board (42,): ``x`` seat 0, ``o`` seat 1, the columns' numbers below.

    >>> board = np.zeros(42, np.int8)
    >>> board[[38, 39]] = 1, -1
    >>> print(render(board).splitlines()[-2])
    |. . . x o . .|
    """
    marks = np.array([".", "x", "o"])[board.reshape(ROWS, COLUMNS)]
    lines = [f"|{' '.join(row)}|" for row in marks]
    return "\n".join((*lines, f" {' '.join(str(c) for c in range(COLUMNS))} "))
