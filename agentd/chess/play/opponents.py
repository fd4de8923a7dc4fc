"""Opponents in a terminal game: one Protocol, a search on a local model, an agent of a daemon."""

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import chess
import numpy as np
from numpy.typing import NDArray

from agentd.chess.model.bots import open_bot
from agentd.chess.play.book import Book
from agentd.chess.play.level import LEVEL_NODES, check_no_other_variety, set_level
from agentd.client import FIRST, MID, TERMINATED, TRUNCATED, Address, Client, SessionLost
from agentd.games.chess.board.features import N_FEATURES, features
from agentd.games.chess.board.moves import N_MOVES, index_move, legal_indices, legal_mask
from agentd.games.chess.board.position import encode_boards
from agentd.games.chess.data.lessons import BEST
from agentd.games.chess.search.search import Search
from agentd.games.chess.search.settings import SearchSettings

OBSERVATION = ("uint8", (N_FEATURES,))
"""What a daemon sees of a board, from the mover's side: see ``games.chess.board.features``."""
ACTIONS = N_MOVES
PATIENCE_S = 10.0
"""How long a person waits for a daemon that is gone."""
SECONDS = 1.0
"""Time a move of a local model where nothing else limits it."""


@dataclass(frozen=True)
class Advice:
    """A move, and what it is thought to be worth to the mover."""

    move: chess.Move
    win: float | None = None  # expected score, 0 to 1
    line: tuple[chess.Move, ...] = ()
    score: str = ""


class Policy(Protocol):
    """Plays one side of one game after the other."""

    name: str

    def choose(self, board: chess.Board) -> Advice:
        """The move to make on ``board``, where there is a legal one."""

    def advise(self, board: chess.Board) -> Advice:
        """What it would play, without playing: for hints and evaluations."""

    def taken_back(self) -> None:
        """The game goes on from an earlier position."""

    def ended(self, board: chess.Board, score: float | None) -> None:
        """The game is over: +1 it won, 0 drawn, -1 it lost; None where nobody knows."""

    def close(self) -> None:
        """Close connections."""


class LocalPolicy:
    """A search in this process, at most ``seconds`` a move where that is given.

    It plays the moves of ``book`` as long as this has any, and searches all the same for hints.
    Every game is drawn from ``seed``, or where that is None by chance.
    """

    def __init__(
        self,
        search: Search,
        name: str,
        seconds: float | None,
        seed: int | None,
        book: Book | None = None,
        level: float | None = None,
    ) -> None:
        self.name, self._level = name, level
        self._search, self._seconds, self._seed, self._book = search, seconds, seed, book
        self._begin()

    def _begin(self) -> None:
        seed = random.SystemRandom().getrandbits(31) if self._seed is None else self._seed
        self._search.forget(seed)
        set_level(self._search, self._level, seed)
        if self._book is not None:
            self._book.begin(seed)

    def choose(self, board: chess.Board) -> Advice:
        move = self._book.draw(board) if self._book else None
        return self.advise(board) if move is None else Advice(move)

    def advise(self, board: chess.Board) -> Advice:
        """Search the position, without the book; the move and what was seen."""
        limit = None if self._seconds is None else time.monotonic() + self._seconds
        result = self._search.run(
            board, should_stop=lambda: limit is not None and time.monotonic() >= limit
        )
        assert result.move is not None, "asked for a move where there is none"
        lines = {line.move: line for line in result.info.lines}
        best = lines.get(result.move)
        if best is None:
            return Advice(result.move)
        return Advice(result.move, best.win, best.moves, str(best.score))

    def taken_back(self) -> None:
        pass

    def ended(self, board: chess.Board, score: float | None) -> None:
        self._begin()

    def close(self) -> None:
        pass


class DaemonPolicy:
    """An agent of a daemon: the board's inputs go out in a frame, a legal action comes back.

    Its rows are its own turns; the reward is the game's result. The daemon learns from them in the
    role ``train``, and does not in the role ``play``. A move taken back truncates the episode:
    nothing is learned from a position that did not follow from its action.
    """

    def __init__(self, connect: Callable[[str], Client], role: str, name: str) -> None:
        """``connect`` opens a client in a role."""
        self.name = name
        self._connect, self._seat = connect, _Seat(connect(role))
        self._adviser: _Seat | None = None

    def choose(self, board: chess.Board) -> Advice:
        return self._seat.ask(board)

    def advise(self, board: chess.Board) -> Advice:
        if self._adviser is None:
            self._adviser = _Seat(self._connect("play"))
        self._adviser.cut()
        return self._adviser.ask(board)

    def taken_back(self) -> None:
        self._seat.cut()

    def ended(self, board: chess.Board, score: float | None) -> None:
        self._seat.end(board, score)

    def close(self) -> None:
        self._seat.client.close()
        if self._adviser is not None:
            self._adviser.client.close()


