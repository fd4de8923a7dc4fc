#!/usr/bin/env python3
"""Many games at 60 frames a second for half an hour while their agent learns all it can.

    python scripts/bench_endurance.py [--games 64] [--minutes 30] [--json]

The agent has the default configuration (pace `live`). 64 games send 3,840 rows a second, so its
learner never has nothing to do. The script prints how many answers came more than 16.7 ms after
their frame was due, the quantiles of every minute, and how much memory the daemon and its learner
gain in an hour: the slope of a line through all minutes but the first 18, each the mean of what was
resident in its seconds. The ring of rows is full after half a minute, the 1,024 points that are
kept of an agent's progress after 17. Games stay connected; they pause between two minutes,
while their answers are checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
from collections.abc import Iterator

import numpy as np
from bench_serving import Server, agentd, make_loads

from agentd.client import Client

WARM_UP = 18  # minutes


def main() -> None:
    """Play, print a line for each minute, and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--games", type=int, default=64)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    spec = {"agent": "lives", "rows": 1, "role": "train", "connections": args.games}
    spec |= {"rate": 60 * args.games, "seconds": 60.0, "turns": args.minutes}
    minutes = []
    with agentd() as server, Resident(server) as resident:
        for found in turns(server, spec):
            found |= resident.means()
            with Client.connect(f"127.0.0.1:{server.port}", role="admin") as admin:
                found["updates"] = admin.stats("lives").agents["lives"]["updates"]
            minutes.append(found)
            if not args.json:
                tell(len(minutes), found)
    out = total(minutes)
    print(json.dumps(out | {"minutes": minutes}) if args.json else sentence(out))


def turns(server: Server, spec: dict) -> Iterator[dict]:
    """Start the load; yield what it measured in each minute."""
    (process,) = make_loads(server, 1, spec)
    with process:
        process.stdin.write("go\n")
        process.stdin.flush()
        yield from map(json.loads, process.stdout)


class Resident:
    """Reads once a second how much memory the daemon and its learner have, in a thread."""

    def __init__(self, server: Server) -> None:
        self._server, self._end = server, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._seen: list[tuple[int, int]] = []

    def __enter__(self) -> Resident:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._end.set()
        self._thread.join()

    def means(self) -> dict[str, int]:
        """The means in KiB of what was read since the last call."""
        seen, self._seen = self._seen, []
        server, learner = np.mean(seen, axis=0).round().astype(int).tolist()
        return {"server_kib": server, "learner_kib": learner}

    def _watch(self) -> None:
        serving, learning = self._server.family(), []
        while not self._end.wait(1.0):
            learning = learning or self._server.children(learn=True)
            learner = self._server.rss_kib(learning) if learning else 0
            self._seen.append((self._server.rss_kib(serving), learner))


def tell(number: int, found: dict) -> None:
    """Print a minute as a line."""
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
    out["updates_per_s"] = minutes[-1]["updates"] / 60 / len(minutes)
    for who in ("server", "learner"):
        found = slope([m[f"{who}_kib"] for m in minutes][WARM_UP:])
        out[f"{who}_mib_per_hour"], out[f"{who}_standard_error"] = found
    return out


def slope(kib: list[int]) -> tuple[float, float] | tuple[None, None]:
    """MiB an hour by the least squares of samples a minute apart, and the standard error of it.

    None for fewer than four samples.
    """
    if len(kib) < 4:
        return None, None
    (kib_a_minute, _), covariance = np.polyfit(np.arange(len(kib)), kib, 1, cov=True)
    return float(kib_a_minute) * 60 / 1024, float(covariance[0, 0]) ** 0.5 * 60 / 1024


def sentence(out: dict) -> str:
    """Say what ``total`` found."""
    grown = [(out[f"{w}_mib_per_hour"], out[f"{w}_standard_error"]) for w in ("server", "learner")]
    memory = " and ".join("–" if mib is None else f"{mib:+.2f} ± {e:.2f}" for mib, e in grown)
    return (
        f"{out['frames']:,} frames, {out['over_16_7_ms']} later than 16.7 ms"
        f" ({out['late_per_100000']:.2f} of 100,000), {out['errors']} errors;"
        f" medians of the minutes: p50 {out['p50_ms']:.2f}, p99 {out['p99_ms']:.2f},"
        f" p99.9 {out['p999_ms']:.2f} ms; {out['updates_per_s']:.0f} updates/s;"
        f" server and learner gain {memory} MiB an hour"
    )


if __name__ == "__main__":
    main()
