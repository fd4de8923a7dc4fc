"""Sequences: runs of one episode's rows, with the state before them and a burn-in."""

from typing import Any

import numpy as np
import pytest

from agentd.engine.replay.rows import FIRST, MID, ReplayError
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.sequences import SequenceBatch, SequenceConfig, SequenceReader
from agentd.engine.replay.transitions import TransitionReader

LENGTH, BURN_IN, N_STEP, LANES = 5, 3, 2, 64


@pytest.fixture(params=[(1, 0), (2, 1)], ids=["rows", "stacks"])
def ring(request: pytest.FixtureRequest, make_ring: Any) -> Any:
    """Return three streams of short episodes that went around; a row's memory is its index."""
    stack, last = request.param
    ring = make_ring(200, 2, (3,), stack, last)
    ring.rows.prev = np.full(200, -1, np.int64)
    ring.fill(431, masked=True)
    row = np.arange(ring.head - 200, ring.head)
    ring.rows.memory = np.zeros((200, 2), np.float32)
    ring.rows.memory[row % 200] = np.stack([row, -row], axis=1)
    return ring


def read(ring: Any, lo: int, burn_in: int = BURN_IN) -> tuple[SequenceBatch, SequenceReader, Any]:
    config = SequenceConfig(batch=LANES, length=LENGTH, burn_in=burn_in)
    reader = SequenceReader(ring.rows.format, config, N_STEP, 0.9)
    rng = sampler_rng(0)
    drawn = UniformSampler(LANES, rng, reader.stack).draw(ring.rows, lo, ring.head).copy()
    place = rng.integers(LENGTH, size=LANES)
    return reader.read(ring.rows, lo, ring.head, drawn, place), reader, (drawn, place)


def test_a_sequence_stays_in_its_episode_and_begins_with_the_state_before_it(ring: Any) -> None:
    rows, lo = ring.rows, ring.head - 180

    batch, reader, (drawn, _) = read(ring, lo)

    row = reader._row
    assert row.min() >= lo
    assert batch.begun.any(axis=1).all()
    assert not batch.begun.all()
    for lane in range(LANES):
        refreshed, over = batch.begun[:, lane], batch.valid[:, lane]
        own = row[BURN_IN:, lane][: 1 + over.sum()]
        known = np.concatenate([row[:BURN_IN, lane][refreshed], own])
        np.testing.assert_array_equal(rows.next[known[:-1] % 200], known[1:])
        assert drawn[lane] in known
        first = known[0] % 200
        state = 0 if rows.kind[first] == FIRST else rows.prev[first]
        assert batch.memory[lane].tolist() == [state, -state]
        assert (np.diff(refreshed.astype(int)) >= 0).all()
        assert (np.diff(over.astype(int)) <= 0).all()


def test_a_drawn_row_stands_where_it_should_if_there_are_rows_before(ring: Any) -> None:
    lo = ring.head - 180

    batch, reader, (drawn, place) = read(ring, lo)

    found = np.array([(reader._row[BURN_IN:, i] == drawn[i]).argmax() for i in range(LANES)])
    assert (found <= place).all()
    assert (found == place).any()
    early = found < place  # nothing is before: no burn-in either
    assert early.any()
    assert not batch.begun[:, early].any()


def test_returns_are_those_of_transitions(ring: Any) -> None:
    lo = ring.head - 180
    batch, reader, _ = read(ring, lo)
    own = reader._row[BURN_IN : BURN_IN + LENGTH]
    valid = batch.valid.reshape(-1)

    single = TransitionReader(ring.rows.format, int(valid.sum()), N_STEP, 0.9)
    expected = single.read(ring.rows, ring.head, own.reshape(-1)[valid])

    np.testing.assert_array_equal(batch.reward_t[valid], expected.reward_t)
    np.testing.assert_array_equal(batch.discount_t[valid], expected.discount_t)
    np.testing.assert_array_equal(batch.action_tm1[valid], expected.action_tm1)
    count = len(expected.reward_t)
    np.testing.assert_array_equal(batch.x[: LENGTH * LANES][valid], expected.x[:count])
    np.testing.assert_array_equal(batch.x[batch.ahead[valid]], expected.x[count:])
    assert batch.mask is not None
    assert expected.mask is not None
    np.testing.assert_array_equal(batch.mask[len(valid) :][valid], expected.mask[count:])


def test_without_burn_in_and_without_states(ring: Any) -> None:
    batch, _, _ = read(ring, ring.head - 180, burn_in=0)
    assert batch.before.shape[0] == batch.begun.shape[0] == 0
    assert batch.valid[0].all()

    ring.rows.memory = None
    with pytest.raises(ReplayError, match="does not say what was remembered"):
        read(ring, ring.head - 180)


def test_a_stream_whose_rows_were_lost_begins_no_sequence(make_ring: Any) -> None:
    """A row in the middle whose row before is not known has no state to begin with."""
    ring = make_ring(64)
    ring.rows.prev, ring.rows.memory = np.full(64, -1, np.int64), np.ones((64, 1), np.float32)
    for i in range(20):
        ring.add(0, FIRST if i == 0 else MID, obs=[i])
    ring.rows.next[9], ring.rows.prev[10] = -1, -1  # cut between rows 9 and 10

    config = SequenceConfig(batch=256, length=4, burn_in=2)
    reader = SequenceReader(ring.rows.format, config, 1, 0.9)
    drawn = UniformSampler(256, sampler_rng(1), reader.stack).draw(ring.rows, 0, 20)
    batch = reader.read(ring.rows, 0, 20, drawn, np.full(256, 3))

    assert 10 not in drawn
    assert not (reader._row == 10).any()
    assert set(batch.memory.reshape(-1).tolist()) == {0.0, 1.0}
