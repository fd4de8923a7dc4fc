"""The C# client runs under mono, and is a package as Unity wants it."""

import json
import re
import shutil
import subprocess
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

UNITY = """
namespace UnityEngine {
    public class MonoBehaviour { public bool enabled; }
    public sealed class SerializeField : System.Attribute { }
    public struct Vector3 {
        public float x, y, z;
        public static Vector3 down { get { return new Vector3(); } }
        public Vector3(float x, float y, float z) { this.x = x; this.y = y; this.z = z; }
        public static Vector3 operator +(Vector3 a, Vector3 b) { return a; }
        public static Vector3 operator *(float a, Vector3 b) { return b; }
    }
    public class Transform { public Vector3 localPosition; }
    public static class Mathf {
        public static float Sign(float x) { return x; }
        public static float Abs(float x) { return x; }
        public static float Clamp(float x, float low, float high) { return x; }
    }
    public static class Input {
        public static Vector3 mousePosition;
        public static bool GetMouseButton(int which) { return false; }
    }
    public static class Screen { public static int width; }
    public static class Random { public static float Range(float low, float high) { return low; } }
    public static class Debug { public static void LogError(object what) { } }
}
"""
"""The names of Unity that the sample uses: it can be compiled here, not run."""


@pytest.fixture(scope="module")
def package(sdk: Path) -> Path:
    return sdk / "csharp"


