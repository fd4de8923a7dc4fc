import gzip
import os
import zipfile
from pathlib import Path

import chess
import pytest

from agentd.games.chess.play.openings import PLIES, pick_openings, random_openings, read_openings

EPD = "rn1qkbnr/ppp1pppp/8/3p1b2/2P5/1P6/P2PPPPP/RNBQKBNR w KQkq -"


def test_random_openings_are_even_different_and_the_same_for_a_seed() -> None:
    openings = random_openings(12, seed=5)

    assert len(set(openings)) == 12
    assert openings == random_openings(12, seed=5)
    assert openings[:4] == random_openings(4, seed=5)
    assert openings != random_openings(12, seed=6)
    for fen in openings:
        board = chess.Board(fen)
        assert board.is_valid()
        assert board.ply() == PLIES
        assert not board.is_check()


@pytest.mark.parametrize("suffix", ["epd", "epd.gz", "epd.zip"])
def test_reads_lists_packed_or_not(tmp_path: Path, suffix: str) -> None:
    text = f"# two moves\n{EPD} 0 3\n\n{EPD} hmvc 0; fmvn 3;\n{chess.STARTING_FEN}\n"
    path = tmp_path / f"list.{suffix}"
    if suffix.endswith("gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif suffix.endswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("list.epd", text)
    else:
        path.write_text(text)

    assert read_openings(path) == [f"{EPD} 0 3", f"{EPD} 0 1", chess.STARTING_FEN]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected positions, got none"),
        (f"{EPD}\nnonsense\n", "line 2"),
        ("7k/6Q1/6K1/8/8/8/8/8 b - -\n", "line 1: no game can begin"),
        ("8/8/8/8/8/8/8/8 w - -\n", "line 1: no game can begin"),
    ],
)
def test_says_which_line_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "list.epd"
    path.write_text(text)

    with pytest.raises(ValueError, match=reason):
        read_openings(path)


@pytest.mark.parametrize("suffix", ["gz", "zip", "epd"])
def test_what_is_not_packed_as_its_name_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list.{suffix}"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ValueError, match="list"):
        read_openings(path)


def test_picks_without_repeats_while_there_are_enough() -> None:
    names = [str(n) for n in range(10)]

    assert sorted(pick_openings(names, 10, seed=1)) == names
    assert pick_openings(names, 3, seed=1) == pick_openings(names, 10, seed=1)[:3]
    assert len(pick_openings(names, 25, seed=1)) == 25


def test_reads_a_published_list() -> None:
    data = Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[5] / "shared" / "data"))
    path = data / "corpora/chess/openings/noob_2moves.epd.zip"
    if not path.is_file():
        pytest.skip(f"no {path}: set AGENTD_DATA")

    assert len(read_openings(path)) == 7_314
