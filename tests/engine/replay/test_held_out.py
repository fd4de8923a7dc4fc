"""Held-out rows: which they are, and that no start drawn for training touches one."""

import numpy as np
import pytest

from agentd.engine.replay.held_out import BLOCK, FIRST_HELD_OUT, HeldOut
from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig
from agentd.engine.replay.rows import MID
from agentd.engine.replay.sampling import UniformSampler, sampler_rng


def held(lo, hi, seed=3):
    firsts = HeldOut(seed, 1).blocks(lo, hi)
    return {row for first in firsts for row in range(first, first + BLOCK)}


def test_a_twentieth_is_held_out_in_whole_blocks_and_none_of_the_first_rows():
    assert held(0, FIRST_HELD_OUT) == set()
    blocks = HeldOut(3, 1).blocks(0, 100 * FIRST_HELD_OUT)
    assert len(blocks) == 99
    assert all(first % BLOCK == 0 for first in blocks)
    assert len({first % FIRST_HELD_OUT for first in blocks}) > 10  # not every twentieth one
    assert blocks != HeldOut(4, 1).blocks(0, 100 * FIRST_HELD_OUT)
    far = 10**12
    assert HeldOut(3, 1).blocks(far, far + 10_000) == HeldOut(3, 1).blocks(far, far + 10_000)
    assert 1 <= len(HeldOut(3, 1).blocks(far, far + 10_000)) <= 3


@pytest.mark.parametrize(
    ("n_step", "streams", "stack"), [(1, 1, 1), (5, 3, 1), (3, 300, 1), (2, 4, 3)]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_start_is_barred_where_a_row_that_it_reads_is_held_out(
    make_ring, n_step, streams, stack, at_once
):
    total = FIRST_HELD_OUT * 2
    ring = make_ring(8192, 1, stack=stack).fill(total, streams)
    rows, hi, lo = ring.rows, ring.head, ring.head - 8000
    held_out = HeldOut(3, n_step, stack)
    if not at_once:  # as the rows come, a few at a time; the ring is written already
        for end in range(lo + 1, hi, 37):
            held_out.barred(rows, lo, end)
    row = np.arange(lo, hi)
    barred = held_out.barred(rows, lo, hi)[row % 8192]

    known, wrong = held(lo, hi), []
    for i in row.tolist():
        reads, at = [i], i
        for _ in range(n_step):
            after = int(rows.next[at % 8192])
            if not at < after < hi:
                break
            at = after
            reads.append(at)
        at = i
        for _ in range(stack - 1):
            at = int(rows.prev[at % 8192])
            if at < lo:
                break
            reads.append(at)
        if bool(barred[i - lo]) != bool(known & set(reads)):
            wrong.append(i)
    assert wrong == []
    assert barred.any()
    assert not barred.all()


@pytest.mark.parametrize("kind", ["uniform", "prioritized", "few"])
def test_no_sampler_draws_a_start_that_is_barred_and_all_others_are_drawn(make_ring, kind):
    first = HeldOut(3, 1).blocks(0, 2 * FIRST_HELD_OUT)[0]
    lo, hi = first - 500, first + BLOCK + 500
    ring = make_ring(16_384, 1).fill(hi, 2)
    held_out = HeldOut(3, 3)
    if kind == "prioritized":
        sampler = PrioritizedSampler(256, PriorityConfig(), sampler_rng(0), held_out=held_out)
    else:
        sampler = UniformSampler(256, sampler_rng(0), held_out=held_out)
    if kind == "few":  # almost no start is left: they are listed
        ring.rows.kind[: first - 10] = 2
        ring.rows.kind[first + BLOCK + 1 :] = 2
    drawn = {row for _ in range(40) for row in sampler.draw(ring.rows, lo, hi).tolist()}

    row = np.arange(lo, hi)
    after = ring.rows.next[row]
    starts = row[(ring.rows.kind[row] <= MID) & (after > row) & (after < hi)]
    allowed = starts[~HeldOut(3, 3).barred(ring.rows, lo, hi)[starts]]
    assert len(allowed) < len(starts) - 100
    assert drawn == set(allowed.tolist())
