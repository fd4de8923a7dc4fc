"""Players of a match, our search or a UCI engine, and one game between two of them."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import chess
import chess.engine
import msgspec

from agentd.chess.model.bots import open_bot
from agentd.chess.play.level import set_level
from agentd.errors import MissingInput, UsageError
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings

PATIENCE_S = 60.0
"""What an engine may take to start, to answer, or beyond its own limit."""


FORFEIT = "forfeit: "
"""How the reason of a game begins that a player lost by failing."""


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Limits of a player's search for one move; the first one reached ends it."""

    nodes: int | None = None
    depth: int | None = None
    time: float | None = None

    def __str__(self) -> str:
        values = msgspec.to_builtins(self)
        return ",".join(f"{name}={value}" for name, value in values.items())


class Side(msgspec.Struct, frozen=True, omit_defaults=True):
    """One player, as it is written down: an engine's command, or a model of ours."""

    limit: Limit
    engine: str | None = None
    options: dict[str, str] = {}
    model: str | None = None
    rating: int | None = None
    temperature: float = 0.0
    level: float | None = None

    @property
    def name(self) -> str:
        """What the PGN calls it."""
        if self.engine is not None:
            shown = "".join(f" {name}={value}" for name, value in self.options.items())
            return f"{self.engine}{shown} {self.limit}"
        rating = f" as {self.rating}" if self.rating else ""
        level = "" if self.level is None else f" level {self.level:g}"
        return f"agentd {self.model or 'shipped'}{rating}{level} {self.limit}"


def parse_limit(text: str) -> Limit:
    """Read ``depth=5``, ``nodes=2000``, ``time=0.5`` or several with commas. Raises UsageError."""
    values: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        kind = {"nodes": int, "depth": int, "time": float}.get(name)
        try:
            values[name] = kind(number) if kind else 0
        except ValueError:
            values[name] = 0
        if values[name] <= 0:
            raise UsageError(f"limit {text!r}: expected nodes=N, depth=N or time=S, got {part!r}")
    return msgspec.convert(values, Limit)


class MatchPlayer(Protocol):
    """Chooses moves."""

    def new_game(self, seed: int) -> None:
        """Forget the last game."""

    def choose(self, board: chess.Board) -> chess.Move | None:
        """Return a move for the side to move. An engine that fails raises EngineError."""

    def close(self) -> None:
        """End the engine's process, where there is one."""


def open_player(side: Side) -> MatchPlayer:
    """Start the player that ``side`` describes. Raises MissingInput, UsageError."""
    return EnginePlayer(side) if side.engine is not None else BotPlayer(side)


class BotPlayer:
    """Our search on one of our evaluators."""

    def __init__(self, side: Side) -> None:
        limit = side.limit
        settings = SearchSettings(
            nodes=limit.nodes,
            depth=limit.depth,
            temperature=side.temperature,
            guarded=side.rating is not None,
        )
        self._search = Search(open_bot(side.model, side.rating), settings)
        self._seconds, self._level = limit.time, side.level

    def new_game(self, seed: int) -> None:
        self._search.forget(seed)
        set_level(self._search, self._level, seed)

    def choose(self, board: chess.Board) -> chess.Move | None:
        end = None if self._seconds is None else time.monotonic() + self._seconds
        return self._search.run(
            board, should_stop=lambda: end is not None and time.monotonic() >= end
        ).move

    def close(self) -> None:
        pass


class EnginePlayer:
    """A UCI engine in a process of its own; one that failed is started anew for the next game."""

    def __init__(self, side: Side) -> None:
        limit = side.limit
        self._side = side
        self._limit = chess.engine.Limit(nodes=limit.nodes, depth=limit.depth, time=limit.time)
        self._game = 0
        self._engine: chess.engine.SimpleEngine | None = _start_engine(side)

    def new_game(self, seed: int) -> None:
        self._game = seed
        if self._engine is None:
            self._engine = _start_engine(self._side)

    def choose(self, board: chess.Board) -> chess.Move | None:
        assert self._engine is not None, "asked for a move after it failed in this game"
        try:
            return self._engine.play(board, self._limit, game=self._game).move
        except (chess.engine.EngineError, TimeoutError):
            self._engine.close()
            self._engine = None
            raise

    def close(self) -> None:
        if self._engine is not None:
            _end_engine(self._engine)


