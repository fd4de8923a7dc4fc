"""A chess board as text: a pure function of the position. Marks are seen without colours too."""

import chess
from rich.text import Text

UNICODE = dict(zip("KQRBNPkqrbnp", "♔♕♖♗♘♙♚♛♜♝♞♟", strict=True))
LIGHT, DARK, LAST, CHECK = "on grey58", "on steel_blue", "on dark_goldenrod", "on red1"
WHITE, BLACK = "bold grey100", "bold grey0"
"""Of the fixed palette: a terminal's own black and white may be anything."""


def draw_board(board: chess.Board, *, flip: bool = False, ascii_only: bool = False) -> Text:
    """Return ``board`` in ten lines, White below, or above with ``flip``.

    The squares of the last move are in brackets, a king in check between exclamation marks.
    """
    ranks = range(8) if flip else range(7, -1, -1)
    files = range(7, -1, -1) if flip else range(8)
    last = board.peek() if board.move_stack else chess.Move.null()
    moved = {last.from_square, last.to_square} if last else set()
    checked = board.king(board.turn) if board.is_check() else None
    names = "   " + "".join(f" {chess.FILE_NAMES[file]} " for file in files) + "\n"
    text = Text(names)
    for rank in ranks:
        text.append(f" {rank + 1} ")
        for file in files:
            square = chess.square(file, rank)
            text.append(*_cell(board, square, square in moved, square == checked, ascii_only))
        text.append(f" {rank + 1}\n")
    text.append(names.rstrip("\n"))
    return text


def _cell(
    board: chess.Board, square: int, moved: bool, checked: bool, ascii_only: bool
) -> tuple[str, str]:
    """The three characters of a square, and their style."""
    piece = board.piece_at(square)
    light = bool(chess.BB_LIGHT_SQUARES & chess.BB_SQUARES[square])
    inside = "." if ascii_only and not light else " "
    if piece is not None:
        inside = piece.symbol() if ascii_only else UNICODE[piece.symbol()]
    left, right = ("!", "!") if checked else ("[", "]") if moved else (" ", " ")
    style = CHECK if checked else LAST if moved else LIGHT if light else DARK
    color = WHITE if piece is not None and piece.color else BLACK
    return left + inside + right, ("bold " + style if ascii_only else f"{color} {style}")
