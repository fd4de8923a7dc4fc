"""The Godot 3 addon runs in the engine; the Godot 4 addon is its twin, and checked for syntax."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd import __version__
from agentd.games.cartpole import advance
from agentd.games.catch import Catch

HERE = Path(__file__).parent
Run = Callable[..., list[str]]
OF_THE_VERSION = {"compat.gd", "websocket.gd", "client.gd", "agent.gd", "plugin.gd"}
"""Files of the addon that differ between Godot 3 and 4."""


@pytest.fixture(scope="module")
def project(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Godot 3 project with the harness in it."""
    if shutil.which("godot3-server") is None:
        pytest.skip("godot3-server is not installed (apt: godot3-server)")
    folder = tmp_path_factory.mktemp("godot") / "project"
    shutil.copytree(sdk / "godot/godot3", folder)
    shutil.copy(HERE / "harness.gd", folder)
    return folder


def godot(project: Path, *words: object, timeout: float = 100) -> str:
    """Run the engine; its stdout."""
    command = ["godot3-server", "--path", str(project), "-s", *map(str, words)]
    environ = os.environ | {"HOME": str(project.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SCRIPT ERROR" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def harness(project: Path) -> Run:
    """``harness("walk", address)``: the results of a case of harness.gd."""

    def run(*words: object, stdin: str = "", timeout: float = 100) -> list[str]:
        (project / "input.txt").write_text(stdin)
        said = godot(project, "harness.gd", *words, timeout=timeout)
        return [line[2:] for line in said.splitlines() if line.startswith("=>")]

    return run


def exact(fields: Any) -> Any:
    """The fields of an example with floats as the bytes of float64."""
    if isinstance(fields, list):
        return [exact(one) for one in fields]
    if not isinstance(fields, dict):
        return fields
    if isinstance(fields.get("float"), float):
        return {"float": struct.pack(">d", fields["float"]).hex()}
    return {key: exact(one) for key, one in fields.items()}


def test_every_example_of_the_document_is_read_and_written(
    harness: Run, examples: dict[str, Any]
) -> None:
    lines = harness("vectors", stdin="\n".join(one.body.hex() for one in examples.values()))

    assert lines[len(examples) :] == ["True"] * 7
    for line, example in zip(lines, examples.values(), strict=False):
        text, written = line.split("\t")
        assert json.loads(text) == exact(example.fields), example.name
        assert written == example.body.hex(), example.name


def test_the_addon_s_own_frames_are_the_document_s(harness: Run, examples: dict[str, Any]) -> None:
    acts = [examples[f"server-{name}"].body.hex() for name in ("act", "act-late", "act-explain")]

    made = dict(line.split("\t") for line in harness("build", stdin="\n".join(acts)))

    assert made.pop("act") == "7 12 [1, -1, 2] [] [] False"
    assert made.pop("played") == "1 2"
    assert made.pop("act-late") == "9 12 [1, 0] [] [] True"
    assert made.pop("act-explain") == "1 3 [[2, 0]] [[0, 0.5, 1, 0.25, -0.25]] [False] False"
    assert len(made) == 9
    assert made == {name: examples[name].body.hex() for name in made}


def test_the_games_are_those_of_python(harness: Run) -> None:
    rng = np.random.default_rng(1)
    moves, pushes = rng.integers(0, 3, 9), rng.integers(0, 2, 40)
    state = rng.uniform(-0.05, 0.05, 4)
    catch, board = Catch(1, rng), []
    column = int(catch.reset().obs["board"][0].argmax())
    for move in moves:
        frame = catch.step(np.array([move]))
        cells = "".join(str(int(cell)) for cell in frame.obs["board"][0].ravel())
        board.append(f"{frame.reward[0]:g}:{cells}")

    fallen, pole = harness(
        "dynamics",
        stdin=f"catch {column} {' '.join(map(str, moves))}\n"
        f"cartpole {state.tobytes().hex()} {' '.join(map(str, pushes))}",
    )

    assert fallen.split() == board
    for push, said in zip(pushes, pole.split(), strict=True):
        state = advance(state[np.newaxis], np.array([push]))[0]
        kind, numbers = said.split(":")
        found = struct.unpack("<4d", bytes.fromhex(numbers))
        assert list(found) == pytest.approx(state.tolist(), rel=1e-12, abs=1e-15)
        assert int(kind) == (2 if abs(state[0]) > 2.4 or abs(state[2]) > 0.20943951 else 1)


@pytest.mark.parametrize("scheme", ["agentd", "ws"])
def test_a_cut_connection_is_resumed_and_nothing_is_learned_twice(
    harness: Run, daemon: Any, wire: Any, scheme: str
) -> None:
    cuts = [("<", 700, 0.0), (">", 1200, 0.0), ("<", 360, 0.0), (">", 900, 0.0)]
    before = daemon.stats("walk-godot")["env_steps"] if scheme == "ws" else 0

    assert harness("walk", f"{scheme}://{wire(cuts).address}", 60) == ["60 4 0"]
    assert daemon.stats("walk-godot")["env_steps"] == before + 60


def test_a_lost_session_is_said_once(harness: Run, wire: Any) -> None:
    assert harness("walk", wire([("<", 700, 2.5)]).address, 30) == ["30 1 1"]


def test_a_frame_loop_never_waits(harness: Run, daemon: Any) -> None:
    (line,) = harness("loop", daemon.address, 200)

    sent, answered, longest, reconnects = map(int, line.split())
    assert (sent, answered, reconnects) == (200, 200, 0)
    assert 1 <= longest <= 8


def test_refusals_carry_their_reasons(harness: Run, daemon: Any) -> None:
    lines = harness("refusals", daemon.address)

    assert lines[0].startswith("BAD_MASK mask False ")
    assert lines[1] == "nothing was wrong"
    assert lines[2].startswith("NOT_FINITE obs.board False ")
    assert lines[3] == "again 1"
    assert lines[4].endswith("obs.board: want 2 numbers (float16: their bytes), got 1")
    assert lines[5].endswith("stream: want below 1, got 1")
    assert lines[6].startswith("BAD_ARGUMENT Null False want rows")
    assert lines[7] == "BAD_LOG"
    assert lines[8].startswith("SCHEMA_MISMATCH action True ")
    assert lines[9].startswith("BAD_HELLO action.high[0] True ")
    assert lines[10].startswith("UNREACHABLE Null True ")


def test_a_level_is_played_and_a_wrong_one_refused_by_name(harness: Run, daemon: Any) -> None:
    assert harness("levels", daemon.address) == [
        "False",
        "0 True",
        "40 True",
        "BAD_HELLO level 0..100 100.5",
        "BAD_HELLO level 0..100 nan",
        "BAD_HELLO level role eval or play role train",
    ]


def test_nodes_play_in_a_frame_loop(harness: Run, daemon: Any) -> None:
    lines = harness("nodes", daemon.address, 20)

    assert lines in (["level 3", f"{finished} []"] for finished in (20, 21))
    assert daemon.stats("curriculum")["success_rate"] == 1.0


@pytest.mark.parametrize("actions", ["conform", pytest.param("mixed", marks=pytest.mark.long)])
def test_no_rule_of_the_protocol_is_broken(project: Path, check_client: Any, actions: str) -> None:
    verdicts = check_client(
        *("env", f"HOME={project.parent}", "godot3-server", "--path", project),
        *("-s", "harness.gd", actions, "ws://{address}" if actions == "mixed" else "{address}"),
    )

    unseen = {name for name, one in verdicts.items() if one["outcome"] != "OK"}
    newer = {"R4 older version", "R5 multi-discrete"}
    assert unseen <= {"R8 teach", "R11 open maps", "R13 carrier"} | (
        newer if actions == "mixed" else {"R14 numbers"}
    )


def test_catch_is_learned_a_little(harness: Run, daemon: Any) -> None:
    harness("catch", daemon.address, 150)

    assert float(harness("catch-eval", daemon.address, 30)[0]) > 0.2  # chance gets -0.6


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_catch_is_solved(harness: Run, trainer: Any) -> None:
    harness("catch", trainer.address, 2000, timeout=1500)

    mean = float(harness("catch-eval", trainer.address, 100, timeout=1500)[0])

    print(f"Catch: mean return of 100 episodes {mean}")
    assert mean >= 0.9


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_cartpole_is_solved(project: Path, trainer: Any) -> None:
    words = ("examples/cartpole.gd", trainer.address)
    godot(project, *words, "train", 500, timeout=1500)

    said = godot(project, *words, "eval", 100, timeout=1500)

    print(f"CartPole: mean return of 100 episodes {said.split()[-1]}")
    assert float(said.split()[-1]) >= 475


def test_both_addons_are_one_but_for_what_differs(sdk: Path) -> None:
    three, four = sdk / "godot/godot3/addons/agentd", sdk / "godot/godot4/addons/agentd"
    names = {path.name for path in three.iterdir()}

    assert names == {path.name for path in four.iterdir()}
    for name in names - OF_THE_VERSION:
        assert (three / name).read_text() == (four / name).read_text(), name
    assert f'version="{__version__}"' in (three / "plugin.cfg").read_text()
    assert f'const VERSION = "{__version__}"' in (three / "session.gd").read_text()


def test_godot_4_parses(sdk: Path) -> None:
    parser = shutil.which("gdparse") or shutil.which("gdparse", path=Path(sys.executable).parent)
    if parser is None:
        pytest.skip("gdparse is not installed (pip: gdtoolkit 4)")
    scripts = sorted((sdk / "godot/godot4").rglob("*.gd"))

    done = subprocess.run([parser, *map(str, scripts)], capture_output=True, text=True, timeout=60)

    assert len(scripts) > 10
    assert done.returncode == 0, done.stdout + done.stderr
