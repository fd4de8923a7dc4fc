"""``chess lessons`` from its command line: shards of best moves, nothing that is measured on."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import zstandard

from agentd.cli import main
from agentd.games.chess.board.position import unpack
from agentd.games.chess.data.lessons import BEST
from agentd.games.chess.data.shards import open_shards

PUZZLES = """PuzzleId,FEN,Moves,Rating,RatingDeviation,Popularity,NbPlays,Themes,GameUrl,OpeningTags
a,k7/8/1K6/8/8/8/8/6QR b - - 0 1,a8b8 h1h8,900,75,90,1,mate,u,
b,k7/8/1K6/8/8/8/8/5Q1R b - - 0 1,a8b8 h1h8,900,75,90,1,mate,u,
c,4k3/8/8/8/8/8/4q3/R3K3 w - - 0 1,e1e2 e8d8,1500,75,90,1,equality,u,
"""
GAME = """[Site "https://lichess.org/abc"]
[Result "1-0"]

1. e4 { [%eval 0.3] } e5 { [%eval 0.2] } 2. f3 { [%eval -0.6] } 1-0

[Site "https://lichess.org/abd"]
[Result "*"]

1. e4 { [%eval 0.3] } *
"""
JUDGED = "game_id\tply\tbest_uci\nabc\t3\tg1f3\nabd\t1\td2d4\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, text in (("p.csv", PUZZLES), ("j.tsv", JUDGED), ("g.pgn", GAME)):
        (tmp_path / name).write_text(text)
    (tmp_path / "cut.pgn.zst").write_bytes(zstandard.compress(GAME.encode())[:-9])
    (tmp_path / "cut.tsv").write_text(JUDGED[:-6])
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(JUDGED.encode())[:-9])
    (tmp_path / "cut.csv.zst").write_bytes(zstandard.compress(PUZZLES.encode())[:-9])
    return tmp_path


def run(data: Path, *words: str) -> int:
    return main(["chess", "lessons", "--puzzles", str(data / "p.csv"), "--json", *words])


def test_both_kinds_of_lessons(data: Path, capsys: pytest.CaptureFixture[str]):
    out = data / "out"
    words = ("--judgements", str(data / "j.tsv"), "--games", str(data / "g.pgn"))
    assert run(data, *words, "--apart", "1", "--out", str(out)) == 0
    assert json.loads(capsys.readouterr().out) == {"puzzles": 2, "judged": 1}
    (judged,) = open_shards(out / "judged", verify=True)
    assert unpack(judged[0]).fen().startswith("rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w")
    assert (judged["eval"], judged["mover_rating"]) == (20, BEST)
    (puzzles,) = open_shards(out / "puzzles", verify=True)
    assert len(np.unique(puzzles["planes"], axis=0)) == 2
    assert run(data, "--apart", "1", "--out", str(out)) == 2
    assert "holds shards already" in capsys.readouterr().err


def test_a_puzzle_that_cannot_be_played_is_counted_and_told(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    odd = PUZZLES.replace("4k3/8/8/8/8/8/4q3/R3K3 w", "4z3/8/8/8/8/8/4q3/R3K3 w")
    (data / "p.csv").write_text(odd)
    assert run(data, "--apart", "1", "--out", str(data / "out")) == 0
    done = capsys.readouterr()
    assert json.loads(done.out) == {"puzzles": 1, "left_out": 1}
    assert "p.csv: 1 puzzles were left out, the first is c: invalid character" in done.err


def test_eval_measures_on_the_puzzles_that_can_be_played(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    odd = PUZZLES.replace("4k3/8/8/8/8/8/4q3/R3K3 w", "4z3/8/8/8/8/8/4q3/R3K3 w")
    (data / "p.csv.gz").write_bytes(gzip.compress(odd.encode()))
    words = ("--puzzle-count", "3", "--depth", "1", "--json")
    assert main(["chess", "eval", "--puzzles", str(data / "p.csv.gz"), *words]) == 0
    done = capsys.readouterr()
    figures = json.loads(done.out)
    assert (figures["puzzles"], figures["puzzles_left_out"]) == (2, 1)
    assert "p.csv.gz: 1 of 3 puzzles drawn were left out, the first is c: invalid" in done.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--judgements", "j.tsv"), 2, "go together"),
        (("--judgements", "none.tsv", "--games", "g.pgn"), 66, "no judgements in"),
        (("--judgements", "p.csv", "--games", "g.pgn"), 65, "got no game_id"),
        (("--judgements", "j.tsv", "--games", "none.pgn"), 66, "no dump none.pgn"),
        (("--judgements", "j.tsv", "--games", "cut.pgn.zst"), 65, "truncated"),
        (("--judgements", "cut.tsv.gz", "--games", "g.pgn"), 65, "truncated"),
        (("--judgements", "cut.tsv", "--games", "g.pgn"), 65, "line 3: expected a value in each"),
        (("--puzzles", "cut.csv.zst"), 65, "cut.csv.zst, after line 0: truncated"),
        (("--apart", "9"), 65, "at least 9 puzzles"),
    ],
)
def test_what_is_wrong_is_named(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    text: str,
):
    monkeypatch.chdir(data)
    given = words if "--apart" in words else (*words, "--apart", "1")
    assert run(data, *given, "--out", "out") == code
    assert text in capsys.readouterr().err
