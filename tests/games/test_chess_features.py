"""What a network sees: python-chess agrees about every attack; mirrors look as they should."""

import random

import chess
import numpy as np
import pytest

from games import chess_bits as bb
from games.chess_features import (
    BOARD_CHANNELS,
    MIRRORED_MOVE,
    N_FEATURES,
    N_PLANES,
    as_board,
    features,
    may_mirror,
    planes,
)
from games.chess_moves import MOVES, legal_indices, move_index
from games.chess_position import Positions, encode_boards, unpack


def random_boards(seed: int, count: int = 6) -> list[chess.Board]:
    rng, boards = random.Random(seed), []
    for _ in range(count):
        board = chess.Board()
        while not board.is_game_over() and board.ply() < 120:
            boards.append(board.copy())
            board.push(rng.choice(list(board.legal_moves)))
    return boards


@pytest.fixture(scope="module")
def rows() -> Positions:
    return encode_boards(random_boards(3), 1500, 1700)


def plane(fen: str, number: int) -> set[str]:
    """Names of the squares that are set in one plane of a position."""
    bits = int(planes(encode_boards([chess.Board(fen)]))[0, number])
    return {chess.square_name(square) for square in chess.scan_forward(bits)}


def test_attacks_are_those_of_python_chess(rows: Positions):
    seen = planes(rows)
    for row, found in zip(rows, seen, strict=True):
        board = unpack(row)
        for color, base in ((chess.WHITE, 12), (chess.BLACK, 18)):
            for kind in chess.PIECE_TYPES:
                want = 0
                for square in board.pieces(kind, color):
                    want |= int(board.attacks(square))
                assert int(found[base + kind - 1]) == want


def test_pieces_are_where_they_stand(rows: Positions):
    seen = planes(rows)
    for row, found in zip(rows, seen, strict=True):
        board = unpack(row)
        for base, color in ((0, chess.WHITE), (6, chess.BLACK)):
            for kind in chess.PIECE_TYPES:
                assert int(found[base + kind - 1]) == int(board.pieces(kind, color))


@pytest.mark.parametrize(
    ("fen", "number", "squares"),
    [
        ("4k3/8/8/3r4/8/8/3P4/4K3 w - - 0 1", 24, set()),  # the king defends the pawn
        ("4k3/8/8/3r4/8/8/3P4/6K1 w - - 0 1", 24, {"d2"}),  # nobody does
        ("4k3/8/8/2p5/3Q4/8/8/3RK3 w - - 0 1", 28, {"d4"}),  # by a pawn, though defended
        ("4k3/8/8/2p5/3Q4/8/8/3RK3 w - - 0 1", 29, {"c5"}),  # theirs
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2", 43, {"d6"}),
        ("4k3/8/8/8/8/8/8/4K3 w - - 0 2", 43, set()),
    ],
)
def test_a_plane_shows_what_hangs_and_what_may_be_taken(fen: str, number: int, squares: set[str]):
    assert plane(fen, number) == squares


def test_inputs_are_0_or_1_and_about_120_of_them(rows: Positions):
    inputs = features(rows)
    assert inputs.shape == (len(rows), N_FEATURES)
    assert set(np.unique(inputs)) == {0.0, 1.0}
    assert 60 < inputs.sum(1).mean() < 200


def test_ratings_and_check_are_told():
    board = chess.Board("4k3/8/8/8/8/8/8/r3K3 w - - 40 60")
    numbers = features(encode_boards([board], 1550, 0))[0, 64 * N_PLANES :]
    assert np.flatnonzero(numbers).tolist() == [4 + 4, 28, 29, 30, 31]


def test_a_board_and_its_mirror_look_the_same():
    boards = [board.copy(stack=False) for board in random_boards(4)]
    mirrored = [board.mirror() for board in boards]
    assert (features(encode_boards(boards)) == features(encode_boards(mirrored))).all()


def test_the_mirror_along_the_files_is_that_of_the_turned_board():
    boards = [b.copy(stack=False) for b in random_boards(5) if not b.castling_rights]
    turned = [board.transform(chess.flip_horizontal) for board in boards]
    rows, every = encode_boards(boards), np.ones(len(boards), np.bool_)
    assert may_mirror(rows).all()
    assert (features(rows, every) == features(encode_boards(turned))).all()
    for board, other in zip(boards, turned, strict=True):
        numbers = legal_indices(board)[1]
        assert set(MIRRORED_MOVE[numbers].tolist()) == set(legal_indices(other)[1].tolist())


def test_a_move_is_its_mirrors_mirror():
    assert (MIRRORED_MOVE[MIRRORED_MOVE] == np.arange(len(MOVES))).all()
    first = move_index(chess.Move.from_uci("b1c3"), True)
    assert MIRRORED_MOVE[first] == move_index(chess.Move.from_uci("g1f3"), True)


def test_an_image_holds_the_same_numbers(rows: Positions):
    inputs = features(rows)
    image = as_board(inputs).reshape(len(rows), 8, 8, BOARD_CHANNELS)
    assert (image[:, 0, 3, 5] == inputs[:, 5 * 64 + 3]).all()  # my king on d1
    assert (image[:, 7, 7, N_PLANES:] == inputs[:, 64 * N_PLANES :]).all()


@pytest.mark.parametrize("direction", ["n", "s", "e", "w", "ne", "nw", "se", "sw"])
def test_a_slider_stops_at_the_first_piece(direction: str):
    rook = np.array([1 << 27], np.uint64)  # d4
    free = bb.slide(rook, np.array([2**64 - 1], np.uint64), direction)
    shut = bb.slide(rook, np.zeros(1, np.uint64), direction)
    assert shut[0] == bb.step(rook, direction)[0]
    assert shut[0] & free[0] == shut[0]
    assert bin(int(free[0])).count("1") in (3, 4)
