"""A person's moves: read as they are meant, refused with the reason; endings, claims and PGN."""

import chess
import pytest

from agentd.games.chess.play.notation import (
    NotPlayable,
    claim,
    ending,
    read_move,
    read_pgn,
    read_position,
    write_pgn,
)

START = chess.STARTING_FEN
KNIGHTS = "4k3/8/8/8/8/8/1N3N2/4K3 w - - 0 1"
PROMOTES = "3r3k/4P3/8/8/8/8/8/4K3 w - - 0 1"
CASTLES = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"
PINNED = "4r2k/8/8/8/8/8/4N3/4K3 w - - 0 1"
CHECKED = "4r2k/8/8/8/8/8/3N4/4K3 w - - 0 1"


@pytest.mark.parametrize(
    ("fen", "text", "move"),
    [
        (START, "e4", "e2e4"),
        (START, " e2e4 ", "e2e4"),
        (START, "Nf3!?", "g1f3"),
        (START, "nf3", "g1f3"),
        (START, "Ng1f3", "g1f3"),
        (KNIGHTS, "Nbd3+", "b2d3"),
        (KNIGHTS, "N2b2d3", None),
        (CASTLES, "O-O", "e1g1"),
        (CASTLES, "0-0-0", "e1c1"),
        (CASTLES, "o-o", "e1g1"),
        (CASTLES, "e1g1", "e1g1"),
        (PROMOTES, "e8=Q+", "e7e8q"),
        (PROMOTES, "e8N", "e7e8n"),
        (PROMOTES, "exd8=R", "e7d8r"),
        (PROMOTES, "e7d8b", "e7d8b"),
        ("4k3/8/8/8/4pP2/8/8/4K3 b - f3 0 1", "exf3", "e4f3"),
        ("4k3/8/8/8/4pP2/8/8/4K3 b - f3 0 1", "ef", "e4f3"),
        ("4k3/8/8/8/4pP2/8/8/4K3 b - f3 0 1", "exf3 e.p.+", "e4f3"),
        (START, "1. e4", "e2e4"),
        (START, "1.e4!", "e2e4"),
        (START, "1... e4", "e2e4"),
        (START, "e2-e4", "e2e4"),
        (START, "e2e4!?", "e2e4"),
        (START, "Ng1-f3", "g1f3"),
        (CASTLES, "OO", "e1g1"),
        (CASTLES, "ooo", "e1c1"),
        (CASTLES, "000+", "e1c1"),
        (CASTLES, "12. O-O", "e1g1"),
        (PROMOTES, "ed=N", "e7d8n"),
        (PROMOTES, "e8(Q)", "e7e8q"),
        (PROMOTES, "exd8/R", "e7d8r"),
        ("4k3/8/8/8/8/8/4P3/4KB2 w - - 0 1", "bg2", "f1g2"),
    ],
)
def test_moves_are_read_as_they_are_meant(fen, text, move):
    board = chess.Board(fen)
    if move is None:
        with pytest.raises(NotPlayable, match="cannot read"):
            read_move(text, board)
    else:
        assert read_move(text, board).uci() == move


def test_every_legal_move_can_be_written_in_both_ways():
    boards = [chess.Board(fen) for fen in (START, KNIGHTS, PROMOTES, CASTLES, PINNED, CHECKED)]
    boards.append(chess.Board("r1bqkb1r/pP1p1ppp/5n2/2pPp3/8/8/PPP1PPPP/RNBQKB1R w KQkq c6 0 5"))
    for board in boards:
        for move in board.legal_moves:
            assert read_move(board.san(move), board) == move
            assert read_move(move.uci(), board) == move


@pytest.mark.parametrize(
    ("fen", "text", "reason"),
    [
        (START, "hello", "cannot read 'hello'"),
        (START, "", "cannot read"),
        (START, "e9", "cannot read"),
        (START, "e5", "cannot go to e5|no pawn of yours can go to e5"),
        (START, "e3e4", "no piece on e3"),
        (START, "e7e5", "the pawn on e7 is not yours"),
        (START, "e2e5", "the pawn on e2 cannot go to e5"),
        (START, "Ke2", "your own pawn is on e2"),
        (START, "O-O", "may not castle to the king's side now"),
        (START, "exd3", "no pawn of yours|cannot go to d3"),
        (START, "e4=Q", "only a pawn that reaches the last rank"),
        (START, "ed", "no pawn of yours on e can take on d"),
        ("4k3/8/3p4/3pP3/4P3/8/8/4K3 w - - 0 1", "ed", "ed is ambiguous: exd5 or exd6"),
        (PROMOTES, "ed", "write exd8=Q"),
        (KNIGHTS, "Nd3", r"ambiguous: Nbd3 or Nfd3"),
        (KNIGHTS, "Qd3", "you have no queen"),
        (KNIGHTS, "Nad3", "you have no knight on a"),
        (PROMOTES, "e8", "to what does the pawn promote"),
        (PROMOTES, "e7e8", "write e7e8=Q"),
        (PINNED, "Nc3", "the knight is pinned"),
        (CHECKED, "Nf3", "you are in check, and that does not help"),
        (CHECKED, "Ke2", "your king would be in check on e2"),
        (CHECKED, "O-O", "you may not castle any more"),
    ],
)
def test_refusals_tell_the_reason(fen, text, reason):
    with pytest.raises(NotPlayable, match=reason):
        read_move(text, chess.Board(fen))


