"""Puzzles: drawn evenly by rating, solved by the policy alone or by a search.

A puzzle is solved if every move of its solver is the one on record; on the last move any mate will
do. Mates are most of the pool and the easier part, so they are always counted apart.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import chess
import numpy as np

from agentd.games.chess.board.moves import legal_indices
from agentd.games.chess.search.settings import Evaluator

BAND = 200
"""Rating points of one band."""
LOWEST, HIGHEST = 600, 2600
"""Puzzles below and above belong to the first and the last band."""


@dataclass(frozen=True, slots=True)
class Puzzle:
    """``moves`` begins with the other side's, made on ``fen``; then the solver's and so on.

    ``worth`` is what the solver then has, in centipawns, where it is no mate: by the theme.
    """

    name: str
    fen: str
    moves: tuple[str, ...]
    rating: int
    mate: bool
    worth: int = 0

    @property
    def band(self) -> int:
        """The rating at which its band begins."""
        return band_of(self.rating)

    def positions(self) -> Iterator[tuple[chess.Board, chess.Move]]:
        """Yield each position the solver meets and the move on record; the board is reused.

        Raises ValueError where the position cannot be, or a move not be made.
        """
        board = chess.Board(self.fen)
        if board.status() != chess.STATUS_VALID:
            raise ValueError(f"FEN: such a position cannot be: {self.fen!r}")
        for number, uci in enumerate(self.moves):
            move = chess.Move.from_uci(uci)
            if not board.is_legal(move):
                raise ValueError(f"Moves: {uci} cannot be made: {board.fen()!r}")
            if number % 2:
                yield board, move
            board.push(move)

    @property
    def fault(self) -> str | None:
        """What is wrong with its position or its moves, None where they can be played."""
        try:
            deque(self.positions(), maxlen=0)
        except ValueError as error:
            return str(error)
        return None

    def accepts(self, board: chess.Board, move: chess.Move, recorded: chess.Move) -> bool:
        """True for the recorded move, and for any mate in place of the last one."""
        if move == recorded:
            return True
        if len(board.move_stack) != len(self.moves) - 1 or not board.is_legal(move):
            return False
        after = board.copy(stack=False)
        after.push(move)
        return after.is_checkmate()


@dataclass(frozen=True, slots=True)
class Solved:
    """How many of ``total`` puzzles of one band and kind were solved."""

    band: int
    mate: bool
    solved: int
    total: int


def band_of(rating: int) -> int:
    """Return the rating at which the band of ``rating`` begins."""
    return max(LOWEST, min(HIGHEST - BAND, rating // BAND * BAND))


def draw_puzzles(puzzles: Sequence[Puzzle], count: int, seed: int = 0) -> list[Puzzle]:
    """Return ``count`` of ``puzzles``, drawn by ``draw_places``. Raises ValueError."""
    kinds = ((puzzle.mate, puzzle.band) for puzzle in puzzles)
    return [puzzles[place] for place in draw_places(kinds, count, seed)]


def draw_places(kinds: Iterable[tuple[bool, int]], count: int, seed: int) -> list[int]:
    """Return which puzzles are drawn of those whose ``kinds`` (mate, band) come in their order.

    As many mates as others are, each kind evenly over the rating bands. A band that holds too few
    gives what it has and the others make up for it. The same kinds, count and seed draw the same
    places. Raises ValueError if there are fewer puzzles than ``count``.
    """
    pools: dict[tuple[bool, int], array[int]] = {}
    for place, kind in enumerate(kinds):
        if kind not in pools:
            pools[kind] = array("I")
        pools[kind].append(place)
    held = sum(len(pool) for pool in pools.values())
    if held < count:
        raise ValueError(f"expected at least {count} puzzles, got {held}")
    rng = np.random.default_rng(seed)
    shuffled = {key: rng.permutation(len(pools[key])) for key in sorted(pools)}
    shares = _shares({key: len(pool) for key, pool in pools.items()}, count)
    return [pools[key][n] for key, order in shuffled.items() for n in order[: shares[key]]]


def _shares(pools: dict[tuple[bool, int], int], count: int) -> dict[tuple[bool, int], int]:
    """How many of each pool: one after another in turn, until there are ``count``."""
    shares = dict.fromkeys(sorted(pools), 0)
    totals = {True: 0, False: 0}
    while sum(totals.values()) < count:
        open_ = [key for key in shares if shares[key] < pools[key]]
        key = min(open_, key=lambda key: (totals[key[0]], shares[key], key[1]))
        shares[key] += 1
        totals[key[0]] += 1
    return shares


def solve_by_policy(
    puzzles: Sequence[Puzzle], evaluator: Evaluator, batch: int = 256
) -> list[Solved]:
    """Solve with the most likely legal move of each position, ``batch`` positions at once."""
    asked = [
        (number, board.copy(), move)
        for number, puzzle in enumerate(puzzles)
        for board, move in puzzle.positions()
    ]
    right = [True] * len(puzzles)
    for first in range(0, len(asked), batch):
        part = asked[first : first + batch]
        logits, _ = evaluator.evaluate([board for _, board, _ in part])
        for (number, board, recorded), row in zip(part, logits, strict=True):
            moves, numbers = legal_indices(board)
            move = moves[int(row[numbers].argmax())]
            right[number] &= puzzles[number].accepts(board, move, recorded)
    return _count(puzzles, right)


def solve(
    puzzles: Sequence[Puzzle], choose: Callable[[chess.Board], chess.Move | None]
) -> list[Solved]:
    """Solve with whatever ``choose`` plays; a puzzle ends at its first wrong move."""
    right = []
    for puzzle in puzzles:
        solved = True
        for board, recorded in puzzle.positions():
            move = choose(board.copy())
            if move is None or not puzzle.accepts(board, move, recorded):
                solved = False
                break
        right.append(solved)
    return _count(puzzles, right)


def _count(puzzles: Sequence[Puzzle], right: Sequence[bool]) -> list[Solved]:
    found: dict[tuple[bool, int], list[bool]] = {}
    for puzzle, solved in zip(puzzles, right, strict=True):
        found.setdefault((puzzle.mate, puzzle.band), []).append(solved)
    return [
        Solved(band, mate, sum(found[mate, band]), len(found[mate, band]))
        for mate, band in sorted(found)
    ]


def share_solved(counts: Iterable[Solved], mate: bool | None = None) -> float:
    """Share solved of all puzzles, or of the mates or the others; NaN of none."""
    chosen = [count for count in counts if mate is None or count.mate == mate]
    total = sum(count.total for count in chosen)
    return sum(count.solved for count in chosen) / total if total else float("nan")
