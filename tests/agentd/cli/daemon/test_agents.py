"""`agentd agent …` against a running daemon, as an operator types it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentd.cli.completion import _words, script
from agentd.cli.daemon.lineage import SchemaFlags
from agentd.cli.daemon.names import names_for
from agentd.client import FIRST, Client
from agentd.protocol.schema import Schema
from agentd.server.agents.mismatch import migrate_command

X = {"x": ("float32", (2,))}
AGENT = "agent={learner: none, model: {layers: [{dense: 8}, relu]}}"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a daemon that every test here asks, with an agent ``npc`` that was played."""
    folder = tmp_path_factory.mktemp("daemon")
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "--set", AGENT]
    environ = {name: value for name, value in os.environ.items() if name != "AGENTD_DATA"}
    with subprocess.Popen(
        [*command, "--data-dir", str(folder)], stdout=-1, stderr=-3, text=True, env=environ
    ) as daemon:
        port = daemon.stdout.readline().strip().rpartition(":")[2]
        play(port, "npc")
        yield port
        daemon.terminate()
        daemon.communicate()


def play(port, name: str, observation=X, actions=3) -> list[float]:
    """Play one row; the values of its actions."""
    with Client.connect(
        f"127.0.0.1:{port}", name, observation, actions, role="play", explain=True
    ) as client:
        obs = {key: np.ones(shape, dtype) for key, (dtype, shape) in observation.items()}
        return client.step(obs, 0.0, FIRST).q[0].tolist()


@pytest.fixture
def agent(port, call):
    """``agent("show", "npc")``: one command of `agentd agent`, asked of the daemon."""

    def run(*words: str, json: bool = False):
        options = ["--connect", f"127.0.0.1:{port}", *(["--json"] if json else [])]
        return call("agent", *words, *options)

    return run


