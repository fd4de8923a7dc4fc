"""Reading transitions from a ring: which rows start one, where n steps end, what is decoded."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.replay.rows import (
    FIRST,
    MID,
    TERMINATED,
    TRUNCATED,
    BinGrowth,
    NoValidStart,
    ReplayError,
    RowFormat,
    TensorFormat,
)
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.transitions import NStepTooLong, TransitionReader, check_n_step
from agentd.engine.rules import td

FLOAT = RowFormat((TensorFormat("obs", np.dtype("<f4"), (1,), 0, 4),), (2,))


def read(ring, start, n_step=1, gamma=0.5, hi=None):
    reader = TransitionReader(ring.rows.format, len(start), n_step, gamma)
    return reader.read(ring.rows, ring.head if hi is None else hi, np.array(start, np.int64))


def drawn(ring, lo, hi, batch=2_000, seed=0):
    sampler = UniformSampler(batch, np.random.Generator(np.random.PCG64(seed)))
    return set(sampler.draw(ring.rows, lo, hi).tolist())


def test_one_step_transition_holds_both_observations(make_ring):
    ring = make_ring(16, features=2)
    ring.add(0, FIRST, obs=[1, 2], action=1)
    ring.add(0, MID, obs=[3, 4], reward=5.0)

    batch = read(ring, [0])

    assert batch.x.tolist() == [[1, 2], [3, 4]]
    assert batch.action_tm1.tolist() == [[1]]
    assert batch.reward_t.tolist() == [5.0]
    assert batch.discount_t.tolist() == [0.5]
    assert batch.mask is None


@pytest.mark.parametrize(("end", "discount"), [(TERMINATED, 0.0), (TRUNCATED, 0.5)])
def test_terminated_ends_do_not_bootstrap_and_truncated_ones_do(make_ring, end, discount):
    ring = make_ring(16)
    ring.episode(0, [1.0], end)

    assert read(ring, [0]).discount_t.tolist() == [discount]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        # rewards 1 2 4 8, γ = 1/2, n = 3: full walk, then the two that meet the end early
        (TERMINATED, [(3.0, 0.125, 3), (6.0, 0.0, 4), (8.0, 0.0, 4), (8.0, 0.0, 4)]),
        (TRUNCATED, [(3.0, 0.125, 3), (6.0, 0.125, 4), (8.0, 0.25, 4), (8.0, 0.5, 4)]),
    ],
)
def test_n_step_stops_at_the_end_of_the_episode(make_ring, end, expected):
    ring = make_ring(16)
    ring.episode(0, [1.0, 2.0, 4.0, 8.0], end)
    ring.episode(0, [100.0, 100.0], end)

    batch = read(ring, [0, 1, 2, 3], n_step=3)

    assert batch.reward_t.tolist() == [e[0] for e in expected]
    assert batch.discount_t.tolist() == [e[1] for e in expected]
    assert batch.x[4:, 0].tolist() == [e[2] for e in expected]


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("end", [TERMINATED, TRUNCATED])
def test_n_step_is_the_rule(make_ring, n, end):
    ring = make_ring(16)
    reward = [1.0, -2.0, 4.0, 3.0, 5.0]
    ring.episode(0, reward, end)
    discount = [0.5] * 4 + [0.0 if end == TERMINATED else 0.5]

    batch = read(ring, [0], n_step=n)

    total, ahead = td.n_step(np.array(reward[:n])[:, None], np.array(discount[:n])[:, None])
    assert batch.reward_t.tolist() == total.tolist()
    assert batch.discount_t.tolist() == ahead.tolist()


def test_n_step_bootstraps_from_the_newest_row_before_hi(make_ring):
    ring = make_ring(16)
    ring.episode(0, [1.0, 2.0, 4.0, 8.0], TERMINATED)

    batch = read(ring, [0, 1], n_step=4, hi=4)

    assert batch.reward_t.tolist() == [1 + 1 + 1, 2 + 2]
    assert batch.discount_t.tolist() == [0.125, 0.25]
    assert batch.x[2:, 0].tolist() == [3, 3]


def test_newest_row_of_a_stream_and_ended_rows_start_nothing(make_ring):
    ring = make_ring(32)
    ring.add(0, FIRST, obs=[0])
    ring.add(1, FIRST, obs=[1])
    ring.add(0, MID, obs=[2])
    ring.add(1, TRUNCATED, obs=[3])
    ring.add(1, FIRST, obs=[4])
    ring.add(0, MID, obs=[5])

    assert drawn(ring, 0, ring.head) == {0, 1, 2}
    assert drawn(ring, 0, 5) == {0, 1}  # row 2 goes on only at row 5
    assert drawn(ring, 1, ring.head) == {1, 2}


def test_slots_wrap_round_the_ring(make_ring, check_rows):
    ring = make_ring(8)
    for _ in range(5):
        ring.episode(0, [1.0, 2.0, 4.0], TERMINATED)
    lo = ring.head - 8
    check_rows(ring.rows, lo, ring.head)

    assert drawn(ring, lo, ring.head) == {12, 13, 14, 16, 17, 18}
    batch = read(ring, [14, 16], n_step=3)
    assert batch.x[:, 0].tolist() == [14, 16, 15, 19]
    assert batch.reward_t.tolist() == [4.0, 3.0]


def test_every_start_is_equally_likely(make_ring):
    ring = make_ring(64)
    for _ in range(6):
        ring.episode(0, [0.0] * 3, TERMINATED)
    sampler = UniformSampler(18_000, np.random.Generator(np.random.PCG64(1)))

    index = sampler.draw(ring.rows, 0, ring.head)

    counts = np.bincount(index, minlength=ring.head)
    assert (counts > 0).sum() == 18
    chi2 = ((counts[counts > 0] - 1_000) ** 2 / 1_000).sum()
    assert chi2 < 45  # 17 degrees of freedom, p > 1e-4


def test_a_single_start_among_thousands_is_found(make_ring):
    ring = make_ring(8_192)
    for stream in range(8_000):
        ring.add(stream, FIRST, obs=[0])
    only = ring.add(8_001, FIRST, obs=[0])
    ring.add(8_001, MID, obs=[0])

    assert drawn(ring, 0, ring.head, batch=4) == {only}


def test_no_start_is_a_named_error(make_ring):
    ring = make_ring(16)
    for stream in range(4):
        ring.add(stream, FIRST, obs=[0])

    with pytest.raises(NoValidStart, match=r"\[0, 4\)"):
        drawn(ring, 0, ring.head)
    with pytest.raises(NoValidStart, match=r"\[3, 3\)"):
        drawn(ring, 3, 3)


def test_draws_repeat_from_a_saved_state(make_ring):
    ring = make_ring(64)
    for _ in range(4):
        ring.episode(0, [0.0] * 6, TERMINATED)
    sampler = UniformSampler(64, np.random.Generator(np.random.PCG64(5)))
    sampler.draw(ring.rows, 0, ring.head)
    state = json.loads(json.dumps(sampler.get_state()))
    expected = [sampler.draw(ring.rows, 0, ring.head).copy() for _ in range(3)]
    other = UniformSampler(64, np.random.Generator(np.random.PCG64(6)))

    other.set_state(state)

    for index in expected:
        assert (other.draw(ring.rows, 0, ring.head) == index).all()


def test_n_step_longer_than_the_ring_is_a_named_error(make_ring):
    ring = make_ring(8)
    ring.episode(0, [1.0], TERMINATED)

    check_n_step(7, 8)
    with pytest.raises(NStepTooLong, match=r"n_step 8 .* 8 rows"):
        read(ring, [0], n_step=8)


@pytest.mark.parametrize("branches", [(3,), (8,), (4, 9)])
def test_masks_are_unpacked_for_both_ends(make_ring, branches):
    ring = make_ring(16, branches=branches)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (4, sum(branches)), np.uint8)
    masks[:, 0] = 1
    for i, mask in enumerate(masks):
        ring.add(0, MID if i else FIRST, obs=[i], mask=mask)

    batch = read(ring, [0, 2], n_step=1)

    assert batch.mask is not None
    assert (batch.mask == masks[[0, 2, 1, 3]]).all()


def test_a_row_without_a_mask_is_all_legal(make_ring):
    ring = make_ring(16, branches=(3,))
    ring.add(0, FIRST, obs=[0])
    ring.add(0, MID, obs=[1], mask=[0, 1, 0])

    assert read(ring, [0]).mask.tolist() == [[1, 1, 1], [0, 1, 0]]


def test_mixed_tensors_are_cast_and_concatenated(make_ring):
    raw = np.zeros((2, 15), np.uint8)
    raw[:, :4] = [[1, 2, 3, 255], [4, 5, 6, 7]]
    raw[:, 4:7] = np.array([[-1, 2, -128]] * 2, np.int8).view(np.uint8)
    raw[:, 7:11] = np.array([[-70_000], [3]], "<i4").view(np.uint8)
    raw[:, 11:] = np.array([[0.5, -2.0]] * 2, "<f2").view(np.uint8)
    row = RowFormat(
        (
            TensorFormat("a", np.dtype("u1"), (2, 2), 0, 4),
            TensorFormat("b", np.dtype("i1"), (3,), 4, 3),
            TensorFormat("c", np.dtype("<i4"), (), 7, 4),
            TensorFormat("d", np.dtype("<f2"), (2,), 11, 4),
        ),
        (2, 3),
    )
    out = np.empty((2, row.features), np.float32)

    row.decode(raw, out)

    assert (row.row_bytes, row.features, row.n_actions, row.is_float32) == (15, 10, 5, False)
    assert out.tolist() == [
        [1, 2, 3, 255, -1, 2, -128, -70_000, 0.5, -2.0],
        [4, 5, 6, 7, -1, 2, -128, 3, 0.5, -2.0],
    ]


def test_a_reader_decodes_mixed_rows_too(make_ring):
    ring = make_ring(8)
    bytes_row = RowFormat((TensorFormat("image", np.dtype("u1"), (4,), 0, 4),), (2,))
    ring.add(0, FIRST, obs=np.array([1, 2, 3, 4], np.uint8).view(np.float32))
    ring.add(0, MID, obs=np.array([250, 6, 7, 8], np.uint8).view(np.float32))
    ring.rows.format = bytes_row

    assert read(ring, [0]).x.tolist() == [[1, 2, 3, 4], [250, 6, 7, 8]]


def test_float_rows_are_copied_bit_for_bit():
    raw = np.array([[np.nan], [-0.0], [1e-42]], "<f4")
    out = np.empty((3, 1), np.float32)

    FLOAT.decode(raw.view(np.uint8), out)

    assert out.tobytes() == raw.tobytes()


def test_row_format_refuses_gaps():
    with pytest.raises(ValueError, match="'obs'"):
        RowFormat((TensorFormat("obs", np.dtype("<f4"), (1,), 4, 4),), (2,))
    with pytest.raises(ValueError, match="'obs'"):
        RowFormat((TensorFormat("obs", np.dtype("<f4"), (2,), 0, 4),), (2,))
    with pytest.raises(ValueError, match="at least one"):
        RowFormat((), (2,))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rows: rows.next.__setitem__(2, 1), "not later"),
        (lambda rows: rows.next.__setitem__(3, 4), "end of an episode"),
        (lambda rows: rows.next.__setitem__(0, 2), "share"),
        (lambda rows: rows.next.__setitem__(6, 7), "first row follows"),
    ],
)
def test_a_check_of_rows_names_what_is_wrong(make_ring, check_rows, damage, message):
    ring = make_ring(16)
    ring.episode(0, [1.0] * 3, TERMINATED)
    ring.episode(0, [1.0] * 2, TERMINATED)
    ring.rows.kind[6] = MID
    ring.episode(0, [1.0], TERMINATED)
    check_rows(ring.rows, 0, ring.head)

    damage(ring.rows)

    with pytest.raises(ReplayError, match=message):
        check_rows(ring.rows, 0, ring.head)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_step=st.integers(1, 6),
    streams=st.integers(1, 4),
    length=st.integers(5, 120),
    capacity=st.integers(10, 40),
    masked=st.booleans(),
)
def test_reading_equals_a_walk_in_plain_python(
    seed, n_step, streams, length, capacity, masked, make_ring, check_rows
):
    """Any interleaving of streams: draws are valid starts, and batches are the plain walk."""
    rng = np.random.default_rng(seed)
    ring = make_ring(capacity, features=1, branches=(3,))
    log = []  # (stream, kind, reward, mask) of every row ever
    last = dict.fromkeys(range(streams), TERMINATED)
    for i in range(length):
        stream = int(rng.integers(streams))
        kind = FIRST if last[stream] >= TERMINATED else int(rng.choice([MID, MID, 2, 3]))
        mask = rng.permutation([1, 0, 1]) if masked and rng.random() < 0.7 else None
        reward = float(rng.integers(-4, 5))
        ring.add(stream, kind, obs=[i], reward=reward, action=int(rng.integers(3)), mask=mask)
        log.append((stream, kind, reward, [1, 1, 1] if mask is None else mask.tolist()))
        last[stream] = kind
    hi = int(rng.integers(max(0, length - 4), length + 1))
    lo = max(0, length - capacity)
    check_rows(ring.rows, lo, length)
    following = {i: _following(log, i, hi) for i in range(lo, hi)}
    starts = {i for i, after in following.items() if log[i][1] <= MID and after is not None}
    sampler = UniformSampler(32, np.random.Generator(np.random.PCG64(seed)))
    if not starts:
        with pytest.raises(NoValidStart):
            sampler.draw(ring.rows, lo, hi)
        return

    index = sampler.draw(ring.rows, lo, hi)
    batch = TransitionReader(ring.rows.format, 32, n_step, 0.5).read(ring.rows, hi, index)

    assert set(index.tolist()) <= starts
    for b, start in enumerate(index.tolist()):
        at, total, ahead = start, 0.0, 1.0
        for _ in range(n_step):
            after = _following(log, at, hi) if log[at][1] <= MID else None
            if after is None:
                break
            total, ahead, at = total + ahead * log[after][2], ahead * 0.5, after
        assert batch.x[b, 0] == start
        assert batch.x[32 + b, 0] == at
        assert batch.reward_t[b] == total
        assert batch.discount_t[b] == (0.0 if log[at][1] == TERMINATED else ahead)
        if batch.mask is not None:
            assert batch.mask[[b, 32 + b]].tolist() == [log[start][3], log[at][3]]


def _following(log, i, hi):
    """Return the row after row i in its stream and episode, before hi, or None."""
    for j in range(i + 1, hi):
        if log[j][0] == log[i][0]:
            return j if log[j][1] != FIRST else None
    return None


def test_targets_look_at_the_actions_that_there_are_yet(make_ring):
    ring = make_ring(64, 2, (3,)).fill(masked=True)
    growth = BinGrowth(50, (0, 1, 0))
    growing = dataclasses.replace(ring.rows.format, growth=growth)
    start = UniformSampler(8, sampler_rng(0)).draw(ring.rows, 0, ring.head)
    assert ring.head >= 50

    plain = TransitionReader(ring.rows.format, 8, 1, 0.9).read(ring.rows, ring.head, start)
    early = TransitionReader(growing, 8, 1, 0.9).read(ring.rows, 49, start)
    late = TransitionReader(growing, 8, 1, 0.9).read(ring.rows, ring.head, start)

    np.testing.assert_array_equal(early.mask, plain.mask * np.array([1, 0, 1], np.uint8))
    np.testing.assert_array_equal(late.mask, plain.mask)
    ring.rows.has_masks = False
    unmasked = TransitionReader(growing, 8, 1, 0.9)
    assert unmasked.read(ring.rows, 49, start).mask.tolist() == [[1, 0, 1]] * 16
    assert unmasked.read(ring.rows, ring.head, start).mask is None
