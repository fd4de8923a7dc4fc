"""Rules R10, R11 and R12 of PROTOCOL.md: errors, operations, tokens; the codes that remain."""

import json
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

FIRST, MID, TERMINATED = 0, 1, 2
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]
ADMIN: dict[str, Any] = {
    "agent": None,
    "role": "admin",
    "observation": None,
    "action": None,
    "streams": None,
}
# Of a certificate for localhost, made for this test and used by nothing else.
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwvmB119csJlM27Ui
XJSA46P9TJDBtlNmqyZkvmT8ILGhRANCAARTol1hcX/9L3ZOttKFDM9aeqZNNmLZ
HVEWXsWGMSTbkUlr1DzkjnfZZQuzfeXtZKCQEaBN8siKoUMpyNjgvavG
-----END PRIVATE KEY-----
"""
CERT = """-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUPzLJ7vkObZ/amnlDf5kx9cDU8LkwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA3MzUyM1oYDzIxMjYxMDI4
MDczNTIzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARTol1hcX/9L3ZOttKFDM9aeqZNNmLZHVEWXsWGMSTbkUlr1DzkjnfZ
ZQuzfeXtZKCQEaBN8siKoUMpyNjgvavGo28wbTAdBgNVHQ4EFgQUiIlQxrL6qX8F
LBhjuAPzwksfR+YwHwYDVR0jBBgwFoAUiIlQxrL6qX8FLBhjuAPzwksfR+YwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgLwYZvPrmtIUkpGuGvxh0nmyQnd5r+3LYkdB8qimARQkCIE9c
KDJHMYqRtzmIiP+rbTnBUdLTJ1MW4wfdRHK8ezn4
-----END CERTIFICATE-----
"""


def refused(reply: dict[str, Any], code: str, field: str | None = None) -> dict[str, Any]:
    """An operation's error: not fatal, without a seq."""
    assert reply["type"] == "error", reply
    assert (reply["code"], reply["fatal"]) == (code, False), reply
    assert "seq" not in reply
    assert reply["message"]
    if field is not None:
        assert reply["field"] == field, reply
    return reply


# -- R10 errors -----------------------------------------------------------------------------------


def test_r10_a_data_error_tells_what_where_wanted_and_got(player: Client) -> None:
    error = player.step([FIRST, 9])
    assert set(error) == {
        *("type", "code", "message", "fatal", "seq", "field", "expected", "got"),
    }
    assert (error["seq"], error["fatal"]) == (1, False)
    assert "row 1" in error["message"]
    player.act([FIRST, FIRST])


@pytest.mark.parametrize("again", [True, False])
def test_r10_what_the_state_does_not_allow_is_fatal(client: Client, again: bool) -> None:
    if again:
        client.greet()
        client.hello()
    else:
        client.send("step", **client.rows([FIRST]))
    error = client.expect_end("UNEXPECTED_MESSAGE", "protocol", "type")
    assert error["got"] == ("hello" if again else "step")


def test_r10_messages_of_the_server_are_none_of_the_client_s(player: Client) -> None:
    player.send("act", seq=1, action=b"", version=0)
    player.expect_end("BAD_MESSAGE", "protocol", "type")


def test_r10_a_full_server_says_when_to_come_back(serve: Any) -> None:
    daemon = serve("limits.max_connections=2")
    for _ in range(2):
        daemon.client().greet("full", role="play")
    late = daemon.client()
    error = late.receive()
    assert (error["code"], error["fatal"]) == ("LIMIT", True)
    assert error["retry_ms"] > 0
    late.expect_goodbye("limit")
    daemon.clients[0].act([FIRST])
    daemon.stop()


