import os
from collections import Counter
from pathlib import Path

import chess
import numpy as np
import pytest

from agentd.games.chess.data.puzzle_table import PuzzleTable
from agentd.games.chess.data.puzzles import (
    Puzzle,
    draw_puzzles,
    share_solved,
    solve,
    solve_by_policy,
)
from agentd.games.chess.search.material import MaterialEvaluator
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings

BACK_RANK = Puzzle("a", "6k1/5ppp/8/8/8/8/p7/R5K1 b - - 0 1", ("g8h8", "a1a2"), 700, False)
TWO_MATES = Puzzle(
    "b", "k7/8/1K6/8/8/8/8/6QR b - - 0 1", ("a8b8", "h1h8"), 1_500, True
)  # Qg8 mates too


def test_draws_evenly_by_kind_and_rating() -> None:
    pool = [
        Puzzle(str(n), "", (), rating, mate)
        for mate, each in ((True, 90), (False, 30))
        for rating in range(700, 2_700, 200)
        for n in range(each if rating != 2_500 else 2)
    ]

    drawn = draw_puzzles(pool, 200, seed=3)

    counts = Counter((puzzle.mate, puzzle.band) for puzzle in drawn)
    assert len(drawn) == 200
    assert sum(count for (mate, _), count in counts.items() if mate) == 100
    assert counts[True, 2_400] == counts[False, 2_400] == 2
    others = [count for (_, band), count in counts.items() if band != 2_400]
    assert max(others) - min(others) <= 1
    assert drawn == draw_puzzles(pool, 200, seed=3)
    assert drawn != draw_puzzles(pool, 200, seed=4)
    with pytest.raises(ValueError, match="at least 5000 puzzles"):
        draw_puzzles(pool, 5_000)


def test_any_mate_ends_a_puzzle_but_no_other_move_does() -> None:
    queen = chess.Move.from_uci("g1g8")

    assert share_solved(solve([TWO_MATES], lambda board: queen)) == 1.0
    assert share_solved(solve([TWO_MATES], lambda board: chess.Move.from_uci("g1g2"))) == 0.0
    assert share_solved(solve([BACK_RANK], lambda board: chess.Move.from_uci("a1b1"))) == 0.0
    assert share_solved(solve([BACK_RANK], lambda board: None)) == 0.0


@pytest.mark.parametrize(
    ("fen", "moves", "fault"),
    [
        ("6k1/5ppp/8/8/8/8/9/R5K1 b - - 0 1", "g8h8 a1a8", "invalid character in position"),
        ("8/5ppp/8/8/8/8/8/R5K1 b - - 0 1", "g7g6 a1a8", "cannot be"),
        ("6k1/5ppp/8/8/8/8/8/R5K1 b - - 0 1", "g8h8 a1b8", "a1b8 cannot be made"),
        ("6k1/5ppp/8/8/8/8/8/R5K1 b - - 0 1", "g8h8 a1a8", None),
    ],
)
def test_a_puzzle_that_cannot_be_played_says_so(fen: str, moves: str, fault: str | None) -> None:
    found = Puzzle("x", fen, tuple(moves.split()), 900, False).fault
    assert found is None if fault is None else fault in str(found)


def test_counts_kinds_apart() -> None:
    counts = solve([TWO_MATES, BACK_RANK], lambda board: chess.Move.from_uci("a1a2"))

    assert share_solved(counts, mate=True) == 0.0
    assert share_solved(counts, mate=False) == 1.0
    assert share_solved(counts) == 0.5
    assert np.isnan(share_solved([], mate=True))


def test_the_policy_is_asked_in_batches_for_the_same_answers() -> None:
    puzzles = [TWO_MATES, BACK_RANK, *[BACK_RANK] * 5]
    search = Search(MaterialEvaluator(), SearchSettings(nodes=1))

    together = solve_by_policy(puzzles, MaterialEvaluator(), batch=3)

    assert together == solve(puzzles, lambda board: search.run(board).move)
    assert [count.total for count in together] == [6, 1]


def test_a_search_on_material_solves_real_puzzles() -> None:
    data = Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[5] / "shared" / "data"))
    path = data / "lichess/puzzles/lichess_puzzles_public.csv.zst"
    if not path.is_file():
        pytest.skip(f"no {path}: set AGENTD_DATA")
    puzzles = [puzzle for puzzle in PuzzleTable(path) if puzzle.rating < 1_200]
    assert len(puzzles) > 10_000
    drawn = draw_puzzles(puzzles, 20, seed=1)
    search = Search(MaterialEvaluator(), SearchSettings(nodes=150))

    with_search = solve(drawn, lambda board: search.run(board).move)

    assert share_solved(with_search) >= 0.4
    assert share_solved(with_search) > share_solved(solve_by_policy(drawn, MaterialEvaluator()))
