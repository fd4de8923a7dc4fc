"""Rows of several rings in one: each once, joined as they were, through kills at either end."""

import os
from pathlib import Path

import numpy as np
import pytest

from agentd.engine.replay.rows import RowFormat, TensorFormat
from agentd.memory.layout import RingLayout
from agentd.memory.played import PlayedRows
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.ring_reader import ReplayRingReader
from agentd.memory.shared_ring import MOST_REPLICAS, SharedRing
from agentd.replicas.calls import CallRefused, pack_run, unpack_run
from agentd.replicas.source import RowSource

FORMAT = RowFormat((TensorFormat("x", np.dtype("<f4"), (2,), 0, 8),), (3,))
LAYOUT = RingLayout(8, 3, 1, "schema", backwards=True, elapsed=True)
STREAMS = 7


class Replica:
    """A ring that games write to, and its relay's end."""

    def __init__(self, folder: Path, seed: int, capacity: int = 400) -> None:
        self.ring = ReplayRing.open(folder / "rows.ring", LAYOUT, capacity, slack=200)
        self.source = RowSource(ReplayRingReader(folder / "rows.ring", FORMAT))
        self.rng = np.random.default_rng(seed)
        self.under_way = np.zeros(STREAMS, bool)

    def play(self, rows: int) -> None:
        """Append rows of some streams; now and then cut one, and now and then correct an action."""
        rng = self.rng
        while rows > 0:
            n = min(rows, int(rng.integers(1, STREAMS + 1)))
            stream = rng.permutation(STREAMS)[:n]
            kind = np.where(self.under_way[stream], rng.choice([1, 1, 1, 2, 3], n), 0)
            kind = kind.astype(np.uint8)
            corrected = np.flatnonzero((kind > 0) & (rng.random(n) < 0.3))
            played = PlayedRows(
                corrected,
                rng.integers(0, 3, (len(corrected), 1)).astype(np.int32),
                rng.integers(0, 3, len(corrected)).astype(np.uint8),
            )
            action = np.where(kind >= 2, -1, rng.integers(0, 3, n)).astype(np.int32)[:, None]
            self.ring.append(
                rng.standard_normal((n, 2)).astype(np.float32).view(np.uint8),
                (rng.random((n, 3)) < 0.7).astype(np.uint8),
                action,
                rng.standard_normal(n).astype(np.float32),
                kind,
                0,
                stream.astype(np.int64),
                1,
                self.ring.head,
                5,
                rng.uniform(0.5, 2, n).astype(np.float32),
                played,
            )
            self.under_way[stream] = kind < 2
            if rng.random() < 0.1:
                cut = int(rng.integers(STREAMS))
                self.ring.close_streams(np.array([cut]))
                self.under_way[cut] = False
            rows -= n

    def known(self, row: int) -> dict[str, object]:
        """All that a learner can see of a row, but for its neighbours' numbers."""
        at = row % self.ring.physical
        names = ("obs", "mask_bits", "action", "reward", "kind", "explored", "version", "elapsed")
        return {name: self.ring.columns[name][at].tolist() for name in names}


def rows_of(ring: SharedRing, serial: int) -> dict[int, int]:
    """The replica's rows by their numbers there: where they are in the shared ring."""
    at = np.arange(ring.oldest, ring.head)
    mine = at[ring.columns["session"][at % ring.physical] == serial]
    seqs = ring.columns["seq"][mine % ring.physical].tolist()
    assert len({*seqs}) == len(seqs), "a row twice"
    return dict(zip(seqs, mine.tolist(), strict=True))


def assert_same(ring: SharedRing, replica: Replica, number: int, serial: int, lo: int) -> None:
    """Rows from ``lo`` on are all there, joined as they are in the replica's ring."""
    where, own = rows_of(ring, serial), replica.ring
    assert sorted(seq for seq in where if seq >= lo) == list(range(lo, own.head))
    back = {row: seq for seq, row in where.items()}
    for seq, row in where.items():
        if seq < lo:
            continue
        at, own_at = row % ring.physical, seq % own.physical
        found = {name: ring.columns[name][at].tolist() for name in replica.known(seq)}
        assert found == replica.known(seq)
        assert ring.columns["stream"][at] == own.columns["stream"][own_at] * MOST_REPLICAS + number
        after, before = int(own.columns["next"][own_at]), int(own.columns["prev"][own_at])
        assert back.get(int(ring.columns["next"][at]), -1) == after
        if before >= lo or before < 0:
            assert back.get(int(ring.columns["prev"][at]), -1) == before


def open_shared(folder: Path, capacity: int = 2000) -> SharedRing:
    ring = SharedRing.open(folder / "shared.ring", LAYOUT, capacity, slack=400)
    ring.take_up()
    return ring


def ship(replica: Replica, ring: SharedRing, number: int, serial: int, most: int) -> None:
    while (run := replica.source.next_run(most)) is not None:
        ring.append_run(number, serial, unpack_run(pack_run(run), ring.columns))


@pytest.mark.parametrize("most", [1, 3, 50, 200])
def test_rows_of_two_rings_are_joined_as_they_were(tmp_path: Path, most: int) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    replicas = [Replica(tmp_path / "a", 1), Replica(tmp_path / "b", 2)]
    ring = open_shared(tmp_path)
    for _ in range(12):
        for number, replica in enumerate(replicas):
            replica.play(int(replica.rng.integers(1, 60)))
            ship(replica, ring, number, 10 + number, most)

    for number, replica in enumerate(replicas):
        assert_same(ring, replica, number, 10 + number, max(0, replica.ring.oldest))
    counters = [replica.ring.counters for replica in replicas]
    assert ring.counters.env_steps == sum(each.env_steps for each in counters)
    assert ring.counters.episodes == sum(each.episodes for each in counters)


def test_both_ends_may_be_killed_between_any_two_runs(tmp_path: Path) -> None:
    replica, ring = Replica(tmp_path, 3), open_shared(tmp_path)
    for turn in range(30):
        replica.play(int(replica.rng.integers(1, 20)))
        if (run := replica.source.next_run(9)) is not None:
            ring.append_run(0, 4, run)
        if turn % 4 == 1:  # the learner's process: its mapped file is all that is left
            ring = open_shared(tmp_path)
        if turn % 4 == 3:  # the relay's, which asks how far it has come
            replica.source = RowSource(ReplayRingReader(tmp_path / "rows.ring", FORMAT))
            replica.source.seek(ring.last_seqs().get(4, -1) + 1)
    ship(replica, ring, 0, 4, 50)

    assert_same(ring, replica, 0, 4, replica.ring.oldest)


def test_what_was_written_over_before_it_was_read_is_counted(tmp_path: Path) -> None:
    replica, ring = Replica(tmp_path, 5, capacity=100), open_shared(tmp_path)
    replica.play(60)
    ship(replica, ring, 0, 1, 50)
    replica.play(500)
    ship(replica, ring, 0, 1, 50)

    first_kept = replica.ring.head - 100
    assert replica.source.lost == first_kept - 60
    assert_same(ring, replica, 0, 1, first_kept)


def test_rows_that_are_none_are_refused(tmp_path: Path) -> None:
    replica, ring = Replica(tmp_path, 6), open_shared(tmp_path)
    replica.play(20)
    run = replica.source.next_run(20)
    assert run is not None
    values = pack_run(run)
    with pytest.raises(CallRefused, match="another agent"):
        unpack_run(values | {"before": os.urandom(8)}, ring.columns)
    with pytest.raises(CallRefused, match="another agent"):
        unpack_run(values | {"columns": {"colour": b""}}, ring.columns)
