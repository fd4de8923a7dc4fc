"""What a power failure takes of a ring's rows: no more than ``durability`` says."""

import asyncio
import random
import time

import numpy as np
import pytest

from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.ring_writer import RingWriter
from agentd.server.batching.row_sync import RowSync
from agentd.server.batching.session import Frame, Session
from tests.simulation.disk import Disk
from tests.simulation.edges import Killed, SimulatedLoop, Timetable

WINDOWS = {"always": 0.0, "1s": 1.0}
LAYOUT = RingLayout(row_bytes=4, n_actions=3, branches=1, schema="s")


class PlayedRing:
    """A ring that one session plays into until the power fails; ``answered``: index and when."""

    def __init__(self, root, seed, durability):
        self.chance = random.Random(seed)
        self.timetable = Timetable(self.chance)
        self.disk = Disk(root, self.chance)
        self.path, self.durability = root / "rows.ring", durability
        self.answered = []
        self.failed_at = 0.0

    def open(self):
        return ReplayRing.open(self.path, LAYOUT, 2000, slack=600)

    def play(self):
        """Play until the power fails, then open the ring again."""
        ring = self.open()
        loop = SimulatedLoop(self.timetable, lambda _: None, lambda: 0.1 * self.chance.random())
        sync = RowSync(ring, self.durability, loop.create_task)
        work = loop.create_task(self._play(ring, sync))
        self.timetable.later(0.3 + 3 * self.chance.random(), self._fail)
        with pytest.raises(Killed):
            loop.run_forever()
        self.disk.muted = True
        for task in (work, *asyncio.all_tasks(loop)):
            task.get_coro().close()
        self.disk.muted = False
        loop.set_exception_handler(lambda *_: None)
        loop.close()
        self.disk.lose_power()
        return self.open()

    async def _play(self, ring, sync):
        session = Session(b"i" * 16, b"r" * 16, "train", 1, 0, 8)
        while True:
            row = np.array([ring.head], np.int32)
            index = ring.append(
                row.view(np.uint8)[None],
                None,
                np.zeros((1, 1), np.int32),
                row.astype(np.float32),
                np.array([1], np.uint8),
                0,
                np.zeros(1, np.int64),
                1,
                1,
                0,
            )
            sync.note()
            frame = Frame(session, index, 1, 0.0, None)
            if sync.holds:
                sync.hold(self._release, [frame], [b""], 1)
            else:
                self._release([frame], [], 1)
            await asyncio.sleep(0.004 * self.chance.random())

    def _release(self, frames, answers, rows):
        self.answered += [(frame.seq, self.timetable.now) for frame in frames]

    def _fail(self):
        self.failed_at = self.timetable.now
        raise Killed

    def lost(self, ring):
        """How old the acknowledged rows were that are lost or not as they were, seconds."""
        gone = []
        for index, at in self.answered:
            slot = index % ring.physical
            kept = ring.oldest <= index < ring.head
            if not kept or ring.columns["reward"][slot] != index:
                gone.append(self.failed_at - at)
        return gone


def tries(tmp_path, monkeypatch, durability, count):
    """The ages of lost rows of ``count`` power failures, a list each."""
    ages = []
    for seed in range(count):
        played = PlayedRing(tmp_path / str(seed), seed, durability)
        monkeypatch.setattr(time, "monotonic", played.timetable.monotonic)
        with played.disk.installed():
            ages.append(played.lost(played.play()))
        monkeypatch.undo()
        assert len(played.answered) > 20
    return ages


@pytest.mark.slow
@pytest.mark.parametrize("count", [25, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("durability", WINDOWS)
def test_a_power_failure_takes_no_row_older_than_the_window(
    tmp_path, monkeypatch, durability, count
):
    ages = tries(tmp_path, monkeypatch, durability, count)
    assert [max(each) for each in ages if each and max(each) > WINDOWS[durability]] == []
    if durability == "1s":
        assert any(ages), "rows of the last second may be lost: the failures were none"


def test_a_header_that_is_not_waited_for_is_noticed(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RingWriter, "sync_header", lambda self: None)
        assert any(tries(tmp_path, pytest.MonkeyPatch(), "always", 25))