def local_policy(
    model: str | None,
    rating: int | None = None,
    nodes: int | None = None,
    depth: int | None = None,
    seconds: float | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    level: float | None = None,
) -> LocalPolicy:
    """Return a model of this machine; without any limit it looks ``SECONDS`` a move.

    A ``rating`` without a limit plays as such a person: no search, moves drawn by the policy. Else,
    unless a ``temperature`` or a ``level`` varies the games, openings are drawn from the bundled
    book. At a ``level`` without a limit it looks at ``LEVEL_NODES`` positions a move. Raises
    UsageError where a level comes with a rating or a temperature.
    """
    check_no_other_variety(level, rating, temperature)
    if level is not None:
        nodes = nodes or (None if depth or seconds else LEVEL_NODES)
    limited = bool(nodes or depth or seconds)
    imitates = rating is not None and not limited
    settings = SearchSettings(
        nodes=1 if imitates else nodes,
        depth=depth,
        temperature=float(imitates) if temperature is None else temperature,
        guarded=imitates,
    )
    if not limited and not imitates:
        seconds = SECONDS
    name = f"agentd {model or ''}".strip()
    varied = imitates or temperature is not None or level is not None
    search = Search(open_bot(model, rating), settings)
    return LocalPolicy(search, name, seconds, seed, None if varied else Book(), level)


def daemon_policy(
    address: Address, agent: str, learn: bool, level: float | None = None
) -> DaemonPolicy:
    """Return ``agent`` of the daemon at ``address``, which learns from the games if ``learn``.

    It plays at ``level`` where it does not learn.
    """

    def connect(role: str) -> Client:
        return Client.connect(
            address,
            agent,
            OBSERVATION,
            ACTIONS,
            role=role,  # type: ignore[arg-type]
            explain=True,
            retry_for=PATIENCE_S,
            level=None if learn else level,
        )

    return DaemonPolicy(connect, "train" if learn else "play", f"{agent} at {address}")


class _Seat:
    """One stream of a daemon, and the kind of its next row."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._kind = FIRST
        self._last = np.zeros((1, N_FEATURES), np.uint8)  # what it saw when it last acted

    def ask(self, board: chess.Board) -> Advice:
        """The action for a position."""
        try:
            return self._step(board)
        except SessionLost:  # the daemon forgot the game: to it this one begins here
            self._kind = FIRST
            return self._step(board)

    def _step(self, board: chess.Board) -> Advice:
        inputs, mask = _inputs(board), legal_mask(board)[None]
        kinds = [self._kind]
        if self._kind == TRUNCATED:
            kinds = [TRUNCATED, FIRST]
            inputs = np.concatenate([self._last, inputs])
            mask = np.concatenate([np.ones_like(mask), mask])
        act = self.client.step(inputs, 0.0, kinds, [0] * len(kinds), mask)
        self._kind, self._last = MID, inputs[-1:]
        return _advice(board, int(act.actions[-1]), act.q)

    def cut(self) -> None:
        """Truncate the episode: the next position does not follow from the last action."""
        if self._kind == MID:
            self._kind = TRUNCATED

    def end(self, board: chess.Board, score: float | None) -> None:
        """End the episode with a game's result; None where it has none."""
        if self._kind == FIRST:
            return
        known = score is not None and self._kind == MID
        inputs = _inputs(board) if known else self._last
        reward, kind = (score or 0.0, TERMINATED) if known else (0.0, TRUNCATED)
        with contextlib.suppress(SessionLost):
            self.client.step(inputs, reward, kind, mask=np.ones((1, N_MOVES), np.uint8))
        self._kind = FIRST


def _inputs(board: chess.Board) -> NDArray[np.uint8]:
    """Return (1, N_FEATURES) of 0 and 1; both sides have the rating of best play."""
    return features(encode_boards([board], BEST, BEST)).astype(np.uint8)


def _advice(board: chess.Board, action: int, q: NDArray[np.float32] | None) -> Advice:
    """An action as a move; with the agent's values (N, 1858) in [-1, 1], what it is worth."""
    move = index_move(action, board)
    if q is None:
        return Advice(move)
    _, numbers = legal_indices(board)
    best = float(q[-1][numbers].max())
    win = min(1.0, max(0.0, (1 + best) / 2))
    return Advice(move, win, (move,), f"value {best:+.2f}")
