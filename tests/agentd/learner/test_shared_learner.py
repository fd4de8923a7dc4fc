"""Real relays with rings of their own, and one real learner for all of them, on a Unix socket."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.config import ConfigError, resolve
from agentd.memory.layout import RingLayout
from agentd.memory.shared_ring import SharedRing
from agentd.replicas.identity import replica_seed
from agentd.store import checkpoint_files, list_checkpoints

pytestmark = pytest.mark.timeout(400)

FREE = {"pace": {"mode": "free", "learn_start": 64, "train_every": 4, "updates": 1}}
CONFIG = {**FREE, "checkpoint": {"every_seconds": 2.0}}
WAIT_S = 90.0


def wait_for(found: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"no {what} within {WAIT_S:g} s")


class Learner:
    """The shared learner's process."""

    def __init__(self, root: Path) -> None:
        self.socket, self.data = root / "l.sock", root / "learner"
        self.log = (root / "learner.log").open("ab")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "agentd.replicas", "learner"]
        command += ["--listen", str(self.socket), "--data-dir", str(self.data)]
        self.popen = subprocess.Popen(command, stderr=self.log, start_new_session=True)

    def kill(self, *, machine: bool = False) -> None:
        """Kill the process; with all of its children, and its disk, where its machine is lost."""
        if machine:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.kill()
        self.popen.wait()
        if machine:
            shutil.rmtree(self.data)

    def stop(self) -> None:
        self.popen.terminate()
        assert self.popen.wait(WAIT_S) == 0

    @property
    def folder(self) -> Path:
        """Its agent's folder."""
        return self.data / "agents" / "agent"

    def seqs(self) -> list[list[int]]:
        """The numbers of each replica's rows, in the order of the shared ring."""
        layout = RingLayout(16, 3, 1, self.schema)
        ring = SharedRing.open(self.folder / "replay/rows.ring", layout, 1000, slack=4096)
        at = np.arange(ring.oldest, ring.head) % ring.physical
        serial, seq = ring.columns["session"][at], ring.columns["seq"][at]
        return [seq[serial == each].tolist() for each in np.unique(serial)]

    schema = ""


class Replica:
    """An agent's folder in a daemon's place, and its relay."""

    def __init__(self, agent: Any, learner: Learner) -> None:
        self.agent, self.learner = agent, learner
        self.learner.schema = agent.schema.digest()
        self.start()

    def start(self) -> None:
        command = ("agentd.replicas", "relay", "--learner", str(self.learner.socket))
        self.relay = self.agent.start(*command, "--rows-every", "0.02")

    def feed(self, rows: int) -> None:
        self.agent.feed(self.agent.ring.head + rows)
        self.agent.wake(self.relay)

    @property
    def version(self) -> int:
        newest = self.agent.board.newest
        return -1 if newest is None else newest.version

    @property
    def checkpoints(self) -> list[str]:
        return list_checkpoints(self.agent.folder / "checkpoints")


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    made = Learner(tmp_path)
    yield made
    made.kill()
    made.log.close()


@pytest.fixture
def make_replica(make_agent: Any, learner: Learner) -> Callable[..., Replica]:
    def make(number: int, **config: Any) -> Replica:
        return Replica(make_agent(f"{number}/agent", **(CONFIG | config)), learner)

    return make


def test_rows_come_once_and_weights_come_back_through_kills(
    learner: Learner, make_replica: Callable[..., Replica]
) -> None:
    replicas = [make_replica(0), make_replica(1)]
    for replica in replicas:
        replica.relay.expect("ready")
        replica.feed(200)
    for replica in replicas:
        wait_for(lambda replica=replica: replica.version > 10, "weights")

    learner.kill()
    for replica in replicas:
        replica.feed(100)  # games go on
    assert replicas[0].relay.expect("state", degraded=True)["note"].endswith("wait in the ring")
    replicas[1].relay.kill()
    learner.start()
    replicas[1].start()
    for replica in replicas:
        replica.relay.expect("shared", timeout=WAIT_S)
        replica.feed(100)
    before = max(replica.version for replica in replicas)
    for replica in replicas:
        wait_for(lambda replica=replica: replica.version > before, "newer weights")
    stopped = [replica.relay.stop() for replica in replicas]
    learner.stop()

    facts = json.loads((learner.folder / "replicas.json").read_bytes())
    assert [each["taken"] for each in facts["replicas"].values()] == [400, 400]
    assert learner.seqs() == [list(range(400)), list(range(400))]
    assert [each["counters"][0] for each in stopped] == [400, 400]
    for replica, reply in zip(replicas, stopped, strict=True):
        assert replica.checkpoints[0] == reply["checkpoint"]


