"""``agentd rl eval`` with a client of any language, on a copy, beside a daemon that runs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.client import Client
from agentd.games import make
from agentd.rl.daemon import Daemon
from agentd.rl.trace import read_trace

Run = Callable[..., subprocess.CompletedProcess[str]]
CLIENT = """
import sys
from agentd.client import Client
from agentd.games import make

game = make("catch", streams=2, seed=3)
spec = game.spec
with Client.connect(
    sys.argv[1], sys.argv[2], spec.observation, spec.actions, role="train", streams=2
) as client:
    frame = game.reset()
    for _ in range(int(sys.argv[3])):
        act = client.step(frame.obs, frame.reward, frame.kind, frame.stream)
        frame = game.step(act.actions[frame.kind < 2])
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory):
    """A data directory with an agent that has played and was saved; its daemon runs on."""
    folder = tmp_path_factory.mktemp("data")
    spec = make("catch", streams=1, seed=0).spec
    with Daemon(folder) as daemon:
        where = (daemon.host, daemon.port)
        with Client.connect(where, role="admin") as admin:
            admin.create("mine", {"learner": "none", "seed": 3})
            with Client.connect(where, "mine", spec.observation, spec.actions) as client:
                frame = make("catch", streams=1, seed=0).reset()
                client.step(frame.obs, frame.reward, frame.kind, frame.stream)
            admin.save("mine")
            yield folder


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    return [sys.executable, str(script), "{address}"]


def test_a_client_plays_a_copy_while_the_daemon_runs(
    run: Run, kept: Path, command: list[str]
) -> None:
    before = sorted(kept.glob("agents/mine/checkpoints/*"))
    words = ("--data-dir", str(kept), "--agent", "mine", "--episodes", "6", "--json")

    done = run("rl", "eval", *words, "--", *command, "mine", "100000")

    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["episodes"] == len(record["returns"]) == 6
    assert set(record["returns"]) <= {-1.0, 1.0}
    assert sorted(kept.glob("agents/mine/checkpoints/*")) == before
    trace = read_trace(kept / "agents" / "mine")
    assert (list(trace.final.values), trace.evaluated) == (record["returns"], True)


@pytest.mark.parametrize(
    ("agent", "words", "code", "said"),
    [
        ("mine", ["other", "30"], 1, "the client played other, not agent mine"),
        ("mine", ["mine", "2"], 1, "no episode of agent mine ended; the client ended with code 0"),
        ("none", ["mine", "2"], 66, "no agent 'none'"),
    ],
)
def test_what_came_of_a_client_that_plays_nothing_is_told(
    run: Run, kept: Path, command: list[str], agent: str, words: list[str], code: int, said: str
) -> None:
    done = run("rl", "eval", "--data-dir", str(kept), "--agent", agent, "--", *command, *words)

    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert said in done.stderr


def test_a_client_that_cannot_be_started_is_named(call: Run, kept: Path) -> None:
    done = call("rl", "eval", "--data-dir", str(kept), "--agent", "mine", "--", "/no/such/client")
    assert (done.returncode, done.stderr.count("\n")) == (66, 1)
    assert "cannot start /no/such/client" in done.stderr