@pytest.fixture(scope="module")
def build(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile the client and further sources as C# 7.2; return the program."""
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip("mcs and mono are not installed (apt: mono-mcs, libmono-system-core4.0-cil)")

    def compile_all(*sources: Path, options: tuple[str, ...] = ()) -> Path:
        out = tmp_path_factory.mktemp("mono") / "program.exe"
        command = ["mcs", "-langversion:7.2", "-r:System.Core.dll", f"-out:{out}", *options]
        command += [str(path) for path in (*package.glob("Runtime/*.cs"), *sources)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return out

    return compile_all


@pytest.fixture(scope="module")
def program(build: Callable[..., Path], package: Path) -> Path:
    games = package.glob("Samples~/Console/*.cs")
    return build(*games, HERE / "Harness.cs", options=("-main:Harness", "-warnaserror"))


@pytest.fixture(scope="module")
def harness(program: Path) -> Run:
    """``harness("walk", address)``: the lines that a case of Harness.cs prints.

    mono says on stdout that it does not know the priority of a process in the background.
    """

    def run(*words: object, stdin: str = "") -> list[str]:
        command = ["mono", str(program), *map(str, words)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line for line in done.stdout.splitlines() if "set_priority" not in line]

    return run


def play(program: Path, *words: object) -> float:
    """Run a console game to its end; the return that it prints last."""
    command = ["mono", str(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return float(done.stdout.split()[-1])


def test_every_example_of_the_document_is_read_and_written(
    harness: Run, examples: dict[str, Any]
) -> None:
    lines = harness("vectors", stdin="\n".join(one.body.hex() for one in examples.values()))

    for line, example in zip(lines, examples.values(), strict=True):
        text, written = line.split("\t")
        assert json.loads(text) == example.fields, example.name
        assert written == example.body.hex(), example.name


def test_the_client_s_own_frames_are_the_document_s(harness: Run, examples: dict[str, Any]) -> None:
    acts = [examples[f"server-{name}"].body.hex() for name in ("act", "act-late", "act-explain")]

    made = dict(line.split("\t") for line in harness("build", stdin="\n".join(acts)))

    assert made.pop("act") == "7 12 1 -1 2 False"
    assert made.pop("act-late") == "9 12 1 0 True"
    assert made.pop("act-explain") == "1 3 2 0 0 0.5 1 0.25 -0.25 False"
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
        f"cartpole {' '.join(map(repr, state.tolist()))} {' '.join(map(str, pushes))}",
    )

    assert fallen.split() == board
    for push, said in zip(pushes, pole.split(), strict=True):
        state = advance(state[np.newaxis], np.array([push]))[0]
        kind, numbers = said.split(":")
        assert [float(x) for x in numbers.split(",")] == pytest.approx(state.tolist(), rel=1e-12)
        assert int(kind) == (2 if abs(state[0]) > 2.4 or abs(state[2]) > 0.20943951 else 1)


def test_a_cut_connection_is_resumed_and_nothing_is_learned_twice(
    harness: Run, daemon: Any, wire: Any
) -> None:
    cuts = [("<", 700, 0.0), ("<", 297, 0.0), (">", 999, 0.0), (">", 330, 0.0), ("<", 150, 0.0)]

    assert harness("walk", wire(cuts).address, 100) == ["100 5 0"]
    assert daemon.stats("walk")["env_steps"] == 100


def test_a_lost_session_is_said_once(harness: Run, wire: Any) -> None:
    assert harness("walk", wire([("<", 700, 2.5)]).address, 30) == ["30 1 1"]


def test_a_frame_loop_never_waits(harness: Run, daemon: Any) -> None:
    (line,) = harness("loop", daemon.address, 300)

    sent, answered, longest, reconnects = map(int, line.split())
    assert (sent, answered, reconnects) == (300, 300, 0)
    assert 1 <= longest <= 8


def test_refusals_carry_their_reasons(harness: Run, daemon: Any) -> None:
    lines = harness("refusals", daemon.address)

    assert lines[0].startswith("BAD_MASK mask False ")
    assert lines[1].startswith("NOT_FINITE obs.board False ")
    assert lines[2:7] == [
        "again 1",
        "obs.board: want 8 bytes of float32, got 3 of Single[]",
        "obs.board: want 8 bytes of float32, got 2 of Int32[]",
        "want below Streams",
        "want 1 to 4096 rows a frame, got 0",
    ]
    assert lines[7].startswith("SCHEMA_MISMATCH action True ")
    assert lines[8] == "box True"
    assert lines[9].startswith("UNREACHABLE  True")
    assert lines[10].startswith("address http://127.0.0.1: want host:port")


def test_a_level_is_played_and_a_wrong_one_refused_by_name(harness: Run, daemon: Any) -> None:
    assert harness("levels", daemon.address) == [
        "0 True",
        "40 True",
        "BAD_HELLO level True 0..100 100.5",
        "BAD_HELLO level True 0..100 nan",
        "BAD_HELLO level True role eval or play role train",
    ]


def test_a_person_takes_over(program: Path, daemon: Any) -> None:
    command = ["mono", str(program), "takeover", daemon.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as game:
        assert game.stdout is not None
        lines = (line.strip() for line in game.stdout if "set_priority" not in line)
        assert next(lines, "") == "BAD_LOG 2 3"
        daemon.set_level(4.0)
        assert next(lines, "") == "4"
        assert game.wait(30) == 0

    daemon.set_level(3.0)
    stats = daemon.stats("curriculum")
    assert stats["log"] == {"race/lap_s": 41.5}
    assert stats["success_rate"] == 1.0


@pytest.mark.parametrize("actions", ["conform", pytest.param("mixed", marks=pytest.mark.long)])
def test_no_rule_of_the_protocol_is_broken(program: Path, check_client: Any, actions: str) -> None:
    verdicts = check_client("mono", program, actions, "{address}")

    unseen = {name for name, one in verdicts.items() if one["outcome"] != "OK"}
    newer = {"R4 older version", "R5 multi-discrete"}
    assert unseen <= {"R8 teach", "R11 open maps", "R13 carrier"} | (
        newer if actions == "mixed" else {"R14 numbers"}
    )


def test_catch_is_learned_a_little(build: Any, package: Path, daemon: Any) -> None:
    catch = build(package / "Samples~/Console/Catch.cs")

    play(catch, daemon.address, "train", 150)

    assert play(catch, daemon.address, "eval", 50) > 0.2  # chance gets -0.6


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("game", "episodes", "solved"), [("Catch", 2000, 0.9), ("CartPole", 500, 475)]
)
def test_games_are_solved(
    build: Any, package: Path, trainer: Any, game: str, episodes: int, solved: float
) -> None:
    program = build(package / f"Samples~/Console/{game}.cs")
    play(program, trainer.address, "train", episodes)

    mean = play(program, trainer.address, "eval", 100)

    print(f"{game}: mean return of 100 episodes {mean}")
    assert mean >= solved


def test_the_unity_sample_fits_the_names_of_unity(
    build: Any, package: Path, tmp_path: Path
) -> None:
    (tmp_path / "Unity.cs").write_text(UNITY)

    build(
        package / "Samples~/Unity/CatchAgent.cs",
        tmp_path / "Unity.cs",
        options=("-target:library", "-nowarn:649"),
    )


def test_it_is_a_package_as_unity_wants_it(package: Path) -> None:
    manifest = json.loads((package / "package.json").read_text())
    assembly = json.loads((package / "Runtime/Agentd.asmdef").read_text())
    client = (package / "Runtime/AgentdClient.cs").read_text()

    assert manifest["version"] == __version__
    assert f'Version = "{__version__}"' in client
    assert assembly["noEngineReferences"] is True
    assert all((package / sample["path"]).is_dir() for sample in manifest["samples"])
    known = [path for path in package.rglob("*") if "~" not in path.relative_to(package).as_posix()]
    imported = [path for path in known if path.suffix != ".meta"]
    guids = {
        re.search(r"^guid: ([0-9a-f]{32})$", path.with_name(f"{path.name}.meta").read_text(), re.M)
        for path in imported
    }
    assert len({found[1] for found in guids if found}) == len(imported)
    assert len(known) == 2 * len(imported)
    code = "".join(path.read_text() for path in package.glob("Runtime/*.cs"))
    assert not re.search(r"Reflection|dynamic\b|new Thread|async\b", code)
