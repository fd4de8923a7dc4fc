"""Several agents of several games on one daemon: is any of them pushed aside?

Every game has a process of its own that plays one stream in wall-clock time, first alone on a
daemon, then all of them together on one. Counted after a warm-up: the updates that each agent
made, the share of the learning time that these took (an update of a convolution takes several times
as long as one of a small dense network), what a row was worth to it, and how long its answers took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agentd.client.rollout import join
from agentd.latency import Histogram
from agentd.rl.daemon import Daemon
from agentd.rl.games import open_game
from agentd.rl.realtime import FrameTimes, play_realtime
from agentd.rl.tasks import GameSource

SHARE, GROWTH = 0.2, 2.0
"""No agent of four may get less of the learning time than this, and no p99 grow by more."""
WARM_S = 30.0
"""Until rows suffice for learning, and rates are known."""

Found = dict[str, Any]


def play_one(spec: Found) -> Found:
    """Play one game for a while; what its agent got, and its frames' times."""
    game = open_game(GameSource(spec["game"]), 1, spec["seed"])
    times, agent = FrameTimes(1 / spec["fps"]), spec["agent"]
    with join((spec["host"], spec["port"]), agent, game) as client:
        turns = play_realtime(client, game, spec["fps"], times)
        until = time.perf_counter() + spec["warm_s"]
        while time.perf_counter() < until:
            next(turns)
        times.frames = times.late = 0
        times.histogram = Histogram()
        before, began = client.stats(agent).agents[agent], time.perf_counter()
        while time.perf_counter() - began < spec["seconds"]:
            next(turns)
        stats, seconds = client.stats(agent).agents[agent], time.perf_counter() - began
    return {
        "updates": stats["updates"] - before["updates"],
        "updates_per_second": round((stats["updates"] - before["updates"]) / seconds, 1),
        "updates_per_row": stats["updates_per_row"],
        "possible_updates_per_second": stats["possible_updates_per_second"],
        "forgotten": stats["updates_forgotten"] - before["updates_forgotten"],
        "frames": times.frames,
        "late": times.late,
        "p50_ms": round(times.histogram.quantile(0.5) * 1e3, 3),
        "p99_ms": round(times.histogram.quantile(0.99) * 1e3, 3),
        "words": stats["state_reason"],
    }


def play_all(games: dict[str, str], fps: float, seconds: float, warm_s: float) -> dict[str, Found]:
    """Play games (agent -> game) at once against a new daemon, each in a process of its own."""
    script = str(Path(__file__).with_name("bench_live.py"))
    players = {}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Daemon(Path(folder)) as daemon,
    ):
        at = {"host": daemon.host, "port": daemon.port, "fps": fps}
        for seed, (agent, game) in enumerate(games.items()):
            spec = at | {"agent": agent, "game": game, "seed": seed}
            spec |= {"seconds": seconds, "warm_s": warm_s}
            command = [sys.executable, script, "--player", json.dumps(spec)]
            players[agent] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = {agent: player.communicate()[0] for agent, player in players.items()}
    failed = [agent for agent, player in players.items() if player.returncode]
    if failed:
        raise SystemExit(f"the player of {', '.join(failed)} failed")
    return {agent: json.loads(text.splitlines()[-1]) for agent, text in said.items()}


def compare(games: dict[str, str], fps: float, seconds: float, warm_s: float = WARM_S) -> Found:
    """Play each game alone, then all together; shares of the updates and growth of the p99."""
    alone = {
        agent: play_all({agent: game}, fps, seconds, warm_s)[agent] for agent, game in games.items()
    }
    together = play_all(games, fps, seconds, warm_s)
    made = sum(found["updates"] for found in together.values()) or 1
    took = {agent: worked(alone[agent], found) for agent, found in together.items()}
    rows = [
        {
            "agent": agent,
            "share": round(found["updates"] / made, 3),
            "time": round(took[agent] / (sum(took.values()) or 1), 3),
            "growth": round(found["p99_ms"] / max(alone[agent]["p99_ms"], 1e-3), 2),
            "alone": alone[agent],
            "together": found,
        }
        for agent, found in together.items()
    ]
    fair = all(row["time"] >= SHARE * 4 / len(rows) for row in rows)
    return {"agents": rows, "fair": fair, "quiet": all(row["growth"] <= GROWTH for row in rows)}


def worked(alone: Found, together: Found) -> float:
    """The seconds that an agent's updates among others would have taken it alone."""
    return float(together["updates"] / (alone["possible_updates_per_second"] or 1))


def show(found: Found) -> None:
    """Print the table."""
    print(
        f"{'agent':<14}{'upd/s alone':>12}{'together':>10}{'share':>8}{'time':>7}{'R':>7}{'U':>8}"
        f"{'p99 alone':>12}{'together':>11}{'growth':>8}{'late':>6}"
    )
    for row in found["agents"]:
        alone, now = row["alone"], row["together"]
        print(
            f"{row['agent']:<14}{alone['updates_per_second']:>12,.0f}"
            f"{now['updates_per_second']:>10,.0f}{row['share']:>8.0%}{row['time']:>7.0%}"
            f"{now['updates_per_row'] or 0:>7.2f}{now['possible_updates_per_second'] or 0:>8,.0f}"
            f"{alone['p99_ms']:>9.2f} ms{now['p99_ms']:>8.2f} ms{row['growth']:>8.2f}"
            f"{now['late']:>6}  {now['words']}"
        )
    print(f"fair shares of time: {found['fair']}; no p99 grows by more than 2: {found['quiet']}")
