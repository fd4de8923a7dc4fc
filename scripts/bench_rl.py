#!/usr/bin/env python3
"""Environment steps a second while learning CartPole: agentd over TCP, Stable-Baselines3, torch.

    python scripts/bench_rl.py [--settings preset|zoo] [--steps 16000] [--rounds 3] [--json]

Needs the bench extra. Everyone learns with the same settings: those of our cartpole preset (8
environments, 128-128, batch 128, 32 updates every 128 steps, 5-step returns), or the RL Zoo's for
CartPole (1 environment, 256-256, batch 64, 128 updates every 256 steps). agentd plays as a user's
game would: the daemon, its learner process and a client that speaks TCP. Its time ends when the
last update that is due has been made, so nothing is left owing. agentd's pace counts rows, of which
an episode has one more than steps (its last observation); a run before the first round counts how
many rows a step makes, and the pace is stretched by that, so that everyone makes the same updates
for each environment step. The torch loop is one file in the manner of CleanRL, with one
environment, so it takes part in zoo only. They take turns ``--rounds`` times; medians are reported.
Torch runs on one thread: measured, two are slower here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # each library picks the kernels for this processor

import numpy as np


@dataclass(frozen=True)
class Settings:
    """What all contestants share."""

    streams: int
    width: int
    lr: float
    batch: int
    start: int
    every: int  # environment steps between bursts of updates
    updates: int
    target_every: int
    n_step: int
    epsilon: float
    explore: int  # steps until ε is at its end
    double: bool
    buffer: int = 100_000
    gamma: float = 0.99


SETTINGS = {
    "preset": Settings(8, 128, 2.3e-3, 128, 1_000, 128, 32, 100, 5, 0.04, 8_000, double=True),
    "zoo": Settings(1, 256, 2.3e-3, 64, 1_000, 256, 128, 10, 1, 0.04, 8_000, double=False),
}


def agent_config(s: Settings, seed: int, rows_per_step: float = 1.0) -> dict[str, Any]:
    """The settings as an agent's configuration; ``rows_per_step`` turns steps into rows."""
    return {
        "learner": "dqn",
        "seed": seed,
        "model": {"layers": [{"dense": s.width}, "relu", {"dense": s.width}, "relu"]},
        "optimizer": {"name": "adam", "lr": s.lr},
        "loss": "huber",
        "dqn": {
            "gamma": s.gamma,
            "n_step": s.n_step,
            "double": s.double,
            "batch": s.batch,
            "target": {"every": s.target_every},
            "clip_norm": 10.0,
        },
        "replay": {"capacity": s.buffer},
        "pace": {
            "mode": "paced",  # every due update is made
            "learn_start": round(s.start * rows_per_step),
            "train_every": round(s.every * rows_per_step),
            "updates": s.updates,
        },
        "exploration": {"start": 1.0, "end": s.epsilon, "steps": s.explore},
        "checkpoint": {"every_seconds": None},
    }


def ours(s: Settings, steps: int, seed: int, rows_per_step: float = 1.0) -> dict[str, float]:
    """A daemon, its learner, and a client with CartPole; until the last due update is made."""
    config = agent_config(s, seed, rows_per_step)
    start, every = config["pace"]["learn_start"], config["pace"]["train_every"]
    from agentd.client import Client
    from agentd.games import make

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "-q"]
        daemon = subprocess.Popen(
            [*command, "--data-dir", folder], stdout=subprocess.PIPE, text=True
        )
        try:
            assert daemon.stdout is not None
            address = daemon.stdout.readline().rsplit(" ", 1)[1].strip()
            game = make("cartpole", streams=s.streams, seed=seed)
            spec = game.spec
            with Client.connect(address, role="admin") as admin:
                admin.create("bench", config)
            with Client.connect(
                address, "bench", spec.observation, spec.actions, role="train", streams=s.streams
            ) as client:
                frame = game.reset()
                done, rows, first = 0, 0, time.perf_counter()
                while done < steps:
                    act = client.step(frame.obs, frame.reward, frame.kind, frame.stream)
                    rows += len(frame.kind)
                    frame = game.step(act.actions[frame.kind < 2])
                    done += s.streams
                due = (rows - start) // every + 1
                while (made := client.stats("bench").agents["bench"]["updates"]) < due * s.updates:
                    time.sleep(0.005)
                elapsed = time.perf_counter() - first
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)
    return {"steps_per_second": done / elapsed, "updates": made, "rows_per_step": rows / done}


