"""One owner per directory; a dead owner owns nothing; the holder is named."""

import os
import signal
import subprocess
import sys
import time

import pytest

from agentd.errors import ExitCode, Locked, StorageError
from agentd.store import DirectoryLock

HOLD = """
import sys, time
from pathlib import Path
from agentd.store import DirectoryLock
with DirectoryLock(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_owner_is_refused_and_told_who_holds_it(tmp_path, holder):
    with pytest.raises(Locked, match=f"data directory x is in use by process {holder.pid} on "):
        DirectoryLock(tmp_path / "lock", "data directory x").acquire()
    assert Locked.exit_code == ExitCode.LOCKED


def test_the_lock_of_a_killed_owner_is_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()

    with DirectoryLock(tmp_path / "lock", "it"):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_waiting_for_an_owner_to_go_is_bounded(tmp_path, holder):
    began = time.monotonic()
    with pytest.raises(Locked):
        DirectoryLock(tmp_path / "lock", "it").acquire(0.1)
    assert 0.1 <= time.monotonic() - began < 20


def test_a_released_lock_may_be_taken_again(tmp_path):
    lock = DirectoryLock(tmp_path / "lock", "it")
    for _ in range(2):
        with lock, pytest.raises(Locked):
            DirectoryLock(tmp_path / "lock", "it").acquire()
    lock.release()


def test_a_note_that_says_nothing_is_no_obstacle(tmp_path, holder):
    (tmp_path / "lock").write_bytes(b"\xff nothing")
    with pytest.raises(Locked, match="another process"):
        DirectoryLock(tmp_path / "lock", "it").acquire()


def test_a_directory_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        DirectoryLock(tmp_path / "missing" / "lock", "it").acquire()


def test_who_removes_the_file_takes_nothing(tmp_path, holder):
    (tmp_path / "lock").unlink()
    with pytest.raises(Locked, match="in use by another process"):
        DirectoryLock(tmp_path / "lock", "it").acquire()
