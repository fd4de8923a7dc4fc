"""An agent that looks ahead before it moves: search at play time over the values that it learned.

The weights are those of a copy; they are computed here, so that thousands of positions a move cost
no frame of a server's.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.network import Q_LEARNERS, network_for
from agentd.assembly.rows import format_of
from agentd.engine.network import Pass
from agentd.engine.network.weights import join
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.rules.dial import BEST, Dial
from agentd.errors import MissingInput, UsageError
from agentd.games import GAMES, Kind, make
from agentd.games.game import Observations
from agentd.games.negamax import (
    BLOCK,
    SimulatedGame,
    Values,
    is_simulated,
    moves_not_lost,
    pick_best,
    search,
)
from agentd.games.two_player import Against
from agentd.rl.frozen_copy import FrozenCopy
from agentd.rl.scores import Scores
from agentd.server.agents.stored import StoredAgents
from agentd.store import read_checkpoint

MOST_PLIES = 8
_TABLES = 16


def learned_values(copy: FrozenCopy) -> Values:
    """Return what the agent of ``copy`` has learned, as a function of at most ``BLOCK`` positions.

    Raises MissingInput for an agent without weights or game, UsageError for one whose values
    depend on more than the position: of several rows, of the actions before, of several branches,
    of what a network remembers.
    """
    name, stored = copy.agent.name, StoredAgents(copy.agent.parent)
    config, schema = stored.config(name), stored.schema(name)
    found = read_checkpoint(copy.agent / "checkpoints")
    if schema is None or found is None:
        raise MissingInput(f"agent {name!r} has met no game yet: it has no values to search with")
    format = format_of(config, schema)
    if config.learner not in Q_LEARNERS or len(schema.branches) > 1:
        raise UsageError(f"agent {name!r} has no value for each action: --search wants one")
    if format.stack > 1 or format.last_actions:
        raise UsageError(f"agent {name!r} sees more than the position: --search wants one row")
    network = network_for(config, schema, acting=True)
    if network.memory:
        raise UsageError(f"agent {name!r} remembers: --search wants values of positions alone")
    backend = NumPyBackend()
    params, run = join(network, found.weights), Pass(network, backend, BLOCK)

    def values(observations: Observations, legal: NDArray[np.bool_]) -> NDArray[np.float32]:
        parts = [
            np.asarray(observations[t.name], np.float32).reshape(len(legal), -1)
            for t in schema.tensors
        ]
        x = np.concatenate(parts, axis=1).reshape(len(legal), *network.input_shape)
        return backend.to_host(run.forward(params, x)).copy()

    return values


def check_search(name: str) -> None:
    """Raise UsageError unless the game ``name`` is one that an agent can look ahead in."""
    able = [known for known in GAMES if is_simulated(make(known, 1, 0))]
    if name not in able:
        raise UsageError(
            f"--search: {name} cannot be simulated", hint=f"games that can: {', '.join(able)}"
        )


def play_ahead(
    values: Values, name: str, episodes: int, seed: int, plies: int, level: float = BEST
) -> Scores:
    """Play ``episodes`` episodes of the game ``name``, each move the best ``plies`` ahead.

    How many each table plays is settled before the first one begins; among equal moves lots are
    drawn by ``seed``. At a ``level`` below 100 worse moves are played too, but none that loses for
    certain in so many plies, two at least. Raises UsageError as ``check_search`` does.
    """
    check_search(name)
    dial = Dial(level, seed) if level < BEST else None
    tables = min(_TABLES, episodes)
    game, rng = make(name, tables, seed), np.random.default_rng(seed)
    assert isinstance(game, Against)
    left = np.full(tables, episodes // tables)
    left[: episodes % tables] += 1
    returns: list[float] = []
    totals, moment = np.zeros(tables), 0
    game.reset()
    while left.any():
        world: SimulatedGame = game.world  # type: ignore[assignment]
        playing = np.flatnonzero(left > 0)
        actions = pick_best(rng, search(world, world.positions(np.arange(tables)), plies=1))
        looked = search(world, world.positions(playing), values, plies)
        actions[playing] = pick_best(rng, looked)
        if dial is not None:
            moment += 1
            safe = moves_not_lost(world, world.positions(playing), max(2, plies))
            seen, columns = np.maximum(looked, -1), (looked.shape[1],)  # illegal ones are infinite
            actions[playing] = dial.choose(seen, safe, columns, playing, moment)[:, 0]
        frame = game.step(actions)
        moved = np.flatnonzero(frame.kind != Kind.FIRST)
        totals[frame.stream[moved]] += frame.reward[moved]
        for at in moved[frame.kind[moved] >= Kind.TERMINATED]:
            table = frame.stream[at]
            if left[table]:
                returns.append(float(totals[table]))
                left[table] -= 1
            totals[table] = 0
    return Scores(tuple(returns))
