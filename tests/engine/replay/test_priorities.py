"""Prioritised replay: the tree's sums, how often rows are drawn, and which never are."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig, SumTree
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, NoValidStart
from agentd.engine.replay.sampling import sampler_rng


def sampler(batch=32, seed=0, **options):
    return PrioritizedSampler(batch, PriorityConfig(**options), sampler_rng(seed))


@settings(max_examples=40, deadline=None)
@given(
    leaves=st.sampled_from([1, 31, 32, 33, 1024, 1025, 40_000]),
    seed=st.integers(0, 99),
)
def test_a_tree_holds_the_sums_and_finds_by_running_sum(leaves, seed):
    rng = np.random.default_rng(seed)
    tree, plain = SumTree(leaves), np.zeros(leaves)
    for _ in range(5):
        index = rng.integers(0, leaves, 64)  # with repeats: the last one counts
        weight = rng.random(64) * (rng.random(64) < 0.7)
        tree.set(index, weight)
        for i, w in zip(index, weight, strict=True):
            plain[i] = w
    if not plain.sum():
        return
    at = np.append(rng.random(256), [0.0, 1.0]) * plain.sum()

    found = tree.find(at)

    assert tree.total == pytest.approx(plain.sum())
    assert (plain[found] > 0).all()
    running = np.cumsum(plain)
    slack = 1e-9 * running[-1]
    assert (running[found] >= at - slack).all()
    assert (running[found] - plain[found] <= at + slack).all()


def test_a_restored_tree_has_the_same_bits(rng):
    tree, again = SumTree(50_000), SumTree(50_000)
    for _ in range(50):
        tree.set(rng.integers(0, 50_000, 1_000), rng.random(1_000))

    again.restore(tree.leaves)

    for one, other in zip(tree._levels, again._levels, strict=True):
        assert one.tobytes() == other.tobytes()


def chain(ring, streams=2, length=60, episode=10):
    """Streams of ``episode`` rows each; the observation is the row's number."""
    for i in range(length):
        at = (i // streams) % episode
        kind = FIRST if at == 0 else TERMINATED if at == episode - 1 else MID
        ring.add(i % streams, kind, obs=[i])
    return ring


def test_draws_follow_the_priorities(make_ring):
    ring = chain(make_ring(64))
    draws = sampler(batch=40, alpha=1.0, epsilon=1e-9)
    start = draws.draw(ring.rows, 0, 60)
    error = np.where(start % 3 == 0, 4.0, 1.0)
    draws.update(error)
    priority = np.zeros(64)
    valid = [i for i in range(60) if ring.rows.kind[i] <= MID and 0 < ring.rows.next[i] < 60]
    priority[valid] = 1.0
    priority[start] = error

    count = np.zeros(64)
    for _ in range(2_000):
        np.add.at(count, draws.draw(ring.rows, 0, 60), 1)

    np.testing.assert_allclose(count / count.sum(), priority / priority.sum(), atol=2e-3)
    drawn = draws.draw(ring.rows, 0, 60)
    expected = (priority[drawn] / priority[drawn].min()) ** -draws.config.beta_after(2_001)
    np.testing.assert_allclose(draws.weight, expected, rtol=1e-5)


def test_strata_draw_every_equal_part_of_the_sum_once(make_ring):
    ring = make_ring(64)
    for i in range(33):
        ring.add(0, FIRST if i == 0 else MID, obs=[i])

    start = sampler(batch=32).draw(ring.rows, 0, 33)

    assert sorted(start) == list(range(32))  # equal priorities: one start from each


def test_rows_that_start_nothing_are_never_drawn(make_ring):
    ring = chain(make_ring(128), streams=3, length=100)
    draws = sampler(batch=64)
    for hi in (40, 41, 60, 61, 62, 100):
        lo = max(0, hi - 50)
        for _ in range(20):
            start = draws.draw(ring.rows, lo, hi)
            after = ring.rows.next[start]
            assert (ring.rows.kind[start] <= MID).all()
            assert ((after > start) & (after < hi)).all()
            assert (start >= lo).all()
            draws.update(np.ones(64))
    with pytest.raises(NoValidStart, match="starts a transition"):
        sampler().draw(ring.rows, 0, 1)


def test_a_row_comes_in_when_its_next_is_seen_at_the_greatest_priority(make_ring):
    ring = make_ring(16)
    ring.add(0, FIRST, obs=[0])
    ring.add(0, MID, obs=[1])
    draws = sampler(batch=8, alpha=1.0)
    draws.draw(ring.rows, 0, 2)
    draws.update(np.full(8, 9.0))

    assert set(draws.draw(ring.rows, 0, 2).tolist()) == {0}
    ring.add(0, MID, obs=[2])
    draws.draw(ring.rows, 0, 3)

    arrays, _ = draws.get_state()
    np.testing.assert_allclose(arrays["replay.priority"][:3], [9.0, 9.0, 0.0], rtol=1e-6)
    assert arrays["replay.pending"].tolist() == [2]


def test_rows_that_leave_the_ring_lose_their_priority(make_ring):
    ring = make_ring(16)
    draws, lo = sampler(batch=8), 0
    for i in range(100):
        ring.add(0, FIRST if i == 0 else MID, obs=[i])
        lo = max(0, ring.head - 12)
        if i > 1:
            draws.draw(ring.rows, lo, ring.head)
            draws.update(np.random.default_rng(i).random(8))

    priority = draws.get_state()[0]["replay.priority"]

    inside = np.arange(lo, ring.head - 1) % 16
    assert (priority[inside] > 0).all()
    assert np.count_nonzero(priority) == len(inside)


def test_a_duplicate_counts_once(make_ring):
    ring = make_ring(8)
    ring.add(0, FIRST, obs=[0])
    ring.add(0, MID, obs=[1])
    draws = sampler(batch=4, alpha=1.0, epsilon=1.0)

    assert draws.draw(ring.rows, 0, 2).tolist() == [0, 0, 0, 0]
    draws.update(np.full(4, 2.0))

    assert draws._tree.total == pytest.approx(3.0)


def test_draws_resume_bit_for_bit(make_ring):
    ring = chain(make_ring(64), length=200)
    whole, other = sampler(seed=3), sampler(seed=4)
    errors = np.random.default_rng(0)

    def go_on(draws, hi, errors):
        start = draws.draw(ring.rows, hi - 50, hi)
        draws.update(errors.random(32))
        return start.copy(), draws.weight.copy()

    for hi in range(160, 180):
        go_on(whole, hi, errors)
    arrays, scalars = whole.get_state()
    other.set_state(arrays, json.loads(json.dumps(scalars)))
    seeds = np.random.default_rng(1), np.random.default_rng(1)

    for hi in range(180, 200):
        for one, two in zip(go_on(whole, hi, seeds[0]), go_on(other, hi, seeds[1]), strict=True):
            assert one.tobytes() == two.tobytes()


def test_a_ring_that_began_anew_is_read_anew(make_ring):
    ring = chain(make_ring(64), length=60)
    draws = sampler()
    draws.draw(ring.rows, 0, 60)

    start = draws.draw(ring.rows, 0, 20)

    assert start.max() < 20


def test_beta_rises_to_one():
    config = PriorityConfig(beta=0.4, beta_steps=100)

    assert [config.beta_after(n) for n in (0, 50, 100, 200)] == pytest.approx([0.4, 0.7, 1, 1])
    with pytest.raises(msgspec.ValidationError, match="alpha"):
        msgspec.convert({"alpha": -1}, PriorityConfig)
