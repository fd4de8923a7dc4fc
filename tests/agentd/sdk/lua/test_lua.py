"""The Lua client in every Lua there is: PROTOCOL.md's bytes, a real daemon, games."""

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agentd

HERE = Path(__file__).parent
LUAS = ["luajit", "lua5.1", "lua5.4"]  # numbers become bytes by ffi, by hand, by string.pack
Lua = Callable[..., list[str]]


@pytest.fixture(scope="session")
def client(sdk: Path) -> Path:
    return sdk / "lua"


@pytest.fixture(scope="session")
def lua(client: Path) -> Lua:
    """``lua("luajit", script)``: the command that runs it with the client and LuaSocket."""

    def command(program: str, script: Path, *words: object) -> list[str]:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        if subprocess.run([program, "-e", "require 'socket'"], capture_output=True).returncode:
            pytest.skip(f"LuaSocket is not installed for {program}")
        path = f"package.path = '{client}/?.lua;' .. package.path"
        return [program, "-e", path, str(script), *map(str, words)]

    return command


@pytest.fixture
def game(lua: Lua) -> list[str]:
    """The game that uses everything."""
    return lua("luajit", HERE / "game.lua")


def test_version_is_that_of_agentd(client: Path) -> None:
    text = (client / "agentd.lua").read_text()

    assert f'VERSION = "{agentd.__version__}"' in text
    assert (client / "LICENSE").read_text() == (client.parents[2] / "LICENSE").read_text()


# -- the bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", LUAS)
def test_client_says_the_examples_byte_for_byte(
    lua: Lua, run: Any, examples: Any, program: str
) -> None:
    said = dict(
        line.split() for line in run(*lua(program, HERE / "vectors.lua", "says")).split("\n")
    )
    shown = {e.name: e.hex for e in examples if e.who == "client"}
    log = said.pop("log-of-fuel")

    assert len(said) == 11
    assert said == {name: shown[name] for name in said}
    assert bytes.fromhex(log)[4:] == b"\x82\xa4type\xa3log\xa6values\x81\xa4fuel\xcb" + struct.pack(
        ">d", 0.25
    )


@pytest.mark.parametrize("program", LUAS)
def test_client_reads_the_examples(lua: Lua, run: Any, examples: Any, program: str) -> None:
    frames = {e.name: e.hex for e in examples if e.who == "server"}
    token = bytes(range(0xA0, 0xB0)).hex()
    wanted = {
        "welcome": f"welcome|1|8|15|false|{token}|-1",
        "welcome-resumed": f"welcome|1|8|15|true|{token}|-1",
        "welcome-newer": f"welcome|2|8|15|false|{token}|3",
        "act": "act|7|12|false|1,-1,2|||-1",
        "act-explain": "act|1|3|false|2,0|0,0.5,1,0.25,-0.25|0|-1",
        "act-late": "act|9|12|true|1,0|||-1",
        "error": "BAD_SHAPE|obs.board: want 16 bytes (float32[2][2]), got 12 bytes|obs.board|"
        "16 bytes (float32[2][2])|12 bytes|0|-1",
        "error-fatal": "LIMIT|the server is full|connections|at most 4096||1000|-1",
        "error-log": "-1",
        "settings": "3",
        "ping": "-1",
    }

    stdin = "\n".join(frames[name] for name in wanted) + "\n"
    heard = run(*lua(program, HERE / "vectors.lua", "hears"), stdin=stdin)

    assert dict(zip(wanted, heard.split("\n"), strict=True)) == wanted


@pytest.mark.parametrize("program", LUAS)
def test_numbers_are_ieee_754_in_every_lua(lua: Lua, run: Any, program: str) -> None:
    floats = [0, 1, -1.5, 3.14159274101257, 1e-45, 1.17549435e-38, 3.4e38, np.inf, -np.inf]
    wanted = {
        "float32": np.array([*floats, 2.0**-130, 16777217], "<f4").tobytes(),
        "int32": np.array([0, 1, -1, 2**31 - 1, -(2**31)], "<i4").tobytes(),
        "uint8": bytes([0, 255]),
        "float64": np.array([0.1, -2.5e-308, 1.7e308, 5e-324, 12.5], "<f8").tobytes(),
    }

    for line in run(*lua(program, HERE / "vectors.lua", "numbers")).split("\n"):
        name, there, back = line.split()
        assert bytes.fromhex(there) == bytes.fromhex(back) == wanted.pop(name)
    assert not wanted


# -- a real daemon --------------------------------------------------------------------------------


