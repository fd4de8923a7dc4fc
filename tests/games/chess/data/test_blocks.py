"""From PGN to positions: both readers give what python-chess says; every game is counted."""

import io
import os
import re
from collections import Counter
from pathlib import Path

import chess
import chess.pgn
import numpy as np
import pytest

from agentd.games.chess.board.moves import move_index
from agentd.games.chess.board.position import MATE, NO_CLOCK, NO_EVAL, Positions, encode_boards
from agentd.games.chess.data.blocks import ParsedBlock, pack_block, read_block, unpack_block
from agentd.games.chess.data.dump import DumpBlocks, read_dump
from agentd.games.chess.data.filter import REASONS, Filter
from agentd.games.chess.data.pgn_reader import PgnReader, PythonChessReader

LICHESS = (
    Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[5] / "shared" / "data")) / "lichess"
)
EVERYTHING = Filter(rated=False, standard=False, bots=True)


def rust_reader() -> PgnReader:
    pytest.importorskip("rust_pgn_reader_python_binding")
    from agentd.games.chess.data.rust_reader import RustReader

    return RustReader()


@pytest.fixture(params=["python-chess", "rust"])
def reader(request) -> PgnReader:
    return PythonChessReader() if request.param == "python-chess" else rust_reader()


def reasons(block: ParsedBlock) -> list[str]:
    return [REASONS[code] for code in block.games["reason"]]


def slowly(text: bytes) -> Positions:
    """The same positions, one at a time, from python-chess's own PGN reader."""
    rows, file = [], io.StringIO(text.decode())
    while (game := chess.pgn.read_game(file)) is not None:
        board, told, clocks = game.board(), NO_EVAL, [300, 300]
        ratings = [int(game.headers["BlackElo"]), int(game.headers["WhiteElo"])]
        won = {"1-0": 1, "0-1": -1}.get(game.headers["Result"], 0)
        for node in game.mainline():
            turn = board.turn
            row = encode_boards([board], ratings[turn], ratings[not turn])
            score = node.eval()
            after = NO_EVAL if score is None else score.white().score(mate_score=MATE)
            sign = 1 if turn else -1
            row["move"] = move_index(node.move, turn)
            row["eval"] = told if told == NO_EVAL else told * sign
            row["after"] = after if after == NO_EVAL else after * sign
            row["result"], row["clock"] = won * sign, clocks[turn]
            clocks[turn], told = int(node.clock() or 0), after
            board.push(node.move)
            rows.append(row)
    return np.concatenate(rows)


def test_positions_are_those_of_python_chess(reader, write_games):
    text = write_games(30, seed=3)

    block = read_block(text, reader, Filter())

    assert reasons(block) == ["kept"] * 30
    assert block.rows.tobytes() == slowly(text).tobytes()
    assert block.games["rows"].sum() == block.games["plies"].sum() == len(block.rows)


def test_a_block_survives_the_pipe(reader, write_games):
    block = read_block(write_games(3), reader, Filter())

    back = unpack_block(pack_block(block))

    assert (back.games == block.games).all()
    assert back.rows.tobytes() == block.rows.tobytes()


def test_castling_promotion_and_capture_in_passing(reader):
    fen = "r3k3/6P1/8/8/5p2/8/4P3/4K2R w Kq - 0 1"
    moves = "1. e4 fxe3 2. O-O O-O-O 3. g8=N Kb8 4. Rf8 Rxf8"
    text = f'[Event "a"]\n[Result "1-0"]\n[FEN "{fen}"]\n[SetUp "1"]\n\n{moves} 1-0\n'

    rows = read_block(text.encode(), reader, EVERYTHING).rows

    board = chess.Board(fen)
    for row, san in zip(rows, re.findall(r"[a-zA-Z][\w=+-]+", moves), strict=True):
        (want,) = encode_boards([board])
        move = board.parse_san(san)
        want["move"], want["result"] = move_index(move, board.turn), 1 if board.turn else -1
        assert row.tobytes() == want.tobytes(), san
        board.push(move)


