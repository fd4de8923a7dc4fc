"""Two-player games: a world of tables with two seats each, and three ways for an agent to play it.

``SelfPlay``  both seats act at once and the agent plays both: each seat is a stream with its own
              observations and rewards
``InTurn``    the seats take turns and the agent plays both: a table is one stream, which holds the
              rows of both sides in turn
``Against``   the agent plays seat 0, a player of ours seat 1; the reward of a move comes with the
              row after the other's reply, or with the row that ends the episode

Shape letters: T tables, S streams, N tables of one call, A actions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import (
    Observations,
    Spec,
    TimeStep,
    check_streams,
    outcome,
    with_resets,
)

Tables = NDArray[np.integer[Any]]

SEATS = 2


class Advance(NamedTuple):
    """What one step did to N tables."""

    reward: NDArray[np.float32]  # (N, 2), for each seat
    terminated: NDArray[np.bool_]  # (N,)
    truncated: NDArray[np.bool_]  # (N,)


class TwoPlayerGame(Protocol):
    """T tables of a two-player game; each seat observes the game from its own side."""

    @property
    def spec(self) -> Spec: ...

    @property
    def tables(self) -> int: ...

    def begin(self, tables: Tables) -> None:
        """Set up a new episode at each of ``tables`` (N,)."""

    def turns(self, tables: Tables) -> NDArray[np.bool_]:
        """Return which seats choose an action now, (N, 2); at least one at each table."""

    def observe(self, tables: Tables, seats: Tables) -> Observations:
        """Return what seat ``seats[i]`` of table ``tables[i]`` sees, name -> (N, ...)."""

    def legal(self, tables: Tables, seats: Tables) -> NDArray[np.uint8] | None:
        """Return the legal actions (N, A) of those seats, or None where every one always is."""

    def check(self, tables: Tables, seat: int, actions: NDArray[np.integer[Any]]) -> None:
        """Raise ValueError when one of ``actions`` (N,) is out of range or illegal for ``seat``."""

    def advance(self, tables: Tables, actions: NDArray[np.integer[Any]]) -> Advance:
        """Play ``actions`` (N, 2) at ``tables``; those of a seat that waits mean nothing."""

    def render(self, table: int) -> str:
        """Draw the table as lines of text."""


Player = Callable[[Any, Tables, int], NDArray[np.integer[Any]]]
"""``player(world, tables, seat)``: an action for ``seat`` at each of ``tables`` (N,)."""


def random_player(rng: np.random.Generator) -> Player:
    """A player that takes each legal action equally often."""

    def choose(world: TwoPlayerGame, tables: Tables, seat: int) -> NDArray[np.integer[Any]]:
        legal = world.legal(tables, np.full(len(tables), seat))
        if legal is None:
            return rng.integers(world.spec.actions, size=len(tables))
        return pick_any(rng, legal > 0)

    return choose


def pick_any(rng: np.random.Generator, wanted: NDArray[np.bool_]) -> NDArray[np.integer[Any]]:
    """Return one of the true columns of each row of ``wanted`` (N, A), each equally likely."""
    picked: NDArray[np.integer[Any]] = (rng.random(wanted.shape) * wanted).argmax(axis=1)
    return picked


class SelfPlay:
    """The agent on both sides of T tables whose seats act at once: a ``Game`` of 2T streams, of
    which 2t and 2t + 1 are the seats of table t.
    """

    def __init__(self, world: TwoPlayerGame) -> None:
        self.world = world
        self.streams = SEATS * world.tables
        self.spec = world.spec._replace(seats=SEATS)
        self._every: Tables = np.arange(world.tables)
        self.reset()
        if not world.turns(self._every).all():
            raise ValueError(f"the seats of {world.spec.name} take turns: want InTurn")

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Begin anew at the tables of ``streams``, for both of their seats; see ``Game.reset``."""
        tables: Tables = self._every
        if streams is not None:
            check_streams(streams, self.streams)
            tables = np.array(list(dict.fromkeys((streams // SEATS).tolist())), np.int64)
        self.world.begin(tables)
        return self._frame(tables, np.zeros(len(tables), np.uint8), _no_reward(tables))

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Play one action of every stream; see ``Game.step``."""
        _check_shape(actions, self.streams)
        both = actions.reshape(-1, SEATS)
        for seat in range(SEATS):
            self.world.check(self._every, seat, both[:, seat])
        done = self.world.advance(self._every, both)
        kind = outcome(done.terminated, done.truncated)
        return with_resets(self, self._frame(self._every, kind, done.reward))

    def render(self, stream: int = 0) -> str:
        """Draw the table of ``stream``."""
        return self.world.render(stream // SEATS)

    def _frame(
        self, tables: Tables, kind: NDArray[np.uint8], reward: NDArray[np.float32]
    ) -> TimeStep:
        """The rows of both seats of ``tables`` (N,), with ``kind`` (N,) and ``reward`` (N, 2)."""
        at, seats = np.repeat(tables, SEATS), np.tile(np.arange(SEATS), len(tables))
        kinds = np.repeat(kind, SEATS)
        return _rows(self.world, at * SEATS + seats, at, seats, kinds, reward.reshape(-1))


class InTurn:
    """The agent on both sides of T tables whose seats take turns: a ``Game`` of T streams.

    A stream's rows are those of both sides in turn: the world as the one that moves next sees it,
    with what the last move earned the other one, who made it. Learn from it with
    ``dqn.alternating``; the return of an episode is what both sides earned by their own moves.
    """

    def __init__(self, world: TwoPlayerGame) -> None:
        self.world = world
        self.streams = world.tables
        self.spec = world.spec
        self._every: Tables = np.arange(world.tables)
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Begin anew at ``streams``; see ``Game.reset``."""
        tables = self._every if streams is None else streams
        check_streams(tables, self.streams)
        self.world.begin(tables)
        return self._frame(tables, np.zeros(len(tables), np.uint8), _no_reward(tables)[:, 0])

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Play one action at every table, of the seat whose turn it is; see ``Game.step``."""
        _check_shape(actions, self.streams)
        mover = self._mover(self._every)
        for seat in range(SEATS):
            tables = np.flatnonzero(mover == seat)
            self.world.check(tables, seat, actions[tables])
        done = self.world.advance(self._every, np.stack((actions, actions), axis=1))
        kind = outcome(done.terminated, done.truncated)
        frame = self._frame(self._every, kind, done.reward[self._every, mover])
        return with_resets(self, frame)

    def render(self, stream: int = 0) -> str:
        """Draw the table of ``stream``."""
        return self.world.render(stream)

    def _mover(self, tables: Tables) -> NDArray[np.intp]:
        """The seat whose turn it is at each of ``tables``, (N,)."""
        seat: NDArray[np.intp] = self.world.turns(tables).argmax(axis=1)
        return seat

    def _frame(
        self, tables: Tables, kind: NDArray[np.uint8], reward: NDArray[np.float32]
    ) -> TimeStep:
        return _rows(self.world, tables, tables, self._mover(tables), kind, reward)


class Against:
    """The agent in seat 0 of T tables, ``player`` in seat 1: a ``Game`` of T streams."""

    def __init__(self, world: TwoPlayerGame, player: Player) -> None:
        self.world = world
        self.streams = world.tables
        self.spec = world.spec
        self._player = player
        self._every: Tables = np.arange(world.tables)
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Begin anew at ``streams``; the other may move first; see ``Game.reset``."""
        tables = self._every if streams is None else streams
        check_streams(tables, self.streams)
        self.world.begin(tables)
        self._await_agent(tables)
        n = len(tables)
        return self._frame(tables, np.zeros(n, np.uint8), np.zeros(n, np.float32))

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Play one action at every table, and the other's replies; see ``Game.step``."""
        _check_shape(actions, self.streams)
        self.world.check(self._every, 0, actions)
        both = np.zeros((self.streams, SEATS), np.int64)
        both[:, 0] = actions
        first = self._answer(self._every, both)
        live = np.flatnonzero(~(first.terminated | first.truncated))
        rest = self._await_agent(live)
        reward = first.reward[:, 0] + rest.reward[:, 0]
        kind = outcome(first.terminated | rest.terminated, first.truncated | rest.truncated)
        frame = self._frame(self._every, kind, reward)
        return with_resets(self, frame)

    def render(self, stream: int = 0) -> str:
        """Draw the table of ``stream``."""
        return self.world.render(stream)

    def _answer(self, tables: Tables, both: NDArray[np.int64]) -> Advance:
        """Advance ``tables`` by the actions (N, 2), seat 1's chosen by the player, in place."""
        asked = np.flatnonzero(self.world.turns(tables)[:, 1])
        if len(asked):
            both[asked, 1] = self._player(self.world, tables[asked], 1)
        return self.world.advance(tables, both)

    def _await_agent(self, tables: Tables) -> Advance:
        """Let the player move at ``tables`` until seat 0 chooses or the episode is over.

        Returns what came of it at every table, (T, ...).
        """
        reward = np.zeros((self.streams, SEATS), np.float32)
        terminated = np.zeros(self.streams, np.bool_)
        truncated = np.zeros(self.streams, np.bool_)
        while True:
            tables = tables[~(terminated | truncated)[tables]]
            tables = tables[~self.world.turns(tables)[:, 0]]
            if not len(tables):
                return Advance(reward, terminated, truncated)
            done = self._answer(tables, np.zeros((len(tables), SEATS), np.int64))
            reward[tables] += done.reward
            terminated[tables], truncated[tables] = done.terminated, done.truncated

    def _frame(
        self, tables: Tables, kind: NDArray[np.uint8], reward: NDArray[np.float32]
    ) -> TimeStep:
        seats = np.zeros(len(tables), np.int64)
        return _rows(self.world, tables, tables, seats, kind, reward.astype(np.float32))


def _rows(
    world: TwoPlayerGame,
    streams: Tables,
    tables: Tables,
    seats: Tables,
    kind: NDArray[np.uint8],
    reward: NDArray[np.float32],
) -> TimeStep:
    """Return the rows of ``streams`` (N,), which are ``seats`` (N,) at ``tables`` (N,)."""
    obs, mask = world.observe(tables, seats), world.legal(tables, seats)
    return TimeStep(streams.astype(np.uint32), kind, reward, obs, mask)


def _check_shape(actions: NDArray[np.integer[Any]], streams: int) -> None:
    if actions.shape != (streams,):
        raise ValueError(f"want actions of shape ({streams},), got {actions.shape}")


def _no_reward(tables: Tables) -> NDArray[np.float32]:
    return np.zeros((len(tables), SEATS), np.float32)
