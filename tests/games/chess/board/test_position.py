"""Packed positions: nothing is lost that matters, and the mirror's bytes are the same."""

import random

import chess
import numpy as np
import pytest

from agentd.games.chess.board.position import (
    NO_CLOCK,
    NO_EVAL,
    NO_MOVE,
    POSITION,
    captured_kind,
    encode_boards,
    past_code,
    turn_past,
    unpack,
)


def random_boards(seed: int, count: int = 8, plies: int = 90) -> list[chess.Board]:
    rng, boards = random.Random(seed), []
    for _ in range(count):
        board = chess.Board()
        while not board.is_game_over() and board.ply() < plies:
            boards.append(board.copy())
            board.push(rng.choice(list(board.legal_moves)))
    return boards


def as_white(board: chess.Board) -> chess.Board:
    return board if board.turn else board.mirror()


def test_a_position_takes_56_bytes():
    assert POSITION.itemsize == 56


def test_unpacking_gives_the_board_back_as_its_mover_sees_it():
    boards = random_boards(1)
    for board, row in zip(boards, encode_boards(boards), strict=True):
        got, want = unpack(row), as_white(board)
        assert got.board_fen() == want.board_fen()
        assert got.castling_rights == want.castling_rights
        assert got.ep_square == want.ep_square
        assert got.halfmove_clock == want.halfmove_clock


def test_a_mirrored_board_is_the_same_bytes():
    boards = random_boards(2)
    bare = [board.copy(stack=False) for board in boards]
    mirrored = [board.mirror() for board in bare]
    assert encode_boards(bare).tobytes() == encode_boards(mirrored).tobytes()


def test_nothing_is_known_of_what_was_not_told():
    row = encode_boards([chess.Board()], mover_rating=1500)[0]
    assert (row["move"], row["eval"], row["after"], row["clock"]) == (
        NO_MOVE,
        NO_EVAL,
        NO_EVAL,
        NO_CLOCK,
    )
    assert (row["mover_rating"], row["other_rating"]) == (1500, 0)
    assert not row["past"].any()


@pytest.mark.parametrize("seed", range(3))
def test_the_past_is_the_last_four_half_moves_turned_to_the_mover(seed: int):
    rng, board, codes = random.Random(seed), chess.Board(), []
    for _ in range(150):
        if board.is_game_over():
            break
        want = [code if white == board.turn else turn_past(code) for code, white in codes[-4:]]
        want = [0] * (4 - len(want)) + want
        assert encode_boards([board])[0]["past"].tolist() == want[::-1]
        move = rng.choice(list(board.legal_moves))
        codes.append((past_code(move, captured_kind(board, move), board.turn), board.turn))
        board.push(move)


@pytest.mark.parametrize(
    ("fen", "uci", "kind"),
    [
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6", chess.PAWN),  # in passing
        ("4k3/8/8/8/8/8/3q4/4K3 w - - 0 1", "e1d2", chess.QUEEN),
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "e1g1", 0),
        ("4k3/8/8/8/8/8/4P3/4K3 w - - 0 1", "e2e4", 0),
    ],
)
def test_the_past_says_what_was_captured(fen: str, uci: str, kind: int):
    board = chess.Board(fen)
    move = chess.Move.from_uci(uci)
    assert captured_kind(board, move) == kind
    board.push(move)
    code = int(encode_boards([board])[0]["past"][0])
    assert code == past_code(move, kind, board.turn)
    assert code >> 12 & 7 == kind


def test_a_null_move_ends_the_known_past():
    board = chess.Board()
    for move in (chess.Move.from_uci("e2e4"), chess.Move.null(), chess.Move.from_uci("d2d4")):
        board.push(move)
    past = encode_boards([board])[0]["past"]
    assert past[0]
    assert np.count_nonzero(past) == 1
