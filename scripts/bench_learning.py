#!/usr/bin/env python3
"""What the presets learn: a table of ours and the peer's figure, task by task, over several seeds.

    python scripts/bench_learning.py [--tasks cartpole,acrobot] [--seeds 5] [--peers cheap] [--json]

Ours is what a user would run: ``agentd rl train --preset NAME --seed S`` (daemon, learner process
and game clients, over TCP), then ``agentd rl eval`` of the saved agent on episodes that no training
run and no stopping rule has seen. A task's score is each seed's mean over those episodes; mean,
median and interquartile mean with its 95 % bootstrap interval are over the seeds. The peer's figure
is a published one, with its source, or Stable-Baselines3's DQN with the RL Zoo's settings in the
same run, seed by seed (``--peers cheap|all``); for MinAtar the DQN of its authors
(``minatar_dqn.py``).

Every finished run is added to ``--results`` at once: the same command again goes on where an
interrupted one stopped, and runs only what is missing. A run counts as done for the same preset,
seed and number of steps; ``--again`` measures anew.
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
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from learning_tasks import ABLATIONS, TASKS, Measure, Task

from agentd.client.rollout import join
from agentd.config import load_preset
from agentd.protocol.rows import FIRST, MID
from agentd.rl.daemon import Daemon
from agentd.rl.games import open_game
from agentd.rl.scores import Scores
from agentd.rl.tasks import GameSource
from agentd.store import write_file

RESULTS = Path(__file__).parent / "results" / "learning.json"
AGENT = "bench"
SEED_OF_EVALUATION = 1_000_000  # apart from every seed that training derives

ALL = TASKS | ABLATIONS

Run = dict[str, Any]


def ours(task: Task, seed: int) -> Run:
    """Train a preset over TCP, then evaluate what was saved."""
    return _train(task, seed, "agentd")


def without(task: Task, seed: int) -> Run:
    """The same without the improvement that an ablation is about."""
    return _train(task, seed, "without")


def training_words(task: Task, who: str) -> tuple[str, ...]:
    """``agentd rl train`` of a task, without seed, agent and folder."""
    settings = task.settings + (task.without if who == "without" else ())
    words = ["--preset", task.preset, *(("--env", task.game) if task.game else ())]
    words += [word for setting in settings for word in ("--set", setting)]
    words += ["--steps", str(task.steps), "--keep-going"] if task.steps else []
    return tuple(words)


def _train(task: Task, seed: int, who: str) -> Run:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        where = ("--data-dir", folder, "--agent", AGENT)
        trained = _agentd("train", *training_words(task, who), "--seed", str(seed), *where)
        if trained["interrupted"]:
            raise KeyboardInterrupt
        return _evaluate(task, seed, Path(folder), trained)


def _evaluate(task: Task, seed: int, folder: Path, trained: dict[str, Any]) -> Run:
    """Play what was trained on episodes that no run has seen."""
    where = ("--data-dir", str(folder), "--agent", AGENT)
    other = ("--env", task.game) if task.game else ()
    numbers = ("--episodes", str(task.episodes), "--seed", str(SEED_OF_EVALUATION + seed))
    scores = []
    for measure in task.measures:
        if measure.bias:
            scores.append(bias(folder, task, measure, seed))
            continue
        game = ("--env", measure.game) if measure.game else other
        found = _agentd("eval", *where, *(game or ("--preset", task.preset)), *numbers)
        scores.append(measure.score(found["returns"]))
    return {
        "scores": scores,
        "steps": trained["env_steps"],
        "steps_per_second": trained["env_steps_per_second"],
    }


def bias(folder: Path, task: Task, measure: Measure, seed: int) -> float:
    """How far the values of the first states exceed the discounted return that follows them.

    The mean over ``task.episodes`` greedy episodes; 0 for an agent that knows what it will get.
    """
    preset = load_preset(task.preset)
    streams = task.episodes
    game = open_game(
        GameSource(measure.game or preset.play.game), streams, SEED_OF_EVALUATION + seed
    )
    values, returns, weight = np.zeros(streams), np.zeros(streams), np.ones(streams)
    actions, first = np.zeros(streams, np.int32), True
    with (
        Daemon(folder) as daemon,
        join((daemon.host, daemon.port), AGENT, game, role="eval", explain=True) as client,
    ):
        frame = game.reset()
        while weight.any():
            act = client.step(frame.obs, frame.reward, frame.kind, frame.stream, frame.mask)
            if first:
                assert act.q is not None, "explain asks for the values"
                values[frame.stream], first = act.q.max(axis=1), False
            actions[frame.stream] = act.actions
            frame = game.step(actions)
            played = frame.kind != FIRST
            stream, kind = frame.stream[played], frame.kind[played]
            returns[stream] += weight[stream] * frame.reward[played]
            weight[stream] *= np.where(kind == MID, preset.agent.dqn.gamma, 0.0)
    return float((values - returns).mean())


def stable_baselines(task: Task, seed: int) -> Run:
    """Train Stable-Baselines3 with the Zoo's settings, its DQN or another, then play greedily."""
    import gymnasium
    import stable_baselines3
    import torch

    torch.set_num_threads(1)
    settings = dict(task.sb3)
    env, steps = settings.pop("env"), settings.pop("steps")
    algorithm = getattr(stable_baselines3, settings.pop("algorithm", "DQN"))
    model = algorithm(
        "MlpPolicy",
        gymnasium.make(env),
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
        device="cpu",
        **settings,
    )
    began = time.perf_counter()
    model.learn(steps)
    elapsed = time.perf_counter() - began
    table = gymnasium.make(env)
    returns = []
    for episode in range(task.episodes):
        obs, _ = table.reset(seed=SEED_OF_EVALUATION + 1_000 * seed + episode)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(np.asarray(obs), deterministic=True)
            obs, reward, terminated, truncated, _ = table.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    return {
        "scores": [measure.score(returns) for measure in task.measures],
        "steps": steps,
        "steps_per_second": round(steps / elapsed, 1),
    }