def test_a_mating_move_has_the_evaluation_of_a_mate_where_the_game_has_any(reader):
    moves = "1. f3 {{{}}} e5 {{{}}} 2. g4 {{{}}} Qh4# 0-1\n"
    head = '[Event "rated"]\n[Result "0-1"]\n\n'
    told = head + moves.format("[%eval -0.8]", "[%eval -0.7]", "[%eval #-1,30]")

    row = read_block(told.encode(), reader, Filter()).rows[-1]
    assert (row["eval"], row["after"], row["result"]) == (MATE - 1, MATE, 1)

    row = read_block((head + moves.format("", "", "")).encode(), reader, Filter()).rows[-1]
    assert (row["eval"], row["after"]) == (NO_EVAL, NO_EVAL)


def test_clocks_are_what_the_mover_has_to_think_with(reader):
    left = iter(("2:50", "2:40", "0:20", "2:30", "0:10"))
    words = ["1. e4 ", " e5 ", " 2. d4 ", " d5 ", " 3. a3 ", " 1-0"]
    moves = "".join(word + f"{{[%clk 0:0{next(left, '0:00')}]}}" for word in words)
    head = '[Event "rated"]\n[Result "1-0"]\n[TimeControl "180+0"]\n\n'

    block = read_block((head + moves).encode(), reader, Filter(min_clock=30))

    assert block.rows["clock"].tolist() == [180, 180, 170, 160]
    assert block.games["low_clock"].tolist() == [1]
    assert block.games["rows"].tolist() == [4]


def test_openings_are_dropped_and_short_games_too(reader, write_games):
    text = write_games(3, plies=9) + write_games(2, plies=20)

    block = read_block(text, reader, Filter(min_plies=10, skip_plies=8))

    assert reasons(block) == ["too few plies"] * 3 + ["kept"] * 2
    assert block.games["opening"].tolist() == [0, 0, 0, 8, 8]
    assert block.games["rows"].sum() == len(block.rows) == 24


BROKEN = {
    "1. e4 e5 2. Ke3 1-0": "illegal move",
    "1. e4 e5 2. Nd2 1-0": "illegal move",  # cannot be reached
    "1. Nf3 a6 2. d3 a5 3. Nd2 1-0": "ambiguous move",  # two knights can
    "1. e4 boo 1-0": "unreadable move",
    "1. e4 -- 2. d4 1-0": "unreadable move",
    "1. e4 e5 2. Nf3 Nc6 3. bb5 1-0": "unreadable move",
    "1. e4 e5 2. Nf3 Nc6 3. Bc4 Bc5 4. Kg1 1-0": "illegal move",
    "1. e4 e5 2. O-O 1-0": "illegal move",
    "1-0": "no moves",
    "": "no moves",
    "1. e4 { " + "x" * 100_000 + " } e5 2. Nf3 1-0": "kept",
    "1. e4 { never closed e5 1-0": "not closed",
    "1. e4 (1. d4 d5 1-0": "not closed",
    "1. e4 e5\n \n2. Nf3 Nc6 3. bb5 1-0": "unreadable move",  # before its result it goes on
    "1. e2-e4 e7-e5 2. Ng1-f3 Nb8-c6 1-0": "kept",
    "1. a4 b5 2. axb5 a6 3. bxa6 c6 4. a7 d6 5. axb8Q 1-0": "kept",
    "1. e4 {[%eval +0.16]} e5 {[%eval -0.1]} 1-0": "kept",
    "1. e4 $1 (1. d4 { a ) b } d5 (1... Nf6 2. c4)) e5!? 2. Nf3?? Nc6 1-0": "kept",
    "1. e4 ; to the end of the line\ne5 1-0": "kept",
}


@pytest.mark.parametrize(("moves", "reason"), BROKEN.items(), ids=lambda text: text[:20])
def test_a_game_is_counted_whatever_is_in_it(reader, write_games, moves, reason):
    text = f'[Event "rated"]\n[Result "1-0"]\n\n{moves}\n\n'.encode()
    block = read_block(write_games(1) + text + write_games(1), reader, Filter())
    alone = read_block(write_games(1), reader, Filter()).rows

    assert reasons(block) == ["kept", reason, "kept"]
    size = len(alone)
    assert block.rows[:size].tobytes() == block.rows[-size:].tobytes() == alone.tobytes()


