"""A book of openings: which moves people played after which, and how often.

A line is a position: the moves that led there from the start, a colon, and what was played there,
``e2e4 e7e5: g1f3=4021 f1c4=802``. Moves are UCI's.
"""

import random
from collections.abc import Mapping

import chess

Openings = Mapping[str, Mapping[str, int]]
"""By the moves from the start, joined by blanks: how often each move was played."""


def read_book(text: str) -> Openings:
    """Return the openings of a book's ``text``. Raises ValueError for a line that is none."""
    book: dict[str, dict[str, int]] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        path, _, played = line.partition(":")
        book[path] = {move: int(count) for move, count in (p.split("=") for p in played.split())}
    return book


def write_book(openings: Openings) -> str:
    """Return the text of a book, as ``read_book`` reads it: the commonest moves first."""
    lines = []
    for path, played in sorted(openings.items()):
        moves = sorted(played, key=lambda move: (-played[move], move))
        lines.append(f"{path}: {' '.join(f'{move}={played[move]}' for move in moves)}\n")
    return "".join(lines)


def draw_opening(openings: Openings, board: chess.Board, rng: random.Random) -> chess.Move | None:
    """Return a move that people played on ``board``, drawn by frequency; None where none is known.

    A game that did not begin at the usual start is in no book.
    """
    path = " ".join(move.uci() for move in board.move_stack)
    played = openings.get(path)
    if not played or board.root().fen() != chess.STARTING_FEN:
        return None
    names = list(played)
    (name,) = rng.choices(names, [played[each] for each in names])
    move = chess.Move.from_uci(name)
    return move if board.is_legal(move) else None
