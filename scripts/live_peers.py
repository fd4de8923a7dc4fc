"""Stable-Baselines3's DQN in a running game, for `bench_live.py`: in the game's loop and beside it.

``sb3``         `DQN.learn` as its users run it: it acts, the game moves, it trains, in one loop
``sb3_thread``  the game acts in its own thread and a second one trains without a pause

Both have the network, optimizer, schedule and batch of agentd's default, and both may make
``updates`` gradient steps a row; ``train_every`` rows are collected between two trainings. How
long the game waits for an action is counted as `agentd.rl.realtime` counts it for agentd.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from agentd.client.rollout import VectorGame
from agentd.protocol.rows import FIRST, TERMINATED, TRUNCATED
from agentd.rl.realtime import FrameTimes

EXPLORING_ROWS = 3_000
LEARNING_STARTS = 500
BATCH = 128

Check = Callable[[int, Any], bool]
"""Called with the rows played and the model before each row; True ends the run."""


class LiveEnv(gymnasium.Env[np.ndarray, int]):
    """One stream of a game on a clock: a row every 1/``fps`` seconds, or when the caller is ready.

    ``stood`` are seconds in which the game stood still for an evaluation.
    """

    def __init__(self, game: VectorGame, fps: float, times: FrameTimes) -> None:
        self._game, self._period, self._times = game, 1 / fps, times
        (name, (_, shape)), *others = game.spec.observation.items()
        assert not others, "a peer plays games of one tensor"
        assert isinstance(game.spec.actions, int)
        self._name = name
        self.observation_space = Box(-np.inf, np.inf, (int(np.prod(shape)),), np.float32)
        self.action_space = Discrete(game.spec.actions)  # type: ignore[assignment]
        self._frame: Any = None
        self._seen = self._due = time.perf_counter()
        self.returns: list[float] = []
        self._total = 0.0

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin; later episodes begin in the frame that ended the one before."""
        if self._frame is None:
            self._frame = self._game.reset()
            self._seen = self._due = time.perf_counter()
        return self._row(-1), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Wait for the next frame and play the action."""
        now = time.perf_counter()
        self._times.add(now - self._seen)
        self._due += self._period
        if now < self._due:
            time.sleep(self._due - now)
        else:
            self._due = now
        self._frame = self._game.step(np.array([action]))
        self._seen = time.perf_counter()
        kind, reward = int(self._frame.kind[0]), float(self._frame.reward[0])
        self._total += reward
        if kind >= TERMINATED:
            self.returns.append(round(self._total, 3))
            self._total = 0.0
        return self._row(0), reward, kind == TERMINATED, kind == TRUNCATED, {}

    def stand_still(self, work: Callable[[], Any]) -> Any:
        """Do ``work`` while the game's clock stands."""
        began = time.perf_counter()
        found = work()
        pause = time.perf_counter() - began
        self._seen += pause
        self._due += pause
        return found

    def _row(self, at: int) -> np.ndarray:
        return np.asarray(self._frame.obs[self._name][at], np.float32).reshape(-1)


def make_model(env: LiveEnv, seed: int, train_every: int, updates: int) -> Any:
    """Stable-Baselines3's DQN with the settings of agentd's default where it has them."""
    import torch
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=1e-3,
        buffer_size=100_000,
        learning_starts=LEARNING_STARTS,
        batch_size=BATCH,
        tau=0.005,
        target_update_interval=1,
        train_freq=train_every,
        gradient_steps=updates,
        exploration_fraction=1.0,  # of the rows that `set_epsilon` is given
        exploration_final_eps=0.05,
        policy_kwargs={"net_arch": [128, 128]},
        seed=seed,
        device="cpu",
    )


def epsilon(rows: int) -> float:
    """ε after so many rows."""
    return max(0.05, 1.0 - 0.95 * rows / EXPLORING_ROWS)


def learn_inline(model: Any, rows: int, check: Check) -> None:
    """Run `DQN.learn`; ``check`` is called before each row."""
    from stable_baselines3.common.callbacks import BaseCallback

    model.exploration_schedule = lambda left: epsilon(round((1 - left) * rows))

    class Marks(BaseCallback):
        def _on_step(self) -> bool:
            return not check(self.num_timesteps, self.model)

    model.learn(rows, callback=Marks(), log_interval=None)


def learn_beside(model: Any, env: LiveEnv, rows: int, check: Check, max_per_row: float) -> None:
    """Play in this thread while another one trains, at most ``max_per_row`` updates a row."""
    model._setup_learn(rows, None)
    rng, stop = np.random.default_rng(model.seed), threading.Event()
    played = updates = 0

    def train() -> None:
        nonlocal updates
        while not stop.is_set():
            if played > LEARNING_STARTS and updates < max_per_row * (played - LEARNING_STARTS):
                model.train(gradient_steps=1, batch_size=BATCH)
                updates += 1
            else:
                stop.wait(0.001)

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    try:
        obs, _ = env.reset()
        while not check(played, model):
            action = int(model.predict(obs, deterministic=True)[0])
            if rng.random() < epsilon(played):
                action = int(rng.integers(env.action_space.n))
            after, reward, terminated, truncated, info = env.step(action)
            info["TimeLimit.truncated"] = truncated and not terminated
            model.replay_buffer.add(
                obs[None],
                after[None],
                np.array([[action]]),
                np.array([reward]),
                np.array([terminated or truncated]),
                [info],
            )
            obs = env.reset()[0] if terminated or truncated else after
            played += 1
    finally:
        stop.set()
        thread.join()


def greedy_returns(model: Any, game: VectorGame, episodes: int) -> list[float]:
    """Returns of the first ``episodes`` episodes to be begun, played greedily."""
    (name, _), *_ = game.spec.observation.items()
    frame, total, found = game.reset(), np.zeros(game.streams), [[] for _ in range(game.streams)]
    share = -(-episodes // game.streams)
    while min(len(returns) for returns in found) < share:
        for row in range(len(frame.kind)):
            stream = int(frame.stream[row])
            total[stream] += 0.0 if frame.kind[row] == FIRST else float(frame.reward[row])
            if frame.kind[row] >= TERMINATED:
                found[stream].append(total[stream])
                total[stream] = 0.0
        acting = frame.kind < TERMINATED
        obs = np.asarray(frame.obs[name][acting], np.float32).reshape(int(acting.sum()), -1)
        actions = np.zeros(game.streams, np.int32)
        actions[frame.stream[acting]] = model.predict(obs, deterministic=True)[0]
        frame = game.step(actions)
    return [float(value) for returns in found for value in returns[:share]][:episodes]
