"""Six numbers to match: the toy that `bench_learning.py` measures decoupled heads by.

Every step shows six numbers of [-0.8, 0.8] and wants an action as near to them as can be: the
reward is 1 less the mean squared distance, so the best action lies inside its bounds and an agent
of bins gets within their spacing. An episode has 20 steps, 20 is the most. Three bins get 18.3 at
best, five 19.6. Named ``aim_env:Aim-v0`` where this folder is on Python's path.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

NUMBERS, STEPS = 6, 20


class AimEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """See above."""

    observation_space = spaces.Box(-1, 1, (NUMBERS,), np.float32)
    action_space = spaces.Box(-1, 1, (NUMBERS,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._left = STEPS
        return self._show(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        reward = 1.0 - float(np.square(action - self._goal).mean())
        self._left -= 1
        return self._show(), reward, self._left == 0, False, {}

    def _show(self) -> NDArray[np.float32]:
        self._goal = self.np_random.uniform(-0.8, 0.8, NUMBERS).astype(np.float32)
        return self._goal


gymnasium.register("Aim-v0", entry_point=AimEnv)
