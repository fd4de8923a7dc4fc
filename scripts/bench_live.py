#!/usr/bin/env python3
"""Learning in a running game: returns after minutes of play at 60 frames a second, and late frames.

    python scripts/bench_live.py [--tasks cartpole,catch] [--who live,free] [--seeds 5] [--jobs 2]

A run is a daemon with one agent, and one client that plays one stream of the game in wall-clock
time. At the task's marks (in rows) the game stands still and the agent plays greedy episodes.
``--who``: ``live`` is the daemon's default configuration and nothing else; ``free`` and ``paced``
change the pace's mode alone; ``old`` is the default of before; ``preset`` is the bundled preset in
its own pace. ``sb3`` and ``sb3_thread`` are Stable-Baselines3's DQN with agentd's settings, which
trains in the game's loop and in a thread beside it (`live_peers.py`); ``sb3_default`` trains as
often as it does by default, once in four rows.

Every finished run is added to ``--results`` at once: the same command again goes on where an
interrupted one stopped. ``--fps 0`` plays as fast as it can, for modes that wait for the learner.
``--together cartpole,catch,snake,duel`` plays several games at once on one daemon instead, and each
alone before (`live_together`).

``--delay 3`` plays every answer three rows late; ``--set '{"dqn": {"last_actions": 4}}'`` lets the
agent see what is on its way. ``--hz 120`` is CartPole in steps of 1/120 s: marks and returns count
what they would at 60 rows and 50 steps a second, so that rates can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import live_together

from agentd.client.game import VectorGame
from agentd.client.rollout import evaluate, join, play
from agentd.config import dump_yaml, load_preset
from agentd.games.cartpole import MAX_STEPS, TAU, CartPole
from agentd.rl.daemon import Daemon
from agentd.rl.games import open_game
from agentd.rl.realtime import DelayedGame, FrameTimes, play_realtime
from agentd.rl.scores import Scores
from agentd.rl.tasks import GameSource
from agentd.store import write_file

RESULTS = Path(__file__).parent / "results" / "live.json"
SEED_OF_EVALUATION = 1_000_000  # apart from every seed that training derives
AGENT = "bench"
FPS = 60.0
CARTPOLE_HZ = 1 / TAU


@dataclass(frozen=True)
class Task:
    """A game, when it is looked at (in rows), and what is asked of it there."""

    game: str
    marks: tuple[int, ...]
    goals: tuple[float | None, ...]
    evaluation: str = ""  # another game; "" for the same
    wins: bool = False  # the score is the share of episodes with a positive return
    preset: str = ""


TASKS = {
    "cartpole": Task("cartpole", (7_200, 14_400, 36_000), (475, 475, None), preset="cartpole"),
    "catch": Task("catch", (7_200, 36_000), (0.9, None), preset="catch"),
    "snake": Task("snake", (7_200, 36_000), (None, 6), preset="snake"),
    "duel": Task("duel-script", (7_200, 36_000), (None, 0.5), wins=True, preset="duel"),
    "lunarlander": Task("gym:LunarLander-v3", (7_200, 36_000), (None, 150), preset="lunarlander"),
    "acrobot": Task("gym:Acrobot-v1", (7_200, 36_000), (None, None), preset="acrobot"),
}

OLD = {
    "pace": {"mode": "free", "train_every": 4, "updates": 1, "learn_start": 1000},
    "model": {"layers": [{"dense": 128}, "relu", {"dense": 128}, "relu"]},
    "dqn": {"n_step": 1, "target": {"every": 500}},
    "exploration": {"steps": 10000},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "live": {},
    "free": {"pace": {"mode": "free"}},
    "paced": {"pace": {"mode": "paced", "train_every": 1, "updates": 8}},
    "old": OLD,
}

PEERS = {"sb3": (1, 8), "sb3_thread": (1, 8), "sb3_default": (4, 1)}
"""Stable-Baselines3: rows between two trainings, and updates each."""

PLAYERS = [*SETTINGS, "preset", *PEERS]
Run = dict[str, Any]


def agent_of(spec: Run) -> str:
    """Return the agent's section as YAML."""
    if spec["who"] in PEERS:
        return json.dumps([spec["seed"], *PEERS[spec["who"]]])
    if spec["who"] == "preset":
        config = load_preset(TASKS[spec["task"]].preset).agent
        return dump_yaml(config).replace("seed: 0", f"seed: {spec['seed']}", 1)
    return json.dumps(merged(SETTINGS[spec["who"]], spec["set"]) | {"seed": spec["seed"]})


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``, maps merged."""
    both = base.keys() & over.keys()
    deep = {k: merged(base[k], over[k]) for k in both if isinstance(over[k], dict)}
    return {**base, **over, **deep}


def run(spec: Run) -> Run:
    """Play one run; its scores at the marks and the times of its frames."""
    task = TASKS[spec["task"]]
    rate = spec["hz"] / FPS if spec["hz"] else 1.0
    marks = [mark for mark in task.marks if mark <= spec["rows"]] or [spec["rows"]]
    marks = [round(mark * rate) for mark in marks]
    if spec["who"] in PEERS:
        return _play_peer(spec, task, marks)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        config = Path(folder) / "daemon.yaml"
        section = "".join(f"  {line}\n" for line in agent_of(spec).splitlines())
        config.write_text(f"autocreate: true\nagent:\n{section}", encoding="utf-8")
        with Daemon(Path(folder) / "data", flags=[str(config)]) as daemon:
            return _play(spec, task, marks, (daemon.host, daemon.port))


def _play(spec: Run, task: Task, marks: list[int], address: tuple[str, int]) -> Run:
    game = opened(spec, task.game, 1, spec["seed"])
    times = FrameTimes(1 / (spec["fps"] or FPS))
    found: Run = {"marks": marks, "scores": [], "returns": [], "seconds": []}
    seed = SEED_OF_EVALUATION + spec["seed"]
    began, stood = time.perf_counter(), 0.0
    with join(address, AGENT, game, **timing(spec)) as client:
        turns = play_realtime(client, game, spec["fps"], times) if spec["fps"] else None
        for turn in turns or play(client, game):
            found["returns"] += [round(e.total, 3) for e in turn.ended]
            if turn.steps < marks[len(found["scores"])]:
                continue
            pause = time.perf_counter()
            found["seconds"].append(round(pause - began - stood, 1))
            scores = greedily(spec, address, task.evaluation or task.game, seed)
            won = [float(value > 0) for value in scores.values]
            mean = scores.mean * (CARTPOLE_HZ / spec["hz"] if spec["hz"] else 1.0)
            found["scores"].append(sum(won) / len(won) if task.wins else mean)
            stood += time.perf_counter() - pause
            if len(found["scores"]) == len(marks):
                break
        stats = client.stats(AGENT).agents[AGENT]
    found["updates"] = stats["updates"]
    found["frames"] = frames_of(times)
    return found


def _play_peer(spec: Run, task: Task, marks: list[int]) -> Run:
    """Play one run of Stable-Baselines3, which must be installed (the extra ``bench``)."""
    from live_peers import LiveEnv, greedy_returns, learn_beside, learn_inline, make_model

    times = FrameTimes(1 / (spec["fps"] or FPS))
    env = LiveEnv(open_game(GameSource(task.game), 1, spec["seed"]), spec["fps"] or FPS, times)
    train_every, updates = PEERS[spec["who"]]
    model = make_model(env, spec["seed"], train_every, updates)
    found: Run = {"marks": marks, "scores": [], "seconds": []}
    began, stood = time.perf_counter(), 0.0

    def look(rows: int, model: Any) -> bool:
        nonlocal stood
        if rows < marks[len(found["scores"])]:
            return False
        pause = time.perf_counter()
        found["seconds"].append(round(pause - began - stood, 1))
        name, episodes = task.evaluation or task.game, spec["episodes"]
        game = open_game(
            GameSource(name), min(episodes, 32), SEED_OF_EVALUATION + int(spec["seed"])
        )
        scores = env.stand_still(lambda: greedy_returns(model, game, episodes))
        won = [float(value > 0) for value in scores] if task.wins else scores
        found["scores"].append(sum(won) / len(won))
        stood += time.perf_counter() - pause
        return len(found["scores"]) == len(marks)

    if spec["who"] == "sb3_thread":
        learn_beside(model, env, marks[-1], look, updates)
    else:
        learn_inline(model, marks[-1], look)
    found["returns"], found["updates"] = env.returns, model._n_updates
    found["frames"] = frames_of(times)
    return found


def frames_of(times: FrameTimes) -> Run:
    """The times of the frames, for the results."""
    return {
        "count": times.frames,
        "late": times.late,
        "longest_ms": round(times.longest_s * 1e3, 2),
        "p50_ms": round(times.histogram.quantile(0.5) * 1e3, 3),
        "p99_ms": round(times.histogram.quantile(0.99) * 1e3, 3),
    }


def opened(spec: Run, name: str, streams: int, seed: int) -> VectorGame:
    """Return the game as the run wants it: at its rate, with its delay."""
    game = open_game(GameSource(name), streams, seed)
    if spec["hz"]:
        assert isinstance(game, CartPole)
        game.tau, game.longest = 1 / spec["hz"], round(MAX_STEPS * spec["hz"] / CARTPOLE_HZ)
    return DelayedGame(game, spec["delay"]) if spec["delay"] else game


def timing(spec: Run) -> dict[str, float]:
    """What a client says of its frames' rate, where the run has one of its own."""
    return {"dt_ms": 1000 / spec["hz"]} if spec["hz"] else {}