def _start_engine(side: Side) -> chess.engine.SimpleEngine:
    """Start the engine of ``side`` with its options. Raises MissingInput, UsageError."""
    assert side.engine is not None
    command = shlex.split(side.engine) or [""]
    try:
        engine = chess.engine.SimpleEngine.popen_uci(command, timeout=PATIENCE_S)
    except (OSError, IndexError) as error:
        raise MissingInput(f"cannot start the engine {side.engine!r}: {error}") from None
    except (chess.engine.EngineError, TimeoutError) as error:
        raise UsageError(f"{side.engine!r} does not speak UCI: {error}") from None
    try:
        engine.configure(_typed(side.options, engine.options))
    except chess.engine.EngineError as error:
        _end_engine(engine)
        raise UsageError(f"the engine {side.engine!r}: {error}") from None
    return engine


def _end_engine(engine: chess.engine.SimpleEngine) -> None:
    try:
        engine.quit()
    except (chess.engine.EngineError, TimeoutError):
        engine.close()


def _typed(
    options: Mapping[str, str], known: Mapping[str, chess.engine.Option]
) -> dict[str, str | int | bool | None]:
    """The options as the engine's own table wants them; unknown ones are left for it to refuse."""
    typed: dict[str, str | int | bool | None] = {}
    for name, text in options.items():
        kind = known[name].type if name in known else "string"
        number = text.removeprefix("-").isdigit()
        typed[name] = int(text) if kind == "spin" and number else text
        if kind == "check":
            typed[name] = text.lower() == "true"
    return typed


class Played(msgspec.Struct, frozen=True):
    """One finished game. ``points`` are those of the first player, who had White or Black."""

    game: int
    fen: str
    white: bool
    moves: list[str]
    result: str
    reason: str
    points: float
    seconds: float
    slowest: float
    """Mean and longest time of the first player's moves, in seconds."""


@dataclass(slots=True)
class _Clock:
    spent: list[float] = field(default_factory=list)


def play_game(
    game: int,
    fen: str,
    white: bool,
    pair: tuple[MatchPlayer, MatchPlayer],
    most: int,
    seed: int = 0,
) -> Played:
    """Play one game from ``fen``; the first player has White if ``white``.

    It ends by the rules; the third time that a position comes, and fifty moves without capture or
    pawn's move, draw at once. After ``most`` half-moves it is a draw. A player without a legal
    answer loses. ``seed`` and the game's number are what a player that varies draws from.
    """
    board = chess.Board(fen)
    clock = _Clock()
    for player in pair:
        player.new_game(seed * 100_003 + game)
    reason, winner = "too long", None
    while len(board.move_stack) < most:
        ended = _ended(board)
        if ended is not None:
            reason, winner = ended
            break
        first = (board.turn == chess.WHITE) == white
        fault = _move(board, pair[0 if first else 1], clock if first else None)
        if fault:
            reason, winner = fault, not board.turn
            break
    result = "1/2-1/2" if winner is None else "1-0" if winner else "0-1"
    points = 0.5 if winner is None else float(winner == white)
    spent = clock.spent or [0.0]
    moves = [move.uci() for move in board.move_stack]
    mean = sum(spent) / len(spent)
    return Played(game, fen, white, moves, result, reason, points, mean, max(spent))


def _ended(board: chess.Board) -> tuple[str, chess.Color | None] | None:
    """Why the game is over and who won it; None where it goes on."""
    outcome = board.outcome()
    if outcome is not None:
        return outcome.termination.name.lower().replace("_", " "), outcome.winner
    if board.is_fifty_moves():
        return "fifty moves", None
    return ("threefold repetition", None) if board.is_repetition(3) else None


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _move(board: chess.Board, player: MatchPlayer, clock: _Clock | None) -> str | None:
    """Let ``player`` make its move; return why it forfeits, if it does."""
    began = time.monotonic()
    try:
        move = player.choose(board.copy())
    except (chess.engine.EngineError, TimeoutError) as error:
        return f"{FORFEIT}{'White' if board.turn else 'Black'} failed: {_in_a_line(error)}"
    if clock is not None:
        clock.spent.append(time.monotonic() - began)
    if move is None or not board.is_legal(move):
        return f"{FORFEIT}{move} is illegal"
    board.push(move)
    return None
