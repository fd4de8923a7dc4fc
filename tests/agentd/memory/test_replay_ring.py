"""The replay ring against a slow and obvious twin, across laps, kills and loss of power."""

from types import SimpleNamespace

import numpy as np
import pytest

from agentd.engine.replay.rows import RowFormat, Rows, TensorFormat
from agentd.errors import StorageError
from agentd.memory import mapped_file as mapped
from agentd.memory.layout import RingLayout, default_slack, slack_for
from agentd.memory.mapped_file import RingCounters, RingMismatch
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.ring_reader import ReplayRingReader

FIRST, MID, TERMINATED, TRUNCATED = range(4)
FORMAT = RowFormat((TensorFormat("x", np.dtype("<f4"), (1,), 0, 4),), (3,))


class Twin:
    """All rows ever appended, linked one by one."""

    def __init__(self):
        self.rows, self.open, self.returns, self.finished = [], {}, {}, []

    def append(self, **batch):
        self.finished = []
        for i in range(len(batch["kind"])):
            kind, stream = int(batch["kind"][i]), int(batch["stream"][i])
            reward = 0.0 if kind == FIRST else float(batch["reward"][i])
            row = SimpleNamespace(kind=kind, stream=stream, reward=reward, next=-1)
            row.action = int(batch["action"][i, 0])
            previous = self.open.pop(stream, None)
            if previous is not None and kind != FIRST:
                self.rows[previous].next = len(self.rows)
            self.returns[stream] = reward + (0 if kind == FIRST else self.returns.get(stream, 0))
            if kind >= TERMINATED:
                self.finished.append(self.returns.pop(stream))
            else:
                self.open[stream] = len(self.rows)
            self.rows.append(row)

    def cut(self, stream):
        self.open.pop(stream, None)
        self.returns.pop(stream, None)


def random_batch(rng, rows, twin, streams=6, size=8):
    """A valid batch: several rows of one stream are in order, an ended one is followed by first."""
    kinds, ids = [], []
    under_way = set(twin.open)
    for stream in rng.integers(streams, size=size).tolist():
        if stream in under_way:
            kind = int(rng.choice([MID, MID, MID, TERMINATED, TRUNCATED]))
            if kind >= TERMINATED:
                under_way.discard(stream)
        else:
            kind = FIRST
            under_way.add(stream)
        kinds.append(kind)
        ids.append(stream)
    return rows(kinds, ids, rng.integers(-3, 4, size).tolist())


def assert_same(ring, twin):
    at = np.arange(ring.oldest, ring.head)
    slot = at % ring.physical
    wanted = [twin.rows[i] for i in at]
    for name in ("kind", "stream", "reward", "next"):
        got = ring.columns[name][slot].tolist()
        assert got == [getattr(row, name) for row in wanted], name
    assert ring.columns["action"][slot, 0].tolist() == [row.action for row in wanted]


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_linked_as_one_by_one(small_ring, rows, check_rows, seed):
    ring, twin, rng = small_ring.open(capacity=64, slack=32), Twin(), np.random.default_rng(seed)
    total = 0.0
    for _ in range(60):
        batch = random_batch(rng, rows, twin, size=int(rng.integers(1, 17)))
        assert ring.append(**batch) == len(twin.rows)
        twin.append(**batch)
        assert sorted(ring.finished.tolist()) == sorted(twin.finished)
        total += sum(twin.finished)
        if rng.random() < 0.2:
            stream = int(rng.integers(6))
            ring.close_streams(np.array([stream]))
            twin.cut(stream)
        assert_same(ring, twin)

    ended = sum(row.kind >= TERMINATED for row in twin.rows)
    assert ring.head > 3 * ring.physical
    assert ring.counters == RingCounters(ring.head, ring.head - ended, ended, total, -1)
    column = ring.columns
    names = ("obs", "mask_bits", "action", "reward", "kind", "next")
    view = [column[name] for name in (*names, "explored", "stream", "version")]
    check_rows(Rows(FORMAT, *view), ring.oldest, ring.head)


def test_an_ended_row_followed_by_first_in_one_batch_is_not_linked(small_ring, rows):
    ring = small_ring.open()
    ring.append(**rows([FIRST, FIRST], [0, 1]))
    ring.append(**rows([TERMINATED, FIRST, MID], [0, 0, 1], [5.0, 9.0, 2.0]))

    assert ring.columns["next"][:5].tolist() == [2, 4, -1, -1, -1]
    assert ring.finished.tolist() == [5.0]
    assert ring.columns["reward"][:5].tolist() == [0, 0, 5, 0, 2]


