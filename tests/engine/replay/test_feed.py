"""The feed: several batches are read at once, and nobody can tell but by the clock."""

import json

import numpy as np
import pytest

from agentd.engine.replay.feed import GROUP_BYTES, BatchFeed
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, NoValidStart
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.transitions import TransitionReader

B = 8


def make_feed(rows, seed=0, n_step=2, batch_bytes=1):
    sampler = UniformSampler(B, sampler_rng(seed))
    return BatchFeed(sampler, TransitionReader(rows.format, B, n_step, 0.9), batch_bytes)


@pytest.fixture(params=[False, True], ids=["legal", "masked"])
def ring(request, make_ring):
    """Two streams of short episodes; the observation is the row's number."""
    made = make_ring(256, features=1, branches=(3,))
    for i in range(200):
        step = (i // 2) % 9
        kind = FIRST if step == 0 else TERMINATED if step == 8 else MID
        mask = [1, 0, i % 2] if request.param else None
        made.add(i % 2, kind, obs=[i], reward=float(i), action=i % 3, mask=mask)
    return made


def copy(batch):
    return [None if part is None else part.copy() for part in batch]


def take(feed, ring, count, of, lo=0, hi=200):
    return [copy(feed.next(ring.rows, lo, hi, of - i)) for i in range(count)]


def same(one, other):
    return all(
        (a is b) if a is None or b is None else np.array_equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_a_group_is_what_one_by_one_reading_of_its_starts_gives(ring):
    start = UniformSampler(B, sampler_rng(0)).draw(ring.rows, 0, 200, batches=4).reshape(4, B)
    reader = TransitionReader(ring.rows.format, B, 2, 0.9)

    found = take(make_feed(ring.rows), ring, 4, of=4)

    assert same(found, [copy(reader.read(ring.rows, 200, part)) for part in start])
    for batch, part in zip(found, start, strict=True):
        np.testing.assert_array_equal(batch[0][:B, 0], part)


def test_groups_of_changing_size_are_read_into_the_same_memory(ring):
    """A live learner owes another number of updates each time: its heap must not breathe."""
    feed, places = make_feed(ring.rows), set()
    for of in (64, 3, 40, 7, 64, 12):
        batches = [feed.next(ring.rows, 0, 200, of - i) for i in range(of)]
        parts = [part for part in batches[0] if part is not None]
        places.add(tuple(part.ctypes.data for part in parts))
    assert len(places) == 1


def test_a_feed_resumes_in_the_middle_of_a_group(ring):
    feed = make_feed(ring.rows)
    take(feed, ring, 3, of=8)
    state = json.loads(json.dumps(feed.get_state()))
    rest = take(feed, ring, 5, of=5) + take(feed, ring, 8, of=8, hi=190)

    again = make_feed(ring.rows, seed=99)
    again.set_state(state)
    resumed = take(again, ring, 5, of=5) + take(again, ring, 8, of=8, hi=190)

    assert same(resumed, rest)
    assert again.get_state() == feed.get_state()


def test_another_window_ends_a_group(ring):
    """After a jump the batches of before are void, resumed or not."""
    feed = make_feed(ring.rows)
    take(feed, ring, 3, of=8)
    again = make_feed(ring.rows, seed=99)
    again.set_state(feed.get_state())

    found = take(feed, ring, 2, of=8, lo=100, hi=150)

    assert same(take(again, ring, 2, of=8, lo=100, hi=150), found)
    for batch in found:
        assert batch[0].min() >= 100
        assert batch[0].max() < 150


def test_a_group_is_bounded(ring):
    """Batches that are large are read one by one."""
    feed = make_feed(ring.rows, batch_bytes=GROUP_BYTES)

    found = take(feed, ring, 3, of=1_000)

    one_by_one = make_feed(ring.rows)
    assert same(found, [take(one_by_one, ring, 1, of=1)[0] for _ in range(3)])
    assert "group" not in feed.get_state()


def test_nothing_to_draw_leaves_the_feed_usable(ring):
    feed = make_feed(ring.rows)

    with pytest.raises(NoValidStart):
        feed.next(ring.rows, 0, 1, 4)

    assert len(take(feed, ring, 4, of=4)) == 4
