"""What a network sees: python-chess agrees about every attack; mirrors look as they should."""

import random

import chess
import numpy as np
import pytest

from agentd.games.chess.board import bits as bb
from agentd.games.chess.board.features import (
    BOARD_CHANNELS,
    MIRRORED_MOVE,
    N_FEATURES,
    N_PLAIN,
    N_PLANES,
    as_board,
    features,
    may_mirror,
    planes,
)
from agentd.games.chess.board.moves import MOVES, legal_indices, move_index
from agentd.games.chess.board.position import Positions, encode_boards, unpack


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
    numbers = features(encode_boards([board], 1550, 0))[0, 64 * N_PLANES : N_PLAIN]
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
    assert (image[:, 7, 7, N_PLANES + 6] == inputs[:, N_PLAIN + 6 * 64 + 63]).all()
    numbers = inputs[:, 64 * N_PLANES : N_PLAIN]
    assert (image[:, 7, 7, -numbers.shape[1] :] == numbers).all()


@pytest.mark.parametrize("direction", ["n", "s", "e", "w", "ne", "nw", "se", "sw"])
def test_a_slider_stops_at_the_first_piece(direction: str):
    rook = np.array([1 << 27], np.uint64)  # d4
    free = bb.slide(rook, np.array([2**64 - 1], np.uint64), direction)
    shut = bb.slide(rook, np.zeros(1, np.uint64), direction)
    assert shut[0] == bb.step(rook, direction)[0]
    assert shut[0] & free[0] == shut[0]
    assert bin(int(free[0])).count("1") in (3, 4)


# -- planes about the kings ---------------------------------------------------------------------

SAFE, CHECKS, ESCAPES, WEAK, UNCOVER, PINNED, MY_PINNED, MY_ESCAPES, THREATS = (0, *range(5, 13))


@pytest.fixture(scope="module")
def seen() -> list[tuple[chess.Board, list[int]]]:
    rows = encode_boards(random_boards(8, 12))
    return [
        (unpack(row), [int(bits) for bits in found[N_PLANES:]])
        for row, found in zip(rows, planes(rows), strict=True)
    ]


def test_every_plain_check_is_shown(seen: list[tuple[chess.Board, list[int]]]):
    """Checks that a piece gives from where it goes; uncovered ones are another plane."""
    found = 0
    for board, each in seen:
        king = board.king(chess.BLACK)
        for move in board.legal_moves:
            kind = board.piece_type_at(move.from_square)
            if move.promotion or kind == chess.KING or board.is_en_passant(move):
                continue
            board.push(move)
            gives = bool(board.attackers_mask(chess.WHITE, king) & 1 << move.to_square)
            board.pop()
            if gives:
                found += 1
                assert each[CHECKS] >> move.to_square & 1, (board.fen(), move)
    assert found > 50


def test_a_safe_check_is_one_that_nothing_can_take(seen: list[tuple[chess.Board, list[int]]]):
    for board, each in seen:
        safe = 0
        for kind in range(5):
            safe |= each[SAFE + kind]
        assert not safe & ~each[CHECKS]
        king = board.king(chess.BLACK)
        for square in chess.scan_forward(safe):
            assert not board.attackers_mask(chess.BLACK, square) & ~(1 << king)


def test_pins_are_those_of_python_chess(seen: list[tuple[chess.Board, list[int]]]):
    for board, each in seen:
        for color, number in ((chess.BLACK, PINNED), (chess.WHITE, MY_PINNED)):
            own = board.occupied_co[color]
            want = sum(1 << s for s in chess.scan_forward(own) if board.is_pinned(color, s))
            assert each[number] == want & ~board.kings, board.fen()


def test_a_king_can_go_where_python_chess_lets_it(seen: list[tuple[chess.Board, list[int]]]):
    for board, each in seen:
        steps = 0
        for move in board.legal_moves:
            if move.from_square == board.king(chess.WHITE) and not board.is_castling(move):
                steps |= 1 << move.to_square
        assert each[MY_ESCAPES] == steps, board.fen()


@pytest.mark.parametrize(
    ("fen", "number", "squares"),
    [
        ("6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", SAFE + 3, {"a8"}),
        ("1r4k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1", SAFE + 3, set()),  # the rook would take
        ("7k/Q7/6K1/8/8/8/8/8 w - - 0 1", SAFE + 4, {"a1", "a8", "b8", "d4", "g7", "h7"}),
        ("7k/8/8/8/8/8/8/K5Q1 w - - 0 1", SAFE + 4, {"d4", "h1", "h2"}),  # g7, g8: the king takes
        ("7k/8/6K1/8/8/8/8/6Q1 w - - 0 1", ESCAPES, {"g8"}),
        ("7k/8/5K2/8/8/8/8/R7 w - - 0 1", ESCAPES, {"g8", "h7"}),
        ("4k3/4N3/8/8/8/8/8/4RK2 w - - 0 1", UNCOVER, {"e7"}),
        ("4k3/3pp3/8/8/4P3/8/8/4K3 w - - 0 1", SAFE, set()),
        ("4k3/8/3P4/8/8/8/8/4K3 w - - 0 1", SAFE, set()),  # d7 is taken by the king
        ("4k3/8/3PP3/8/8/8/8/4K3 w - - 0 1", SAFE, set()),
        ("4k3/8/2KP4/8/8/8/8/8 w - - 0 1", SAFE, {"d7"}),
        ("4k3/8/8/8/8/8/r7/4K3 w - - 0 1", THREATS, {"a1"}),
        ("6k1/8/6K1/8/8/8/8/7R w - - 0 1", WEAK, {"h8", "h7", "g7", "f7"}),
    ],
)
def test_a_plane_shows(fen: str, number: int, squares: set[str]):
    assert plane(fen, N_PLANES + number) == squares