def test_the_reward_of_a_first_row_counts_nowhere_not_even_as_nan(small_ring, rows):
    ring = small_ring.open()
    ring.append(**rows([FIRST], [0], [float("nan")]))
    ring.append(**rows([TRUNCATED], [0], [3.0]))

    assert ring.columns["reward"][:2].tolist() == [0.0, 3.0]
    assert ring.counters.return_sum == 3.0


def test_a_stream_that_slept_for_a_lap_is_not_linked_into_another_row(small_ring, rows):
    ring = small_ring.open(capacity=16, slack=16)
    ring.append(**rows([FIRST], [5]))
    for _ in range(10):
        ring.append(**rows([FIRST] * 4, [0, 1, 2, 3]))
    before = ring.columns["next"].copy()
    at = ring.append(**rows([MID], [5]))

    changed = np.flatnonzero(before != ring.columns["next"]).tolist()
    assert changed in ([], [at % ring.physical])


def test_every_column_is_written_across_the_end_of_the_file(small_ring, rows):
    ring = small_ring.open(capacity=5, slack=6)
    for start in range(0, 30, 3):
        n = np.arange(start, start + 3)
        batch = rows(
            [FIRST] * 3,
            [0, 1, 2],
            action=n[:, None].astype(np.int32) % 3,
            explored=(n % 2).astype(np.uint8),
            session=(n + 100).astype(np.uint32),
            seq=(n + 2**40).astype(np.uint64),
            version=7 * start,
            obs=n[:, None].astype(np.uint8).repeat(4, 1),
        )
        assert ring.append(**batch) == start
        slot, column = n % 11, ring.columns
        for name in ("action", "explored", "session", "seq", "obs"):
            np.testing.assert_array_equal(column[name][slot], batch[name])
        assert column["version"][slot].tolist() == [7 * start] * 3


def test_masks_are_packed_and_a_batch_without_one_has_zero_bits(tmp_path, rows):
    for a in (1, 6, 8, 9, 19):
        ring = ReplayRing.open(tmp_path / f"{a}.ring", RingLayout(4, a, 1, "s"), 16, slack=16)
        mask = np.random.default_rng(a).integers(0, 2, (3, a)).astype(np.uint8)
        ring.append(**rows([FIRST], [0]))
        assert ring.counters.masks_since == -1
        ring.append(**rows([FIRST] * 3, [0, 1, 2], mask=mask))
        ring.append(**rows([FIRST], [0]))

        bits = ring.columns["mask_bits"]
        np.testing.assert_array_equal(np.unpackbits(bits[1:4], axis=1)[:, :a], mask)
        np.testing.assert_array_equal(bits[1:4], np.packbits(mask, axis=1))
        assert not bits[0].any()
        assert not bits[4].any()
        assert ring.counters.masks_since == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"stream": np.array([4096, 0])}, IndexError),
        ({"obs": np.zeros((2, 5), np.uint8)}, ValueError),
        ({"action": np.zeros((2, 2), np.int32)}, ValueError),
        ({"kind": np.zeros(9, np.uint8)}, ValueError),
    ],
)
def test_a_batch_that_does_not_fit_changes_nothing(small_ring, rows, change, error):
    ring, twin = small_ring.open(), Twin()
    good = rows([FIRST, FIRST], [0, 1])
    ring.append(**good)
    twin.append(**good)
    with pytest.raises(error):
        ring.append(**rows([MID, MID], [0, 1]) | change)

    good = rows([MID, TERMINATED], [1, 0], [1.0, 2.0])
    ring.append(**good)
    twin.append(**good)
    assert_same(ring, twin)
    assert ring.counters == RingCounters(4, 3, 1, 2.0, -1)


def test_a_full_disk_is_an_error_and_not_a_signal(small_ring, rows, monkeypatch):
    ring = small_ring.open()

    def full(fd, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped, "_claim", full)
    with pytest.raises(StorageError, match="No space left"):
        ring.append(**rows([FIRST], [0]))
    assert ring.head == 0
    monkeypatch.undo()
    assert ring.append(**rows([FIRST], [0])) == 0


