"""The bundled book of openings, from lichess games (CC0) that carry an engine's evaluations.

    python scripts/make_opening_book.py games.pgn.zst agentd/models/chess-openings.txt

A move is kept where people chose it often and lost little by it on the average.
"""

import io
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import chess
import zstandard

from agentd.games.chess.play.opening_book import write_book

PLIES = 12
"""How deep the book goes."""
GAMES, SHARE = 40, 0.05
"""A move is kept with so many games, and with this share of the games that came to its position."""
LOSS = 0.35
"""Pawns that it may cost, on the average."""
RATED = 1500
"""Ratings below are left out."""
MOVE = re.compile(r"\d+\.+ (\S+) \{ \[%eval ([^\]]+)")

Played = dict[str, list[float]]  # by move: how many games, and what it lost in them together


def read_games(path: Path) -> Iterator[list[tuple[str, float]]]:
    """Yield (SAN, evaluation) of the first moves of each game, as far as they carry one."""
    ratings: dict[str, int] = {}
    with path.open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        for line in lines:
            if found := re.match(r'\[(White|Black)Elo "(\d+)"\]', line):
                ratings[found[1]] = int(found[2])
            elif line.startswith("1. "):
                if len(ratings) == 2 and min(ratings.values()) >= RATED:
                    moves = MOVE.findall(line[: 40 * PLIES])[:PLIES]
                    mates = (n for n, (_, value) in enumerate(moves) if value.startswith("#"))
                    yield [(san, float(value)) for san, value in moves[: next(mates, PLIES)]]
                ratings = {}


def count(path: Path) -> dict[str, Played]:
    """Return what was played in each position, by the moves from the start."""
    book: dict[str, Played] = defaultdict(lambda: defaultdict(lambda: [0, 0.0]))
    known: dict[tuple[str, str], str] = {}
    for game in read_games(path):
        line, before, side = "", 0.2, 1
        for san, value in game:
            move = known.get((line, san))
            if move is None:
                board = chess.Board()
                for uci in line.split():
                    board.push_uci(uci)
                move = known[line, san] = board.parse_san(san.rstrip("?!")).uci()
            played = book[line][move]
            played[0] += 1
            played[1] += side * (before - value)
            line, before, side = f"{line} {move}".strip(), value, -side
    return book


def keep(book: dict[str, Played]) -> dict[str, dict[str, int]]:
    """Return the moves that are worth playing, of positions that they lead to."""
    kept: dict[str, dict[str, int]] = {}
    for line in sorted(book, key=lambda line: line.count(" ") + bool(line)):
        above, _, last = line.rpartition(" ")
        if line and last not in kept.get(above, {}):
            continue
        least = max(GAMES, SHARE * sum(games for games, _ in book[line].values()))
        good = {
            move: int(games)
            for move, (games, lost) in book[line].items()
            if games >= least and lost / games <= LOSS
        }
        if good:
            kept[line] = good
    return kept


if __name__ == "__main__":
    openings = keep(count(Path(sys.argv[1])))
    Path(sys.argv[2]).write_text(
        "# People's openings: the moves so far, and how often what was played next. From lichess\n"
        f"# games (CC0) by scripts/make_opening_book.py.\n{write_book(openings)}"
    )
