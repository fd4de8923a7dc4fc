"""Positions with the best move instead of the one a person made: lessons beside the games.

They come from an engine's judgements of games and from puzzles. Both sides get the rating ``BEST``,
which no person has: a network sees the rating, so it learns best play beside people's play, and a
caller asks for either by the rating. Positions of the puzzles that measure a model are left out.
"""

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import chess
import numpy as np
from numpy.lib.recfunctions import repack_fields
from numpy.typing import NDArray

from agentd.games.chess.board.moves import MOVES, NUMBER, move_index
from agentd.games.chess.board.position import MATE, Positions, encode_boards
from agentd.games.chess.data.blocks import tag_columns
from agentd.games.chess.data.dump import DumpBlocks, read_dump
from agentd.games.chess.data.filter import RESULTS
from agentd.games.chess.data.game_starts import split_games
from agentd.games.chess.data.packed import CountedFile, TableError, TextDamaged, open_text
from agentd.games.chess.data.pgn_reader import PgnReader, parse_game
from agentd.games.chess.data.plies import pack_plies
from agentd.games.chess.data.puzzles import Puzzle

BEST = 3200
"""The rating that stands for best play; nobody in the games comes near it."""
_SITE = "Site"
_COLUMNS = ("game_id", "ply", "best_uci")
_ROWS = 4096
_ORIGINS = np.array([origin for origin, _, _ in MOVES], np.uint64)
_TARGETS = np.array([target for _, target, _ in MOVES], np.uint64)
_CASTLINGS = {
    NUMBER[chess.E1, rook, 0]: NUMBER[chess.E1, king, 0]
    for rook, king in ((chess.H1, chess.G1), (chess.A1, chess.C1))
}

Judgements = dict[str, list[tuple[int, int]]]
"""By game: half-moves, counted from 0, with the number of the move that was best."""


def read_judgements(path: Path) -> Judgements:
    """Read lines of game, half-move counted from 1, ..., best move as UCI, packed or not.

    Raises TableError with the line that is wrong, or after which the file is cut off.
    """
    found: Judgements = {}
    with open_text(path) as (lines, _):
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise ValueError(f"expected the columns {', '.join(_COLUMNS)}, got no {missing[0]}")
            for row in rows:
                if None in row.values():
                    raise ValueError("expected a value in each column, got fewer: is it cut off?")
                ply = int(row["ply"]) - 1
                if ply < 0:
                    raise ValueError(f"ply: expected 1 or more, got {row['ply']}")
                number = _number(row["best_uci"], ply % 2 == 0)
                found.setdefault(row["game_id"], []).append((ply, number))
        except (ValueError, csv.Error) as error:
            raise TableError(f"{path}, line {rows.line_num}: {error}") from None
        except TextDamaged as error:
            raise TableError(f"{path}, after line {rows.line_num}: {error}") from None
    return found


@lru_cache(maxsize=1 << 13)
def _number(uci: str, white: bool) -> int:
    try:
        return move_index(chess.Move.from_uci(uci), white)
    except (ValueError, KeyError):
        raise ValueError(f"best_uci: expected a move, got {uci!r}") from None


def judged_rows(dump: Path, reader: PgnReader, judgements: Judgements) -> Iterator[Positions]:
    """Yield the judged positions (B,) of a dump's games with the moves that were best there.

    A game is known by the last part of its Site. A judgement that does not fit its game, because
    no piece of the mover's stands where the move begins, is left out. Raises TextDamaged after
    what came before the damage.
    """
    with CountedFile(dump) as file:
        blocks = DumpBlocks(read_dump(file), file)
        for block in blocks:
            games = [game for _, text in split_games(block.data) for game in parse_game(text)]
            names = [game.tags.get(_SITE, "").rpartition("/")[2] for game in games]
            ended = [game.tags.get("Result") in RESULTS for game in games]
            kept = [n for n, name in enumerate(names) if name in judgements and ended[n]]
            texts = [games[n] for n in kept]
            plies, _ = reader.read(texts)
            starts = np.cumsum(plies.count) - plies.count
            places, moves = [], []
            for start, count, n in zip(starts, plies.count, kept, strict=True):
                for ply, move in judgements[names[n]]:
                    if ply < count:
                        places.append(int(start) + ply)
                        moves.append(move)
            rows = pack_plies(plies, tag_columns(texts))[places]
            rows["move"] = moves
            _castles_by_step(rows)
            yield marked(rows[_pieces_at(rows, _ORIGINS) > 0])
        if blocks.damage is not None:
            raise TextDamaged(f"{dump.name}: {blocks.damage}")


def _castles_by_step(rows: Positions) -> None:
    """Rewrite castling written as king takes rook to the king's step of two files, in place."""
    king, rook = _pieces_at(rows, _ORIGINS) == chess.KING, _pieces_at(rows, _TARGETS) == chess.ROOK
    for written, meant in _CASTLINGS.items():
        rows["move"][king & rook & (rows["move"] == written)] = meant


def _pieces_at(rows: Positions, squares: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return (B,) the kind of the mover's piece on ``squares[move]``, 0 for none."""
    at = squares[rows["move"]]
    low, middle, high, other = (plane >> at & np.uint64(1) for plane in rows["planes"].T)
    kind: NDArray[np.uint64] = low | middle << np.uint64(1) | high << np.uint64(2)
    return np.where(other > 0, np.uint64(0), kind)


def marked(rows: Positions) -> Positions:
    """Return the rows as best play: its rating on both sides, and nothing lost by the move."""
    rows["mover_rating"] = rows["other_rating"] = BEST
    rows["after"] = rows["eval"]
    return rows


def puzzle_rows(
    puzzles: Iterable[Puzzle], left_out: Callable[[Puzzle, ValueError], None] | None = None
) -> Iterator[Positions]:
    """Yield the positions (B,) that solvers of ``puzzles`` meet, with the moves on record.

    A mate's evaluation is exact; another's is what lichess's theme says it comes to. A puzzle that
    cannot be played is given to ``left_out``; without it, raises ValueError.
    """
    met: list[tuple[chess.Board, int, int]] = []
    for puzzle in puzzles:
        before, left = len(met), len(puzzle.moves) // 2
        try:
            for board, move in puzzle.positions():
                worth = MATE - left if puzzle.mate else puzzle.worth
                met.append((board.copy(stack=4), move_index(move, board.turn), worth))
                left -= 1
        except ValueError as error:
            if left_out is None:
                raise
            del met[before:]
            left_out(puzzle, error)
        if len(met) >= _ROWS:
            yield _rows(met)
            met = []
    if met:
        yield _rows(met)


def _rows(met: Sequence[tuple[chess.Board, int, int]]) -> Positions:
    boards, moves, evaluations = zip(*met, strict=True)
    rows = encode_boards(boards)
    rows["move"], rows["eval"] = moves, evaluations
    return marked(rows)


def places_of(rows: Positions) -> list[bytes]:
    """Return what makes positions (B,) the same: pieces, castling, en passant."""
    fields = repack_fields(rows[["planes", "castling", "ep"]])
    return [each.tobytes() for each in fields]


def apart(rows: Positions, held: Collection[bytes]) -> Positions:
    """Return the rows whose position is not one of ``held``."""
    stays = [place not in held for place in places_of(rows)]
    return rows[np.array(stays, np.bool_)]


def held_places(puzzles: Sequence[Puzzle]) -> set[bytes]:
    """Return the positions that solvers of ``puzzles`` meet."""
    return {place for rows in puzzle_rows(puzzles) for place in places_of(rows)}
