"""Move numbers: every legal move has one, both ways, and the mirror's is the same."""

import random
from collections.abc import Iterator

import chess
import pytest

from agentd.games.chess.board.moves import (
    MOVES,
    N_MOVES,
    NUMBER,
    STEP_NUMBER,
    index_move,
    legal_indices,
    legal_mask,
    move_index,
)

PROMOTING = "1r5k/P7/8/8/8/8/p7/1R5K w - - 0 1"


def walks(count: int, plies: int, seed: int) -> Iterator[chess.Board]:
    """Positions of random games, White's and Black's."""
    rng = random.Random(seed)
    for _ in range(count):
        board = chess.Board()
        for _ in range(plies):
            if board.is_game_over():
                break
            board.push(rng.choice(list(board.legal_moves)))
            yield board


def test_there_are_1858_and_each_is_listed_once():
    assert len(MOVES) == len(set(MOVES)) == len(NUMBER) == N_MOVES == 1858
    assert (STEP_NUMBER >= 0).sum() == 1792


def test_every_legal_move_of_random_games_has_a_number_that_leads_back():
    for board in walks(20, 120, 1):
        moves, numbers = legal_indices(board)
        assert len(set(numbers.tolist())) == len(moves)
        assert [index_move(int(n), board) for n in numbers] == moves


@pytest.mark.parametrize("turn", ["w", "b"])
def test_promotions_keep_their_piece(turn: str):
    board = chess.Board(PROMOTING.replace(" w ", f" {turn} "))
    promotions = [move for move in board.legal_moves if move.promotion]
    assert {move.promotion for move in promotions} == {2, 3, 4, 5}
    for move in promotions:
        assert index_move(move_index(move, board.turn), board) == move


def test_a_mirrored_position_has_the_same_moves():
    for board in walks(5, 60, 2):
        assert (legal_mask(board) == legal_mask(board.mirror())).all()


@pytest.mark.parametrize("index", [-1, N_MOVES])
def test_a_number_that_is_no_move_is_refused(index: int):
    with pytest.raises(IndexError, match=f"expected 0 to 1857, got {index}"):
        index_move(index, chess.Board())


def test_a_null_move_has_no_number():
    with pytest.raises(KeyError):
        move_index(chess.Move.null(), True)
