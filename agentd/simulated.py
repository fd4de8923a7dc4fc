"""Games whose rules a learner may play ahead by: the one door from the daemon to ``agentd.games``.

They are imported only where an agent asks for them (``dqn.search``): a daemon of other agents knows
no game.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.errors import ModelError
from agentd.engine.learners.dqn_config import SearchConfig
from agentd.engine.learners.searched import Leaves, LookAhead
from agentd.engine.replay.rows import RowFormat

if TYPE_CHECKING:
    from agentd.games.game import Observations
    from agentd.games.two_player import InTurn


def check_simulated(name: str) -> None:
    """Raise ValueError unless ``name`` is a game in turns that can be simulated."""
    _open(name)


def check_rows(search: SearchConfig, format: RowFormat) -> None:
    """Raise ModelError unless rows of ``format`` are what the game of ``search`` shows.

    Raises ValueError as ``check_simulated`` does.
    """
    spec = _open(search.game).spec
    shown = [(key, np.dtype(a.dtype).name, a.shape) for key, a in sorted(spec.observation.items())]
    got = [(t.name, t.dtype.name, t.shape) for t in format.tensors]
    if shown != got or format.branches != (spec.actions,):
        raise ModelError(
            f"dqn.search.game {search.game}: expected rows of {_told(shown)} and branches "
            f"({spec.actions},), got rows of {_told(got)} and branches {format.branches}"
        )


def look_ahead(search: SearchConfig, format: RowFormat, discount: float) -> LookAhead:
    """Return the search that ``search`` asks for, by negamax, in which a ply costs ``discount``.

    Raises ValueError, ModelError as ``check_rows`` does.
    """
    from agentd.games.negamax import BLOCK, SimulatedGame
    from agentd.games.negamax import search as negamax

    check_rows(search, format)
    world: SimulatedGame = _open(search.game).world  # type: ignore[assignment]

    def found(x: NDArray[np.float32], leaves: Leaves) -> NDArray[np.float32]:
        def values(
            observations: "Observations", legal: NDArray[np.bool_]
        ) -> NDArray[np.floating[Any]]:
            return leaves(_features(format, observations), legal)

        positions = world.position_of(_observations(format, x))
        return negamax(world, positions, values, search.plies, discount)

    return LookAhead(found, BLOCK)


def _open(name: str) -> "InTurn":
    from agentd.games import GAMES, make
    from agentd.games.negamax import is_simulated_in_turn

    game = make(name, 1, 0) if name in GAMES else None
    if is_simulated_in_turn(game):
        return game
    able = ", ".join(known for known in GAMES if is_simulated_in_turn(make(known, 1, 0)))
    why = "is no game of agentd" if game is None else "cannot be simulated move by move in turn"
    raise ValueError(f"dqn.search.game: {name} {why}; expected one of {able}")


def _told(tensors: list[tuple[str, str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {dtype} {shape}" for name, dtype, shape in tensors)


def _observations(format: RowFormat, x: NDArray[np.float32]) -> "Observations":
    """Return what rows x (N, D) show, name -> (N, ...)."""
    found, at = {}, 0
    for t in format.tensors:
        found[t.name] = x[:, at : at + t.features].reshape(-1, *t.shape)
        at += t.features
    return found


def _features(format: RowFormat, observations: "Observations") -> NDArray[np.float32]:
    """Return what ``_observations`` takes apart, (N, D)."""
    parts = [observations[t.name].reshape(-1, t.features) for t in format.tensors]
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")
