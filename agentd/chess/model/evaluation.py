"""How good a chess model is: people's moves that it finds, and puzzles that it solves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chess

from agentd.chess.data.puzzle_file import draw, open_puzzles
from agentd.chess.data.shards import draw_rows, open_folder
from agentd.chess.model.model import ChessModel
from agentd.games.chess.data.batches import ChessRows
from agentd.games.chess.data.puzzle_table import Watch
from agentd.games.chess.data.puzzles import Solved, share_solved, solve, solve_by_policy
from agentd.games.chess.play.measure import MoveMatch, MoveTest, random_mover
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings

BANDS = tuple((low, low + 200) for low in range(1000, 2400, 200))
"""Ratings [low, high) of movers that are measured apart."""
RANDOM_ROWS = 5000
"""Positions, about, on which the random mover is measured."""


@dataclass(frozen=True)
class MoveFigures:
    """How often the model's move was the one played: of all, by ``BANDS``, of a random mover."""

    every: MoveMatch
    bands: Sequence[MoveMatch]
    random: MoveMatch

    def record(self) -> dict[str, Any]:
        """The figures as JSON values; bands without positions are left out."""
        return {
            "positions": self.every.positions,
            "top1": self.every.top1,
            "top3": self.every.top3,
            "cross_entropy": self.every.cross_entropy,
            "legal_argmax": self.every.legal,
            "random_top1": self.random.top1,
            "bands": {
                str(low): {"positions": band.positions, "top1": band.top1}
                for (low, _), band in zip(BANDS, self.bands, strict=True)
                if band.positions
            },
        }


def measure_moves(bot: ChessModel, data: Path, rows: int | None, seed: int) -> MoveFigures:
    """Measure ``bot`` on the shards in ``data``, or on ``rows`` of their positions.

    Raises MissingInput, ShardsDamaged.
    """
    every = ChessRows(open_folder(data))
    positions = draw_rows(every, len(every) if rows is None else rows, seed)
    found = MoveTest(positions).measure(bot.policy, BANDS)
    chance = random_mover(positions[:: max(1, len(positions) // RANDOM_ROWS)])
    return MoveFigures(found[0], found[1:], chance)


@dataclass(frozen=True)
class PuzzleFigures:
    """Puzzles solved by the policy alone and by a search of ``depth``, band by band.

    ``left_out`` names each puzzle that was drawn and cannot be played, and why.
    """

    policy: Sequence[Solved]
    search: Sequence[Solved]
    depth: int
    left_out: Sequence[str] = ()

    def record(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "puzzles": sum(band.total for band in self.policy),
            "puzzles_policy": share_solved(self.policy),
            "puzzles_search": share_solved(self.search),
            "puzzles_policy_mates": share_solved(self.policy, True),
            "puzzles_policy_others": share_solved(self.policy, False),
            "puzzles_search_mates": share_solved(self.search, True),
            "puzzles_search_others": share_solved(self.search, False),
            "search_depth": self.depth,
            "puzzles_left_out": len(self.left_out),
        }


def measure_puzzles(
    bot: ChessModel, path: Path, count: int, depth: int, seed: int, watch: Watch | None = None
) -> PuzzleFigures:
    """Let ``bot`` solve ``count`` puzzles of the file ``path``. Raises MissingInput, DataError."""
    with open_puzzles(path, watch) as pool:
        drawn = pool.at(draw(pool, count, seed))
    faults = [puzzle.fault for puzzle in drawn]
    good = [puzzle for puzzle, fault in zip(drawn, faults, strict=True) if fault is None]
    search = Search(bot, SearchSettings(depth=depth, seed=seed))

    def choose(board: chess.Board) -> chess.Move | None:
        search.forget()
        return search.run(board).move

    left_out = [f"{p.name}: {why}" for p, why in zip(drawn, faults, strict=True) if why]
    return PuzzleFigures(solve_by_policy(good, bot), solve(good, choose), depth, left_out)
