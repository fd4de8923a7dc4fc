"""Playing a game of several streams against a server: one loop, and what people count on it.

``play`` is the loop, a generator, so that logging, limits and evaluation are its consumers:

    with join("127.0.0.1:7331", "snake", game) as client:
        for turn in play(client, game):
            ...

A game is anything that plays S streams side by side and hands out frames (``VectorGame``). A person
or a script may play some of its rows (``take_over``), or all of them (``demonstrate``).
Shape letters: S streams, N rows of a frame (S <= N <= 2S), A actions of all branches.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentd.client.address import Address
from agentd.client.blocking import Client
from agentd.client.choices import ActionShape
from agentd.client.errors import DataRefused, SessionLost
from agentd.client.game import FrameLike, GameFrame, VectorGame
from agentd.client.played import StepFacts
from agentd.client.settings import ConnectOptions
from agentd.client.takeover import PlayerSeat, TakeOver
from agentd.latency import Histogram
from agentd.protocol.rows import FIRST, TERMINATED, TRUNCATED

log = logging.getLogger("agentd.client")

REFUSALS = 3
"""So many refused frames in a row are the game's fault, not an accident."""


class Episode(NamedTuple):
    """An episode that ended."""

    stream: int
    total: float  # its return, the plain sum of its rewards
    length: int  # in actions
    truncated: bool


class Turn(NamedTuple):
    """One frame that was answered."""

    steps: int  # actions whose outcome the server has, since the beginning
    ended: list[Episode]  # in this frame
    act_s: float  # seconds from the request to the answer
    version: int  # of the weights that answered


def join(
    address: str | tuple[str, int] | Address,
    agent: str,
    game: VectorGame,
    **options: Unpack[ConnectOptions],
) -> Client:
    """Connect a client that says what ``game`` looks like; errors as ``Client.connect``."""
    options["streams"] = game.streams
    return Client.connect(address, agent, game.spec.observation, game.spec.actions, **options)


def play(
    client: Client, game: VectorGame, take_over: TakeOver | None = None, by: str = "person"
) -> Iterator[Turn]:
    """Play without end, a frame at a time; whoever iterates says when it is enough.

    ``take_over`` is asked about every row that waits for an action. What it returns is played in
    place of the agent's answer, and learned from as an action of ``by``, "person" or "script";
    None leaves the row to the agent. What a game's frame says itself, in ``facts``, counts first.

    When the server loses the session or refuses a frame (a NaN) the game is reset and its open
    episodes are forgotten: they end as truncated. Raises as ``Client.step`` does otherwise,
    DataRefused for the last of ``REFUSALS`` refused frames in a row, and ValueError for an action
    of ``take_over`` that is not one.
    """
    score = _EpisodeScore(game.streams)
    actions = ActionShape.of(game.spec.actions).blank(game.streams)
    seat = None if take_over is None else PlayerSeat(game, take_over, by)
    steps = refusals = 0
    frame = game.reset()
    while True:
        facts = _facts_of(client, frame)
        played = facts if seat is None else seat.facts(frame, actions) | facts
        asked = time.perf_counter()
        try:
            rows = (frame.obs, frame.reward, frame.kind, frame.stream, frame.mask)
            act = client.step(*rows, **played)
        except (SessionLost, DataRefused) as fault:
            refusals += isinstance(fault, DataRefused)
            _begin_anew(client, fault, refusals)
            score.forget()
            frame = game.reset()
            continue
        refusals = 0
        act_s = time.perf_counter() - asked
        steps += int(np.count_nonzero(frame.kind))
        yield Turn(steps, score.count(frame), act_s, act.version)
        actions[frame.stream] = act.actions  # of a stream's two rows the later one counts
        if seat is not None:
            seat.choose(frame, actions)
        frame = game.step(actions)


def demonstrate(
    client: Client, game: VectorGame, player: TakeOver, episodes: int, by: str = "person"
) -> list[Episode]:
    """Let ``player`` play until ``episodes`` have ended, for the agent to learn from; return them.

    Before the agent plays, or at any time between. What is still open then is left behind as
    truncated, so that ``play`` may begin. Errors as ``play``, and ValueError for fewer than one.
    """
    if episodes < 1:
        raise ValueError(f"want at least 1 episode, got {episodes}")
    found: list[Episode] = []
    for turn in play(client, game, player, by):
        found += turn.ended
        if len(found) >= episodes:
            break
    client.abandon()
    return found


def _facts_of(client: Client, frame: FrameLike) -> StepFacts:
    """What a game's own frame says besides its rows; most say nothing."""
    facts: StepFacts | None = getattr(frame, "facts", None)
    if not facts:
        return {}
    if client.welcome.protocol == 1:  # which counts no won episodes: no reason not to play
        return {name: value for name, value in facts.items() if name != "success"}  # type: ignore[return-value]
    return facts


def _begin_anew(client: Client, fault: SessionLost | DataRefused, refusals: int) -> None:
    """Leave the open episodes behind; ``refusals`` in a row are no accident."""
    if isinstance(fault, DataRefused):
        if refusals >= REFUSALS:
            raise fault
        log.warning("a frame was refused, its episodes end here: %s", fault.message)
        client.abandon()