def test_disk_space_is_claimed_ahead_of_the_rows(small_ring, rows, monkeypatch):
    claimed = []
    monkeypatch.setattr(mapped, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(mapped, "_claim", lambda fd, offset, size: claimed.append((offset, size)))
    ring = small_ring.open(capacity=1000, slack=1000)
    for _ in range(300):
        ring.append(**rows([FIRST] * 4, [0, 1, 2, 3]))

    column = [size for offset, size in claimed if 4096 <= offset < 4096 + 4 * 2000]  # obs
    assert sum(column) >= 4 * 1200
    assert all(size >= 4 * 256 for size in column)


def test_slack_covers_the_batch_and_what_a_killed_learner_sees_again():
    assert default_slack(100_000) == 25_000
    assert default_slack(16) == 4096
    assert slack_for(1000, 8192) == 32_768
    assert slack_for(1000, 64, train_every=10_000) == 4 * 10_064


# -- opening again ---------------------------------------------------------------------------------


def test_a_ring_of_another_kind_is_refused_by_name(small_ring, tmp_path):
    small_ring.open().close()
    for layout, capacity, word in (
        (RingLayout(8, 3, 1, "s"), 16, "row_bytes 8, the file has 4"),
        (RingLayout(4, 3, 1, "other"), 16, "schema 'other', the file has 's'"),
        (RingLayout(4, 3, 1, "s"), 17, "capacity 17, the file has 16"),
        (RingLayout(4, 3, 1, "s", elapsed=True), 16, "elapsed"),
    ):
        with pytest.raises(RingMismatch, match=word):
            ReplayRing.open(small_ring.path, layout, capacity, slack=16)
    small_ring.path.write_bytes(b"nothing")
    with pytest.raises(RingMismatch, match="no ring file"):
        small_ring.open()


def test_a_reopened_session_goes_on_where_it_was(small_ring, rows):
    ring, twin = small_ring.open(capacity=200, slack=64), Twin()
    rng = np.random.default_rng(3)
    for _ in range(8):
        batch = random_batch(rng, rows, twin)
        ring.append(**batch)
        twin.append(**batch)
    del ring  # no goodbye

    ring = small_ring.open(capacity=200, slack=64)
    assert not ring.under_way(0, 6).any()
    ring.reopen(0, 6, session=1)
    assert np.flatnonzero(ring.under_way(0, 6)).tolist() == sorted(twin.open)
    for _ in range(8):
        batch = random_batch(rng, rows, twin)
        ring.append(**batch)
        twin.append(**batch)
        assert sorted(ring.finished.tolist()) == sorted(twin.finished)
        assert_same(ring, twin)


def test_only_the_own_streams_of_a_live_session_are_reopened(small_ring, rows):
    ring = small_ring.open()
    ring.append(**rows([FIRST] * 3, [0, 1, 5], session=7))
    ring.append(**rows([FIRST], [2], session=8))
    cut_at = ring.head
    ring.append(**rows([FIRST], [1], session=7))
    ring.append(**rows([MID], [2], [4.0], session=8))

    ring = small_ring.open()
    ring.reopen(0, 4, session=7, since=cut_at)
    assert ring.under_way(0, 6).tolist() == [False, True, False, False, False, False]
    ring.reopen(2, 1, session=8)
    ring.append(**rows([TERMINATED], [2], [1.0], session=8))
    assert ring.finished.tolist() == [5.0]
    ring.reopen(4000, 500, session=9)
    assert ring.append(**rows([FIRST], [4499])) == 7


def test_seqs_and_answers_of_frames_are_found_again(small_ring, rows):
    ring = small_ring.open(capacity=16, slack=16)
    for seq in range(1, 15):
        ring.append(
            **rows(
                [FIRST, FIRST],
                [4, 2],
                seq=np.array([seq, seq + 50], np.uint64),
                session=np.array([1, 2], np.uint32),
                action=np.array([[seq % 3], [2]], np.int32),
                explored=np.array([seq % 2, 0], np.uint8),
                version=seq * 10,
            )
        )

    ring = small_ring.open(capacity=16, slack=16)
    assert ring.last_seqs() == {1: 14, 2: 64}
    known = ring.answer(1, 13)
    assert (known.action.tolist(), known.explored.tolist()) == ([[1]], [1])
    assert (known.version, known.stream.tolist(), known.kind.tolist()) == (130, [4], [FIRST])
    assert ring.answer(1, 15) is None
    assert ring.answer(3, 13) is None
    assert ring.answer(1, 2) is None  # too old


def test_the_rows_of_a_frame_keep_their_order_across_the_end_of_the_file(small_ring, rows):
    ring = small_ring.open(capacity=8, slack=6)
    for seq in range(1, 12):
        ring.append(**rows([FIRST] * 3, [2, 0, 1], seq=seq))
        assert ring.answer(1, seq).stream.tolist() == [2, 0, 1]


def test_counters_may_begin_where_a_checkpoint_left_them(small_ring, rows):
    ring = small_ring.open(begin=RingCounters(1000, 900, 100, 5.5, -1))
    assert (ring.head, ring.oldest) == (1000, 1000)
    ring.append(**rows([FIRST], [0]))

    assert small_ring.open().counters == RingCounters(1001, 901, 100, 5.5, -1)
    assert small_ring.open().oldest == 1000


# -- the reader ------------------------------------------------------------------------------------


def test_the_reader_sees_what_is_committed_and_nothing_else(small_ring, rows):
    ring = small_ring.open()
    reader = ReplayRingReader(small_ring.path, FORMAT)
    assert reader.head == 0
    ring.append(**rows([FIRST, FIRST], [0, 1], mask=np.ones((2, 3), np.uint8)))

    assert reader.counters == ring.counters
    assert not reader.rows(0).has_masks
    assert reader.rows(1).has_masks
    assert reader.rows(2).kind.base is not None
    assert not reader.rows(2).kind.flags.writeable
    assert reader.awaited is None
    ring.waiting[0] = 9
    assert reader.awaited == 7


def test_the_window_keeps_away_from_where_the_writer_is(small_ring, rows):
    ring = small_ring.open(capacity=16, slack=16)  # 8 rows at most in one append
    reader = ReplayRingReader(small_ring.path, FORMAT)
    for head in range(4, 200, 4):
        ring.append(**rows([FIRST] * 4, [0, 1, 2, 3]))
        for hi in range(max(0, head - 30), head + 1):
            lo, whole = reader.window(hi)
            assert whole == (head - hi <= 8 or head <= 24)
            assert lo == max(0, hi - 16, head - 24)


# -- time and who played ---------------------------------------------------------------------------


def test_the_time_of_rows_is_kept_where_the_layout_has_it(tmp_path):
    path, layout = tmp_path / "t.ring", RingLayout(4, 3, 1, "s", elapsed=True)
    ring = ReplayRing.open(path, layout, 16, slack=16)
    none = np.zeros((2, 4), np.uint8)
    each = (np.zeros((2, 1), np.int32), np.zeros(2, np.float32))
    streams, kinds = np.arange(2), np.array([FIRST, FIRST], np.uint8)
    more = (0, streams, 1, 1, 0)
    ring.append(none, None, *each, kinds, *more, np.array([2.5, 0.5], np.float32))
    ring.append(none, None, *each, kinds + 1, *more)
    one = tuple(a[:1] for a in each)
    ring.append(none[:1], None, *one, kinds[:1] + 1, 0, streams[:1], 1, 2, 0, np.float32([4.0]))

    assert ring.columns["elapsed"][:5].tolist() == [2.5, 0.5, 1.0, 1.0, 4.0]
    assert "elapsed" in layout.identity(16, 16)
    assert "elapsed" not in RingLayout(4, 3, 1, "s").identity(
        16, 16
    )  # files of before are the same
    ring.columns["elapsed"][1] = -1.0  # nobody writes that
    ring.close()
    assert ReplayRing.open(path, layout, 16, slack=16).oldest == 2


def test_an_answer_that_is_repeated_says_who_explored_and_not_who_played(small_ring):
    ring = small_ring.open()
    obs, at = np.zeros((2, 4), np.uint8), np.arange(2)
    action, reward = np.zeros((2, 1), np.int32), np.zeros(2, np.float32)
    first = np.zeros(2, np.uint8)
    ring.append(obs, None, action, reward, first, np.array([2, 5], np.uint8), at, 7, 1, 0)

    assert ring.answer(7, 1).explored.tolist() == [0, 1]
