"""The shared learner as an actor of Ray, and a relay's calls to it."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd import __version__
from agentd.cluster.session import connect
from agentd.cluster.shared_learner import RayCall, start_learner, stop_learner
from agentd.memory.shared_ring import RowRun
from agentd.replicas.calls import CallRefused, LearnerAway, NotJoined, pack_run
from agentd.store import list_checkpoints

from .simulated import PATIENCE_S, Nodes, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(3600)]

CONFIG = {
    "model": {"layers": [{"dense": 8}, "relu"]},
    "dqn": {"batch": 16},
    "pace": {"mode": "free", "learn_start": 64, "train_every": 4},
    "replay": {"capacity": 1000},
}
SCHEMA = {
    "observation": {"x": {"dtype": "float32", "shape": [2]}},
    "action": {"kind": "discrete", "n": 3},
}
HELLO = {
    "agentd": __version__,
    "replica": "r",
    "ring": "1",
    "config": CONFIG,
    "schema": SCHEMA,
    "dt_ms": None,
    "checkpoint": None,
}
NEWEST = {"version": None, "wait_s": 0.2}


def run_of(lo: int, n: int) -> RowRun:
    """Rows of one stream: episodes of ten rows, what row i holds depends on i alone."""
    row = np.arange(lo, lo + n)
    kind = np.array([0, *[1] * 8, 2], np.uint8)[row % 10]
    columns: dict[str, Any] = {
        "obs": np.random.default_rng(lo).integers(0, 60, (n, 8)).astype(np.uint8),
        "mask_bits": np.zeros((n, 1), np.uint8),
        "action": np.where(kind == 2, -1, row % 3).astype(np.int32)[:, None],
        "reward": (kind > 0).astype(np.float32),
        "kind": kind,
        "explored": np.zeros(n, np.uint8),
        "stream": np.zeros(n, np.uint32),
        "version": np.zeros(n, np.uint64),
    }
    before = np.where(kind == 0, -1, row - 1)
    first = int(before[0] >= 0)
    played = np.full((first, 1), (lo - 1) % 3, np.int32)
    return RowRun(lo, columns, before, played, np.zeros(first, np.uint8))


def again(call: Callable[[], Any]) -> Any:
    """Call until the learner is there."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = call()
            if "wait" not in answer:
                return answer
        except LearnerAway:
            assert time.monotonic() < end
        time.sleep(0.2)


def lost(call: Callable[[], Any]) -> bool:
    """Whether the learner is found to be away, or to have forgotten us."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            call()
        except (LearnerAway, NotJoined):
            return True
    return False


def test_the_actor_takes_rows_once_through_its_kill(nodes: Nodes, tmp_path: Path) -> None:
    with connect(nodes.address, check=False) as cluster:
        call = RayCall(cluster)
        with pytest.raises(LearnerAway, match="agentd-learner"):
            call("join", "a", HELLO)
        start_learner(cluster, tmp_path)
        who = {"replica": "r", "serial": again(lambda: call("join", "a", HELLO))["serial"]}
        for lo in range(0, 200, 25):
            assert call("push", "a", who | pack_run(run_of(lo, 25)))["taken"] == lo + 25
        assert call("push", "a", who | pack_run(run_of(175, 25)))["taken"] == 200  # not twice
        params = wait_for(lambda: call("weights", "a", who | NEWEST).get("params"))
        assert len(params) % 4 == 0

        os.kill(json.loads((tmp_path / "lock").read_text())["pid"], signal.SIGKILL)
        assert lost(lambda: call("weights", "a", who | NEWEST))
        joined = again(lambda: call("join", "a", HELLO))
        assert joined["taken"] == 200
        assert call("push", "a", who | pack_run(run_of(200, 25)))["taken"] == 225
        saved = call("ask", "a", who | {"do": "save"}, 60.0)["saved"]
        assert saved in list_checkpoints(tmp_path / "agents/a/checkpoints")

        other = HELLO | {"replica": "s", "agentd": "0.0.1"}
        with pytest.raises(CallRefused, match=r"agentd 0\.0\.1, the learner") as caught:
            call("join", "a", other)
        assert caught.value.exit_code == 78
        stop_learner(cluster)
