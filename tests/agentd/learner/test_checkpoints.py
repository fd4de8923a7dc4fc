"""When checkpoints are written, and what becomes of a updater when the disk refuses."""

import errno
import time
from pathlib import Path

import numpy as np
import pytest

from agentd.assembly.device import backend_for
from agentd.assembly.learner import learner_for
from agentd.assembly.rows import row_format
from agentd.engine.errors import EngineError
from agentd.errors import StorageError
from agentd.learner import checkpoints as module
from agentd.learner.checkpoints import Saver
from agentd.learner.updater import Progress, Updater
from agentd.memory.ring_reader import open_reader
from agentd.store import Files, list_checkpoints


class FullDisk(Files):
    """Refuses to create files while it is full."""

    full = False

    def create(self, path: Path) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().create(path)


@pytest.fixture
def parts(make_agent):
    """The parts of a learner process in this process."""

    def make(name="a", files=None, **config):
        agent = make_agent(name, **config)
        format = row_format(agent.schema)
        learner = learner_for(agent.config, agent.network, backend_for("cpu"), format)
        reader = open_reader(agent.folder / "replay", format, taught=agent.taught)
        updater = Updater(learner, reader, agent.config)
        saver = Saver(
            agent.folder / "checkpoints", agent.config, agent.schema, agent.network, updater, files
        )
        return agent, updater, saver

    return make


def train(updater, saver=None):
    while updater.ready():
        updater.advance(time.monotonic() + 9, saver.stop_at() if saver else None)
        if saver is not None and saver.wanted():
            saver.save()


def test_a_due_point_may_be_split_and_its_updates_are_the_same(parts):
    whole = parts("whole", pace={"updates": 8})[:2]
    split = parts("split", pace={"updates": 8})[:2]
    for agent, _ in (whole, split):
        agent.feed(64)
    assert whole[1].advance(time.monotonic() + 9)
    for part in range(1, 8):
        assert not split[1].advance(0.0)
        assert split[1].progress == Progress(-1, part)
    assert split[1].advance(0.0)

    assert split[1].progress == whole[1].progress == Progress(0, 0)
    one, two = (t.learner.get_state() for _, t in (whole, split))
    assert one[1] == two[1]
    assert one[0]["params"].tobytes() == two[0]["params"].tobytes()


def test_checkpoints_by_updates_fall_at_exact_counts_even_inside_a_due_point(parts):
    agent, updater, saver = parts(pace={"updates": 7}, checkpoint={"every_updates": 10, "keep": 99})
    agent.feed(64 + 4 * 9)
    train(updater, saver)

    steps = [int(name.split("-")[1]) for name in list_checkpoints(saver.folder)]
    assert steps == [70, 60, 50, 40, 30, 20, 10]
    assert saver.is_current()


def test_checkpoints_by_seconds_need_something_new(parts, monkeypatch):
    agent, updater, saver = parts(checkpoint={"every_seconds": 60.0})
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 61)
    assert not saver.wanted()
    agent.feed(80)
    train(updater)
    assert saver.wanted()
    saver.save()
    assert not saver.wanted()


def test_a_paced_learner_saves_before_its_rows_leave_the_ring(parts):
    agent, updater, saver = parts(checkpoint={"every_seconds": None, "every_updates": None})
    saved_at = []
    for rows in range(64, 3600, 4):
        agent.feed(rows)
        train(updater)
        if saver.wanted():
            saver.save()
            saved_at.append(rows)
    assert [b - a for a, b in zip([0, *saved_at], saved_at, strict=False)] == [1024] * 3
    assert updater.torn == 0


def test_a_full_disk_is_tried_again_every_second_while_training_goes_on(parts, monkeypatch):
    files = FullDisk()
    agent, updater, saver = parts(files=files, checkpoint={"every_updates": 5})
    clock = [time.monotonic()]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    files.full = True
    agent.feed(64 + 4 * 4)
    with pytest.raises(StorageError, match="No space left"):
        train(updater, saver)
    assert saver.degraded
    pauses = []
    for _ in range(6):
        agent.feed(agent.ring.head + 40)
        train(updater)
        began = clock[0]
        while not saver.wanted():
            clock[0] += 1
        pauses.append(clock[0] - began)
        with pytest.raises(StorageError):
            saver.save()
    assert pauses == [1] * 6
    assert updater.learner.updates == 65
    assert list_checkpoints(saver.folder) == []

    files.full = False
    clock[0] += 1
    assert saver.wanted()
    assert saver.save().step == 65
    assert not saver.degraded


def test_a_state_that_is_not_finite_pauses_learning_and_leaves_the_last_good_one(parts):
    _, updater, saver = parts()
    good = saver.save()
    arrays, scalars = updater.learner.get_state()
    arrays["params"][3] = np.inf
    updater.learner.set_state(arrays, scalars)

    with pytest.raises(StorageError, match=r"not finite; learning is paused"):
        saver.save()

    assert updater.diverged
    assert saver.degraded
    assert list_checkpoints(saver.folder) == [good.name]


def test_a_checkpoint_of_another_model_is_refused_and_changes_nothing(parts):
    saver = parts("a")[2]
    saver.save()
    other = parts("a", optimizer={"name": "sgd"})
    before = other[1].learner.get_state()
    with pytest.raises((EngineError, KeyError)):
        other[2].restore()
    after = other[1].learner.get_state()
    assert after[1] == before[1]
    assert after[0]["params"].tobytes() == before[0]["params"].tobytes()


def test_a_checkpoint_that_was_found_says_nothing_of_rows_on_the_disk(parts):
    """A ring that power failed may have lost rows that the checkpoint counts."""
    agent, _, saver = parts()
    agent.feed(64)
    assert saver.save().counters.head == 64

    other = parts()[2]
    other.restore()
    assert other.is_current()
    assert other.last.counters is None


def test_a_range_without_a_transition_is_passed_over(parts):
    agent, updater, _ = parts(pace={"learn_start": 1, "train_every": 1})
    agent.feed(1)
    train(updater)
    assert (updater.progress, updater.learner.updates) == (Progress(0, 0), 0)
    agent.feed(2)
    train(updater)
    assert updater.learner.updates == 1


def test_masks_count_from_the_first_row_that_has_one_whenever_it_comes(parts, rows):
    agent, updater, _ = parts()
    agent.feed(100)
    assert not updater.reader.rows(100).has_masks
    obs, mask = np.zeros((1, 16), np.uint8), np.array([[1, 0, 1]], np.uint8)
    agent.ring.append(**rows([0], [9], obs=obs, mask=mask))
    assert not updater.reader.rows(100).has_masks
    assert updater.reader.rows(101).has_masks
