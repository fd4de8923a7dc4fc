"""``agentd serve --godot``: its address, its refusals, and what `top` says of who plays."""

import io
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from agentd.cli.bare_flags import GODOT, fill
from agentd.cli.daemon.serve import explain_bind
from agentd.config import ServerConfig
from agentd.config.records import GodotConfig

INFO = {
    "type": "env_info",
    "n_agents": 1,
    "observation_space": {"obs": {"size": [2], "space": "box"}},
    "action_space": {"move": {"size": 2, "action_type": "discrete"}},
}


def hear(stream: io.BufferedIOBase) -> Any:
    (size,) = struct.unpack("<I", stream.read(4))
    return json.loads(stream.read(size))


@pytest.mark.parametrize(
    ("words", "filled"),
    [
        (["serve", "--godot"], ["serve", "--godot", GODOT]),
        (["serve", "--godot", "-q"], ["serve", "--godot", GODOT, "-q"]),
        (["serve", "--godot", "a.yaml"], ["serve", "--godot", GODOT, "a.yaml"]),
        (["serve", "--godot", "0"], ["serve", "--godot", "0"]),
        (["serve", "--godot", "[::1]:11008"], ["serve", "--godot", "[::1]:11008"]),
        (["serve", "--godot=:7"], ["serve", "--godot=:7"]),
        (["top", "--godot"], ["top", "--godot"]),
        ([], []),
    ],
)
def test_the_address_may_be_left_out(words: list[str], filled: list[str]) -> None:
    assert fill(words) == filled


def test_a_game_joins_a_daemon_and_top_names_it(
    serve: Callable[..., Any], run: Callable[..., Any]
) -> None:
    daemon = serve("--godot", ":0", "--set", "agent.learner=none")
    second = daemon.process.stdout.readline()
    assert second.startswith("listening on 127.0.0.1:")
    with socket.create_connection(("127.0.0.1", int(second.rsplit(":", 1)[1])), 20) as game:
        stream = game.makefile("rwb")
        assert [hear(stream)["type"] for _ in range(2)] == ["handshake", "env_info"]
        for message in INFO, {"type": "reset", "obs": [{"obs": [0, 1]}]}:
            body = json.dumps(message).encode()
            stream.write(struct.pack("<I", len(body)) + body)
            stream.flush()
            heard = hear(stream)
        assert heard["type"] == "action"

        text = run("top", f"127.0.0.1:{daemon.port}").stdout
        code, err = daemon.end()

        assert hear(stream) == {"type": "close"}
    assert "shared_policy is played by godot-rl 0.3" in text
    assert code == 0
    assert "listening for games of Godot RL Agents on 127.0.0.1:" in err


@pytest.mark.parametrize("address", ["nowhere", "1.2.3.4:port", "host:99999"])
def test_an_address_that_is_none_is_refused(run: Callable[..., Any], address: str) -> None:
    done = run("serve", f"--godot={address}")

    assert done.returncode == 2
    assert f"--godot {address}: want HOST:PORT" in done.stderr


def test_a_port_that_others_reach_must_be_wanted(run: Callable[..., Any]) -> None:
    done = run("serve", "--godot", "0.0.0.0:0")

    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "games of Godot RL Agents have no token" in done.stderr
    assert "godot: {open: true}" in done.stderr


def test_its_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = ServerConfig(port=0, http_port=None, godot=GodotConfig(port=port))
        error = explain_bind(OSError(98, "in use"), config)

    assert str(port) in str(error)
    assert "--godot" in str(getattr(error, "hint", ""))
