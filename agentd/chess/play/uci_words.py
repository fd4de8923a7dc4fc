"""UCI's words: ``position``, ``go`` and ``setoption`` parsed to records; no input, no output.

After Stefan-Meyer Kahlen's description of the protocol (2006). What cannot be read raises
ValueError with the reason; unknown words of ``go`` are skipped, as the protocol asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import chess

FATAL = (
    chess.STATUS_NO_WHITE_KING
    | chess.STATUS_NO_BLACK_KING
    | chess.STATUS_TOO_MANY_KINGS
    | chess.STATUS_PAWNS_ON_BACKRANK
    | chess.STATUS_OPPOSITE_CHECK
    | chess.STATUS_TOO_MANY_WHITE_PIECES
    | chess.STATUS_TOO_MANY_BLACK_PIECES
)
"""What makes a position unplayable; odder ones are played."""
CLOCK_SHARE = 1 / 28
"""Of the time left, for one move of a game without a fixed number of moves."""


@dataclass(frozen=True, slots=True)
class Go:
    """The limits of one search; times in milliseconds."""

    searchmoves: tuple[chess.Move, ...] = ()
    wtime: int | None = None
    btime: int | None = None
    winc: int | None = None
    binc: int | None = None
    movestogo: int | None = None
    movetime: int | None = None
    depth: int | None = None
    nodes: int | None = None
    mate: int | None = None
    ponder: bool = False
    infinite: bool = False

    def plies(self) -> int | None:
        """How deep to look: ``depth``, or as many plies as the mate asked for has."""
        return 2 * self.mate - 1 if self.mate and self.depth is None else self.depth

    def bounded(self) -> bool:
        """True if the search may end by itself."""
        return not (self.infinite or self.ponder)

    def seconds(self, white: bool, overhead_ms: int) -> float | None:
        """Time for this move of White or Black, in seconds; None where no clock runs."""
        if self.movetime is not None:
            return max(self.movetime - overhead_ms, 5) / 1000
        left, more = (self.wtime, self.winc) if white else (self.btime, self.binc)
        if left is None:
            return None
        share = CLOCK_SHARE if not self.movestogo else 1 / (self.movestogo + 1)
        wanted = left * share + 0.8 * (more or 0)
        return max(min(wanted, 0.5 * left) - overhead_ms, 5) / 1000


_FLAGS = {"ponder", "infinite"}
_NUMBERS = {field.name for field in fields(Go)} - _FLAGS - {"searchmoves"}


def parse_go(words: Sequence[str], board: chess.Board) -> Go:
    """Read what follows ``go``; the moves are those of ``board``. Raises ValueError."""
    found: dict[str, Any] = {}
    moves: list[chess.Move] = []
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if word in _FLAGS:
            found[word] = True
        elif word in _NUMBERS:
            found[word] = _number(word, words[place] if place < len(words) else "")
            place += 1
        elif word == "searchmoves":
            while place < len(words) and (move := _move_or_none(words[place], board)):
                moves.append(move)
                place += 1
            if not moves:
                got = words[place] if place < len(words) else "nothing"
                raise ValueError(f"searchmoves: expected legal moves, got {got}")
    return Go(searchmoves=tuple(moves), **found)


def _number(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"go {name}: expected a whole number, got {text or 'nothing'}") from None
    if value < 1 and name in {"depth", "nodes", "mate"}:
        raise ValueError(f"go {name}: expected 1 or more, got {value}")
    return value


def _move_or_none(text: str, board: chess.Board) -> chess.Move | None:
    try:
        return board.parse_uci(text) or None
    except ValueError:
        return None


def parse_position(words: Sequence[str]) -> chess.Board:
    """Return the board that follows ``position``, with its moves on it. Raises ValueError."""
    if not words or words[0] not in {"startpos", "fen"}:
        got = words[0] if words else "nothing"
        raise ValueError(f"position: expected startpos or fen, got {got}")
    end = words.index("moves") if "moves" in words else len(words)
    if words[0] == "startpos":
        if end != 1:
            raise ValueError(f"position startpos: expected moves, got {words[1]}")
        board = chess.Board()
    else:
        board = parse_fen(" ".join(words[1:end]))
    for number, word in enumerate(words[end + 1 :], 1):
        try:
            move = board.parse_uci(word)
        except chess.InvalidMoveError:
            raise ValueError(f"position: move {number}, {word}, is not a move") from None
        except ValueError:
            raise ValueError(
                f"position: move {number}, {word}, is illegal in {board.fen()}"
            ) from None
        if not move:
            raise ValueError(f"position: move {number}, {word}, is a null move")
        board.push(move)
    return board


def parse_fen(text: str) -> chess.Board:
    """Return the board of a FEN. Raises ValueError that says what is wrong with it."""
    try:
        board = chess.Board(text)
    except ValueError as error:
        raise ValueError(f"FEN {text!r}: {error}") from None
    wrong = board.status() & FATAL
    if wrong:
        names = [flag.name or "" for flag in chess.Status if flag & wrong]
        reasons = ", ".join(name.lower().replace("_", " ") for name in names)
        raise ValueError(f"FEN {text!r}: {reasons}")
    return board


def parse_setoption(words: Sequence[str]) -> tuple[str, str]:
    """Return (name, value) of ``name N… value V…``; either may hold spaces. Raises ValueError."""
    if not words or words[0] != "name":
        raise ValueError("setoption: expected `name NAME value VALUE`")
    end = words.index("value") if "value" in words else len(words)
    name = " ".join(words[1:end])
    if not name:
        raise ValueError("setoption: the name is missing")
    return name, " ".join(words[end + 1 :])
