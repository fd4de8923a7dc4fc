"""A daemon ends in time whatever hangs, and says when something was lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agentd.cli import main
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
def learning(serve, wait_until):
    """A daemon with an agent whose learner hangs since it was ready, and the learner's pid."""
    daemon = serve("--set", f"agent={LEARNS}", "--set", "limits.drain_s=2")
    with Client.connect(("127.0.0.1", daemon.port), "a", X, 3) as client:
        client.step({"x": np.zeros((1, 4), np.float32)}, 0.0, FIRST)
        wait_until(lambda: client.stats("a").agents["a"]["learner_state"] == "running")
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
    assert time.monotonic() - began < 30
    assert (code, "the last checkpoint was lost: a" in err) == (ExitCode.STORAGE, True)


def test_a_second_signal_ends_it_at_once(learning):
    daemon, learner = learning
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    began = time.monotonic()
    code, _ = daemon.end()
    assert time.monotonic() - began < 5
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
    daemon = serve("--workers", "2", "--set", "limits.drain_s=2")
    (worker,) = children(daemon.process.pid)
    os.kill(worker, signal.SIGSTOP)
    began = time.monotonic()
    code, err = daemon.end()
    assert time.monotonic() - began < 20
    assert (code, "workers killed" in err) == (0, True)


@pytest.mark.parametrize("after_s", [0.15, 0.4])
def test_a_signal_before_it_listens_ends_it_orderly(tmp_path, after_s):
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "--data-dir"]
    process = subprocess.Popen(
        [*command, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ready = Path(f"/proc/{process.pid}/status")
    if not ready.exists():
        pytest.skip("no /proc to see what a process catches")
    while not _catches(ready, signal.SIGTERM):  # until then Python itself is starting
        time.sleep(0.005)
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (0, False)


def _catches(status: Path, number: int) -> bool:
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("kind", ["directory", "pipe", "binary", "zeros"])
@pytest.mark.parametrize("command", ["config show", "check", "train --train x"])
def test_what_is_no_configuration_is_named(tmp_path, capsys, command, kind):
    path = tmp_path / "file"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(bytes(range(128, 256)))
        case "zeros":
            path = Path("/dev/zero")
    code = main([*command.split(), str(path)])
    told = capsys.readouterr()
    assert (code, told.out, told.err.count("\n")) == (ExitCode.CONFIG, "", 1)
    assert str(path) in told.err


def test_a_directory_is_no_configuration_to_serve(tmp_path, run):
    done = run("serve", str(tmp_path), timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (ExitCode.CONFIG, 1)
    assert f"{tmp_path}: wrong file: expected a file, got a directory" in done.stderr


def test_a_configuration_may_come_through_a_pipe():
    command = f"{sys.executable} -m agentd config show <(echo 'port: 7444') --json"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, '"value": 7444' in done.stdout) == (0, True), done.stderr


def test_a_pipe_is_no_token_file(tmp_path, run):
    os.mkfifo(tmp_path / "tokens")
    done = run("serve", "--set", f"tokens={tmp_path / 'tokens'}", timeout=30)
    assert (done.returncode, "no regular file" in done.stderr) == (ExitCode.CONFIG, True)
