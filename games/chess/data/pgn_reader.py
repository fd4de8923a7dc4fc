"""Games in PGN: split into tags and moves, and replayed to columns of half-moves.

Two readers fill the same columns: ``PythonChessReader`` here, and the optional one in Rust,
``games.chess.data.rust_reader``. What they return is equal, row for row: the one in Rust leaves to
this one every game that is not written as lichess writes them.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import chess
import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.position import NO_CLOCK, NO_EVAL
from agentd.games.chess.board.san import find_move
from agentd.games.chess.data.filter import CODE
from agentd.games.chess.data.game_starts import HEAD
from agentd.games.chess.data.plies import Plies, evaluation_code

TAG = re.compile(r'^[ \t]*\[(\w+)[ \t]+"([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)"[ \t]*\]', re.M)
TOKEN = re.compile(
    r"\{([^}]*)\}"
    r"|(?:\d+\.+)?((?:[a-hKQRBNP][a-hxKQRBN1-8=-]{1,8}|O-O(?:-O)?|0-0(?:-0)?)[+#]?)[!?+#]*(?=[\s{}();$]|\Z)"
    r"|(?:;|^%)[^\n]*"
    r"|(?:\d+\.*|\$\d+|\.+|[!?]+|e\.p\.)(?=[\s{}();$]|\Z)"
    r"|([()]|\{[^}]*|[^\s{}();$]+|[}$])",
    re.M,
)
"""Groups: a comment, a move, or what is neither them nor without meaning."""
RESULTS = ("1-0", "0-1", "1/2-1/2", "*")
EVALUATION = re.compile(r"\[%eval\s+(#?[+-]?\d{1,5}(?:\.\d+)?(?:,\d+)?)\s*\]")
CLOCK = re.compile(r"\[%clk\s+(\d{1,4}):(\d{1,2}):(\d{1,2})(?:\.\d+)?\s*\]")
EMPTY_LINE = re.compile(r"\n[ \t\r]*\n\s*(?=\S)")
_SAN = re.compile(
    r"(?:[NBRQK][a-h]?[1-8]?x?[a-h][1-8]|[a-h](?:x[a-h])?[1-8](?:=?[NBRQ])?|[O0]-[O0](?:-[O0])?)[+#]?"
)
_ENDED = re.compile(r"(?:^|[\s}])(?:1-0|0-1|1/2-1/2|\*)\s*\Z")
_FIRST_MOVE = re.compile(r"1\s*\.(?!\.)")


class NotClosedError(ValueError):
    """Moves end inside a comment or a variation."""


@dataclass(frozen=True, slots=True)
class GameText:
    """One game: its tags, and its moves as they are written."""

    tags: dict[str, str]
    moves: str


class PgnReader(Protocol):
    """Replays games."""

    def read(self, games: Sequence[GameText]) -> tuple[Plies, NDArray[np.uint8]]:
        """Return the half-moves of G games, and (G,) why each is dropped; those have none."""


def parse_game(text: bytes) -> list[GameText]:
    """Return the game in ``text``, and those without tags that follow it, if there are any."""
    if b"\xef\xbb\xbf" in text:
        text = text.replace(b"\xef\xbb\xbf", b"")
    found = HEAD.match(text)
    end = found.end() if found else 0
    tags = dict(TAG.findall(text[:end].decode("utf-8", "replace")))
    moves = text[end:].decode("utf-8", "replace").strip()
    if not tags and not moves:
        return []
    if EMPTY_LINE.search(moves) is None:
        return [GameText(tags, moves)]
    first, *others = _split_at_empty_lines(moves)
    return [GameText(tags, first), *(GameText({}, other) for other in others)]


def _split_at_empty_lines(text: str) -> Iterator[str]:
    """Yield the games in ``text``: one ends at an empty line after its result, or before move 1.

    Empty lines inside a comment are part of it.
    """
    start, at, inside = 0, 0, False
    for found in EMPTY_LINE.finditer(text):
        end = found.start()
        if (opened := text.rfind("{", at, end)) != (closed := text.rfind("}", at, end)):
            inside = opened > closed
        at = found.end()
        ended = _ENDED.search(text, max(start, end - 16), end) or _FIRST_MOVE.match(text, at)
        if ended and not inside:
            yield text[start:end]
            start = at
    yield text[start:]


class PythonChessReader:
    """Replays games on python-chess's board; evaluations and clocks from their comments."""

    def read(self, games: Sequence[GameText]) -> tuple[Plies, NDArray[np.uint8]]:
        columns = _Columns()
        faults = np.array([columns.replay(game) for game in games], np.uint8)
        return columns.plies(), faults