def greedily(spec: Run, address: tuple[str, int], name: str, seed: int) -> Scores:
    """Play episodes with role eval; nothing of them is learned."""
    episodes = spec["episodes"]
    game = opened(spec, name, min(episodes, 32), seed)
    with join(address, AGENT, game, role="eval", **timing(spec)) as client:
        return Scores(tuple(float(total) for total in evaluate(client, game, episodes).totals))


def key(spec: Run) -> str:
    """What makes a run the same run."""
    asked = {k: spec[k] for k in ("set", "fps", "episodes", "rows")}
    asked |= {k: spec[k] for k in ("delay", "hz") if spec[k]}
    said = json.dumps(asked, sort_keys=True)
    digest = hashlib.sha256((said + spec["label"] + agent_of(spec)).encode()).hexdigest()[:12]
    return f"{spec['task']}/{spec['who']}{spec['label']}/{spec['seed']}/{digest}"


def read_results(path: Path) -> dict[str, Run]:
    """The runs done so far; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def measure(specs: list[Run], path: Path, jobs: int) -> dict[str, Run]:
    """Run what is missing in ``path``, ``jobs`` side by side, each in a process of its own."""
    runs = read_results(path)

    def one(spec: Run) -> None:
        command = [sys.executable, __file__, "--one", json.dumps(spec)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        runs[key(spec)] = found | {"cores": os.cpu_count(), "side_by_side": jobs}
        print(key(spec), found["scores"], found["frames"], file=sys.stderr, flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, (json.dumps(runs, indent=1) + "\n").encode())

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [spec for spec in specs if key(spec) not in runs]))
    return runs


def table(specs: list[Run], runs: dict[str, Run]) -> list[Run]:
    """One row a task, player and mark that has runs."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for spec in specs:
        if key(spec) in runs:
            who = spec["who"] + spec["label"]
            groups.setdefault((spec["task"], who), []).append(runs[key(spec)])
    found = []
    for (task, who), done in groups.items():
        for at, mark in enumerate(done[0]["marks"]):
            scores = Scores(tuple(run["scores"][at] for run in done))
            goals = zip(TASKS[task].marks, TASKS[task].goals, strict=True)
            goal = dict(goals).get(round(mark * FPS / (specs[0]["hz"] or FPS)))
            reached = None if goal is None else sum(value >= goal for value in scores.values)
            row = {"task": task, "who": who, "rows": mark, "seeds": len(done)}
            row |= {"scores": [round(value, 3) for value in scores.values]}
            row |= {"mean": scores.mean, "std": scores.std, "goal": goal, "reached": reached}
            late = sorted(run["frames"]["late"] for run in done)
            row |= {"late": late, "p99_ms": [run["frames"]["p99_ms"] for run in done]}
            row |= {"updates": [run["updates"] for run in done]}
            found.append(row)
    return found