HEADS = {
    "": "no tags",
    '[Event "rated"]': "no result",
    '[Event "rated"]\n[Result "*"]': "no result",
    '[Event "rated"]\n[Result "1-0"]\n[Variant "Atomic"]': "variant",
    '[Event "rated"]\n[Result "1-0"]\n[Variant "Chess960"]\n[FEN "x"]': "variant",
    '[Event "rated"]\n[Result "1-0"]\n[Variant "From Position"]': "from position",
    '[Event "rated"]\n[Result "1-0"]\n[FEN "8/8/8/8/8/8/8/8 w - - 0 1"]': "from position",
    '[Event "Casual Blitz game"]\n[Result "1-0"]': "unrated",
    '[Event "Titled Arena"]\n[Result "1-0"]': "unrated",
    '[Event "Titled Arena"]\n[Result "1-0"]\n[WhiteRatingDiff "+3"]': "kept",
    '[Event "rated blitz game"]\n[Result "1-0"]\n[BlackTitle "BOT"]': "bot",
    '[Event "rated"]\n[Result "1-0"]\n[Termination "Abandoned"]': "abandoned",
    '\ufeff[Event "rated"]\n[Result "1-0"]\n[Opening "a \\"b\\" ]"]\n[Bad\n[': "kept",
}


@pytest.mark.parametrize(("head", "reason"), HEADS.items(), ids=lambda text: text[-20:])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tags_decide_before_the_moves_do(reader, head, reason, newline):
    moves = "1. e4 e5 1-0" if reason == "kept" else "1. not even a move"
    text = f"{head}\n\n{moves}\n\n".replace("\n", newline).encode()

    assert reasons(read_block(text, reader, Filter())) == [reason]


def test_games_without_tags_after_one_with_are_counted(reader):
    text = b'[Event "rated"]\n[Result "1-0"]\n\n1. e4 {a\n\nb} e5 1-0\n\n1. d4 d5 *\n\n1. c4 *\n'

    assert reasons(read_block(text, reader, Filter())) == ["kept", "no tags", "no tags"]


def test_tags_may_be_no_utf8(reader):
    text = b'[Event "rated \xff\xfe"]\n[White "J\xf6rg"]\n[Result "1-0"]\n\n1. e4 {\xfc} e5 1-0\n'

    assert reasons(read_block(text, reader, Filter())) == ["kept"]


def test_an_impossible_start_is_counted(reader):
    for fen in ("nonsense", "8/8/8/8/8/8/8/8 w - - 0 1", "kk6/8/8/8/8/8/8/K7 w - - 0 1"):
        text = f'[Event "a"]\n[Result "1-0"]\n[FEN "{fen}"]\n\n1. e4 1-0\n'
        assert reasons(read_block(text.encode(), reader, EVERYTHING)) == ["bad position"]


def test_nothing_gives_nothing(reader):
    for text in (b"", b"\n\n", b"\xef\xbb\xbf"):
        block = read_block(text, reader, Filter())
        assert (len(block.games), len(block.rows)) == (0, 0)
    assert reasons(read_block(os.urandom(5000).replace(b"\n", b" "), reader, Filter())) == [
        "no tags"
    ]


@pytest.mark.skipif(not LICHESS.is_dir(), reason=f"no games in {LICHESS}: set AGENTD_DATA")
def test_readers_agree_on_games_that_break_naive_ones():
    with (LICHESS / "parser_quirks.pgn.zst").open("rb") as file:
        blocks = [block.data for block in DumpBlocks(read_dump(file), file)]
    both = []
    for reader in (PythonChessReader(), rust_reader()):
        parsed = [read_block(data, reader, Filter()) for data in blocks]
        both.append(
            (np.concatenate([p.games for p in parsed]), np.concatenate([p.rows for p in parsed]))
        )

    (games, rows), (fast_games, fast_rows) = both
    assert len(games) == 978
    assert (games == fast_games).all()
    assert rows.tobytes() == fast_rows.tobytes()
    counts = Counter(REASONS[code] for code in games["reason"])
    assert counts["variant"] == 290
    assert counts["abandoned"] == 70
    assert not {"illegal move", "bad position", "no tags"} & set(counts)
    assert (rows["clock"] != NO_CLOCK).all()