@pytest.mark.parametrize("program", LUAS)
@pytest.mark.parametrize("words", [[], ["poll"]])
def test_game_of_everything_is_played(
    lua: Lua, run: Any, daemon: Any, program: str, words: list[str]
) -> None:
    played = run(*lua(program, HERE / "game.lua", daemon.address, 60, *words))

    assert played == "answers 60 bad 0 refused 0 lost 0 reconnects 0 level 3"


def test_refused_frame_is_told_and_the_game_goes_on(run: Any, game: list[str], daemon: Any) -> None:
    played = run(*game, daemon.address, 40, "nan")

    assert played.startswith("NOT_FINITE|obs.place|nan|8 answers 40 bad 0 refused 1 lost 0")


@pytest.mark.parametrize("kind", ["box", "mixed"])
def test_numbers_are_answered_inside_their_bounds(
    run: Any, game: list[str], daemon: Any, kind: str
) -> None:
    said = run(*game, daemon.address, 40, kind)

    assert said == "answers 40 bad 0 refused 0 lost 0 reconnects 0 level -1"


@pytest.mark.parametrize("level", ["0", "40"])
def test_a_level_is_played(run: Any, game: list[str], daemon: Any, level: str) -> None:
    played = run(*game, daemon.address, 20, "play", f"level={level}")

    assert played == "answers 20 bad 0 refused 0 lost 0 reconnects 0 level 3"


@pytest.mark.parametrize("program", LUAS)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["play", "level=100.5"], "BAD_HELLO|level|0..100|100.5"),
        (["play", "level=nan"], "BAD_HELLO|level|0..100|nan"),
        (["level=0"], "BAD_HELLO|level|role eval or play|role train"),
    ],
)
def test_a_wrong_level_is_refused_by_name(
    lua: Lua, run: Any, daemon: Any, program: str, words: list[str], told: str
) -> None:
    assert run(*lua(program, HERE / "game.lua", daemon.address, 20, *words), ends=1) == told


def test_nobody_there_is_told(run: Any, game: list[str]) -> None:
    assert run(*game, "127.0.0.1:1", 5, ends=1).startswith("UNREACHABLE|")


def test_cut_connection_is_resumed_and_nothing_taken_twice(
    run: Any, game: list[str], daemon: Any, cut: Any
) -> None:
    start = daemon.rows("game")
    run(*game, daemon.address, 80)
    whole = daemon.rows("game") - start

    played = run(*game, cut.address, 80)

    assert played == "answers 80 bad 0 refused 0 lost 0 reconnects 3 level 3"
    assert daemon.rows("game") - start == 2 * whole


def test_every_rule_is_kept(game: list[str], check_client: Any) -> None:
    said = check_client([*game, "{address}", "100000", "poll"])

    assert said["failed"] == 0, json.dumps(said)
    assert said["passed"] >= 43


@pytest.mark.long
@pytest.mark.parametrize("program", LUAS)
def test_every_rule_is_kept_in_every_lua(lua: Lua, check_client: Any, program: str) -> None:
    for word in ("", "box"):
        said = check_client(lua(program, HERE / "game.lua", "{address}", "100000", word))
        assert said["failed"] == 0, json.dumps(said)
        assert said["passed"] >= 40


# -- the games ------------------------------------------------------------------------------------


def test_catch_is_the_catch_of_agentd(lua: Lua, client: Path, plays_catch: Any) -> None:
    plays_catch(lua("luajit", client / "examples" / "catch.lua", "{address}", "1000"))


def test_cartpole_is_the_cartpole_of_agentd(lua: Lua, client: Path, plays_cartpole: Any) -> None:
    plays_cartpole(lua("luajit", client / "examples" / "cartpole.lua", "{address}", "1000"))


def test_love_example_is_lua(lua: Lua, client: Path, run: Any) -> None:
    run(*lua("luajit", HERE / "parses.lua", client / "examples" / "love" / "main.lua"))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "train", "goal"), [("catch", 1500, 0.9), ("cartpole", 60, 475)])
def test_games_are_learned(
    lua: Lua, run: Any, client: Path, free_daemon: Any, name: str, train: int, goal: float
) -> None:
    program, best = lua("luajit", client / "examples" / f"{name}.lua", free_daemon.address), -np.inf
    for _ in range(20):
        run(*program, train, timeout=600)
        said = run(*program, 100, "eval", timeout=600)
        best = max(best, float(np.mean([float(line.split()[-1]) for line in said.split("\n")])))
        if best >= goal:
            break
    assert best >= goal
