"""Sixty kills of a process that writes checkpoints: what it acknowledged is there, and whole."""

import subprocess
import sys
from pathlib import Path

import pytest

# One process imports NumPy once and forks a writer for each kill. A writer tells the step of every
# acknowledged checkpoint through a pipe; it dies at a failpoint, or is killed after a moment.
SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from agentd.store import read_checkpoint, sweep, write_checkpoint

folder, sloppy = Path(sys.argv[1]), sys.argv[2] == "sloppy"
POINTS = ["wrote.weights.safetensors", "wrote.state.safetensors", "wrote.manifest.json",
          "synced", "renamed", "durable", "pruning"]

def arrays(step):
    rng = np.random.default_rng(step)
    return {"w": rng.standard_normal((50, 40)).astype(np.float32)}, {"m": rng.standard_normal(99)}

def write(fd, step):
    sweep(folder)
    while True:
        step += 1
        weights, state = arrays(step)
        if sloppy:
            os.write(fd, step.to_bytes(8, "little"))
        write_checkpoint(folder, step, {"rng": str(step)}, weights, state, keep=2)
        if not sloppy:
            os.write(fd, step.to_bytes(8, "little"))

rng, newest, died_by_point = random.Random(0), 0, 0
for kill in range(60):
    ours, theirs = os.pipe()
    point = POINTS[kill // 3 % len(POINTS)] if kill % 3 else None
    pid = os.fork()
    if pid == 0:
        if point:
            os.environ["AGENTD_FAILPOINT"] = f"checkpoint.{point}:{rng.randint(1, 4)}"
        write(theirs, newest)
    os.close(theirs)
    if point is None:
        time.sleep(rng.uniform(0.0, 0.012))
        os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    told = b""
    while part := os.read(ours, 65536):
        told += part
    os.close(ours)
    acknowledged = max(newest, int.from_bytes(told[-8:], "little"))
    found = read_checkpoint(folder)
    got = 0 if found is None else found.step
    assert acknowledged <= got <= acknowledged + 1, (kill, point, acknowledged, got)
    if found is not None:
        weights, state = arrays(got)
        assert found.weights["w"].tobytes() == weights["w"].tobytes(), (kill, point)
        assert found.state["m"].tobytes() == state["m"].tobytes(), (kill, point)
        assert not found.skipped, (kill, point, found.skipped)
    newest = got
print(newest)
"""


def run(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), how],
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="forks")
def test_sixty_kills_lose_nothing_that_was_acknowledged(tmp_path):
    done = run(tmp_path / "checkpoints", "careful")

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


def test_the_kill_test_notices_an_acknowledgement_that_comes_too_early(tmp_path):
    done = run(tmp_path / "checkpoints", "sloppy")

    assert "AssertionError" in done.stderr
