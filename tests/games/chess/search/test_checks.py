import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import chess
import pytest

from agentd.games.chess.search.checks import checking_moves, forced_mate, mating_move


def perft_positions(limit: int) -> Iterator[chess.Board]:
    """Positions of the perft corpora, the tricky ones first."""
    data = Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[5] / "shared" / "data"))
    folder = data / "corpora/chess/perft"
    if not folder.is_dir():
        pytest.skip(f"no perft corpora in {folder}: set AGENTD_DATA")
    for name in ("tricky", "random"):
        with gzip.open(folder / f"{name}.perft.gz", "rt") as lines:
            for line in lines:
                if line.startswith("epd ") and limit > 0:
                    limit -= 1
                    yield chess.Board.from_epd(line[4:].strip())[0]


def test_checks_are_those_that_the_rules_call_checks() -> None:
    looked = 0
    for board in perft_positions(900):
        moves = list(board.legal_moves)
        assert checking_moves(board, moves) == [m for m in moves if board.gives_check(m)]
        looked += len(moves)
    assert looked > 5_000


@pytest.mark.parametrize(
    ("fen", "move"),
    [
        ("r1bqkbnr/pppp1ppp/2n5/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 2 3", "h5f7"),
        ("6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", "a1a8"),
        ("7k/5P1p/6pP/8/8/8/8/K5R1 w - - 0 1", "f7f8q"),
        ("8/8/8/8/8/1k6/8/K6r w - - 0 1", None),  # mated already
        (chess.STARTING_FEN, None),
    ],
)
def test_mate_at_once(fen: str, move: str | None) -> None:
    board = chess.Board(fen)

    found = mating_move(board, checking_moves(board, list(board.legal_moves)))

    assert (found and found.uci()) == move


def test_shortest_forced_mate_with_the_longest_defence() -> None:
    """Two rooks and a lone king: the ladder's last two steps."""
    board = chess.Board("8/6k1/8/5R2/4R3/8/8/K7 w - - 0 1")
    assert forced_mate(board, 2) == []

    board = chess.Board("6k1/R7/1R6/8/8/8/8/K7 w - - 0 1")
    assert [move.uci() for move in forced_mate(board, 3)] == ["b6b8"]

    smothered = chess.Board("5r1k/6pp/7N/8/8/1Q6/6PP/6K1 w - - 0 1")
    line = forced_mate(smothered, 3)
    assert [move.uci() for move in line] == ["b3g8", "f8g8", "h6f7"]
    assert smothered.fen() == "5r1k/6pp/7N/8/8/1Q6/6PP/6K1 w - - 0 1"


def test_a_spent_budget_finds_nothing() -> None:
    smothered = chess.Board("5r1k/6pp/7N/8/8/1Q6/6PP/6K1 w - - 0 1")

    assert forced_mate(smothered, 3, budget=1) == []


def test_it_ends_when_told() -> None:
    looks: list[bool] = []

    def look() -> bool:
        looks.append(len(looks) > 2)
        return looks[-1]

    assert forced_mate(chess.Board("8/8/3k4/8/8/8/1Q6/K7 w - - 0 1"), 3, should_stop=look) == []
    assert looks == [False, False, False, True]