def reference(task: Task, seed: int) -> Run:
    """Train the DQN of MinAtar's authors, then evaluate it greedily."""
    import minatar_dqn

    steps = task.steps or load_preset(task.preset).play.steps
    net, speed = minatar_dqn.train(task.reference, steps, seed)
    returns = minatar_dqn.play(net, task.reference, task.episodes, SEED_OF_EVALUATION + seed)
    return {
        "scores": [measure.score(returns) for measure in task.measures],
        "steps": steps,
        "steps_per_second": round(speed, 1),
    }


PLAYERS = {"agentd": ours, "without": without, "sb3": stable_baselines, "reference": reference}


def _agentd(verb: str, *arguments: str) -> dict[str, Any]:
    """Run ``agentd rl VERB`` in a process of its own; its JSON. Raises CalledProcessError."""
    command = [sys.executable, "-m", "agentd", "rl", verb, *arguments, "--json", "-q"]
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path)}  # for the environments beside this
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def key(name: str, who: str, seed: int) -> str:
    """What makes a run the same run: the task, the player, the seed, and all settings."""
    task = ALL[name]
    asked = [(m.game, m.wins, *(["bias"] if m.bias else [])) for m in task.measures]
    settings = json.dumps(
        [task.sb3, task.game, task.episodes, asked, *task.settings], sort_keys=True
    )
    if task.steps:
        settings += f" {task.steps}"
    if who == "without":
        settings += " ".join(task.without)
    if who in ("agentd", "without"):
        folder = resources.files("agentd") / "presets"
        settings += (folder / f"{task.preset}.yaml").read_text(encoding="utf-8")
    return f"{name}/{who}/{seed}/{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def read_results(path: Path) -> dict[str, Run]:
    """The runs done so far; none where there is no file."""
    if not path.exists():
        return {}
    found: dict[str, Run] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measure(names: list[str], seeds: int, peers: str, path: Path, again: bool) -> dict[str, Run]:
    """Run what is missing in ``path``, seed by seed and the players in turn; all runs."""
    runs = read_results(path)
    for name in names:
        task = ALL[name]
        players = ["agentd", *["without"] * bool(task.without)]
        if peers == "all" or (peers == "cheap" and task.cheap):
            players += ["sb3"] * bool(task.sb3) + ["reference"] * bool(task.reference)
        for seed in range(1, seeds + 1):
            for who in players:
                here = key(name, who, seed)
                if here in runs and not again:
                    continue
                _keep(path, runs, (name, who, seed), PLAYERS[who](task, seed))
    return runs


def _keep(path: Path, runs: dict[str, Run], what: tuple[str, str, int], run: Run) -> None:
    """Add a run to ``runs`` and to the file of results."""
    runs[key(*what)] = run | {"machine": platform.machine(), "cores": os.cpu_count()}
    name, who, seed = what
    print(f"{name} seed {seed} {who}: {runs[key(*what)]}", file=sys.stderr, flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(runs, indent=1) + "\n").encode())


