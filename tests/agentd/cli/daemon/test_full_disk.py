"""A really full disk under a training daemon: told at once, and over as soon as there is space."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agentd.client import FIRST, MID, Client, OperationRefused

from ..conftest import Serving

LEARNS = '{"learner": "dqn", "replay": {"capacity": 4000}, "pace": {"mode": "free"}}'
MOUNTED = 'mount -t tmpfs -o size=16m none "$0" && exec "$@"'


@pytest.fixture
def daemon(tmp_path):
    """A daemon whose data directory is a small disk of its own, and a way to that."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNTED, str(disk)]
    try:
        subprocess.run([*mounted, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody mount a disk of his own")
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
    command += ["--data-dir", str(disk), "--set", f"agent={LEARNS}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*mounted, *command], **pipes)
    yield Serving(process), Path(f"/proc/{process.pid}/root{disk}")
    process.kill()
    process.communicate()


def fill(disk: Path) -> Path:
    """Fill the disk with one file."""
    path = disk / "fill"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    return path


def test_rows_that_are_not_kept_are_told_at_once_and_space_is_known_within_two_seconds(daemon):
    serving, disk = daemon
    row, x = np.zeros((1, 4), np.float32), {"x": ("float32", (4,))}
    with Client.connect(("127.0.0.1", serving.port), "a", x, 3) as client:

        def stats() -> dict:
            return client.stats("a").agents["a"]

        filler = fill(disk)
        for kind in (FIRST, MID, MID):
            assert client.step(row, 0.0, kind).actions.shape == (1,)
        found = stats()
        assert (found["state"], found["degraded"], found["lost_rows"]) == ("degraded", True, 3)
        assert found["state_reason"].startswith("rows are not kept, 3 are lost: ")
        assert "No space left" in found["state_reason"]
        with pytest.raises(OperationRefused, match="No space left") as refused:
            client.save("a")
        assert refused.value.code == "STORAGE_FAILED"

        filler.unlink()
        began = time.monotonic()
        while stats()["degraded"]:  # nobody plays meanwhile
            assert time.monotonic() - began < 2
            time.sleep(0.05)
        client.step(row, 0.0, MID)
        assert (stats()["rows_kept"], stats()["lost_rows"]) == (1, 3)
    code, err = serving.end()
    assert code == 0, err
    assert err.count("rows are not kept") == err.count("rows are kept again") == 1
