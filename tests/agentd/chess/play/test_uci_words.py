import chess
import pytest

from agentd.chess.play.uci_words import Go, parse_fen, parse_go, parse_position, parse_setoption

START = chess.Board()


@pytest.mark.parametrize(
    ("text", "go"),
    [
        ("", Go()),
        ("depth 3", Go(depth=3)),
        ("btime 100 winc 5 wtime 200 binc 6", Go(wtime=200, btime=100, winc=5, binc=6)),
        ("wtime -40 btime 9", Go(wtime=-40, btime=9)),
        ("infinite", Go(infinite=True)),
        ("ponder movestogo 7 wtime 3 btime 4", Go(ponder=True, movestogo=7, wtime=3, btime=4)),
        ("depth 3 hurry nodes 7", Go(depth=3, nodes=7)),  # an unknown word is passed over
        ("depth 0 nodes -3 mate 0", Go(depth=1, nodes=1, mate=1)),  # the least legal search
        ("nodes 0.5", Go(nodes=1)),
        ("wtime 1500.75 winc 1e3 movetime +7", Go(wtime=1500, winc=1000, movetime=7)),
    ],
)
def test_go_in_any_order(text: str, go: Go) -> None:
    assert parse_go(text.split(), START) == go


def test_searchmoves_end_where_another_word_begins() -> None:
    go = parse_go(["searchmoves", "e2e4", "d2d4", "nodes", "50", "ponder"], START)

    assert go.searchmoves == (chess.Move.from_uci("e2e4"), chess.Move.from_uci("d2d4"))
    assert (go.nodes, go.ponder) == (50, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("depth", "go depth: expected a whole number, got nothing"),
        ("nodes many", "go nodes: expected a whole number, got many"),
        ("nodes nan", "go nodes: expected a whole number, got nan"),
        ("wtime 1e999", "go wtime: expected a whole number, got 1e999"),
        ("searchmoves e2e5", "searchmoves: expected legal moves, got e2e5"),
        ("searchmoves", "searchmoves: expected legal moves, got nothing"),
    ],
)
def test_go_says_what_it_cannot_read(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_go(text.split(), START)


def test_time_is_shared_out_and_an_increment_is_used() -> None:
    assert Go(movetime=500).seconds(True, 50) == pytest.approx(0.45)
    assert Go(movetime=10).seconds(True, 50) == pytest.approx(0.005)
    assert Go(depth=4).seconds(True, 0) is None
    white, black = (
        Go(wtime=60_000, btime=600, winc=0, binc=10_000).seconds(side, 0) for side in (True, False)
    )
    assert white == pytest.approx(60 / 28)
    assert black == pytest.approx(0.48)  # most of the clock: ten seconds come back
    steady = Go(wtime=4_000, btime=4_000, winc=3_000, binc=3_000).seconds(True, 0)
    assert steady == pytest.approx(4 / 28 + 3)
    assert Go(wtime=10_000, movestogo=1).seconds(True, 0) == pytest.approx(5.0)
    assert Go(wtime=-200).seconds(True, 50) == 0.0


def test_where_no_look_of_the_network_fits_there_is_no_time_at_all() -> None:
    assert Go(wtime=200).seconds(True, 50, least=0.02) == 0.02  # two of 28 shares would be 7 ms
    assert Go(wtime=50).seconds(True, 50, least=0.02) == 0.0
    assert Go(movetime=30).seconds(True, 50, least=0.02) == 0.0
    assert Go(movetime=50).seconds(True, 50, least=0.02) == 0.02


def test_a_mate_asked_for_is_a_depth() -> None:
    assert Go(mate=3).plies() == 5
    assert Go(depth=4, mate=3).plies() == 4


def test_position_with_moves() -> None:
    board = parse_position(["startpos", "moves", "e2e4", "e7e5", "g1f3"])
    assert board.fen() == "rnbqkbnr/pppp1ppp/8/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R b KQkq - 1 2"
    assert len(board.move_stack) == 3

    fen = "7k/P7/8/8/8/8/8/K7 w - - 0 1"
    assert parse_position(f"fen {fen} moves a7a8q".split()).is_check()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected startpos or fen, got nothing"),
        ("start", "expected startpos or fen, got start"),
        ("startpos e2e4", "expected moves, got e2e4"),
        ("startpos moves e2e4 e2e4", "move 2, e2e4, is illegal in rnbqkbnr/pppppppp"),
        ("startpos moves e2e4 hello", "move 2, hello, is not a move"),
        ("startpos moves 0000", "move 1, 0000, is a null move"),
        ("fen 8/8/8/8/8/8/8/8 w - - 0 1", "no white king, no black king"),
        ("fen 7k/8/8/8/8/8/8/K6R x - - 0 1", "turn"),
        ("fen k6R/8/8/8/8/8/8/7K w - - 0 1", "opposite check"),
        ("fen rnbq w", "expected 8 rows"),
    ],
)
def test_position_says_why_it_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_position(text.split())


def test_an_odd_position_is_played() -> None:
    fen = "QQQQ3k/8/8/8/8/8/8/K7 b - - 0 1"
    assert parse_fen(fen).fen() == fen


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("name Move Overhead value 20", ("Move Overhead", "20")),
        ("name Model value /a path/with spaces.bin", ("Model", "/a path/with spaces.bin")),
        ("name Clear Hash", ("Clear Hash", "")),
    ],
)
def test_names_and_values_may_hold_spaces(text: str, pair: tuple[str, str]) -> None:
    assert parse_setoption(text.split()) == pair


@pytest.mark.parametrize("text", ["", "Hash 3", "name value 3"])
def test_a_crooked_setoption_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="setoption"):
        parse_setoption(text.split())
