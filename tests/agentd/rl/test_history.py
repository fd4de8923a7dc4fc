"""The readings of a run: few enough to keep, and what follows from them."""

import math
from dataclasses import replace

from agentd.rl.history import History, Reading

FIRST = Reading(
    elapsed_s=0.0,
    env_steps=0,
    episodes=0,
    return_mean=math.nan,
    greedy_mean=math.nan,
    loss=math.nan,
    q_mean=math.nan,
    epsilon=1.0,
    updates=0,
    version=0,
    steps_per_s=100.0,
    p50_s=0.0005,
    p99_s=0.0021,
    clients=1,
)


def test_a_long_run_stays_small() -> None:
    made = History(20_000)
    for at in range(20_000):
        made.add(replace(FIRST, elapsed_s=float(at), env_steps=at))

    assert len(made.readings) < 5_000
    assert made.readings[0].env_steps == 0
    assert made.readings[-1].env_steps == 19_999


def test_the_curve_begins_with_the_first_return() -> None:
    made = History(1000)
    made.add(FIRST)
    made.add(replace(FIRST, env_steps=100, return_mean=2.5))

    assert made.curve == [(100.0, 2.5)]


def test_the_time_left_follows_from_the_speed() -> None:
    made = History(1000)
    assert math.isnan(made.left_s)

    made.add(replace(FIRST, env_steps=400, steps_per_s=200.0))

    assert made.left_s == 3.0
