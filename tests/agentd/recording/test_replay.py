"""A recorded session, played again, gets the same answers bit for bit; another one does not."""

import io
import json
import subprocess

import msgpack
import numpy as np
import pytest

from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.screen.terminal import Terminal
from agentd.client import Client
from agentd.recording.file import BadRecording, Entry, entry_line, head_line, read_session
from agentd.rl.daemon import Daemon


@pytest.fixture
def call():
    def call(*arguments):
        out, err = io.StringIO(), io.StringIO()
        code = boundary.run(app, list(map(str, arguments)), Terminal(out, err))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


def messages(file, mark):
    return [msgpack.unpackb(e.data[4:]) for e in read_session(file).entries if e.mark == mark]


def test_the_file_says_who_played_how_and_holds_no_secret(recorded):
    file = read_session(recorded)

    assert file.facts["agent"] == "corridor"
    assert file.facts["client"] == "agentd-python"
    assert (file.facts["seed"], file.facts["version"]) == (7, 0)
    assert file.facts["config"]["pace"]["mode"] == "paced"
    assert file.facts["schema"] == "obs:float32[6] -> discrete(2)"
    hello, *steps, goodbye = messages(recorded, ">")
    assert hello["token"] == "*" * 18
    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    assert goodbye["type"] == "goodbye"
    welcome = messages(recorded, "<")[0]
    assert welcome["session"] == bytes(16)
    assert "not-for-files" not in recorded.read_text()
    assert [e.data for e in file.entries if e.mark == "="] == [b"connect", b"end"]
    times = [entry.us for entry in file.entries]
    assert times == sorted(times)
    learned = [act["version"] for act in messages(recorded, "<")[1:-1]]
    assert learned[-1] > 10


def test_a_paced_agent_with_the_recorded_seed_answers_bit_for_bit(recorded, call):
    done = call("replay", recorded, "--exact", "--json")

    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["equal"]
    assert found["is_whole"]
    assert found["versions_differ_from_seq"] is None
    assert found["answers_equal"] == len(messages(recorded, "<"))
    assert found["frames_sent"] == len(messages(recorded, ">"))


def test_another_seed_is_another_agent_and_the_first_difference_is_named(recorded, call):
    done = call("replay", recorded, "--set", "seed=8")

    assert done.returncode == 1
    assert "first difference: act.q of seq 1" in done.stdout
    assert "the replay differs from the recording" in done.stderr


def test_a_daemon_whose_agent_has_another_schema_is_told(recorded, call, tmp_path):
    with Daemon(tmp_path, flags=("--set", "autocreate=true")) as daemon:
        address = f"{daemon.host}:{daemon.port}"
        with Client.connect(address, "corridor", ("uint8", (3,)), 4) as client:
            client.step(np.zeros(3, np.uint8), 0.0, 0)
        done = call("replay", recorded, "--connect", address)
        other = call("replay", recorded, "--connect", address, "--agent", "another", "--json")

    assert done.returncode == 76
    assert "recorded with obs:float32[6] -> discrete(2)" in done.stderr
    assert "agent corridor has another schema" in done.stderr
    assert "--agent NAME" in done.stderr
    assert json.loads(other.stdout)["difference"]["field"] in ("act.action", "act.q")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: want 'agentd-session'"),
        ("agentd-session 9 {}\n", "line 1: want format 1, got 9"),
        ("agentd-session 1 {\n", "line 1: its facts are no JSON"),
        (
            "agentd-session 1 {}\n> 1 zz\n",
            "line 2: want a mark, microseconds and hex, got '> 1 zz'",
        ),
        ("agentd-session 1 {}\n", "no agent's configuration is in it"),
    ],
)
def test_what_is_no_recorded_session_is_bad_data(text, said, call, tmp_path):
    file = tmp_path / "a.session"
    file.write_text(text)

    done = call("replay", file)

    assert done.returncode == 65
    assert said in done.stderr


def test_a_file_that_is_not_there_is_missing(call, tmp_path):
    assert call("replay", tmp_path / "none").returncode == 66


def test_a_last_line_that_was_cut_is_not_read(tmp_path):
    file = tmp_path / "a.session"
    whole = head_line({"agent": "a"}) + entry_line(Entry(">", 5, b"\1\0\0\0\x80"))
    file.write_text(whole + "> 7 0100")

    assert read_session(file).entries == [Entry(">", 5, b"\1\0\0\0\x80")]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadRecording, match="want lines of text"):
        read_session(file)
