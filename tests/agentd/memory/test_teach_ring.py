"""The ring of taught rows."""

import numpy as np
import pytest

from agentd.memory import mapped_file as mapped
from agentd.memory.mapped_file import RingCounters, RingMismatch
from agentd.memory.teach_ring import TeachLayout, TeachRing


@pytest.fixture
def open_ring(tmp_path):
    def open_it(target="class", width=1, capacity=6, slack=6):
        layout = TeachLayout(4, target, width, "s")
        return TeachRing.open(tmp_path / "teach.ring", layout, capacity, slack=slack)

    return open_it


def teach(ring, start, n=3, seq=1, **more):
    row = np.arange(start, start + n)
    obs = row[:, None].astype(np.uint8).repeat(4, 1)
    width = ring.layout.width
    target = row[:, None].repeat(width, 1)
    kind = np.int32 if ring.layout.target == "class" else np.float32
    return ring.append(obs, target.astype(kind), more.get("weight", 1.0), 5, seq)


@pytest.mark.parametrize(("target", "width"), [("class", 1), ("value", 4)])
def test_rows_are_written_across_laps_and_found_after_a_kill(open_ring, target, width):
    ring = open_ring(target, width)
    for start in range(0, 60, 3):
        assert teach(ring, start, seq=start + 1, weight=np.full(3, start, np.float32)) == start
    ring = open_ring(target, width)  # never closed

    assert (ring.head, ring.oldest) == (60, 54)
    assert ring.counters == RingCounters(head=60)
    slot = np.arange(54, 60) % 12
    assert ring.columns["target"][slot].tolist() == [[i] * width for i in range(54, 60)]
    assert ring.columns["obs"][slot, 3].tolist() == list(range(54, 60))
    assert ring.columns["weight"][slot].tolist() == [54.0] * 3 + [57.0] * 3
    assert ring.last_seqs() == {5: 58}
    assert ring.knows(5, 58)
    assert ring.knows(5, 55)
    assert not ring.knows(5, 52)
    assert not ring.knows(6, 58)


def test_bad_batches_and_other_layouts_are_refused(open_ring):
    ring = open_ring()
    for n in (0, 4):
        with pytest.raises(ValueError, match=r"want 1\.\.3 rows"):
            teach(ring, 0, n)
    with pytest.raises(RingMismatch, match="target"):
        open_ring("value", 4)


def test_after_power_loss_only_new_rows_count(open_ring, monkeypatch):
    ring = open_ring()
    teach(ring, 0)
    ring.mark_durable(ring.counters)
    teach(ring, 3)
    monkeypatch.setattr(mapped, "boot_id", lambda: b"another boot".ljust(36))

    ring = open_ring()
    assert (ring.head, ring.oldest) == (3, 3)
    assert teach(ring, 3) == 3
    ring.close()
    monkeypatch.setattr(mapped, "boot_id", lambda: b"a third boot".ljust(36))
    assert open_ring().head == 6
