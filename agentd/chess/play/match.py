"""A match: processes play its games, and each game is on the disk before it counts."""

import hashlib
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import chess
import chess.pgn
import msgspec

from agentd.chess.play.players import (
    FORFEIT,
    MatchPlayer,
    Played,
    Side,
    open_player,
    play_game,
)
from agentd.chess.process_pool import ProcessPool
from agentd.errors import JobFailed, MissingInput, StorageError, UsageError
from agentd.games.chess.play.elo import MatchScore, match_score
from agentd.games.chess.play.openings import pick_openings, random_openings, read_openings
from agentd.store import write_file

RANDOM = "random"
GAMES, PLAN, PGN = "games.jsonl", "match.json", "games.pgn"
_FAULT = b"!"
_GO_ON = "run the same command again: it goes on from here"
FORFEITS = 0.05
"""Share of a match's games that may end by a player's failure; more tell nothing of its play."""


class MatchPlan(msgspec.Struct, frozen=True):
    """What a match is. A folder's match goes on under the same plan; only ``games`` may change."""

    ours: Side
    rival: Side
    games: int
    seed: int
    most_plies: int
    openings: str
    """``random``, or the sha256 of the openings' file."""


class Ledger:
    """The folder of a match: the plan, a line a game, and the PGN of them all."""

    def __init__(self, folder: Path, plan: MatchPlan) -> None:
        self._folder, self.plan = folder, plan
        self.games: dict[int, Played] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._check_plan()
        self._read()

    def _check_plan(self) -> None:
        path = self._folder / PLAN
        if not path.exists():
            write_file(path, msgspec.json.format(msgspec.json.encode(self.plan)) + b"\n")
            return
        try:
            old = msgspec.json.decode(path.read_bytes(), type=MatchPlan)
        except msgspec.DecodeError as error:
            raise StorageError(f"{path} is damaged: {error}") from None
        for name in set(MatchPlan.__struct_fields__) - {"games"}:
            was, now = getattr(old, name), getattr(self.plan, name)
            if was != now:
                hint = "give another --out, or the same options as before"
                was, now = (msgspec.json.encode(value).decode() for value in (was, now))
                raise UsageError(
                    f"{self._folder} holds a match with {name} {was}, not {now}", hint=hint
                )

    def _read(self) -> None:
        """Take over the games played; a last line that was cut off is played again."""
        path = self._folder / GAMES
        whole = b""
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                game = msgspec.json.decode(line, type=Played)
            except msgspec.DecodeError as error:
                if number < len(lines):
                    raise StorageError(f"{path}, line {number} is damaged: {error}") from None
                break
            if not line.endswith(b"\n"):
                break
            self.games[game.game] = game
            whole += line
        write_file(path, whole)

    def add(self, game: Played) -> None:
        """Keep a finished game: on the disk before it counts."""
        with (self._folder / GAMES).open("ab") as file:
            file.write(msgspec.json.encode(game) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.games[game.game] = game

    def write_pgn(self) -> Path:
        """Write all games as PGN, in their order, and return the file's path."""
        path = self._folder / PGN
        ordered = [self.games[number] for number in sorted(self.games)]
        write_file(path, "\n".join(_pgn(game, self.plan) for game in ordered).encode())
        return path

    @property
    def score(self) -> MatchScore:
        """The score of the games so far, from our player's view."""
        return match_score((game.game // 2, game.points) for game in self.games.values())

    def forfeits(self) -> list[Played]:
        """The games that ended by a player's failure, in their order."""
        ordered = (self.games[number] for number in sorted(self.games))
        return [game for game in ordered if game.reason.startswith(FORFEIT)]

    def check(self) -> None:
        """Raise JobFailed where players failed too often: that score would be none of chess."""
        failed = self.forfeits()
        if len(failed) > max(1, FORFEITS * self.plan.games):
            hint = f"the games are kept in {self._folder}; mend the player, then give another --out"
            raise JobFailed(
                f"the match tells nothing: {len(failed)} of {len(self.games)} games were forfeited,"
                f" the last one as {failed[-1].reason.removeprefix(FORFEIT)}",
                hint=hint,
            )

    def record(self) -> dict[str, Any]:
        """The match so far as JSON values, of one game or more; an infinite Elo is null."""
        score, played = self.score, list(self.games.values())
        elo = [value if math.isfinite(value) else None for value in score.elo]
        return {
            "bot": self.plan.ours.name,
            "rival": self.plan.rival.name,
            "games": score.games,
            "wins": score.wins,
            "draws": score.draws,
            "losses": score.losses,
            "score": round(score.score, 4),
            "error": round(score.error, 4),
            "elo": elo[0],
            "elo_low": elo[1],
            "elo_high": elo[2],
            "forfeits": len(self.forfeits()),
            "seconds_per_move": round(sum(game.seconds for game in played) / len(played), 4),
            "slowest_move": round(max(game.slowest for game in played), 4),
            "seed": self.plan.seed,
            "openings": self.plan.openings,
        }


def _pgn(game: Played, plan: MatchPlan) -> str:
    board = chess.Board(game.fen)
    for uci in game.moves:
        board.push_uci(uci)
    written = chess.pgn.Game.from_board(board)
    names = (plan.ours.name, plan.rival.name)
    written.headers["Event"] = "agentd chess match"
    written.headers["Site"] = "?"
    written.headers["Date"] = "????.??.??"
    written.headers["Round"] = str(game.game + 1)
    written.headers["White"], written.headers["Black"] = names if game.white else names[::-1]
    written.headers["Result"] = game.result
    written.headers["Termination"] = game.reason
    return f"{written}\n"


class MatchPool(ProcessPool):
    """``count`` processes, each with both players at a board; a context manager."""

    def __init__(self, count: int, plan: MatchPlan) -> None:
        super().__init__(count, _sit, msgspec.json.encode(plan))

    def play(self, games: Sequence[tuple[int, str]]) -> Iterator[Played]:
        """Yield each of ``games``, (number, opening), as it ends. Raises JobFailed."""
        left = list(reversed(games))
        busy = set[Connection]()
        for pipe in self.pipes[: len(left)]:
            pipe.send_bytes(msgspec.json.encode(left.pop()))
            busy.add(pipe)
        while busy:
            for pipe in cast("list[Connection]", wait(list(busy))):
                try:
                    answer = pipe.recv_bytes()
                except (EOFError, OSError):
                    raise JobFailed("a player's process died", hint=_GO_ON) from None
                if answer[:1] == _FAULT:
                    raise JobFailed(answer[1:].decode(), hint=_GO_ON)
                yield msgspec.json.decode(answer, type=Played)
                if left:
                    pipe.send_bytes(msgspec.json.encode(left.pop()))
                else:
                    busy.remove(pipe)


def _sit(pipe: Connection, plan_json: bytes) -> None:
    """Play the games that the parent names until it goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    plan = msgspec.json.decode(plan_json, type=MatchPlan)
    players: list[MatchPlayer] = []
    try:
        players += [open_player(plan.ours), open_player(plan.rival)]
        while True:
            number, opening = msgspec.json.decode(pipe.recv_bytes(), type=tuple[int, str])
            pair = (players[0], players[1])
            game = play_game(number, opening, number % 2 == 0, pair, plan.most_plies, plan.seed)
            pipe.send_bytes(msgspec.json.encode(game))
    except (EOFError, OSError):
        pass
    except Exception as fault:
        with suppress(OSError):
            pipe.send_bytes(_FAULT + f"{type(fault).__name__}: {fault}".encode())
    finally:
        for player in players:
            player.close()


def play_match(openings: Sequence[str], ledger: Ledger, jobs: int) -> Iterator[Played]:
    """Play the games that the ledger lacks, ``jobs`` at once, and yield each when it is kept.

    Each opening is played twice, colours swapped. Raises JobFailed where a player's process dies,
    or where too many games are forfeited.
    """
    plan = ledger.plan
    ledger.check()
    left = [(n, openings[n // 2]) for n in range(plan.games) if n not in ledger.games]
    with MatchPool(min(jobs, len(left)), plan) as tables:
        for game in tables.play(left):
            ledger.add(game)
            yield game
            ledger.check()


def check_players(plan: MatchPlan) -> None:
    """Open and close both players here. Raises what is wrong with them, before any process."""
    for side in (plan.ours, plan.rival):
        open_player(side).close()


def load_openings(path: Path | None, count: int, seed: int) -> tuple[str, list[str]]:
    """Positions for ``count`` pairs, of a file or random ones, after the name of their source.

    More pairs begin with the same ones. Raises MissingInput, UsageError.
    """
    if path is None:
        return RANDOM, random_openings(count, seed)
    if not path.is_file():
        raise MissingInput(f"no openings {path}")
    try:
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        return source, pick_openings(read_openings(path), count, seed)
    except ValueError as error:
        raise UsageError(str(error)) from None


def play_points(plan: MatchPlan, jobs: int) -> list[float]:
    """Play a match of which nothing is kept; the points of our player, game by game.

    Each opening, a random one, is played twice, colours swapped. Raises JobFailed where a player's
    process dies, or forfeits a game: such points tell nothing of its play.
    """
    openings = random_openings((plan.games + 1) // 2, plan.seed)
    points = [0.0] * plan.games
    with MatchPool(min(jobs, plan.games), plan) as tables:
        for game in tables.play([(n, openings[n // 2]) for n in range(plan.games)]):
            if game.reason.startswith(FORFEIT):
                raise JobFailed(f"a game was forfeited: {game.reason.removeprefix(FORFEIT)}")
            points[game.game] = game.points
    return points