def report(done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_and_show_tell_what_there_is(agent):
    listed = agent("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    head, *rows = listed.stdout.splitlines()
    assert head.split()[:2] == ["agent", "state"]
    assert any(row.split()[:2] == ["npc", "idle"] for row in rows)
    names = [each["agent"] for each in report(agent("list", json=True))["agents"]]
    assert "npc" in names

    shown = agent("show", "npc").stdout
    assert "x:float32[2] -> discrete(3)" in shown
    assert "idle" in shown
    assert report(agent("show", "npc", json=True))["info"]["config"]["learner"] == "none"


def test_save_load_and_freeze(agent):
    saved = report(agent("save", "npc", json=True))
    assert saved["checkpoint"] in agent("show", "npc").stdout
    refused = agent("load", "npc", saved["checkpoint"])
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert report(agent("load", "npc", saved["checkpoint"], "--yes", json=True))["step"] == 0
    wrong = agent("load", "npc", "yesterday", "--yes")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (66, 1)
    assert saved["checkpoint"] in wrong.stderr
    assert agent("freeze", "npc").stdout == "npc learns no more\n"
    assert "frozen" in agent("list").stdout
    assert agent("freeze", "npc", "--off").stdout == "npc learns again\n"
    assert "frozen" not in agent("list").stdout


def test_a_copy_is_made_reset_and_deleted(agent, port):
    made = agent("copy", "npc", "npc.old")
    assert (made.returncode, made.stdout) == (
        0,
        "npc.old knows what npc knows (0 updates), without its rows\n",
    )
    assert play(port, "npc.old") == play(port, "npc")
    taken = agent("copy", "npc", "npc.old")
    assert (taken.returncode, taken.stderr) == (
        1,
        "agentd: AGENT_EXISTS: agent npc.old exists; expected a new name\n",
    )
    reset = report(agent("reset", "npc.old", "--yes", json=True))
    assert reset["checkpoint"].endswith("-kept")
    assert "without" not in agent("reset", "npc.old", "--keep-weights", "-y").stdout
    asked = agent("delete", "npc.old")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert agent("delete", "npc.old", "--yes").stdout == "npc.old is gone\n"
    gone = agent("show", "npc.old")
    assert (gone.returncode, gone.stderr.count("\n")) == (66, 1)
    assert "one of" in gone.stderr
    assert "npc" in gone.stderr


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_asked_first(agent, monkeypatch, answer):
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    agent("copy", "npc", "doomed")
    monkeypatch.setattr(sys, "stdin", Tty(f"{answer}\n"))
    done = agent("delete", "doomed")
    assert done.returncode == (0 if answer == "y" else 1)
    monkeypatch.undo()
    names = [each["agent"] for each in report(agent("list", json=True))["agents"]]
    assert ("doomed" in names) is (answer == "n")
    agent("delete", "doomed", "--yes")


def test_the_command_of_a_refused_game_is_the_one_that_helps(agent, call, port):
    from agentd.client import Refused

    before = play(port, "npc")
    more = {"radar": ("float32", (8,)), **X}
    with pytest.raises(Refused) as caught:
        play(port, "npc", more, 4)
    words = caught.value.message.split("to keep what it knows: agentd ")[1].split(";")[0].split()
    assert words == [
        "agent",
        "migrate",
        "npc",
        "npc-2",
        "--add",
        "radar:float32:8",
        "--actions",
        "4",
    ]

    done = call(*words, "--connect", f"127.0.0.1:{port}")

    assert (done.returncode, done.stdout) == (
        0,
        "npc-2 knows what npc knows (0 updates): new radar; actions 3, now 4; its games say hello "
        "to npc-2\n",
    )
    assert play(port, "npc-2", more, 4)[:3] == pytest.approx(before, abs=1e-6)
    agent("delete", "npc-2", "--yes")


SCHEMAS = [
    ({"x": ("float32", [2])}, 3),
    ({"x": ("float32", [3]), "radar.2": ("uint8", [])}, 4),
    ({"view": ("uint8", [8, 8, 3]), "x": ("int32", [2])}, [3, 2]),
    ({"x": ("float32", [2])}, [3]),
]


@pytest.mark.parametrize("shown", SCHEMAS)
@pytest.mark.parametrize("known", SCHEMAS)
def test_the_command_says_the_schema_whatever_it_is(known, shown):
    wires = []
    for tensors, n in (known, shown):
        observation = {k: {"dtype": d, "shape": s} for k, (d, s) in tensors.items()}
        kind = "discrete" if isinstance(n, int) else "multi_discrete"
        wires.append({"observation": observation, "action": {"kind": kind, "n": n}})
    schemas = [Schema.from_wire(**wire) for wire in wires]
    *_, name, to = (words := migrate_command("a", "b", *schemas).split())[:5]
    assert (name, to) == ("a", "b")
    given: dict[str, list[str]] = {"--add": [], "--drop": [], "--actions": []}
    for flag, value in zip(words[5::2], words[6::2], strict=True):
        given[flag].append(value)
    if known == shown:
        return
    actions = given["--actions"][0] if given["--actions"] else None
    flags = SchemaFlags(add=given["--add"], drop=given["--drop"], actions=actions)
    assert Schema.from_wire(**flags.read(wires[0], "a")) == schemas[1]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_migrate_reads_a_schema_from_a_file(agent, tmp_path: Path, form):
    path = tmp_path / f"schema.{form}"
    wire = {
        "observation": {"x": {"dtype": "float32", "shape": [3]}},
        "action": {"kind": "multi_discrete", "n": [3, 2]},
    }
    text = json.dumps(wire)
    if form == "yaml":
        text = "observation: {x: {dtype: float32, shape: [3]}}\naction:\n  kind: multi_discrete\n"
        text += "  n: [3, 2]\n"
    path.write_text(text)
    done = agent("migrate", "npc", "wide", "--to-schema", str(path))
    assert "other x; actions 3, now [3, 2]" in done.stdout
    shown = report(agent("show", "wide", json=True))["info"]["schema"]
    assert shown == wire
    agent("delete", "wide", "--yes")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--to-schema FILE, or what changes"),
        (["--add", "radar"], 2, "NAME:DTYPE"),
        (["--add", "radar:float32:8by8"], 2, "NAME:DTYPE"),
        (["--add", "radar:float64:8"], 78, "float32"),
        (["--drop", "y"], 2, "want one of x"),
        (["--actions", "many"], 2, "want numbers"),
        (["--actions", "0"], 78, "action.n"),
        (["--to-schema", "/nowhere/s.json"], 66, "no such file"),
        (["--add", "x:float32:2x2"], 1, "cannot be carried over"),
    ],
)
def test_a_schema_that_is_none(agent, words, code, said):
    done = agent("migrate", "npc", "never", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr


def test_a_file_that_holds_no_schema(agent, tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text("x: {dtype: float32}\n")
    done = agent("migrate", "npc", "never", "--to-schema", str(path))
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert "observation and action" in done.stderr


def test_exploration_of_what_never_explores(agent):
    done = agent("explore", "npc", "0.5")
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert "never explores" in done.stderr


def test_exploration_is_told(agent, port):
    config = {"exploration": {"start": 0.5, "end": 0.0, "steps": 10}}
    with Client.connect(f"127.0.0.1:{port}", role="admin") as admin:
        admin.create("wild", config)
    play(port, "wild")
    assert agent("explore", "wild", "0.25").stdout == "wild explores as was said: epsilon 0.25\n"
    assert "set to 0.25" in agent("show", "wild").stdout
    assert "begun anew: epsilon 0.5" in agent("explore", "wild", "--again").stdout
    assert report(agent("explore", "wild", json=True))["value"] == 0.5
    agent("delete", "wild", "--yes")


def test_without_a_daemon_nobody_answers(call, monkeypatch):
    monkeypatch.setattr("agentd.cli.daemon.admin.RETRY_S", 0.2)
    done = call("agent", "list", "--connect", "127.0.0.1:9")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (69, "", 1)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("a-token-of-16-chars\n", "a-token-of-16-chars"),
        ("# ours\nact " + "b" * 16 + "\nadmin " + "c" * 16 + "  # ops\n", "c" * 16),
        ("act " + "b" * 16 + "\n", None),
        ("", None),
    ],
)
def test_a_token_comes_from_a_file(call, port, tmp_path: Path, text, token):
    from agentd.cli.daemon.admin import read_token
    from agentd.errors import UsageError

    path = tmp_path / "token"
    path.write_text(text)
    if token is None:
        with pytest.raises(UsageError, match="want a token"):
            read_token(path)
    else:
        assert read_token(path) == token
    missing = call("agent", "list", "--token-file", str(tmp_path / "none"))
    assert (missing.returncode, missing.stderr.count("\n")) == (66, 1)