def test_r10_a_client_that_does_not_read_is_cut_and_hurts_nobody(serve: Any, deadline: Any) -> None:
    daemon = serve("limits.write_buffer_bytes=4096", "limits.slow_reader_s=0.5")
    slow, good = daemon.client(buffer=4096), daemon.client()
    slow.greet("pool", role="play")
    good.greet("pool", role="play")
    good.act([FIRST])
    slow.socket.settimeout(0.05)
    body = msgpack.packb({"type": "ping", "t": 1})
    pings = (struct.pack("<I", len(body)) + body) * 2000
    rest = pings
    end = time.monotonic() + 40
    while "SLOW_READER" not in daemon.log():
        assert time.monotonic() < end, "a slow reader is not cut"
        try:
            rest = rest[slow.socket.send(rest) :] or pings  # a frame begun must be finished
        except OSError:
            time.sleep(0.02)
        good.act([MID])
    slow.socket.settimeout(5)
    deadline(lambda: _is_cut(slow.socket), 10)
    good.act([MID])
    daemon.stop()


def _is_cut(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1 << 20)
    except ConnectionError:
        return True


# -- R11 operations -------------------------------------------------------------------------------


def test_r11_the_life_of_an_agent(dial: Dial, admin: Client, name: Any, deadline: Any) -> None:
    agent, player = name(), dial()
    config = {"pace": {"learn_start": 16, "train_every": 1}, "dqn": {"batch": 8}}
    assert admin.ask("create", agent=agent, config=config) == {"type": "created", "agent": agent}
    known = {each["agent"] for each in admin.ask("agents")["agents"]}
    assert {agent, "plain"} <= known
    info = admin.ask("info", agent=agent)
    assert (info["type"], info["agent"]) == ("info", agent)
    assert info["info"]["config"]["dqn"]["batch"] == 8
    assert info["info"]["checkpoints"] == []

    player.greet(agent)
    player.act([FIRST] * 4)
    for _ in range(16):
        player.act([MID] * 4)
    deadline(lambda: player.act([MID] * 4)["version"] > 0, 30)
    saved = admin.ask("save", agent=agent)
    assert set(saved) == {"type", "agent", "checkpoint", "step"}
    assert (saved["type"], saved["agent"]) == ("saved", agent)
    assert saved["checkpoint"] in admin.ask("info", agent=agent)["info"]["checkpoints"]

    frozen = admin.ask("freeze", agent=agent, on=True)
    assert frozen == {"type": "frozen", "agent": agent, "on": True}
    time.sleep(0.3)
    version = player.act([MID] * 4)["version"]
    for _ in range(20):
        player.act([MID] * 4)
    time.sleep(0.3)
    assert player.act([MID] * 4)["version"] == version
    assert admin.ask("freeze", agent=agent, on=False)["on"] is False

    loaded = admin.ask("load", agent=agent, checkpoint=saved["checkpoint"])
    assert loaded == saved | {"type": "loaded"}
    player.act([MID] * 4)

    refused(admin.ask("unload", agent=agent), "AGENT_IN_USE", "agent")
    refused(admin.ask("delete", agent=agent), "AGENT_IN_USE", "agent")
    player.send("goodbye", reason="client_done")
    player.expect_goodbye("client_done")
    assert admin.ask("unload", agent=agent) == {"type": "unloaded", "agent": agent}
    again = dial()
    assert again.greet(agent, role="play")["version"] >= 0
    again.close()
    deadline(lambda: admin.ask("delete", agent=agent)["type"] == "deleted", 10)
    assert agent not in {each["agent"] for each in admin.ask("agents")["agents"]}
    refused(admin.ask("info", agent=agent), "UNKNOWN_AGENT", "agent")


def test_r11_stats_of_one_and_of_all(admin: Client, player: Client) -> None:
    player.act([FIRST])
    everything = admin.ask("stats")
    assert set(everything) == {"type", "server", "agents"}
    assert everything["server"]["connections"] >= 2
    assert "plain" in everything["agents"]
    assert set(admin.ask("stats", agent="plain")["agents"]) == {"plain"}


def test_r11_a_name_is_created_once(admin: Client) -> None:
    refused(admin.ask("create", agent="plain", config={}), "AGENT_EXISTS", "agent")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"learner": "magic"}, "learner"),
        ({"colour": "blue"}, "colour"),
        ({"dqn": {"gamma": 2.0}}, "dqn.gamma"),
        ({"dqn": {"gama": 0.9}}, "dqn.gama"),
        ({"replay": {"capacity": "many"}}, "replay.capacity"),
    ],
)
def test_r11_a_bad_config_is_refused_by_key(
    admin: Client, name: Any, config: dict[str, Any], field: str
) -> None:
    agent = name()
    refused(admin.ask("create", agent=agent, config=config), "BAD_CONFIG", field)
    assert agent not in {each["agent"] for each in admin.ask("agents")["agents"]}


