"""``chess lessons`` from its command line: shards of best moves, nothing that is measured on."""

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


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--judgements", "j.tsv"), 2, "go together"),
        (("--judgements", "none.tsv", "--games", "g.pgn"), 66, "no judgements in"),
        (("--judgements", "p.csv", "--games", "g.pgn"), 65, "line 2"),
        (("--judgements", "j.tsv", "--games", "none.pgn"), 66, "no dump none.pgn"),
        (("--judgements", "j.tsv", "--games", "cut.pgn.zst"), 65, "truncated"),
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