def stable_baselines(s: Settings, steps: int, seed: int) -> dict[str, float]:
    """Stable-Baselines3's DQN."""
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_vec_env

    model = DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=s.streams, seed=seed),
        learning_rate=s.lr,
        batch_size=s.batch,
        buffer_size=s.buffer,
        learning_starts=s.start,
        gamma=s.gamma,
        n_steps=s.n_step,
        target_update_interval=s.target_every * s.every // s.updates,
        train_freq=s.every // s.streams,
        gradient_steps=s.updates,
        exploration_fraction=s.explore / steps,
        exploration_final_eps=s.epsilon,
        policy_kwargs={"net_arch": [s.width, s.width]},
        seed=seed,
        device="cpu",
    )
    first = time.perf_counter()
    model.learn(steps)  # whole periods: up to one more than asked for
    elapsed = time.perf_counter() - first
    return {"steps_per_second": model.num_timesteps / elapsed, "updates": model._n_updates}


def torch_loop(s: Settings, steps: int, seed: int) -> dict[str, float]:
    """One plain loop of torch and NumPy, in the manner of CleanRL's dqn.py."""
    import gymnasium
    import torch
    from torch import nn

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env = gymnasium.make("CartPole-v1")
    layers = [nn.Linear(4, s.width), nn.ReLU(), nn.Linear(s.width, s.width), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(s.width, 2))
    target = nn.Sequential(
        *[
            nn.Linear(4, s.width),
            nn.ReLU(),
            nn.Linear(s.width, s.width),
            nn.ReLU(),
            nn.Linear(s.width, 2),
        ]
    )
    target.load_state_dict(net.state_dict())
    optimizer = torch.optim.Adam(net.parameters(), lr=s.lr, fused=True)
    x, after_x = np.zeros((2, s.buffer, 4), np.float32)
    a = np.zeros(s.buffer, np.int64)
    r, d = np.zeros((2, s.buffer), np.float32)
    obs, _ = env.reset(seed=seed)
    updates, first = 0, time.perf_counter()
    for t in range(steps):
        epsilon = max(s.epsilon, 1 - (1 - s.epsilon) * t / s.explore)
        if rng.random() < epsilon:
            action = int(rng.integers(2))
        else:
            with torch.no_grad():
                action = int(net(torch.from_numpy(obs)[None]).argmax())
        after, reward, terminated, truncated, _ = env.step(action)
        at = t % s.buffer
        x[at], after_x[at], a[at], r[at], d[at] = obs, after, action, reward, terminated
        obs = env.reset()[0] if terminated or truncated else after
        if t + 1 >= s.start and (t + 1) % s.every == 0:
            for _ in range(s.updates):
                pick = rng.integers(0, min(t + 1, s.buffer), s.batch)
                with torch.no_grad():
                    best = target(torch.from_numpy(after_x[pick])).max(1).values
                    goal = torch.from_numpy(r[pick]) + s.gamma * best * torch.from_numpy(
                        1 - d[pick]
                    )
                q = net(torch.from_numpy(x[pick])).gather(1, torch.from_numpy(a[pick])[:, None])
                loss = nn.functional.smooth_l1_loss(q[:, 0], goal)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 10.0)
                optimizer.step()
                updates += 1
                if updates % s.target_every == 0:
                    target.load_state_dict(net.state_dict())
    return {"steps_per_second": steps / (time.perf_counter() - first), "updates": updates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", choices=sorted(SETTINGS), default="preset")
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # measured: faster than 2 for this network
    shared = SETTINGS[args.settings]
    rows_per_step = ours(shared, args.steps, args.rounds)["rows_per_step"]
    contestants = {
        "agentd": lambda seed: ours(shared, args.steps, seed, rows_per_step),
        "stable-baselines3": lambda seed: stable_baselines(shared, args.steps, seed),
    }
    if shared.streams == 1:
        contestants["torch loop"] = lambda seed: torch_loop(shared, args.steps, seed)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for seed in range(args.rounds):
        for name, play in contestants.items():
            runs[name].append(play(seed))
            print(f"round {seed + 1} {name}: {runs[name][-1]}", file=sys.stderr)
    table = {
        name: {
            "steps_per_second": round(statistics.median(r["steps_per_second"] for r in found), 1),
            "updates": statistics.median(r["updates"] for r in found),
        }
        for name, found in runs.items()
    }
    speed = {name: row["steps_per_second"] for name, row in table.items()}
    result = {
        "table": table,
        "agentd_over_sb3": round(speed["agentd"] / speed["stable-baselines3"], 2),
        "setting": {
            **asdict(shared),
            "steps": args.steps,
            "rounds": args.rounds,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
    if args.json:
        print(json.dumps(result))
        return
    for name, row in table.items():
        rate, ratio = row["steps_per_second"], row["steps_per_second"] / speed["stable-baselines3"]
        print(
            f"{name:18} {rate:>9,.0f} steps/s  {ratio:5.2f} x sb3  {row['updates']:>8,.0f} updates"
        )


if __name__ == "__main__":
    main()
