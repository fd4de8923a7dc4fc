"""Lichess's table of puzzles: read as often as needed, packed or not; what is cut off is told."""

import bz2
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from agentd.games.chess.data.packed import TableError
from agentd.games.chess.data.puzzle_table import PuzzleTable
from agentd.games.chess.data.puzzles import draw_places, draw_puzzles

HEAD = "PuzzleId,FEN,Moves,Rating,RatingDeviation,Popularity,NbPlays,Themes,GameUrl,OpeningTags\n"


def row(name: str, moves: str = "g8h8 a1a8", rating: str = "900", themes: str = "mate") -> str:
    return f"{name},6k1/5ppp/8/8/8/8/8/R5K1 b - - 0 1,{moves},{rating},75,90,1,{themes},u,\n"


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "zstd": zstandard.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_reads_the_official_columns(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = (HEAD + row("x") + row("y", rating="2999", themes="endgame short")).encode()
    path = tmp_path / "p.csv"  # whatever its name is
    path.write_bytes(pack(text))
    table = PuzzleTable(path)

    first, second = table
    assert list(table.kinds()) == [(True, 800), (False, 2400)]
    assert table.at([1, 0]) == [second, first]

    assert (first.name, first.moves, first.rating) == ("x", ("g8h8", "a1a8"), 900)
    assert (first.mate, first.band) == (True, 800)
    assert (second.mate, second.band) == (False, 2400)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "PuzzleId is missing"),
        (HEAD + row("x", moves="g8h8"), "line 2: Moves: expected pairs"),
        (HEAD + row("x") + row("x", rating="high"), "line 3: Rating: expected a whole number"),
        (HEAD.replace(",", ";"), "PuzzleId is missing"),
        (HEAD + row("x") + row("y")[:-30], "line 3: expected 10 columns, got 3"),
        ("", "empty"),
        (HEAD + row("x", moves="e9e4 a1a8"), "line 2"),
        (HEAD + "x,y\n", "line 2"),
    ],
)
def test_says_what_is_wrong_where(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "p.csv").write_text(text)

    with pytest.raises(TableError, match=reason):
        list(PuzzleTable(tmp_path / "p.csv"))


@pytest.mark.parametrize("kind", [kind for kind in PACKERS if kind != "plain"])
def test_a_table_that_is_cut_off_is_no_whole_one(tmp_path: Path, kind: str) -> None:
    rows = "".join(row(str(n), rating=str(600 + n * 7919 % 2000)) for n in range(3000))
    data = PACKERS[kind]((HEAD + rows).encode())
    path = tmp_path / "p.csv"
    for size in (len(data) // 2, len(data) - 5):
        path.write_bytes(data[:size])
        with pytest.raises(TableError, match=r"p\.csv, after line \d+: truncated: ends at byte"):
            list(PuzzleTable(path))
    path.write_bytes(data + data)  # the second table's head is a row of the first
    with pytest.raises(TableError, match="line 3002: Moves"):
        list(PuzzleTable(path).kinds())


def test_a_large_table_is_drawn_from_in_little_memory_and_tells_how_far_it_is(
    tmp_path: Path,
) -> None:
    text = HEAD + "".join(
        row(str(n), rating=str(600 + n * 7919 % 2000), themes="mate" if n % 3 else "endgame")
        for n in range(10_000)
    )
    path = tmp_path / "p.csv.zst"
    path.write_bytes(zstandard.compress(text.encode()))
    whole = draw_puzzles(list(PuzzleTable(path)), 50, seed=2)
    told: list[tuple[int, int]] = []
    table = PuzzleTable(path, watch=lambda read, rows: told.append((read, rows)))

    tracemalloc.start()
    drawn = table.at(draw_places(table.kinds(), 50, seed=2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert drawn == whole
    assert peak < 3 << 20
    assert [rows for _, rows in told[:5]] == [0, 4096, 8192, 0, 4096]
    assert all(0 < read <= path.stat().st_size for read, _ in told)
