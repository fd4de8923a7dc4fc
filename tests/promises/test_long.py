"""Tier R: kills, flipped bits and damaged data directories by the hundred; only by ``-m long``."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agentd.client import FIRST, MID, Client
from agentd.client.errors import Refused
from agentd.store import list_checkpoints, read_checkpoint, write_checkpoint

KILLS = int(os.environ.get("AGENTD_KILLS", "1000"))
DIRECTORIES = int(os.environ.get("AGENTD_DIRECTORIES", "200"))
X = {"x": ("float32", (4,))}
LEARNS = (
    '{"learner": "dqn", "model": {"layers": [{"dense": 8}, "relu"]}, "replay": {"capacity": 500},'
    ' "pace": {"mode": "free", "learn_start": 16}, "dqn": {"batch": 4}}'
)
CODES = {0, 65, 66, 70, 73, 74, 78}
"""What a start on a damaged directory may end with; 70 only with a line that says why."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(14_400)]


def test_a_thousand_kills(tmp_path):
    """As the sixty of tests/agentd/store/test_kill.py, and with its script."""
    script = (Path(__file__).parents[1] / "agentd" / "store" / "test_kill.py").read_text()
    source = re.search(r'SCRIPT = """(.*?)"""', script, re.S)[1]
    assert source.count("range(60)") == 1
    source = source.replace("range(60)", f"range({KILLS})")
    command = [sys.executable, "-c", source, str(tmp_path / "checkpoints"), "careful"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(f"{KILLS} kills, {int(done.stdout)} checkpoints, none lost that was acknowledged")


def test_two_thousand_flipped_bits(tmp_path):
    """One bit of a newer checkpoint is flipped, 2,000 times: the older one is used each time."""
    weights = {"w": np.random.default_rng(0).standard_normal((40, 80)).astype(np.float32)}
    write_checkpoint(tmp_path, 1, {}, weights, weights, keep=3)
    newer = tmp_path / write_checkpoint(
        tmp_path, 2, {"list": list(range(2000))}, weights, weights, keep=3
    )
    chance, files = random.Random(0), sorted(newer.iterdir())
    for _ in range(2000):
        file = chance.choice(files)
        whole = file.read_bytes()
        damaged, bit = bytearray(whole), chance.randrange(8 * len(whole))
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        found = read_checkpoint(tmp_path)
        assert (found.step, [name for name, _ in found.skipped]) == (1, [newer.name]), file
        file.write_bytes(whole)


class Serving:
    """A daemon on a data directory: its port, or how it ended."""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "-q"]
        command += ["--data-dir", str(data_dir), "--set", f"agent={LEARNS}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        line = self.process.stdout.readline()
        self.port = int(line.rpartition(":")[2]) if line.startswith("listening on ") else None

    def end(self) -> tuple[int, str]:
        """The exit code and what stderr said, after an orderly end if it serves."""
        if self.port is not None:
            self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def play(port: int, agent: str, frames: int = 3) -> None:
    with Client.connect(("127.0.0.1", port), agent, X, 3) as client:
        for frame in range(frames):
            client.step(np.zeros((1, 4), np.float32), 0.0, MID if frame else FIRST)


def damage(data_dir: Path, chance: random.Random) -> str:
    """Change, cut, empty, swap, remove or fill with noise one or several files; what was done."""
    files = sorted(path for path in data_dir.rglob("*") if path.is_file())
    done = []
    for path in chance.sample(files, chance.choice((1, 1, 1, 2, 3))):
        data, how = path.read_bytes(), chance.choice(("flip", "cut", "empty", "noise", "gone"))
        at = chance.randrange(len(data) or 1)
        match how:
            case "flip" if data:
                flipped = bytes([data[at] ^ 1 << chance.randrange(8)])
                path.write_bytes(data[:at] + flipped + data[at + 1 :])
            case "cut":
                path.write_bytes(data[:at])
            case "empty":
                path.write_bytes(b"")
            case "noise":
                path.write_bytes(chance.randbytes(min(len(data), 1 << 16)))
            case "gone":
                path.unlink()
        done.append(f"{how} {path.relative_to(data_dir)}")
    return ", ".join(done)


def test_two_hundred_damaged_data_directories(tmp_path):
    """Each ends in a fallback, a refusal of the one agent, or one clear line and its exit code."""
    whole, chance, seen = tmp_path / "whole", random.Random(1), Counter()
    first = Serving(whole)
    play(first.port, "a", 200)
    with Client.connect(("127.0.0.1", first.port), role="admin") as admin:
        for _ in range(2):
            admin.save("a")
            time.sleep(0.1)
    assert first.end()[0] == 0
    assert len(list_checkpoints(whole / "agents" / "a" / "checkpoints")) >= 2
    for number in range(DIRECTORIES):
        data_dir = tmp_path / f"damaged{number}"
        shutil.copytree(whole, data_dir)
        how = damage(data_dir, chance)
        serving, outcome = Serving(data_dir), "does not start"
        if serving.port is not None:
            play(serving.port, "b")  # another agent never notices
            try:
                play(serving.port, "a")
                outcome = "plays on"
            except Refused as refused:
                outcome = f"refused: {type(refused).__name__}"
        code, said = serving.end()
        assert code in CODES, (how, code, said)
        assert "Traceback" not in said, (how, said)
        if serving.port is None:
            assert len(said.strip().splitlines()) <= 2, (how, said)
            outcome += f" ({code})"
        seen[outcome] += 1
        shutil.rmtree(data_dir)
    print(f"{DIRECTORIES} damaged data directories: {dict(seen.most_common())}")
    assert seen["plays on"]