@pytest.mark.parametrize(
    ("fen", "result", "why"),
    [
        ("R5k1/5ppp/8/8/8/8/8/K7 b - - 0 1", "1-0", "checkmate, White wins"),
        ("k7/2Q5/1K6/8/8/8/8/8 b - - 0 1", "1/2-1/2", "draw: stalemate"),
        ("k7/8/1K6/8/8/8/8/8 b - - 0 1", "1/2-1/2", "draw: insufficient material"),
        ("k7/8/1K6/8/8/8/8/7R b - - 150 99", "1/2-1/2", "draw: 75 moves"),
    ],
)
def test_games_end_by_themselves(fen, result, why):
    found = ending(chess.Board(fen))
    assert found is not None
    assert found[0] == result
    assert found[1].startswith(why)


def test_repetition_is_claimed_at_three_and_ends_the_game_at_five():
    board = chess.Board()
    assert ending(board) is None
    for times in range(4):
        assert (claim(board) is not None) == (times >= 2)
        for text in ("Nf3", "Nf6", "Ng1", "Ng8"):
            assert ending(board) is None
            board.push(read_move(text, board))
    assert ending(board) == ("1/2-1/2", "draw: the position came about five times")
    assert claim(chess.Board("k7/8/1K6/8/8/8/8/7R w - - 100 99")) == (
        "50 moves without a capture or a pawn's move"
    )


def test_games_are_written_and_read_back():
    board = chess.Board(CASTLES)
    for text in ("O-O", "O-O-O", "a1a7"):
        board.push(read_move(text, board))

    text = write_pgn(board, {"White": "You"}, "1-0")
    back = read_pgn(text)

    assert '[White "You"]' in text
    assert '[Result "1-0"]' in text
    assert back.move_stack == board.move_stack
    assert back.fen() == board.fen()


@pytest.mark.parametrize("text", ["", "nothing", "1. e4 e5 2. Ke3 *", '[FEN "x"]\n\n1. e4 *'])
def test_pgn_that_is_no_game_is_refused(text):
    with pytest.raises(NotPlayable, match="no game"):
        read_pgn(text)


@pytest.mark.parametrize(
    ("fen", "why"),
    [
        ("rubbish", "no FEN"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "no white king"),
        ("k7/8/8/8/8/8/8/KK6 w - - 0 1", "too many kings"),
        ("k6R/8/8/8/8/8/8/K7 w - - 0 1", "opposite check"),
    ],
)
def test_positions_that_cannot_be_are_refused(fen, why):
    with pytest.raises(NotPlayable, match=why):
        read_position(fen)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Variant": "Crazyhouse"}, "a game of Crazyhouse"),
        ({"Variant": "Atomic"}, "a game of Atomic"),
        ({"Variant": "Antichess"}, "a game of Antichess"),
        ({"Variant": "Three-check"}, "a game of Three-check"),
        ({"Variant": "Chess960"}, "a game of Chess960"),
        (
            {"FEN": "bbqnnrkr/pppppppp/8/8/8/8/PPPPPPPP/BBQNNRKR w HFhf - 0 1", "SetUp": "1"},
            "no possible position: bad castling rights",
        ),
    ],
)
def test_variants_are_refused_by_name(tags, reason):
    head = "".join(f'[{name} "{value}"]\n' for name, value in tags.items())

    with pytest.raises(NotPlayable, match=reason):
        read_pgn(f"{head}\n1. e4 d5 2. exd5 Qxd5 3. P@e4 Qd8 1-0\n")


@pytest.mark.parametrize("variant", ["Standard", "From Position", "chess"])
def test_other_names_of_chess_are_chess(variant):
    assert read_pgn(f'[Variant "{variant}"]\n\n1. e4 *\n').peek().uci() == "e2e4"
