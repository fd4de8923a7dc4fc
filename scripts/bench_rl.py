#!/usr/bin/env python3
"""Environment steps a second while learning CartPole-v1: agentd over TCP, Stable-Baselines3, torch.

    python scripts/bench_rl.py [--steps 20000] [--rounds 3] [--json]      needs the bench extra

The same settings for all three: the RL Zoo's for CartPole (256-256, batch 64, Adam 2.3e-3, 128
updates after every 256 steps, hard target every 10 updates, γ 0.99, ε 1 → 0.04) and one
environment. agentd plays as a user's game would: the daemon, its learner process and a client that
speaks TCP. The third is a CleanRL-style loop: one file of torch, no framework. They take turns,
``--rounds`` times; medians are reported. Torch runs with the better of one and two threads.
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
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # each library picks the kernels for this processor

import numpy as np

LR, BATCH, START, EVERY, UPDATES, TARGET_EVERY = 2.3e-3, 64, 1_000, 256, 128, 10
BUFFER, GAMMA, EPSILON, EXPLORE, WIDTH = 100_000, 0.99, 0.04, 0.16, 256


def agent_config(steps: int, seed: int, mode: str) -> dict[str, Any]:
    """The settings above as an agent's configuration."""
    return {
        "learner": "dqn",
        "seed": seed,
        "model": {"layers": [{"dense": WIDTH}, "relu", {"dense": WIDTH}, "relu"]},
        "optimizer": {"name": "adam", "lr": LR},
        "loss": "huber",
        "dqn": {
            "gamma": GAMMA,
            "double": False,
            "batch": BATCH,
            "target": {"every": TARGET_EVERY},
            "clip_norm": 10.0,
        },
        "replay": {"capacity": BUFFER},
        "pace": {"mode": mode, "learn_start": START, "train_every": EVERY, "updates": UPDATES},
        "exploration": {"start": 1.0, "end": EPSILON, "steps": int(EXPLORE * steps)},
        "checkpoint": {"every_seconds": None},
    }


def ours(steps: int, seed: int, mode: str) -> dict[str, float]:
    """A daemon, one client, one CartPole; paced, so that every update is really made."""
    from agentd.client import Client
    from games import make

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "-q"]
        daemon = subprocess.Popen(
            [*command, "--data-dir", folder], stdout=subprocess.PIPE, text=True
        )
        try:
            assert daemon.stdout is not None
            address = daemon.stdout.readline().rsplit(" ", 1)[1].strip()
            game = make("cartpole", streams=1, seed=seed)
            spec = game.spec
            with Client.connect(address, role="admin") as admin:
                admin.create("bench", agent_config(steps, seed, mode))
            with Client.connect(
                address, "bench", spec.observation, spec.actions, role="train", streams=1
            ) as client:
                frame = game.reset()
                done, first = 0, time.perf_counter()
                while done < steps:
                    act = client.step(frame.obs, frame.reward, frame.kind, frame.stream)
                    frame = game.step(act.actions[frame.kind < 2])
                    done += 1
                elapsed = time.perf_counter() - first
                stats = client.stats("bench").agents["bench"]
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)
    return {"steps_per_second": steps / elapsed, "updates": stats["updates"]}


def stable_baselines(steps: int, seed: int) -> dict[str, float]:
    """Stable-Baselines3's DQN."""
    import gymnasium
    from stable_baselines3 import DQN

    env = gymnasium.make("CartPole-v1")
    model = DQN(
        "MlpPolicy",
        env,
        learning_rate=LR,
        batch_size=BATCH,
        buffer_size=BUFFER,
        learning_starts=START,
        gamma=GAMMA,
        target_update_interval=TARGET_EVERY,
        train_freq=EVERY,
        gradient_steps=UPDATES,
        exploration_fraction=EXPLORE,
        exploration_final_eps=EPSILON,
        policy_kwargs={"net_arch": [WIDTH, WIDTH]},
        seed=seed,
        device="cpu",
    )
    first = time.perf_counter()
    model.learn(steps)
    return {"steps_per_second": steps / (time.perf_counter() - first), "updates": model._n_updates}


def torch_loop(steps: int, seed: int) -> dict[str, float]:
    """One plain loop of torch and NumPy, in the manner of CleanRL's dqn.py."""
    import gymnasium
    import torch
    from torch import nn

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env = gymnasium.make("CartPole-v1")
    layers = [nn.Linear(4, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(WIDTH, 2))
    target = nn.Sequential(
        *[nn.Linear(4, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2)]
    )
    target.load_state_dict(net.state_dict())
    optimizer = torch.optim.Adam(net.parameters(), lr=LR, fused=True)
    s = np.zeros((BUFFER, 4), np.float32)
    s_next = np.zeros((BUFFER, 4), np.float32)
    a = np.zeros(BUFFER, np.int64)
    r = np.zeros(BUFFER, np.float32)
    d = np.zeros(BUFFER, np.float32)
    obs, _ = env.reset(seed=seed)
    updates, first = 0, time.perf_counter()
    for t in range(steps):
        epsilon = max(EPSILON, 1 - (1 - EPSILON) * t / (EXPLORE * steps))
        if rng.random() < epsilon:
            action = int(rng.integers(2))
        else:
            with torch.no_grad():
                action = int(net(torch.from_numpy(obs)[None]).argmax())
        after, reward, terminated, truncated, _ = env.step(action)
        at = t % BUFFER
        s[at], s_next[at], a[at], r[at], d[at] = obs, after, action, reward, terminated
        obs = env.reset()[0] if terminated or truncated else after
        if t + 1 >= START and (t + 1) % EVERY == 0:
            for _ in range(UPDATES):
                pick = rng.integers(0, min(t + 1, BUFFER), BATCH)
                with torch.no_grad():
                    best = target(torch.from_numpy(s_next[pick])).max(1).values
                    goal = torch.from_numpy(r[pick]) + GAMMA * best * torch.from_numpy(1 - d[pick])
                q = net(torch.from_numpy(s[pick])).gather(1, torch.from_numpy(a[pick])[:, None])
                loss = nn.functional.smooth_l1_loss(q[:, 0], goal)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 10.0)
                optimizer.step()
                updates += 1
                if updates % TARGET_EVERY == 0:
                    target.load_state_dict(net.state_dict())
    return {"steps_per_second": steps / (time.perf_counter() - first), "updates": updates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # measured: faster than 2 for this network
    contestants = {
        "agentd paced": lambda seed: ours(args.steps, seed, "paced"),
        "agentd free": lambda seed: ours(args.steps, seed, "free"),
        "stable-baselines3": lambda seed: stable_baselines(args.steps, seed),
        "torch loop": lambda seed: torch_loop(args.steps, seed),
    }
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
        "paced_over_sb3": round(speed["agentd paced"] / speed["stable-baselines3"], 2),
        "paced_over_torch": round(speed["agentd paced"] / speed["torch loop"], 2),
        "setting": {
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
