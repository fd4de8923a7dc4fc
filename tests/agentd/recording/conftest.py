"""A game that plays the same way every time, and a daemon that records it."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, Client

STEPS = 160
SETTINGS = [
    *("agent.pace.mode=paced", "agent.pace.learn_start=32", "agent.pace.train_every=4"),
    *("agent.replay.capacity=500", "agent.seed=7"),
    'agent.model={"layers": [{"dense": 16}, "relu"]}',
]


def play(address, steps=STEPS, **options):
    """A row of six cells and one stream; the observation follows from the actions alone."""
    options = {"explain": True, "run": bytes(range(16))} | options
    with Client.connect(address, "corridor", ("float32", (6,)), 2, **options) as client:
        place, age = 2, 0
        for _ in range(steps):
            ended = age > 0 and (place in (0, 5) or age == 12)
            kind = FIRST if age == 0 else TERMINATED if ended else MID
            act = client.step(np.eye(6, dtype=np.float32)[place], float(place == 5), kind)
            if ended:
                place, age = 2, 0
            else:
                place += 1 if act.actions[0] else -1
                place, age = min(5, max(0, place)), age + 1


class Recording:
    """``agentd serve --record`` while the block runs; the files afterwards."""

    def __init__(self, folder, *words):
        self.folder = folder
        self._command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
        self._command += ["--data-dir", str(folder / "data"), "--record", str(folder / "record")]
        self._command += words
        for setting in SETTINGS:
            self._command += ["--set", setting]

    def __enter__(self):
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=os.environ
        )
        line = self._process.stdout.readline()
        assert line.startswith("listening on "), (self.folder / "log").read_text()
        self.address = line.split()[-1]
        return self

    def __exit__(self, *error):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()

    @property
    def files(self):
        return sorted((self.folder / "record").iterdir())


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """The file of one session that a paced agent played and learned from."""
    with Recording(tmp_path_factory.mktemp("recorded")) as recording:
        play(recording.address, token="not-for-files-0123")
    (found,) = recording.files
    return found
