"""A daemon ends in time whatever hangs, and says when something was lost."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from agentd.client import FIRST, Client
from agentd.errors import ExitCode

LEARNS = '{"learner": "dqn", "pace": {"mode": "free", "learn_start": 8}}'
X = {"x": ("float32", (4,))}


def children(pid: int) -> list[int]:
    """The processes that ``pid`` has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("no /proc to find child processes in")
    return [int(child) for child in listed.read_text().split()]


@pytest.fixture
def learning(serve):
    """A daemon with an agent whose learner has been stopped, and the learner's pid."""
    daemon = serve("--set", f"agent={LEARNS}", "--set", "limits.drain_s=2")
    with Client.connect(("127.0.0.1", daemon.port), "a", X, 3) as client:
        client.step({"x": np.zeros((1, 4), np.float32)}, 0.0, FIRST)
    (learner,) = children(daemon.process.pid)
    os.kill(learner, signal.SIGSTOP)
    yield daemon, learner
    try:
        os.kill(learner, signal.SIGCONT)
    except ProcessLookupError:
        return


def test_a_learner_that_hangs_loses_its_save_and_that_is_an_error(learning):
    daemon, _ = learning
    began = time.monotonic()
    code, err = daemon.end()
    assert time.monotonic() - began < 10
    assert (code, "the last checkpoint was lost: a" in err) == (ExitCode.STORAGE, True)


def test_a_second_signal_ends_it_at_once(learning):
    daemon, learner = learning
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    began = time.monotonic()
    code, _ = daemon.end()
    assert time.monotonic() - began < 1
    assert code == ExitCode.INTERRUPTED
    deadline = time.monotonic() + 5
    while Path(f"/proc/{learner}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{learner}").exists()


def test_a_worker_that_hangs_is_started_again(serve, wait_until):
    daemon = serve("--workers", "2", "--set", "limits.hang_s=1")
    (worker,) = children(daemon.process.pid)
    with Client.connect(("127.0.0.1", daemon.port), role="admin") as admin:
        os.kill(worker, signal.SIGSTOP)
        wait_until(lambda: admin.stats().server["worker_restarts"] == 1)
    wait_until(lambda: children(daemon.process.pid) not in ([], [worker]))
    code, err = daemon.end()
    assert (code, "killed after 1." in err) == (0, True), err


def test_a_worker_that_hangs_is_killed(serve):
    daemon = serve("--workers", "2", "--set", "limits.drain_s=4")
    (worker,) = children(daemon.process.pid)
    os.kill(worker, signal.SIGSTOP)
    began = time.monotonic()
    code, err = daemon.end()
    assert time.monotonic() - began < 6
    assert (code, "workers killed" in err) == (0, True)
