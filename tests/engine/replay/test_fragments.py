"""Fresh transitions: each one in exactly one window, joined along its stream and nowhere else."""

import numpy as np
import pytest

from agentd.engine.replay.fragments import (
    FragmentTooLong,
    RowReader,
    check_fragment,
    drop_stale,
    fresh_transitions,
    join,
)
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, TRUNCATED


def fill(ring, rows, streams=3, seed=0):
    """Append random episodes of several streams; return the transitions as (start, end) pairs."""
    rng, newest, made = np.random.default_rng(seed), {}, []
    for _ in range(rows):
        stream = int(rng.integers(streams))
        going = stream in newest
        kind = int(rng.choice([MID, MID, MID, TERMINATED, TRUNCATED])) if going else FIRST
        if rng.random() < 0.05:
            kind, going = FIRST, False  # the episode before was cut
        row = ring.add(stream, kind, obs=[ring.head], version=ring.head // 10)
        if going:
            made.append((newest[stream], row))
        newest[stream] = row
        if kind >= TERMINATED:
            del newest[stream]
    return made


@pytest.mark.parametrize("window", [1, 7, 50])
def test_every_transition_is_in_exactly_one_window(make_ring, window):
    ring = make_ring(300)
    made, seen = [], []
    for hi in range(window, 1_000, window):
        made += fill(ring, window, streams=4, seed=hi)
        newest = fresh_transitions(ring.rows, max(0, hi - 200), hi, window)
        seen += list(zip(*(part.tolist() for part in newest), strict=True))

    # `fill` forgets its streams between windows, and so do the rows: no chain crosses them here.
    assert sorted(seen) == sorted(made)
    assert [end for _, end in seen] == sorted(end for _, end in seen)


def test_a_slow_stream_loses_nothing_between_windows(make_ring):
    ring = make_ring(64)
    ring.add(0, FIRST, obs=[0])
    for _ in range(5):
        for i in range(10):
            ring.add(1, FIRST if i == 0 else MID, obs=[0])
        ring.add(0, MID, obs=[0])

    starts = [fresh_transitions(ring.rows, 0, hi, 11)[0].tolist() for hi in (12, 23, 34)]

    assert starts[0] == [*range(1, 10), 0]
    assert [found[-1] for found in starts] == [0, 11, 22]


def test_rows_above_hi_and_below_lo_are_not_there(make_ring):
    ring = make_ring(16)
    ring.episode(0, [1, 1, 1, 1, 1], TERMINATED)

    start, end = fresh_transitions(ring.rows, 0, 4, 4)
    assert (start.tolist(), end.tolist()) == ([0, 1, 2], [1, 2, 3])
    start, end = fresh_transitions(ring.rows, 2, 6, 100)
    assert (start.tolist(), end.tolist()) == ([2, 3, 4], [3, 4, 5])
    assert not len(fresh_transitions(ring.rows, 3, 3, 4)[0])


def test_transitions_are_joined_within_their_episode_only(make_ring):
    ring = make_ring(64)
    first = ring.episode(0, [1, 1], TRUNCATED)
    other = [ring.add(1, FIRST, obs=[0]), ring.add(1, MID, obs=[0])]
    second = ring.episode(0, [1, 1], TERMINATED)

    steps = join(ring.rows, *fresh_transitions(ring.rows, 0, ring.head, 64))

    assert steps.start.tolist() == [*first[:-1], other[0], *second[:-1]]
    assert steps.after.tolist() == [1, -1, -1, 4, -1]
    assert join(ring.rows, steps.start[:0], steps.end[:0]).after.tolist() == []


def test_returns_reach_no_further_than_the_one_who_plays(make_ring):
    ring = make_ring(64)
    for i, by in enumerate([0, 0, 1, 1, 2, 0, 0]):
        ring.add(0, MID if i else FIRST, obs=[0], explored=2 * by + 1)

    steps = join(ring.rows, *fresh_transitions(ring.rows, 0, ring.head, 64))

    assert steps.after.tolist() == [1, -1, 3, -1, -1, -1]


def test_stale_rows_are_measured_and_dropped_where_a_bound_is_set(make_ring):
    ring = make_ring(64)
    for i in range(6):
        ring.add(0, FIRST if i == 0 else MID, obs=[0], version=[0, 2, 4, 4, 4, 4][i])
    fresh = fresh_transitions(ring.rows, 0, 6, 6)

    *kept, lag = drop_stale(ring.rows, *fresh, 6, 2)
    *everything, same = drop_stale(ring.rows, *fresh, 6, None)

    assert kept[0].tolist() == [2, 3, 4]
    assert (lag.mean, lag.most, lag.dropped) == ((6 + 4 + 2 + 2 + 2) / 5, 6, 2)
    assert len(everything[0]) == 5
    assert same == lag._replace(dropped=0)
    assert join(ring.rows, *kept).after.tolist() == [1, 2, -1]
    assert drop_stale(ring.rows, *(part[:0] for part in fresh), 6, 2)[2].most == 0


def test_reads_observations_and_masks_across_the_ring_s_end(make_ring):
    ring = make_ring(4, features=2, branches=(3,))
    for i in range(6):
        mask = [1, 0, 1] if i % 2 else None
        ring.add(0, FIRST, obs=[i, -i], mask=mask)

    x, mask = RowReader(ring.rows.format, 8, (2,)).read(ring.rows, np.array([5, 2, 3]))

    np.testing.assert_array_equal(x, [[5, -5], [2, -2], [3, -3]])
    np.testing.assert_array_equal(mask, [[1, 0, 1], [1, 1, 1], [1, 0, 1]])


def test_a_window_larger_than_the_ring_is_refused():
    check_fragment(64, 64)
    with pytest.raises(FragmentTooLong, match="65 fresh rows need more than the ring's 64"):
        check_fragment(65, 64)
