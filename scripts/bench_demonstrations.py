#!/usr/bin/env python3
"""Learning from a player: how soon an agent that was shown how plays as well as it can.

    python scripts/bench_demonstrations.py [--tasks mountaincar,lunarlander] [--who shown,alone]

A run is a daemon with one agent and one stream of a Gymnasium environment. A script plays a few
episodes first, as a person would (``taken`` and ``by`` of protocol 2); then the agent plays and
learns. At the task's marks, in rows with those of the script, it plays greedy episodes.
``--who``: ``shown`` learns from the script as the default configuration does; ``rows`` has its
rows in the memory as if they were the agent's own; ``alone`` was shown nothing.

Every finished run is added to ``--results`` at once: the same command again goes on where an
interrupted one stopped. ``--fps 0`` plays as fast as the learner makes eight updates a row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from bench_live import SEED_OF_EVALUATION, greedily, merged, read_results

from agentd.client.rollout import demonstrate, join, play
from agentd.client.takeover import Moment
from agentd.rl.daemon import Daemon
from agentd.rl.games import open_game
from agentd.rl.realtime import FrameTimes, play_realtime
from agentd.rl.tasks import GameSource
from agentd.store import write_file

RESULTS = Path(__file__).parent / "results" / "demonstrations.json"
AGENT = "bench"
FPS = 60.0
UNSHOWN = {"demonstrations": {"share": 0.0, "weight": 0.0, "weight_end": 0.0}}
WHO: dict[str, dict[str, Any]] = {"shown": {}, "rows": UNSHOWN, "alone": {}}
FAST = {"pace": {"mode": "paced", "train_every": 1, "updates": 8}}

Run = dict[str, Any]


def push_on(obs: Any) -> int:
    """Push the way the car rolls: what climbs MountainCar's hill without knowing it."""
    return 2 if obs[1] >= 0 else 0


def land(obs: Any) -> int:
    """Land as Gymnasium's own heuristic does."""
    from gymnasium.envs.box2d.lunar_lander import heuristic

    env: Any = SimpleNamespace(unwrapped=SimpleNamespace(continuous=False))
    return int(heuristic(env, obs))


@dataclass(frozen=True)
class Task:
    """A game, who shows it and how often, when it is looked at (in rows), what is asked there."""

    game: str
    teacher: Callable[[Any], int]
    shown: int
    marks: tuple[int, ...]
    goals: tuple[float | None, ...]
    settings: dict[str, Any] = field(default_factory=dict)  # over the default configuration


TASKS = {
    "mountaincar": Task(
        "gym:MountainCar-v0",
        push_on,
        5,
        (10_000, 20_000),
        (None, -110),
        {"dqn": {"normalize_observations": True}},
    ),
    "lunarlander": Task("gym:LunarLander-v3", land, 20, (15_000, 30_000), (None, 200)),
}


def agent_of(spec: Run) -> dict[str, Any]:
    """Return the agent's section."""
    base = merged(TASKS[spec["task"]].settings, WHO[spec["who"]])
    base = base if spec["fps"] else merged(base, FAST)
    return merged(base, spec["set"]) | {"seed": spec["seed"]}