def _reason(error: ValueError) -> str:
    """Return why a game is dropped whose replay raised ``error``; python-chess names its moves."""
    word = re.match(r"illegal san: '([^']*)'", str(error))
    if word and not _SAN.fullmatch(word[1]):
        return "unreadable move"  # as `bb5`, which python-chess takes for a pawn's
    kinds: dict[type[Exception], str] = {
        chess.IllegalMoveError: "illegal move",
        chess.AmbiguousMoveError: "ambiguous move",
        chess.InvalidMoveError: "unreadable move",
        NotClosedError: "not closed",
    }
    return kinds.get(type(error), "bad position")


class _Columns:
    """Half-moves as they come: one flat array of ``WIDTH`` numbers each."""

    WIDTH = 14

    def __init__(self) -> None:
        self._numbers = array("Q")
        self._evaluations = array("h")
        self._clocks = array("H")
        self._count: list[int] = []
        self._mated: list[bool] = []

    def replay(self, game: GameText) -> int:
        """Append the half-moves of ``game``; return why it is dropped, with none appended."""
        before = len(self._evaluations)
        fault, mated = CODE["kept"], False
        try:
            start = game.tags.get("FEN", chess.STARTING_FEN)
            board = chess.Board(start)
            if start != chess.STARTING_FEN and not board.is_valid():
                fault = CODE["bad position"]
            else:
                self._replay(board, game.moves)
                mated = board.is_checkmate()
        except ValueError as error:
            fault = CODE[_reason(error)]
        if fault:
            del self._numbers[before * self.WIDTH :]
            del self._evaluations[before:], self._clocks[before:]
        self._count.append(len(self._evaluations) - before)
        self._mated.append(mated)
        return fault

    def _replay(self, board: chess.Board, moves: str) -> None:
        put, push = self._numbers.extend, board.push
        evaluations, clocks = self._evaluations, self._clocks
        first = len(evaluations)
        for move_text, comment in main_line(moves):
            if not move_text:
                if comment and len(evaluations) > first:
                    self._comment(comment)
                continue
            move = find_move(board, move_text)
            put(
                (
                    board.pawns,
                    board.knights,
                    board.bishops,
                    board.rooks,
                    board.queens,
                    board.kings,
                    board.occupied_co[chess.WHITE],
                    board.turn,
                    board.castling_rights,
                    64 if board.ep_square is None else board.ep_square,
                    board.halfmove_clock,
                    move.from_square,
                    move.to_square,
                    move.promotion or 0,
                )
            )
            evaluations.append(NO_EVAL)
            clocks.append(NO_CLOCK)
            push(move)

    def _comment(self, text: str) -> None:
        """Take evaluation and clock of the half-move that a comment follows."""
        if "%eval" in text and (found := EVALUATION.search(text)):
            self._evaluations[-1] = evaluation_code(found[1])
        if "%clk" in text and (found := CLOCK.search(text)):
            hours, minutes, seconds = map(int, found.groups())
            self._clocks[-1] = min(NO_CLOCK - 1, hours * 3600 + minutes * 60 + seconds)

    def plies(self) -> Plies:
        """Return all half-moves."""
        table = np.frombuffer(self._numbers, np.uint64).reshape(-1, self.WIDTH).T
        pawns, knights, bishops, rooks, queens, kings, white, turn, rights, ep = table[:10]
        castling = [(rights >> np.uint64(corner) & np.uint64(1)) for corner in (7, 0, 63, 56)]
        small = table[10:].astype(np.uint8)
        return Plies(
            low=pawns | bishops | queens,
            middle=knights | bishops | kings,
            high=rooks | queens | kings,
            white=white,
            white_moves=turn.astype(bool),
            castling=sum(bit.astype(np.uint8) << n for n, bit in enumerate(castling)),
            ep=np.where(ep < 64, (ep & np.uint64(7)) + np.uint64(1), 0).astype(np.uint8),
            halfmove=np.minimum(table[10], 255).astype(np.uint8),
            origin=small[1],
            target=small[2],
            promotion=small[3],
            evaluation=np.array(self._evaluations, np.int16),
            clock=np.array(self._clocks, np.uint16),
            count=np.array(self._count, np.int64),
            mated=np.array(self._mated, bool),
        )


def main_line(moves: str) -> Iterator[tuple[str, str]]:
    """Yield (move, "") and ("", comment) of the main line, up to the result.

    Raises chess.InvalidMoveError for a word that is neither, NotClosedError.
    """
    depth = 0
    for comment, move, other in TOKEN.findall(moves):
        if not other:
            if depth == 0:
                yield move, comment
        elif other == "(":
            depth += 1
        elif other == ")":
            depth = max(0, depth - 1)
        elif other[0] == "{":
            raise NotClosedError("a comment is not closed")
        elif depth > 0:
            continue
        elif other in RESULTS:
            return
        else:
            raise chess.InvalidMoveError(f"no move: {other[:20]!r}")
    if depth > 0:
        raise NotClosedError("a variation is not closed")