# -- TAB ------------------------------------------------------------------------------------------


def test_names_and_checkpoints_are_those_of_the_daemon(agent, port):
    checkpoint = report(agent("save", "npc", json=True))["checkpoint"]
    at = f"--connect 127.0.0.1:{port}"
    assert "npc" in names_for(f"agentd agent show {at} ")
    assert "npc" in names_for(f"agentd agent show --connect=127.0.0.1:{port} n")
    assert checkpoint in names_for(f"agentd agent load npc {at} ")
    assert names_for(f"agentd agent load npc {checkpoint} {at} ") == []
    assert names_for(f"agentd agent show npc {at} ") == []
    assert names_for(f"agentd agent list {at} ") == []
    assert names_for(f"agentd rl eval {at} ") == []
    assert names_for("agentd agent show --connect 127.0.0.1:9 ") == []
    assert names_for("agentd agent load nobody --connect ") == []
    assert names_for("") == []


def test_bash_completes_an_agent(port, tmp_path: Path):
    (tmp_path / "agentd").write_text(f'#!/bin/sh\nexec {sys.executable} -m agentd "$@"\n')
    (tmp_path / "agentd").chmod(0o755)
    line = f"agentd agent show --connect 127.0.0.1:{port} np"
    code = script("bash", _words()) + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
    code += 'COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; _agentd; echo "${COMPREPLY[*]}"'
    environ = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", code, "bash", *line.split()],
        capture_output=True, text=True, check=True, env=environ,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["npc"], "")