@dataclass
class Tally:
    """Counts turns: feed it every ``Turn`` of ``play``."""

    recent: int = 100  # episodes that ``mean`` looks at
    steps: int = 0
    episodes: int = 0
    latency: Histogram = field(default_factory=Histogram)  # seconds from request to answer
    totals: deque[float] = field(default_factory=deque)  # returns of the recent episodes
    began: float = field(default_factory=time.perf_counter)

    def add(self, turn: Turn) -> None:
        """Count one turn."""
        self.steps = turn.steps
        self.latency.add(turn.act_s)
        for episode in turn.ended:
            self.episodes += 1
            self.totals.append(episode.total)
            if len(self.totals) > self.recent:
                self.totals.popleft()

    @property
    def mean(self) -> float:
        """Mean return of the recent episodes; NaN before the first."""
        return sum(self.totals) / len(self.totals) if self.totals else float("nan")

    @property
    def steps_per_s(self) -> float:
        """Environment steps a second since the beginning."""
        return self.steps / max(time.perf_counter() - self.began, 1e-9)


@dataclass(frozen=True)
class Evaluation:
    """Episodes played greedily: of every stream its first ones, so that none was selected."""

    episodes: tuple[Episode, ...]  # by stream, then in order

    @property
    def totals(self) -> NDArray[np.float64]:
        """Returns, (n,)."""
        return np.array([episode.total for episode in self.episodes])

    @property
    def mean(self) -> float:
        """Mean return; NaN of no episodes."""
        return float(self.totals.mean()) if self.episodes else float("nan")

    @property
    def std(self) -> float:
        """Population standard deviation of the returns; NaN of no episodes."""
        return float(self.totals.std()) if self.episodes else float("nan")


def evaluate(
    client: Client,
    game: VectorGame,
    episodes: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Play exactly ``episodes`` episodes with a client of role ``eval`` or ``play``.

    How many each stream plays is settled before the first one begins. Taking the first
    ``episodes`` to end anywhere would prefer short ones. A stream that has played its share is left
    out of the frames. When the server loses the session or refuses a frame, everything is played
    again. Once ``should_stop`` says so, asked before each frame, the episodes that have ended are
    all. Raises ValueError for a client that learns, and for fewer than one episode, and
    DataRefused for the last of ``REFUSALS`` refused frames.
    """
    if client.role not in ("eval", "play"):
        raise ValueError(f"want a client of role eval or play, got {client.role}")
    if episodes < 1:
        raise ValueError(f"want at least 1 episode, got {episodes}")
    refusals = 0
    while True:
        try:
            found = _evaluate(client, game, episodes, should_stop)
        except (SessionLost, DataRefused) as fault:
            refusals += isinstance(fault, DataRefused)
            _begin_anew(client, fault, refusals)
            continue
        return Evaluation(tuple(sorted(found, key=lambda episode: episode.stream)))


def _evaluate(
    client: Client, game: VectorGame, episodes: int, should_stop: Callable[[], bool]
) -> list[Episode]:
    share, rest = divmod(episodes, game.streams)
    left = np.full(game.streams, share)
    left[:rest] += 1
    score = _EpisodeScore(game.streams)
    shape = ActionShape.of(game.spec.actions)
    actions = shape.blank(game.streams)
    found: list[Episode] = []
    frame = game.reset()
    while True:
        playing = left > 0
        ended = [episode for episode in score.count(frame) if playing[episode.stream]]
        found += ended
        left[[episode.stream for episode in ended]] -= 1
        # A last episode's last row is sent, the first row of one too many is not.
        keep = np.where(frame.kind == FIRST, left[frame.stream] > 0, playing[frame.stream])
        actions[frame.stream] = shape.first_legal(frame.mask, len(frame.stream))
        if keep.any():
            sent = _select(frame, keep)
            won = _facts_of(client, frame).get("success")
            facts: StepFacts = {} if won is None else {"success": _pick(won, keep)}
            act = client.step(sent.obs, sent.reward, sent.kind, sent.stream, sent.mask, **facts)
            acting = sent.kind < TERMINATED
            actions[sent.stream[acting]] = act.actions[acting]
        if len(found) == episodes or should_stop():
            return found
        frame = game.step(actions)


class _EpisodeScore:
    """Running returns and lengths of S streams."""

    def __init__(self, streams: int) -> None:
        self._total = np.zeros(streams)
        self._length = np.zeros(streams, np.int64)

    def forget(self) -> None:
        """The open episodes will not be finished."""
        self._total[:] = 0.0
        self._length[:] = 0

    def count(self, frame: FrameLike) -> list[Episode]:
        """Take a frame; return the episodes that ended in it."""
        kind = frame.kind
        moved = np.flatnonzero(kind)
        stream = frame.stream[moved]
        self._total[stream] += frame.reward[moved]
        self._length[stream] += 1
        ended = []
        for row in np.flatnonzero(kind >= TERMINATED):
            s = int(frame.stream[row])
            total, length = float(self._total[s]), int(self._length[s])
            ended.append(Episode(s, total, length, bool(kind[row] == TRUNCATED)))
            self._total[s] = self._length[s] = 0
        return ended


def _pick(column: ArrayLike, keep: NDArray[np.bool_]) -> NDArray[Any]:
    """Return one value a row, or the one for all rows, of the rows to keep."""
    values = np.asarray(column)
    return values[keep] if values.ndim else values


def _select(frame: FrameLike, keep: NDArray[np.bool_]) -> GameFrame:
    """Return the rows of ``frame`` where ``keep`` (N,) is true."""
    return GameFrame(
        stream=frame.stream[keep],
        kind=frame.kind[keep],
        reward=frame.reward[keep],
        obs={name: rows[keep] for name, rows in frame.obs.items()},
        mask=None if frame.mask is None else frame.mask[keep],
    )
