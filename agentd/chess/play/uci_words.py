"""UCI's words: ``position``, ``go`` and ``setoption`` parsed to records; no input, no output.

After Stefan-Meyer Kahlen's description of the protocol (2006). What cannot be read raises
ValueError with the reason; unknown words of ``go`` are skipped, as the protocol asks.
"""

import math
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
INCREMENT_SHARE = 0.8
"""Of the time left, at most, for one move of a game whose clock gets it back; else it is half."""


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

    def plays_on_the_clock(self) -> bool:
        """True for a move of a game: a clock runs, and nothing else is asked."""
        timed = Go(**{name: getattr(self, name) for name in _CLOCKS})
        return (self.wtime is not None or self.btime is not None) and self == timed

    def seconds(self, white: bool, overhead_ms: int, least: float = 0.005) -> float | None:
        """Time for this move of White or Black, in seconds; None where no clock runs.

        An increment is spent whole, if the clock holds it. Below ``least`` seconds, the shortest
        search, it is ``least`` where half of what is left allows that, else 0.
        """
        if self.movetime is not None:
            wanted = room = float(self.movetime)
            half = 0.5 * wanted
        else:
            left, more = (self.wtime, self.winc) if white else (self.btime, self.binc)
            if left is None:
                return None
            share = CLOCK_SHARE if not self.movestogo else 1 / (self.movestogo + 1)
            wanted = left * share + (more or 0)
            room = (INCREMENT_SHARE if more else 0.5) * left
            half = 0.5 * left - overhead_ms
        planned = (min(wanted, room) - overhead_ms) / 1000
        if planned >= least:
            return planned
        return least if half >= 1000 * least else 0.0


_CLOCKS = ("wtime", "btime", "winc", "binc", "movestogo")
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
    """The whole number that is meant; a search that would be none at all becomes the least one."""
    try:
        value = int(text) if text.lstrip("+-").isdecimal() else math.trunc(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"go {name}: expected a whole number, got {text or 'nothing'}") from None
    return max(value, 1) if name in {"depth", "nodes", "mate"} else value


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
