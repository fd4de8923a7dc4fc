"""Every text that could be a move means the same here and to python-chess, on any position."""

import random

import chess
import pytest

from agentd.games.chess.board.san import find_move

POSITIONS = {
    "start": chess.STARTING_FEN,
    "kiwipete": "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",
    "a pinned knight leaves one move": "4k3/4r3/8/8/8/4N3/8/2N1K3 w - - 0 1",
    "three queens reach the same square": "7k/8/8/8/Q6Q/8/8/K6Q w - - 0 1",
    "in check": "4k3/8/8/8/7b/8/3P1PP1/R2QK2R w KQ - 0 1",
    "two pieces give check": "4k3/8/8/8/8/5n2/4r3/R3K2R w KQ - 0 1",
    "in passing": "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",
    "in passing would bare the king": "8/8/8/K2pP2r/8/8/8/7k w - d6 0 2",
    "a pawn may become four pieces": "1n5k/P7/8/8/8/8/p7/1N5K w - - 0 1",
    "Black's pawns": "1n5k/P7/8/8/8/8/p2p4/1N5K b - - 0 1",
    "a blocked pawn": "4k3/8/8/8/4n3/8/4P3/4K3 w - - 0 1",
    "kings face each other": "8/8/8/3k4/8/3K4/8/8 w - - 0 1",
    "a rook's king may not step along its line": "8/8/8/r3K3/8/8/8/7k w - - 0 1",
}
TAILS = ("", "+", "=Q", "n")


def outcome(find, board: chess.Board, text: str) -> object:
    try:
        return find(board, text)
    except ValueError as fault:
        return type(fault), str(fault)


def texts() -> list[str]:
    """Whatever one could write: kinds, squares of origin in part or whole, captures, promotions."""
    froms = ["", *chess.FILE_NAMES, *chess.RANK_NAMES, "e2", "a7"]
    plain = [
        kind + origin + cross + target
        for kind in ("", "N", "B", "R", "Q", "K")
        for origin in froms
        for cross in ("", "x")
        for target in chess.SQUARE_NAMES
    ]
    odd = ["O-O", "O-O-O+", "0-0", "--", "", "e9", "Pe4", "e8=K", "Nf3=Q", "Nf3!", "é4"]
    return odd + plain


@pytest.mark.parametrize("fen", POSITIONS.values(), ids=POSITIONS.keys())
def test_a_text_means_what_python_chess_says(fen: str) -> None:
    board, rng = chess.Board(fen), random.Random(fen)
    legal = [board.san(move) for move in board.legal_moves]
    some = [text + rng.choice(TAILS) for text in rng.sample(texts(), 2_500)]
    found = {text: outcome(find_move, board, text) for text in legal + some}
    assert found == {text: outcome(chess.Board.parse_san, board, text) for text in found}
    assert {found[text] for text in legal} == set(board.legal_moves)


@pytest.mark.parametrize("seed", range(5))
def test_games_of_chance_are_read_alike(seed: int) -> None:
    board, rng, wrong = chess.Board(), random.Random(seed), texts()
    for _ in range(150):
        if board.is_game_over():
            break
        moves = list(board.legal_moves)
        written = [(board.san(move), move) for move in moves]
        assert [(text, find_move(board, text)) for text, _ in written] == written
        for text in rng.sample(wrong, 10):
            assert outcome(find_move, board, text) == outcome(chess.Board.parse_san, board, text)
        board.push(rng.choice(moves))
