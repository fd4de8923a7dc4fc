#!/usr/bin/env python3
"""What an agent in trouble costs the games of another one on the same daemon.

    python scripts/bench_isolation.py [--seconds S] [--rounds N] [--json]

Sixteen games at 60 frames/s play `net` (64-128-128-6) alone, and then beside one trouble at a time:
    busy      no trouble: a small agent that plays as fast as it can, to compare with
    paced     an agent whose games wait for its learner, played as fast as it lets them
    broken    hellos to an agent whose network cannot be made, one after the other
    building  an agent of 20 million parameters, made, opened and deleted again and again
    huge      the same agent, played as fast as it can

Neighbours' p99 beside a trouble should stay within twice that alone. The program that makes the
trouble takes only what processor time all else leaves (SCHED_IDLE): what is measured is what the
daemon does for it, and not that a game in trouble keeps a core of the same machine busy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
from bench_serving import Server, agentd, drive, show, take_turns

from agentd.client import FIRST, MID, Client
from agentd.client.errors import ClientError

X = {"x": ("float32", (4,))}
ROW = np.zeros((1, 4), np.float32)
PACED = {"learner": "dqn", "pace": {"mode": "paced", "learn_start": 64, "train_every": 4}}
BROKEN = {"learner": "none", "model": {"layers": [{"conv2d": {"channels": 2, "kernel": 3}}]}}
SMALL = {"learner": "none"}
HUGE = {"learner": "none", "model": {"layers": [{"dense": 4400}] * 2}}
Trouble = Callable[[tuple[str, int], Callable[[], bool]], None]


def busy(address: tuple[str, int], over: Callable[[], bool]) -> None:
    play(address, "busy", SMALL, over)


def paced(address: tuple[str, int], over: Callable[[], bool]) -> None:
    play(address, "paced", PACED, over)


def huge(address: tuple[str, int], over: Callable[[], bool]) -> None:
    play(address, "huge", HUGE, over)


def play(address: tuple[str, int], name: str, config: dict, over: Callable[[], bool]) -> None:
    """Play an agent until it is over."""
    make(address, name, config)
    with Client.connect(address, name, X, 3, streams=1) as client:
        client.step(ROW, 0.0, FIRST)
        while not over():
            client.step(ROW, 0.0, MID)


def broken(address: tuple[str, int], over: Callable[[], bool]) -> None:
    """Greet an agent that refuses every hello."""
    make(address, "broken", BROKEN)
    while not over():
        with contextlib.suppress(ClientError):
            Client.connect(address, "broken", X, 3).close()


def building(address: tuple[str, int], over: Callable[[], bool]) -> None:
    """Have a large agent made, opened and deleted."""
    while not over():
        make(address, "built", HUGE)
        with Client.connect(address, "built", X, 3) as client:
            client.step(ROW, 0.0, FIRST)
        with Client.connect(address, role="admin") as admin, contextlib.suppress(ClientError):
            admin.delete("built")


def make(address: tuple[str, int], name: str, config: dict) -> None:
    """Create an agent, unless there is one."""
    with Client.connect(address, role="admin") as admin, contextlib.suppress(ClientError):
        admin.create(name, config)


def politely(trouble: Trouble, address: tuple[str, int], end: threading.Event) -> None:
    """Make trouble in a thread that gives way to every process that has work to do."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    trouble(address, end.is_set)


@contextlib.contextmanager
def beside(server: Server, trouble: Trouble | None) -> Iterator[None]:
    """Have a trouble going on."""
    end = threading.Event()
    address = ("127.0.0.1", server.port)
    args = (trouble, address, end)
    thread = threading.Thread(target=politely, args=args) if trouble else None
    if thread is not None:
        thread.start()
    try:
        yield
    finally:
        end.set()
        if thread is not None:
            thread.join()


def main() -> None:
    """Measure alone and beside each trouble, in turns, and print the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    load = {"agent": "net", "rows": 1, "connections": 16, "rate": 960, "seconds": args.seconds}
    troubles: dict[str, Trouble | None] = {"alone": None}
    troubles |= {each.__name__: each for each in (busy, paced, broken, building, huge)}

    def measure(server: Server, trouble: Trouble | None) -> dict:
        with beside(server, trouble):
            return drive(server, **load)

    with agentd() as server:
        makers = {name: lambda each=each: measure(server, each) for name, each in troubles.items()}
        found = take_turns(args.rounds, makers)
    if args.json:
        print(json.dumps(found))
        return
    show("16 games at 60 frames/s", found)
    alone = found["alone"]["p99_ms"]
    print("  p99 beside alone:", {n: round(r["p99_ms"] / alone, 2) for n, r in found.items()})


if __name__ == "__main__":
    main()