@pytest.mark.parametrize("verb", ["info", "save", "load", "unload", "delete", "freeze", "stats"])
@pytest.mark.parametrize("agent", ["nobody", "../plain", "/etc/passwd", "http://x/y", ""])
def test_r11_no_verb_takes_a_path(admin: Client, verb: str, agent: str) -> None:
    more = {"load": {"checkpoint": "c"}, "freeze": {"on": True}}.get(verb, {})
    refused(admin.ask(verb, agent=agent, **more), "UNKNOWN_AGENT", "agent")


@pytest.mark.parametrize("agent", ["../x", "/tmp/x", "X", "", "a" * 65])
def test_r11_a_new_agent_needs_a_name(admin: Client, agent: str) -> None:
    assert admin.ask("create", agent=agent, config={})["type"] == "error"


@pytest.mark.parametrize("checkpoint", ["nothing", "../../plain", "/etc", ""])
def test_r11_only_known_checkpoints_are_loaded(admin: Client, dial: Dial, checkpoint: str) -> None:
    dial().greet("checked")
    reply = admin.ask("load", agent="checked", checkpoint=checkpoint)
    refused(reply, "UNKNOWN_CHECKPOINT", "checkpoint")


def test_r11_answers_come_in_the_order_of_the_questions(admin: Client) -> None:
    for _ in range(10):
        admin.send("agents")
        admin.send("info", agent="plain")
        admin.send("info", agent="nobody")
        admin.send("stats")
    wanted = ["agents", "info", "error", "stats"] * 10
    assert [admin.receive()["type"] for _ in wanted] == wanted


@pytest.mark.parametrize("type", ["step", "teach"])
def test_r11_an_admin_has_no_streams(admin: Client, type: str) -> None:
    rows = admin.rows([FIRST])
    lesson = {"seq": 1, "obs": rows["obs"], "target": bytes(4)}
    admin.send(type, **(rows if type == "step" else lesson))
    admin.expect_end("UNEXPECTED_MESSAGE", "protocol", "type")


def test_r11_an_operation_never_ends_the_connection(serve: Any) -> None:
    daemon = serve("limits.max_agents=1")
    admin, player = daemon.client(), daemon.client()
    admin.greet(**ADMIN)
    player.greet("one", role="play")
    player.send("goodbye", reason="client_done")
    player.expect_goodbye("client_done")
    assert admin.ask("unload", agent="one")["type"] == "unloaded"
    daemon.client().greet("two", role="play")
    refused(admin.ask("save", agent="one"), "LIMIT")
    late = daemon.client()
    late.hello("one", role="play")
    late.expect_end("LIMIT", "limit", "agent")
    assert admin.ask("agents")["type"] == "agents"
    daemon.stop()


def test_r11_a_disk_that_refuses_changes_nothing(serve: Any) -> None:
    daemon = serve()
    player, admin = daemon.client(), daemon.client()
    player.greet("stored")
    player.act([FIRST])
    admin.greet(**ADMIN)
    first = admin.ask("save", agent="stored")
    assert first["type"] == "saved", first
    folder = daemon.folder / "data" / "agents" / "stored" / "checkpoints"
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_text("a file where the folder was")

    refused(admin.ask("save", agent="stored"), "STORAGE_FAILED")

    player.act([MID])
    folder.unlink()
    aside.rename(folder)
    assert admin.ask("save", agent="stored")["type"] == "saved"
    daemon.stop()


