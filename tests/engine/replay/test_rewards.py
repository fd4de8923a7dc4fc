"""Rewards: scaled, divided by the spread of returns, cut."""

import msgspec
import numpy as np
import pytest

from agentd.engine.replay.rewards import RewardConfig, RewardShaper
from agentd.engine.replay.rows import FIRST, MID, TERMINATED


def shaped(shaper, *rewards):
    values = np.array(rewards, np.float32)
    shaper(values)
    return values.tolist()


def test_scaled_then_cut():
    shaper = RewardShaper(RewardConfig(scale=0.5, clip=1.0), 0.9)

    assert shaped(shaper, 1.0, 10.0, -3.0) == [0.5, 1.0, -1.0]


def fill(ring, seed=0, rows=120, streams=3):
    """Return the discounted returns of all rows but the first of each episode, in their order."""
    rng, total, returns = np.random.default_rng(seed), [0.0] * streams, []
    length = [0] * streams
    for _ in range(rows):
        s = int(rng.integers(streams))
        end = length[s] > 4 and rng.random() < 0.3
        kind = FIRST if length[s] == 0 else TERMINATED if end else MID
        reward = float(np.float32(rng.normal() * 3))
        ring.add(s, kind, obs=[0], reward=reward)
        total[s] = 0.0 if kind == FIRST else 0.9 * total[s] + reward
        if kind != FIRST:
            returns.append(total[s])
        length[s] = 0 if end else length[s] + 1
    return np.array(returns)


def test_divided_by_the_spread_of_the_returns_however_the_rows_came(make_ring):
    ring = make_ring(128)
    returns = fill(ring)
    at_once, in_parts = (RewardShaper(RewardConfig(normalize=True), 0.9) for _ in range(2))

    at_once.observe(ring.rows, 0, 120)
    for hi in (1, 7, 8, 50, 51, 120):
        in_parts.observe(ring.rows, 0, hi)

    assert shaped(at_once, 2.0) == pytest.approx([2.0 / returns.std()], rel=1e-5)
    assert shaped(in_parts, 2.0) == pytest.approx(shaped(at_once, 2.0), rel=1e-6)


def test_resumes_in_the_middle_of_episodes(make_ring):
    ring = make_ring(128)
    fill(ring)
    whole, rest = (RewardShaper(RewardConfig(normalize=True), 0.9) for _ in range(2))
    whole.observe(ring.rows, 0, 60)
    rest.set_state(*whole.get_state())

    whole.observe(ring.rows, 0, 120)
    rest.observe(ring.rows, 0, 120)

    assert whole.get_state()[0].keys() == rest.get_state()[0].keys()
    for name, array in whole.get_state()[0].items():
        assert array.tobytes() == rest.get_state()[0][name].tobytes(), name


def test_wrong_settings_are_named():
    for wrong in ({"scale": 0.0}, {"clip": -1.0}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, RewardConfig)


def test_one_wild_reward_does_not_silence_all_others_for_ever(make_ring):
    ring = make_ring(4096)
    for i in range(2000):
        reward = 1e25 if i == 500 else float(np.sin(i))
        ring.add(0, FIRST if i == 0 else MID, obs=[0], reward=reward)
    shaper = RewardShaper(RewardConfig(normalize=True), 0.5)
    for hi in range(100, 2001, 100):
        shaper.observe(ring.rows, 0, hi)

    assert 1e-4 < shaped(shaper, 1.0)[0] <= 1
