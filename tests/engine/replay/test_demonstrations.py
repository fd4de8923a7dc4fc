"""Demonstrations among the rows of a ring: which they are, how many are drawn, where walks end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.replay.demonstrations import (
    DemonstrationConfig,
    DemonstrationIndex,
    MixedSampler,
)
from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig
from agentd.engine.replay.rewards import RewardConfig, RewardShaper
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, TRUNCATED, chosen_by
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.transitions import TransitionReader

AGENT, PERSON, SCRIPT = 0, 1, 2


def played(ring, stream, by, end=TERMINATED, reward=1.0):
    """Append an episode whose action number i was chosen by ``by[i]``."""
    kinds = [FIRST, *[MID] * (len(by) - 1), end]
    return [
        ring.add(stream, kind, obs=[ring.head], reward=reward, explored=2 * who + 1)
        for kind, who in zip(kinds, [*by, AGENT], strict=True)
    ]


def demonstrated(rows, lo, hi):
    row = np.arange(lo, hi)
    slot = row % rows.capacity
    after = rows.next[slot]
    starts = (rows.kind[slot] <= MID) & (after > row) & (after < hi)
    return row[starts & (chosen_by(rows.explored[slot]) > 0)]


def held(index):
    return np.unique(index.draw(np.random.default_rng(0), None, 4_000)) if len(index) else []


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_an_index_that_followed_equals_one_made_anew(make_ring, seed):
    rng = np.random.default_rng(seed)
    ring, index, open_streams = make_ring(48), DemonstrationIndex(), {}
    for _ in range(120):
        stream = int(rng.integers(4))
        kind = int(rng.choice([MID, MID, MID, TERMINATED])) if stream in open_streams else FIRST
        ring.add(stream, kind, obs=[0], explored=2 * int(rng.choice([0, 0, 1, 2])))
        open_streams.pop(stream, None)
        if kind <= MID:
            open_streams[stream] = True
        if rng.random() < 0.4:
            lo = max(0, ring.head - 40)
            index.follow(ring.rows, lo, ring.head)
            anew = DemonstrationIndex()
            anew.follow(ring.rows, lo, ring.head)
            assert len(index) == len(anew)
            assert list(held(index)) == list(held(anew))
            assert list(held(index)) == demonstrated(ring.rows, lo, ring.head).tolist()


def test_the_newest_row_counts_once_it_is_known_who_played_it(make_ring):
    ring, index = make_ring(16), DemonstrationIndex()
    ring.add(0, FIRST, obs=[0])
    index.follow(ring.rows, 0, 1)
    assert len(index) == 0

    ring.rows.explored[0] = 2 * PERSON  # said with the row that follows
    ring.add(0, MID, obs=[1])
    index.follow(ring.rows, 0, 2)

    assert list(held(index)) == [0]


@pytest.mark.parametrize(
    ("rows", "count"), [(0, 0), (199, 0), (200, 13), (300, 19), (500, 32), (50_000, 32)]
)
def test_demonstrations_fill_more_of_a_batch_the_more_there_are(rows, count):
    assert DemonstrationConfig().rows_of(64, rows) == count


def test_part_of_each_batch_is_drawn_from_them(make_ring):
    ring = make_ring(4_096)
    for i in range(100):
        played(ring, 0, [SCRIPT if i < 5 else AGENT] * 20)
    config = DemonstrationConfig(min_rows=100, full_rows=200)
    rng, index = sampler_rng(0), DemonstrationIndex()
    sampler = MixedSampler(UniformSampler(64, rng), index, config, rng, 64)
    index.follow(ring.rows, 0, ring.head)

    starts = sampler.draw(ring.rows, 0, ring.head, batches=50).reshape(50, 64)

    by = chosen_by(ring.rows.explored[starts]) == SCRIPT
    assert len(index) == 100
    assert by[:, 32:].all()
    assert 0.02 < by[:, :32].mean() < 0.09  # one in twenty of all rows


def test_priorities_draw_the_other_part_from_all_rows(make_ring):
    ring = make_ring(1_024)
    for i in range(40):
        played(ring, 0, [PERSON if i < 2 else AGENT] * 20)
    sampler = PrioritizedSampler(32, PriorityConfig(), sampler_rng(0))
    given = np.arange(8, dtype=np.int64)

    start = sampler.draw(ring.rows, 0, ring.head, given)

    assert start[24:].tolist() == given.tolist()
    assert start[:24].max() > 700  # the last of equal parts is among them
    sampler.update(np.full(32, 100.0))
    again = np.concatenate([sampler.draw(ring.rows, 0, ring.head) for _ in range(20)])
    assert (again < 8).mean() > 0.05
    assert np.isfinite(sampler.weight).all()


def read(ring, start, n_step=3, gamma=0.5, demonstrated=1, by=True):
    reader = TransitionReader(
        ring.rows.format, len(start), n_step, gamma, demonstrated=demonstrated
    )
    reader.sees_by = reader.tells_by = by
    return reader.read(ring.rows, ring.head, np.array(start, np.int64))


def test_n_steps_end_where_control_changes(make_ring):
    ring = make_ring(32)
    played(ring, 0, [AGENT, AGENT, PERSON, PERSON, PERSON, AGENT, AGENT], TRUNCATED)

    batch = read(ring, [0, 1, 2, 4, 5], n_step=4, demonstrated=4)

    assert batch.x[5:, 0].tolist() == [2, 2, 5, 5, 7]
    assert batch.reward_t.tolist() == [1.5, 1.0, 1.75, 1.0, 1.5]
    assert batch.discount_t.tolist() == [0.25, 0.5, 0.125, 0.5, 0.25]
    assert batch.by.tolist() == [AGENT, AGENT, PERSON, PERSON, AGENT]


@pytest.mark.parametrize(("n_step", "demonstrated"), [(1, 4), (5, 2)])
def test_a_demonstrated_row_has_steps_of_its_own(make_ring, n_step, demonstrated):
    ring = make_ring(32)
    played(ring, 0, [AGENT] * 8)
    played(ring, 0, [SCRIPT] * 8)

    batch = read(ring, [0, 9], n_step, demonstrated=demonstrated)

    assert (batch.x[2:, 0] - batch.x[:2, 0]).tolist() == [n_step, demonstrated]
    assert batch.discount_t.tolist() == [0.5**n_step, 0.5**demonstrated]


def test_who_played_makes_no_difference_where_nobody_asks(make_ring):
    ring = make_ring(32)
    played(ring, 0, [AGENT, PERSON, AGENT, PERSON])

    batch = read(ring, [0], by=False)

    assert batch.by is None
    assert batch.x[1, 0] == 3


def timed(ring, elapsed):
    ring.rows.elapsed = np.ones(ring.rows.capacity, np.float32)
    ring.rows.elapsed[: len(elapsed)] = elapsed
    return ring


@pytest.mark.parametrize("gamma", [0.5, -0.5])
@pytest.mark.parametrize("end", [TERMINATED, TRUNCATED])
def test_rewards_and_value_are_discounted_by_the_time_before_them(make_ring, gamma, end):
    """y = Σ γ^{t_i} r_i + γ^{t_n} max Q, t in nominal steps; each row turns the sign."""
    ring = make_ring(16)
    ring.episode(0, [1.0, 2.0, 4.0], end)
    timed(ring, [1, 2, 0.5, 3])

    batch = read(ring, [0], n_step=3, gamma=gamma, by=False)

    sign = np.sign(gamma)
    times = [0.0, 2.0, 2.5]
    expected = sum(
        sign**i * 0.5**t * r for i, (t, r) in enumerate(zip(times, [1, 2, 4], strict=True))
    )
    assert batch.reward_t[0] == pytest.approx(expected, rel=1e-6)
    after = 0.0 if end == TERMINATED else sign**3 * 0.5**5.5
    assert batch.discount_t[0] == pytest.approx(after, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.97, -0.97, 0.0])
def test_rows_of_one_nominal_step_each_are_read_as_without_time(make_ring, gamma):
    ring = make_ring(256, 2).fill(length=200)
    start = UniformSampler(64, sampler_rng(0)).draw(ring.rows, 0, ring.head).tolist()
    plain = read(ring, start, n_step=5, gamma=gamma, by=False)

    with_time = read(timed(ring, []), start, n_step=5, gamma=gamma, by=False)

    assert with_time.reward_t.tobytes() == plain.reward_t.tobytes()
    assert with_time.discount_t.tolist() == plain.discount_t.tolist()


def test_the_return_that_rewards_are_divided_by_fades_with_time(make_ring):
    ring = make_ring(16)
    ring.episode(0, [1.0, 2.0], TERMINATED)
    timed(ring, [1, 1, 3])
    shaper = RewardShaper(RewardConfig(normalize=True), 0.5)
    shaper.observe(ring.rows, 0, ring.head)
    reward = np.ones(1, np.float32)

    shaper(reward)

    deviation = np.std([1.0, 2.0 + 0.5**3 * 1.0])
    assert reward[0] == pytest.approx(1 / deviation, rel=1e-5)