def test_r11_damaged_files_are_the_server_s_fault_and_stop_nobody_else(serve: Any) -> None:
    daemon = serve()
    player, admin = daemon.client(), daemon.client()
    player.greet("sound", role="play")
    player.act([FIRST])
    admin.greet(**ADMIN)
    for agent in ("hurt", "hit"):
        daemon.client().greet(agent)
        daemon.clients[-1].act([FIRST])
        daemon.clients[-1].send("goodbye", reason="client_done")
        daemon.clients[-1].expect_goodbye("client_done")
        assert admin.ask("save", agent=agent)["type"] == "saved"
        assert admin.ask("unload", agent=agent)["type"] == "unloaded"
    agents = daemon.folder / "data" / "agents"
    for weights in agents.glob("hurt/checkpoints/*/weights.safetensors"):
        weights.write_bytes(b"\0" * weights.stat().st_size)
    (agents / "hit" / "schema.json").write_text("{")

    for agent, code in (("hurt", "UNKNOWN_CHECKPOINT"), ("hit", "INTERNAL")):
        client = daemon.client()
        client.hello(agent)
        error = client.receive()
        assert (error["code"], error["fatal"]) == (code, True), error
        client.expect_goodbye("error")
    refused(admin.ask("info", agent="hit"), "INTERNAL")

    player.act([MID])
    daemon.client().greet("another", role="play")
    daemon.stop()


# -- R12 authentication ---------------------------------------------------------------------------


TOKENS = {"act": "a" * 24, "learn": "l" * 24, "admin": "m" * 24}


@pytest.fixture(scope="module")
def guarded(serve: Any, tmp_path_factory: Any) -> Any:
    """A daemon with a token of every grant."""
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.touch(0o600)
    path.write_text("".join(f"{grant} {token}\n" for grant, token in TOKENS.items()))
    return serve(f"tokens={path}")


@pytest.mark.parametrize("role", ["train", "eval", "play", "admin"])
@pytest.mark.parametrize("token", [None, "", "wrong", "a" * 23, "a" * 25])
def test_r12_without_a_known_token_nobody_enters(guarded: Any, role: str, token: Any) -> None:
    client = guarded.client()
    client.hello(role=role, token=token)
    client.expect_end("UNAUTHORIZED", "auth", "token")


@pytest.mark.parametrize(
    ("grant", "role"), [("act", "train"), ("act", "admin"), ("learn", "admin")]
)
def test_r12_a_lesser_token_is_forbidden(guarded: Any, grant: str, role: str) -> None:
    client = guarded.client()
    client.hello(role=role, token=TOKENS[grant])
    client.expect_end("FORBIDDEN", "auth", "role")


@pytest.mark.parametrize(
    ("grant", "role"),
    [
        *(("act", "eval"), ("act", "play"), ("learn", "eval"), ("learn", "train")),
        *(("admin", "play"), ("admin", "train"), ("admin", "admin")),
    ],
)
def test_r12_a_grant_contains_the_lesser_ones(guarded: Any, grant: str, role: str) -> None:
    guarded.client().greet("kept", role=role, token=TOKENS[grant])


@pytest.mark.parametrize("grant", ["act", "learn"])
def test_r12_every_operation_needs_admin(guarded: Any, grant: str) -> None:
    client = guarded.client()
    client.greet("kept", role="play", token=TOKENS[grant])
    for verb, fields in {
        "agents": {},
        "info": {"agent": "kept"},
        "create": {"agent": "new", "config": {}},
        "save": {"agent": "kept"},
        "load": {"agent": "kept", "checkpoint": "x"},
        "unload": {"agent": "kept"},
        "delete": {"agent": "kept"},
        "freeze": {"agent": "kept", "on": True},
        "stats": {},
    }.items():
        refused(client.ask(verb, **fields), "FORBIDDEN")
    client.act([FIRST])


def test_r12_beyond_loopback_without_tokens_it_does_not_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agentd", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        [*command, "--http-port", "0", "--data-dir", str(tmp_path)],
        capture_output=True,
        timeout=30,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "token" in done.stderr


def test_r12_tls_speaks_the_same(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(KEY)
    (tmp_path / "cert.pem").write_text(CERT)
    pair = json.dumps({"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")})
    daemon = serve(f"tls={pair}")
    trusted = ssl.create_default_context(cadata=CERT)
    client = daemon.client(lambda plain: trusted.wrap_socket(plain, server_hostname="localhost"))
    client.greet("secret", role="play")
    client.act([FIRST])
    plain = daemon.client()
    plain.hello()
    assert plain.receive() is None
    daemon.stop()