def run(spec: Run) -> Run:
    """Play one run; the teacher's returns, and the agent's scores at the marks."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = Path(folder) / "daemon.yaml"
        config.write_text(json.dumps({"agents": {AGENT: agent_of(spec)}}), encoding="utf-8")
        with Daemon(Path(folder) / "data", flags=[str(config)]) as daemon:
            return _play(spec, TASKS[spec["task"]], (daemon.host, daemon.port))


def _play(spec: Run, task: Task, address: tuple[str, int]) -> Run:
    def show(moment: Moment) -> int:
        return task.teacher(np.asarray(next(iter(moment.obs.values()))))

    game = open_game(GameSource(task.game), 1, spec["seed"])
    found: Run = {"marks": list(task.marks), "scores": [], "teacher": [], "seconds": []}
    seed, began = SEED_OF_EVALUATION + spec["seed"], time.perf_counter()
    times = FrameTimes(1 / (spec["fps"] or FPS))
    with join(address, AGENT, game) as client:
        if spec["who"] != "alone":
            episodes = demonstrate(client, game, show, task.shown, "script")
            found["teacher"] = [episode.total for episode in episodes]
        shown = client.stats(AGENT).agents[AGENT]["env_steps"]
        turns = play_realtime(client, game, spec["fps"], times) if spec["fps"] else None
        for turn in turns or play(client, game):
            if shown + turn.steps < task.marks[len(found["scores"])]:
                continue
            scores = greedily(spec, address, task.game, seed)
            found["scores"].append(scores.mean)
            found["seconds"].append(round(time.perf_counter() - began, 1))
            if len(found["scores"]) == len(task.marks):
                break
        stats = client.stats(AGENT).agents[AGENT]
    return found | {"shown_rows": shown, "updates": stats["updates"], "late": times.late}


def key(spec: Run) -> str:
    """What makes a run the same run."""
    said = json.dumps([agent_of(spec), spec["fps"], spec["episodes"]], sort_keys=True)
    digest = hashlib.sha256(said.encode()).hexdigest()[:12]
    return f"{spec['task']}/{spec['who']}/{spec['seed']}/{digest}"


def measure(specs: list[Run], path: Path, jobs: int) -> dict[str, Run]:
    """Run what is missing in ``path``, ``jobs`` side by side, each in a process of its own."""
    runs = read_results(path)

    def one(spec: Run) -> None:
        command = [sys.executable, __file__, "--one", json.dumps(spec)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        runs[key(spec)] = found | {"cores": os.cpu_count(), "side_by_side": jobs}
        print(key(spec), found["scores"], file=sys.stderr, flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, (json.dumps(runs, indent=1) + "\n").encode())

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [spec for spec in specs if key(spec) not in runs]))
    return runs


def table(specs: list[Run], runs: dict[str, Run]) -> list[Run]:
    """One row a task, player and mark that has runs."""
    rows = []
    for name, who in dict.fromkeys((spec["task"], spec["who"]) for spec in specs):
        own = [s for s in specs if (s["task"], s["who"]) == (name, who) and key(s) in runs]
        done, task = [runs[key(spec)] for spec in own], TASKS[name]
        shown = [total for found in done for total in found["teacher"]]
        for at, (mark, goal) in enumerate(zip(task.marks, task.goals, strict=True)):
            scores = [found["scores"][at] for found in done]
            if not scores:
                continue
            row = {"task": name, "who": who, "rows": mark, "scores": scores, "goal": goal}
            row |= {"mean": float(np.mean(scores)), "seeds": len(scores)}
            row["reached"] = None if goal is None else sum(score >= goal for score in scores)
            row["teacher"] = float(np.mean(shown)) if shown else None
            rows.append(row)
    return rows


def show_table(rows: list[Run]) -> None:
    """Print the table."""
    print(
        f"{'task':<13}{'who':<8}{'rows':>8}{'seeds':>6}{'mean':>9}{'teacher':>9}{'goal':>7}"
        f"{'reached':>9}"
    )
    for row in rows:
        teacher = "–" if row["teacher"] is None else f"{row['teacher']:.1f}"
        goal = "–" if row["goal"] is None else f"{row['goal']:g}"
        reached = "–" if row["reached"] is None else f"{row['reached']} of {row['seeds']}"
        print(
            f"{row['task']:<13}{row['who']:<8}{row['rows']:>8,}{row['seeds']:>6}"
            f"{row['mean']:>9.1f}{teacher:>9}{goal:>7}{reached:>9}"
        )


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--who", default="shown,alone", help="of " + ", ".join(WHO))
    parser.add_argument("--seeds", default="1..5", help="FIRST..LAST")
    parser.add_argument("--fps", type=float, default=FPS, help="0: as fast as it goes")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--set", default="{}", help="JSON over the agent's settings")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run(json.loads(args.one))))
        return
    tasks, players = args.tasks.split(","), args.who.split(",")
    if unknown := sorted(({*tasks} - TASKS.keys()) | ({*players} - WHO.keys())):
        parser.error(f"there is no {', '.join(unknown)}")
    first, _, last = args.seeds.partition("..")
    common = {"fps": args.fps, "episodes": args.episodes, "set": json.loads(args.set)}
    common |= {"hz": 0.0, "delay": 0}  # as the game is
    specs = [
        {"task": task, "who": who, "seed": seed, **common}
        for task in tasks
        for seed in range(int(first), int(last or first) + 1)
        for who in players
    ]
    rows = table(specs, measure(specs, args.results, args.jobs))
    print(json.dumps({"table": rows, "cores": os.cpu_count()})) if args.json else show_table(rows)


if __name__ == "__main__":
    main()
