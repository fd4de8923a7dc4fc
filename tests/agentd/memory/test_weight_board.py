"""The weight board: whole publications only, the last two of them, through kills and races."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from agentd.errors import StorageError
from agentd.memory import weight_board as module
from agentd.memory.weight_board import STATS, Publication, WeightBoard


@pytest.fixture
def boards(tmp_path):
    path = tmp_path / "replay" / "weights.board"
    return WeightBoard.open(path, 5), WeightBoard.open(path, 5, writable=True)


def weights(value, n=5):
    return np.full(n, value, np.float32)


def test_nothing_is_there_before_the_first_publication(boards):
    reader, _ = boards
    assert reader.newest is None
    assert reader.read_into(weights(0)) is None
    assert reader.read_into(weights(0), due=-1) is None


def test_the_last_two_publications_can_be_read_by_their_due_point(boards):
    reader, writer = boards
    out = weights(0)
    for due in range(-1, 10):
        writer.publish(weights(due), Publication(due, 7 * due + 7))
        assert reader.newest == (due, 7 * due + 7)
        assert reader.read_into(out) == (due, 7 * due + 7)
        assert out.tolist() == [due] * 5
        assert reader.read_into(out, due) == (due, 7 * due + 7)
        assert reader.read_into(out, due + 1) is None
        if due >= 0:
            assert reader.read_into(out, due - 1) == (due - 1, 7 * due)
            assert out.tolist() == [due - 1] * 5


def test_where_only_later_ones_are_left_the_next_later_one_is_read(boards):
    reader, writer = boards
    out = weights(0)
    writer.publish(weights(1), Publication(10, 3))
    assert reader.read_into(out, 4) == (10, 3)
    writer.publish(weights(2), Publication(12, 4))
    assert reader.read_into(out, 4) == (10, 3)
    assert reader.read_into(out, 11) == (12, 4)
    writer.publish(weights(3), Publication(5, 1))  # went back to a checkpoint
    assert reader.read_into(out, 4) == (5, 1)
    assert reader.read_into(out, 5) == (5, 1)


def test_a_board_is_kept_and_one_of_another_size_or_boot_is_made_anew(tmp_path, monkeypatch):
    path = tmp_path / "weights.board"
    WeightBoard.open(path, 5, writable=True).publish(weights(1), Publication(3, 4))
    assert WeightBoard.open(path, 5).newest == (3, 4)
    assert WeightBoard.open(path, 6).newest is None
    WeightBoard.open(path, 6, writable=True).publish(weights(1, 6), Publication(3, 4))
    monkeypatch.setattr(module, "boot_id", lambda: b"another boot")
    assert WeightBoard.open(path, 6).newest is None
    path.write_bytes(b"")
    assert WeightBoard.open(path, 6).newest is None
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        WeightBoard.open(tmp_path / "file" / "weights.board", 6)


def test_statistics_and_the_wake_up_word(boards):
    reader, writer = boards
    assert set(reader.stats()) == set(STATS)
    assert all(np.isnan(value) for value in reader.stats().values())
    writer.set_stats({"loss": 0.5, "frozen": True, "something else": 1.0})
    assert (reader.stats()["loss"], reader.stats()["frozen"]) == (0.5, 1.0)
    writer.set_stats({"updates": 7.0, "lr": 2.0})
    assert [type(reader.stats()[name]) for name in ("updates", "lr")] == [int, float]
    assert len(STATS) * 8 <= module._HEADS - module._STATS

    writer.wake_at = 2**40
    assert reader.wake_at == 2**40


def test_a_reader_cannot_write(boards):
    reader, _ = boards
    with pytest.raises((ValueError, TypeError)):
        reader.publish(weights(1), Publication(0, 0))


PUBLISH = """
import sys
from pathlib import Path
import numpy as np
from agentd.memory.weight_board import Publication, WeightBoard
board = WeightBoard.open(Path(sys.argv[1]), 20_000, writable=True)
newest = board.newest
due = newest.due if newest else 0
print("go", flush=True)
while True:
    due += 1
    board.publish(np.full(20_000, due, np.float32), Publication(due, due))
"""


def test_readers_never_see_half_a_publication_though_writers_are_killed(tmp_path):
    path, out = tmp_path / "weights.board", np.empty(20_000, np.float32)
    reader = WeightBoard.open(path, 20_000)
    before = 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            end = time.monotonic() + 0.1
            while time.monotonic() < end:
                found = reader.read_into(out)
                if found is not None:
                    assert (out == found.due).all()
            os.kill(writer.pid, signal.SIGKILL)
        found = reader.read_into(out)  # the newest is whole, whatever was being written
        assert found == reader.newest
        assert (out == found.due).all()
        assert found.due > before
        before = found.due


def test_a_writer_killed_inside_a_buffer_leaves_the_other_and_the_next_one_repairs(boards):
    reader, writer = boards
    writer.publish(weights(1), Publication(1, 1))
    writer.publish(weights(2), Publication(2, 2))
    writer._heads[1][0] |= 1  # as if killed while writing the third
    out = weights(0)

    assert reader.read_into(out) == (2, 2)
    assert reader.read_into(out, 1) == (2, 2)
    writer.publish(weights(3), Publication(3, 3))
    assert reader.read_into(out) == (3, 3)
    assert reader.read_into(out, 2) == (2, 2)