WORDS = (
    *("e2-e4", "axb8Q", "e8=q", "e4!!", "ed5", "Kg1", "bb5", "Nf3e5", "P@e4", "--", "e.p.", "$5"),
    *("(1. d4 d5)", " (a [%eval 1.0]) ", "(; 1)", "((1-0) e4)", "(a"),
    *("{", "}", "(", ")", ";x", "%", "\n%x\n", "1-0", "0-0", "1. ", "...", "=", "#", "\0", "\xa0"),
    *(
        "\n\n",
        "\r\n",
        "\r",
        " \n \n",
        "\ufeff",
        "\u2028",
        "\x1c",
        '1-0[Result "1-0"]\n',
        '[a "b"]\n',
    ),
    *("{[%eval +0.16]}", "[%eval 0.125]", "[%eval .5]", "[%eval 1e5]", "[%eval 7003]", "{#"),
    *("[%eval nan]", "[%eval #+3]", "[%clk 1:99:99]", "[%clk 0:0:59.9]", "{ [%eval 0.5] } {"),
    '\n[FEN "4k3/8/8/8/8/8/8/4K3 w KQ - 0 1"]\n',
)


def mutated(text: bytes, rng: np.random.Generator) -> bytes:
    """``text`` cut off, shortened, with other bytes, newlines, marks, and words in odd places."""
    at, end = sorted(rng.integers(0, len(text) + 1, 2).tolist())
    other = bytearray(text)
    match rng.integers(6):
        case 0:
            del other[end:]
        case 1:
            del other[at : min(end, at + 60)]
        case 2:
            other[at:at] = text[end : end + 40]
        case 3:
            other[at : at + 3] = rng.bytes(3)
        case 4:
            lines = (b"\r\n", b"\r", b"\n\n", b" \n", b" ")
            other = bytearray(text.replace(b"\n", lines[rng.integers(len(lines))]))
    for _ in range(rng.integers(4)):
        at = int(rng.integers(len(other) + 1))
        other[at:at] = WORDS[rng.integers(len(WORDS))].encode()
    return bytes(other)


def respelled(text: bytes, rng: np.random.Generator) -> bytes:
    """``text`` with some moves written as a writer of PGN should not."""
    ways: tuple[tuple[str, str], ...] = (
        *((r"(?<= [NBRQK])", "x"), (r"(?<= [NBRQK])", "a"), (r"(?<= [NBRQK])", "1")),
        *((r"x(?=[a-h][1-8])", ""), (r"(?<= [a-h][1-8])(?= )", "=Q"), (r"=[NBRQ]", "")),
        *((r"(?<=[1-8])\+?(?= )", "#"), (r"(?<= )(?=[a-h][1-8] )", "exd"), (r" [NBRQK]", " ")),
    )
    pattern, other = ways[rng.integers(len(ways))]
    return re.sub(pattern.encode(), lambda m: other.encode() if rng.random() < 0.05 else m[0], text)


@pytest.mark.parametrize("change", [mutated, respelled])
def test_readers_agree_on_odd_texts(write_games, change):
    rng = np.random.default_rng(5)
    texts = [write_games(2, seed=seed, plies=12 + 40 * (seed % 2)) for seed in range(4)]
    slow, fast = PythonChessReader(), rust_reader()
    kept = 0
    for n in range(160):
        text = change(texts[n % 4], rng)
        one, two = (read_block(text, reader, EVERYTHING) for reader in (slow, fast))
        assert reasons(one) == reasons(two), text
        assert one.games.tobytes() == two.games.tobytes(), text
        assert one.rows.tobytes() == two.rows.tobytes(), text
        assert len(one.rows) == one.games["rows"].sum()
        kept += int((one.games["reason"] == 0).sum())
    assert 40 < kept < 300