def test_a_command_counts_for_all(learner: Learner, make_replica: Callable[..., Replica]) -> None:
    one, other = make_replica(0), make_replica(1)
    numbers = [each.relay.expect("shared", timeout=WAIT_S)["replica"] for each in (one, other)]
    assert sorted(numbers) == [0, 1]
    one.feed(300)
    wait_for(lambda: other.version > 10, "weights by the rows of another")
    wait_for(
        lambda: other.relay.expect("shared", timeout=WAIT_S)["env_steps"],
        "rows of another in what the learner tells",
    )

    saved = one.relay.expect("saved", id=one.relay.ask("save", kept=True))
    name = saved["checkpoint"]
    theirs = checkpoint_files(learner.folder / "checkpoints", name)
    assert checkpoint_files(one.agent.folder / "checkpoints", name) == theirs
    wait_for(lambda: name in other.checkpoints, "the checkpoint at the other one")

    other.relay.expect("frozen", id=other.relay.ask("freeze", on=True))
    one.relay.expect("state", frozen=True)
    one.feed(100)
    still = one.version
    other.relay.expect("thawed", id=other.relay.ask("freeze", on=False))
    loaded = one.relay.expect("loaded", id=one.relay.ask("load", checkpoint=name))
    assert loaded["step"] <= still
    refused = one.relay.ask("load", checkpoint="000009-000000000009")
    assert "no checkpoint" in one.relay.expect("refused", id=refused)["message"]


def test_a_learner_whose_machine_is_lost_goes_on_from_a_replica(
    learner: Learner, make_replica: Callable[..., Replica]
) -> None:
    replicas = [make_replica(0), make_replica(1)]
    for replica in replicas:
        replica.feed(300)
    name = wait_for(lambda: replicas[0].checkpoints and replicas[1].checkpoints, "mirror")[0]
    learner.kill(machine=True)
    learner.start()
    for replica in replicas:
        replica.relay.expect("state", degraded=False, timeout=WAIT_S)
        replica.feed(50)
    known = int(max(name, *replicas[0].checkpoints, *replicas[1].checkpoints).split("-")[1])
    for replica in replicas:
        wait_for(lambda replica=replica: replica.version > known, "weights of the mirror and on")
        replica.relay.stop()
    learner.stop()

    assert sorted(learner.seqs()) == [list(range(350)), list(range(350))]


@pytest.mark.long
def test_taught_rows_are_shared_too(learner: Learner, make_replica: Callable[..., Replica]) -> None:
    replica = make_replica(0, learner="supervised")
    replica.feed(300)
    wait_for(lambda: replica.version > 10, "weights")
    assert "checkpoint" in replica.relay.expect("saved", id=replica.relay.ask("save"))


def test_a_replica_that_learns_otherwise_is_refused(
    make_replica: Callable[..., Replica],
) -> None:
    make_replica(0).relay.expect("shared", timeout=WAIT_S)
    relay = make_replica(1, dqn={"n_step": 2, "batch": 16}).relay

    assert "dqn.n_step: 2" in relay.expect("failed", code=78, timeout=WAIT_S)["message"]
    assert relay.popen.wait(WAIT_S) == 78


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ({"pace": {"mode": "paced"}}, "agent snake: pace.mode paced"),
        ({"learner": "pqn", "pace": {"updates": 16}}, "agent snake: learner pqn"),
    ],
)
def test_what_needs_one_daemon_is_refused_by_name(agent: dict[str, Any], words: str) -> None:
    shared = {"shared_learner.address": "unix:/run/l.sock"}
    with pytest.raises(ConfigError, match=words):
        resolve(None, {**shared, "agents": {"snake": agent}})
    assert resolve(None, shared).config.shared_learner is not None
    assert resolve(None, {"agents": {"snake": agent}}).config.shared_learner is None


def test_the_first_replica_explores_as_a_daemon_alone_and_each_other_in_its_own_way() -> None:
    assert replica_seed(7, 0) == 7
    assert len({replica_seed(7, number) for number in range(64)}) == 64
    assert all(0 <= replica_seed(2**63 - 1, number) < 2**63 for number in range(64))
