"""The shipped model with its search: what it must be able to do."""

import chess
import pytest

from agentd.chess.model.model import load_bot
from agentd.games.chess.data.lessons import BEST
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings


def from_middle(square: int) -> float:
    return abs(chess.square_file(square) - 3.5) + abs(chess.square_rank(square) - 3.5)


@pytest.mark.parametrize(
    "fen", ["8/8/8/4k3/8/8/3Q4/3K4 w - - 0 1", "8/8/8/3k4/8/8/3R4/3K4 w - - 0 1"]
)
def test_it_mates_a_bare_king_within_fifty_moves(fen: str):
    board, search = chess.Board(fen), Search(load_bot(), SearchSettings(nodes=200))
    while not board.is_game_over() and not board.is_fifty_moves() and not board.is_repetition(3):
        if board.turn:
            move = search.run(board).move
            assert move is not None
        else:
            move = min(board.legal_moves, key=lambda move: from_middle(move.to_square))
        board.push(move)
    assert board.is_checkmate()


def test_it_plays_best_play_unless_it_is_told():
    assert load_bot().mover_rating == BEST
    assert load_bot(rating=1500).mover_rating == 1500
