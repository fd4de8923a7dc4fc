#!/usr/bin/env python3
"""The reference DQN of MinAtar's authors, written again with torch, to be measured beside ours.

    python scripts/minatar_dqn.py [--game Breakout] [--frames 20000] [--seed 1] [--json]

Young & Tian 2019, "MinAtar: An Atari-Inspired Testbed" (arXiv:1903.03176); their examples/dqn.py
gives the numbers: 16 filters of 3x3, 128 units, batch 32 from the last 100,000 frames, one update a
frame after 5,000, centred RMSProp with momentum, Huber's loss, a hard target every 1,000 updates, ε
from 1 to 0.1 over 100,000 frames. The replay holds plain arrays instead of a list of tensors, which
is faster than theirs and learns the same. ``bench_learning.py`` runs it as the peer of ``minatar``.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

BATCH, CAPACITY, START, TARGET_EVERY = 32, 100_000, 5_000, 1_000
GAMMA, LAST_EPSILON, EXPLORE = 0.99, 0.1, 100_000


def open_game(game: str) -> Any:
    """MinAtar's ``game`` with the actions that do something, as `agentd rl train` plays it."""
    import logging

    import gymnasium

    logging.disable(logging.WARNING)
    from minatar.gym import register_envs

    logging.disable(logging.NOTSET)
    if f"MinAtar/{game}-v1" not in gymnasium.registry:
        register_envs()
    return gymnasium.make(f"MinAtar/{game}-v1")


def network(channels: int, actions: int) -> Any:
    """The authors' Q-network over (B, C, 10, 10)."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(channels, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 8 * 8, 128),
        nn.ReLU(),
        nn.Linear(128, actions),
    )


class Replay:
    """The last ``CAPACITY`` transitions."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.state = np.zeros((CAPACITY, *shape), np.bool_)
        self.after = np.zeros((CAPACITY, *shape), np.bool_)
        self.action = np.zeros(CAPACITY, np.int64)
        self.reward = np.zeros(CAPACITY, np.float32)
        self.goes_on = np.zeros(CAPACITY, np.float32)
        self.count = 0

    def add(self, state: Any, action: int, reward: float, after: Any, over: bool) -> None:
        at = self.count % CAPACITY
        self.state[at], self.after[at] = state, after
        self.action[at], self.reward[at], self.goes_on[at] = action, reward, not over
        self.count += 1


def learn(replay: Replay, rng: np.random.Generator, net: Any, target: Any, optimizer: Any) -> None:
    """One update of ``net``, in place."""
    import torch
    from torch.nn.functional import smooth_l1_loss

    pick = rng.choice(min(replay.count, CAPACITY), BATCH, replace=False, shuffle=False)
    with torch.no_grad():
        best = target(planes(replay.after[pick])).max(1).values
        goal = torch.from_numpy(replay.reward[pick])
        goal = goal + GAMMA * best * torch.from_numpy(replay.goes_on[pick])
    q = net(planes(replay.state[pick]))
    chosen = q.gather(1, torch.from_numpy(replay.action[pick])[:, None])[:, 0]
    optimizer.zero_grad()
    smooth_l1_loss(chosen, goal).backward()
    optimizer.step()


def planes(states: np.ndarray) -> Any:
    """States (B, 10, 10, C) as torch wants them."""
    import torch

    return torch.from_numpy(states).permute(0, 3, 1, 2).float()


def train(game: str, frames: int, seed: int) -> tuple[Any, float]:
    """Return the network after ``frames`` frames, and frames a second."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # RMSProp's averages decay to such numbers, which cost a third
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env = open_game(game)
    shape, actions = env.observation_space.shape, int(env.action_space.n)
    net, target = (network(shape[-1], actions) for _ in range(2))
    target.load_state_dict(net.state_dict())
    optimizer = torch.optim.RMSprop(
        net.parameters(), lr=2.5e-4, alpha=0.95, centered=True, eps=0.01, momentum=0.95
    )
    replay = Replay(shape)
    state, _ = env.reset(seed=seed)
    updates, began = 0, time.perf_counter()
    for frame in range(frames):
        share = min(1.0, max(0, frame - START) / EXPLORE)
        if rng.random() < 1 + (LAST_EPSILON - 1) * share:
            action = int(rng.integers(actions))
        else:
            with torch.no_grad():
                action = int(net(planes(state[None])).argmax())
        after, reward, over, _, _ = env.step(action)
        replay.add(state, action, float(reward), after, over)
        state = env.reset()[0] if over else after
        if replay.count > START:
            learn(replay, rng, net, target, optimizer)
            updates += 1
            if updates % TARGET_EVERY == 0:
                target.load_state_dict(net.state_dict())
    return net, frames / (time.perf_counter() - began)


def play(net: Any, game: str, episodes: int, seed: int) -> list[float]:
    """Returns of ``episodes`` greedy episodes."""
    import torch

    env = open_game(game)
    returns = []
    for episode in range(episodes):
        state, _ = env.reset(seed=seed if episode == 0 else None)
        total, over = 0.0, False
        while not over:
            with torch.no_grad():
                action = int(net(planes(state[None])).argmax())
            state, reward, over, _, _ = env.step(action)
            total += float(reward)
        returns.append(total)
    return returns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--game", default="Breakout")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    net, speed = train(args.game, args.frames, args.seed)
    returns = play(net, args.game, args.episodes, args.seed + 1_000_000)
    mean = sum(returns) / len(returns)
    if args.json:
        print(json.dumps({"greedy_mean": mean, "env_steps_per_second": round(speed, 1)}))
    else:
        print(f"{args.game}: greedy {mean:.2f}, {args.frames:,} frames, {speed:,.0f} frames/s")


if __name__ == "__main__":
    main()
