"""Our games for other libraries: importing this module makes them known to Gymnasium.

    import gymnasium
    import agentd.rl.envs

    gymnasium.register_envs(agentd.rl.envs)
    env = gymnasium.make("agentd/Catch-v0")

or in one string, where a library takes only that: ``agentd.rl.envs:agentd/Catch-v0``. The games
that one agent plays against itself are not among them: an ``Env`` has one side.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from agentd.games import GAMES, Game, Kind, TimeStep

IDS = {
    "agentd/CartPole-v0": "cartpole",
    "agentd/CartPolePositions-v0": "cartpole-positions",
    "agentd/Catch-v0": "catch",
    "agentd/CatchIdle-v0": "catch-idle",
    "agentd/CatchNoise-v0": "catch-noise",
    "agentd/CatchScale-v0": "catch-scale",
    "agentd/ConnectFourRandom-v0": "connect4-random",
    "agentd/ConnectFourSearch-v0": "connect4-search",
    "agentd/ConnectFourSearch4-v0": "connect4-search4",
    "agentd/DeepSea-v0": "deepsea",
    "agentd/DuelScript-v0": "duel-script",
    "agentd/MemoryChain-v0": "memory-chain",
    "agentd/MinAtarBreakout-v0": "minatar-breakout",
    "agentd/MinAtarSpaceInvaders-v0": "minatar-space-invaders",
    "agentd/Snake-v0": "snake",
}
"""The id of each game, and its name in ``games.GAMES``."""

_Step = tuple[NDArray[Any], float, bool, bool, dict[str, Any]]


class GameEnv(gymnasium.Env[NDArray[Any], np.int64]):
    """One stream of a game of ours as a Gymnasium environment; the game has its own time limit.

    In a game with masks ``info["action_mask"]`` (A,) int8 tells the legal actions. Where an illegal
    one is chosen a legal one is drawn and played; ``info["illegal"]`` then is True.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own way

    def __init__(self, game: str, render_mode: str | None = None) -> None:
        """``game`` is a name in ``games.GAMES``. Raises KeyError for another, ValueError for a
        render mode that is not "ansi"."""
        if render_mode not in (None, "ansi"):
            raise ValueError(f'want render_mode "ansi" or None, got {render_mode!r}')
        self.render_mode = render_mode
        self._make: Callable[[np.random.Generator], Game] = partial(GAMES[game], 1)
        spec = self._make(np.random.default_rng(0)).spec
        ((self._part, array),) = spec.observation.items()
        integer = np.issubdtype(np.dtype(array.dtype), np.integer)
        low, high = (0, np.iinfo(array.dtype).max) if integer else (-np.inf, np.inf)
        self.observation_space = Box(low, high, array.shape, np.dtype(array.dtype).type)
        self.action_space = Discrete(spec.actions)
        self._game: Game | None = None
        self._now: TimeStep | None = None  # the rows of the last step
        self._illegal = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode. The same ``seed`` plays the same game; there are no ``options``."""
        super().reset(seed=seed)
        if self._game is None or seed is not None:
            self._game, self._now = self._make(self.np_random), None
        if self._now is None or len(self._now.kind) == 1:
            self._now = self._game.reset()
        self._illegal, row = False, len(self._now.kind) - 1  # behind the row that ended, if any
        self._now = _row(self._now, row)
        return self._now.obs[self._part][0], self._info()

    def step(self, action: np.int64) -> _Step:
        """Play ``action``. Raises ResetNeeded before ``reset`` and after an episode's end, and
        ValueError for an action outside the space."""
        if self._game is None or self._now is None or len(self._now.kind) > 1:
            raise gymnasium.error.ResetNeeded("want reset() before step(): no episode goes on")
        mask = self._now.mask
        self._illegal = mask is not None and int(action) < mask.shape[1] and not mask[0, action]
        if mask is not None and self._illegal:
            action = self.np_random.choice(np.flatnonzero(mask[0]))
        self._now = self._game.step(np.array([action]))
        obs, reward = self._now.obs[self._part][0], float(self._now.reward[0])
        ended = Kind(self._now.kind[0])
        return obs, reward, ended == Kind.TERMINATED, ended == Kind.TRUNCATED, self._info()

    def render(self) -> str | None:
        """Return the stream as lines of text; None without a render mode, and before a reset."""
        return None if self._game is None or self.render_mode is None else self._game.render(0)

    def _info(self) -> dict[str, Any]:
        assert self._now is not None
        if self._now.mask is None:
            return {}
        return {"action_mask": self._now.mask[0].astype(np.int8), "illegal": self._illegal}


def _row(frame: TimeStep, row: int) -> TimeStep:
    """The frame that holds only ``row`` of ``frame``."""
    take = slice(row, row + 1)
    return TimeStep(
        stream=frame.stream[take],
        kind=frame.kind[take],
        reward=frame.reward[take],
        obs={name: rows[take] for name, rows in frame.obs.items()},
        mask=None if frame.mask is None else frame.mask[take],
    )


for _id, _name in IDS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"{__name__}:GameEnv", kwargs={"game": _name})