def show(rows: list[Run]) -> None:
    """Print the table."""
    print(
        f"{'task':<13}{'who':<26}{'rows':>8}{'seeds':>6}{'mean':>9}{'±':>8}{'goal':>7}"
        f"{'reached':>9}{'late frames':>13}{'worst p99':>11}"
    )
    for row in rows:
        goal = "–" if row["goal"] is None else f"{row['goal']:g}"
        reached = "–" if row["reached"] is None else f"{row['reached']} of {row['seeds']}"
        print(
            f"{row['task']:<13}{row['who']:<26}{row['rows']:>8,}{row['seeds']:>6}"
            f"{row['mean']:>9.2f}{row['std']:>8.2f}{goal:>7}{reached:>9}"
            f"{row['late'][len(row['late']) // 2]:>13}{max(row['p99_ms']):>8.2f} ms"
        )


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default="cartpole,catch,snake,duel,lunarlander")
    parser.add_argument("--who", default="live", help="of " + ", ".join(PLAYERS))
    parser.add_argument("--seeds", default="1..5", help="FIRST..LAST")
    parser.add_argument("--rows", type=int, default=36_000, help="leave later marks out")
    parser.add_argument("--fps", type=float, default=FPS, help="0: as fast as it goes")
    parser.add_argument("--delay", type=int, default=0, help="rows until an answer is played")
    parser.add_argument("--hz", type=float, default=0.0, help="steps a second of CartPole's time")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--set", default="{}", help="JSON over the agent's settings")
    parser.add_argument("--label", default="", help="name of what --set tries")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--together", help="games that play at once on one daemon")
    parser.add_argument("--seconds", type=float, default=60.0, help="of --together, each")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--player", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run(json.loads(args.one))))
        return
    if args.player:
        print(json.dumps(live_together.play_one(json.loads(args.player))))
        return
    if args.together:
        if unknown := sorted({*args.together.split(",")} - TASKS.keys()):
            parser.error(f"there is no {', '.join(unknown)}")
        games = {name: TASKS[name].game for name in args.together.split(",")}
        found = live_together.compare(games, args.fps or FPS, args.seconds)
        print(json.dumps(found)) if args.json else live_together.show(found)
        return
    tasks, players = args.tasks.split(","), args.who.split(",")
    if unknown := sorted({*tasks} - TASKS.keys() | {*players} - {*PLAYERS}):
        parser.error(f"there is no {', '.join(unknown)}")
    if args.hz and tasks != ["cartpole"]:
        parser.error("--hz is for --tasks cartpole")
    if args.delay < 0 or args.hz < 0:
        parser.error("--delay and --hz are not negative")
    first, _, last = args.seeds.partition("..")
    common = {"rows": args.rows, "fps": args.fps, "episodes": args.episodes}
    label = args.label and f"-{args.label}"
    label += f"-late{args.delay}" if args.delay else ""
    label += f"-{args.hz:g}hz" if args.hz else ""
    common |= {"delay": args.delay, "hz": args.hz, "set": json.loads(args.set), "label": label}
    specs = [
        {"task": task, "who": who, "seed": seed, **common}
        for task in tasks
        for seed in range(int(first), int(last or first) + 1)
        for who in players
    ]
    rows = table(specs, measure(specs, args.results, args.jobs))
    if args.json:
        setting = {"cores": os.cpu_count(), "python": platform.python_version()}
        print(json.dumps({"table": rows, "setting": setting}))
    else:
        show(rows)


if __name__ == "__main__":
    main()
