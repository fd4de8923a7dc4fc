#!/usr/bin/env python3
"""Many games at 60 frames a second for half an hour while their agent learns all it can.

    python scripts/bench_endurance.py [--games 64] [--minutes 30] [--json]

The agent is one that nobody configured (pace `live`). Its learner is at its ceiling: 64 games bring
3,840 rows a second, more than it can make the least number of updates for. Told are answers later
than a frame (16.7 ms) by when they were due, quantiles of every minute, and what memory the daemon
and its learner gain in an hour: the slope of a line through the minutes after the first five, by
when the ring of rows is full. Games stay connected all the time; between two minutes they rest
while their answers are compared with what they should be.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_serving import HERE, Server, agentd

from agentd.client import Client

WARM_UP = 5  # minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    spec = {"agent": "lives", "rows": 1, "role": "train", "connections": args.games}
    spec |= {"rate": 60 * args.games, "seconds": 60.0, "turns": args.minutes}
    minutes = []
    with agentd() as server:
        for found in turns(server, spec):
            found |= {"server_kib": server.rss_kib(), "learner_kib": learner_kib(server)}
            with Client.connect(f"127.0.0.1:{server.port}", role="admin") as admin:
                found["updates"] = admin.stats("lives").agents["lives"]["updates"]
            minutes.append(found)
            if not args.json:
                tell(len(minutes), found)
    out = total(minutes)
    print(json.dumps(out | {"minutes": minutes}) if args.json else sentence(out))


def turns(server: Server, spec: dict) -> Iterator[dict]:
    """Start the load, and give what it says of each turn."""
    command = [
        sys.executable,
        str(HERE / "serving_load.py"),
        json.dumps(spec | {"port": server.port}),
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"no load: {spec}")
        process.stdin.write("go\n")
        process.stdin.flush()
        yield from map(json.loads, process.stdout)


def learner_kib(server: Server) -> int:
    """Resident memory of the learner's process."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pid = next(line.split()[0] for line in listed.splitlines() if "agentd.learner" in line)
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def tell(number: int, found: dict) -> None:
    print(
        f"{number:3}  {found['frames']:,} frames  p50 {found['p50_ms']:.2f}"
        f"  p99 {found['p99_ms']:.2f}  p99.9 {found['p999_ms']:.2f}  worst {found['max_ms']:.1f} ms"
        f"  late {found['over_16_7_ms']}  errors {found['errors']}"
        f"  server {found['server_kib']:,}  learner {found['learner_kib']:,} KiB",
        flush=True,
    )


def total(minutes: list[dict]) -> dict:
    """What all minutes come to."""
    out: dict = {key: sum(m[key] for m in minutes) for key in ("frames", "over_16_7_ms", "errors")}
    out["late_per_100000"] = 1e5 * out["over_16_7_ms"] / max(1, out["frames"])
    for key in ("p50_ms", "p99_ms", "p999_ms"):
        out[key] = statistics.median(m[key] for m in minutes)
    out["updates_per_s"] = (
        (minutes[-1]["updates"] - minutes[0]["updates"]) / 60 / (max(1, len(minutes) - 1))
    )
    for who in ("server", "learner"):
        out[f"{who}_mib_per_hour"] = slope([m[f"{who}_kib"] for m in minutes][WARM_UP:])
    return out


def slope(kib: list[int]) -> float | None:
    """MiB an hour by the least squares of samples a minute apart; None for fewer than three."""
    if len(kib) < 3:
        return None
    return float(np.polyfit(np.arange(len(kib)), kib, 1)[0]) * 60 / 1024


def sentence(out: dict) -> str:
    grown = [out[f"{who}_mib_per_hour"] for who in ("server", "learner")]
    memory = " and ".join("–" if mib is None else f"{mib:+.2f}" for mib in grown)
    return (
        f"{out['frames']:,} frames, {out['over_16_7_ms']} later than 16.7 ms"
        f" ({out['late_per_100000']:.2f} of 100,000), {out['errors']} errors;"
        f" medians of the minutes: p50 {out['p50_ms']:.2f}, p99 {out['p99_ms']:.2f},"
        f" p99.9 {out['p999_ms']:.2f} ms; {out['updates_per_s']:.0f} updates/s;"
        f" server and learner gain {memory} MiB an hour"
    )


if __name__ == "__main__":
    main()
