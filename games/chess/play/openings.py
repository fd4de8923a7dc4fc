"""Openings for a match: read from EPD lists, or random and even ones of our own."""

import gzip
import zipfile
from pathlib import Path

import chess
import numpy as np

from agentd.games.chess.search.captures import exchange_gain
from agentd.games.chess.search.material import evaluate_material

PLIES = 8
"""Half-moves of a random opening."""
EVEN = 60
"""Centipawns that the better side of a random opening may be ahead, on material and squares."""


def random_openings(count: int, seed: int = 0) -> list[str]:
    """Return ``count`` different positions (FEN) after ``PLIES`` random moves, none of them lost.

    A position is kept if nobody is in check, nobody wins anything by captures, and material and
    squares are even within ``EVEN``. The same count and seed give the same openings.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        board = chess.Board()
        for _ in range(PLIES):
            moves = list(board.legal_moves)
            if not moves:
                break
            board.push(moves[int(rng.integers(len(moves)))])
        if len(board.move_stack) == PLIES and _is_even(board):
            found.setdefault(board.board_fen(), board.fen())
    return list(found.values())


def _is_even(board: chess.Board) -> bool:
    if board.is_check() or not any(board.legal_moves) or abs(evaluate_material(board)) > EVEN:
        return False
    if exchange_gain(board):
        return False
    board.push(chess.Move.null())
    threat = exchange_gain(board)
    board.pop()
    return not threat


def read_openings(path: Path) -> list[str]:
    """Return the positions of an EPD or FEN list, one a line; .gz and .zip are unpacked.

    Raises ValueError that names the line which is no position, or says that there is none.
    """
    found = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        counters = words[4:6] if len(words) >= 6 and words[4].isdigit() else ["0", "1"]
        fen = " ".join(words[:4] + counters)
        try:
            board = chess.Board(fen)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if not board.is_valid() or not any(board.legal_moves):
            raise ValueError(f"{path}, line {number}: no game can begin at {fen}")
        found.append(fen)
    if not found:
        raise ValueError(f"{path}: expected positions, got none")
    return found


def _text(path: Path) -> str:
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                if len(names) != 1:
                    raise ValueError(f"{path}: expected one file inside, got {len(names)}")
                return archive.read(names[0]).decode()
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None


def pick_openings(openings: list[str], count: int, seed: int = 0) -> list[str]:
    """Return ``count`` of ``openings``, drawn without repeats as long as there are enough."""
    order = np.random.default_rng(seed).permutation(len(openings))
    return [openings[order[n % len(order)]] for n in range(count)]