def measure_on_cluster(
    names: list[str], seeds: int, path: Path, again: bool, address: str
) -> dict[str, Run]:
    """Train what is missing of ours on a Ray cluster, task by task; evaluate it here."""
    from agentd.cluster.seeds import SeedTask, run_seeds
    from agentd.cluster.session import connect

    runs = read_results(path)
    with connect(address, tell=print) as cluster:
        for name in names:
            task = ALL[name]
            cpus = 1 + load_preset(task.preset).play.clients
            for who in ["agentd", *["without"] * bool(task.without)]:
                wanted = [
                    seed
                    for seed in range(1, seeds + 1)
                    if again or key(name, who, seed) not in runs
                ]
                words = training_words(task, who)
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                    tasks = [SeedTask(seed, f"{AGENT}-{seed}", words) for seed in wanted]
                    found = run_seeds(
                        cluster, tasks, Path(folder), cpus=cpus, show=lambda lines: None
                    )
                    for outcome in found:
                        own = Path(folder) / str(outcome.seed)
                        (own / "agents").mkdir(parents=True)
                        trained = Path(folder) / "agents" / f"{AGENT}-{outcome.seed}"
                        trained.rename(own / "agents" / AGENT)
                        run = _evaluate(task, outcome.seed, own, outcome.record)
                        _keep(path, runs, (name, who, outcome.seed), run)
    return runs


def rows(names: list[str], seeds: int, runs: dict[str, Run]) -> list[dict[str, Any]]:
    """One row a task, player and measure that has runs."""
    found = []
    for name in names:
        task = ALL[name]
        for who in PLAYERS:
            keys = [key(name, who, seed) for seed in range(1, seeds + 1)]
            done = [runs[one] for one in keys if one in runs]
            for index, measure in enumerate(task.measures if done else ()):
                game = measure.game or task.game or load_preset(task.preset).play.game
                row = {"task": name, "game": game, "who": who, **_figures(done, index)}
                row |= {"goal": measure.goal, "bias": measure.bias}
                if who == "agentd":
                    row |= {"published": task.published, "without": ", ".join(task.without)}
                    row["limit"] = task.steps or load_preset(task.preset).play.steps
                if who == "agentd" and measure.goal is not None:
                    row["met"] = row["mean"] >= measure.goal
                found.append({k: round(v, 4) if type(v) is float else v for k, v in row.items()})
    return found


def _figures(done: list[Run], index: int) -> dict[str, Any]:
    """Figures over the seeds of the measure ``index``."""
    scores = Scores(tuple(run["scores"][index] for run in done))
    low, high = scores.interval
    speeds = sorted(run["steps_per_second"] for run in done)
    return {
        "seeds": len(done),
        "scores": list(scores.values),
        "mean": scores.mean,
        "std": scores.std,
        "median": scores.median,
        "iqm": scores.iqm,
        "iqm_low": low,
        "iqm_high": high,
        "steps": [run["steps"] for run in done],
        "steps_per_second": speeds[len(speeds) // 2],
    }


def show(table: list[dict[str, Any]]) -> None:
    """Print the table."""
    head = f"{'task':<18}{'who':<8}{'seeds':>5}{'mean':>9}{'±':>7}{'median':>9}{'IQM':>9}"
    print(f"{head}  {'95 % of the IQM':<19}{'steps':>10}{'steps/s':>9}{'goal':>8}")
    for row in table:
        interval = f"[{row['iqm_low']:.2f}, {row['iqm_high']:.2f}]"
        print(
            f"{row['task']:<18}{row['who']:<8}{row['seeds']:>5}{row['mean']:>9.2f}"
            f"{row['std']:>7.2f}{row['median']:>9.2f}{row['iqm']:>9.2f}  {interval:<19}"
            f"{max(row['steps']):>10,}{row['steps_per_second']:>9,.0f}"
            f"{'–' if row['goal'] is None else format(row['goal'], 'g'):>8}"
            + {True: "  met", False: "  missed"}.get(row.get("met"), "")
        )
        what = "excess of the first states' values" if row["bias"] else "return"
        if row.get("without"):
            print(f"{'':<18}{what} on {row['game']}; below it without: {row['without']}")
        elif "published" in row:
            print(f"{'':<18}on {row['game']}; published: {row['published']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help="of " + ", ".join(ALL))
    parser.add_argument("--ablations", action="store_true", help="only " + ", ".join(ABLATIONS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", choices=("none", "cheap", "all"), default="cheap")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="measure what is there anew")
    parser.add_argument("--ray", metavar="ADDRESS", help="train ours there, and no peers")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = list(ABLATIONS) if args.ablations else args.tasks.split(",")
    if unknown := sorted(set(names) - set(ALL)):
        parser.error(f"no task {', '.join(unknown)}; there are {', '.join(ALL)}")
    try:
        if args.ray:
            runs = measure_on_cluster(names, args.seeds, args.results, args.again, args.ray)
        else:
            runs = measure(names, args.seeds, args.peers, args.results, args.again)
    except KeyboardInterrupt:
        print("interrupted; the finished runs are kept", file=sys.stderr)
        runs = read_results(args.results)
    table = rows(names, args.seeds, runs)
    if args.json:
        setting = {"cores": os.cpu_count(), "python": platform.python_version()}
        print(json.dumps({"table": table, "setting": setting}))
    else:
        show(table)


if __name__ == "__main__":
    main()
