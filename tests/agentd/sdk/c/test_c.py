"""The C client, compiled and run: PROTOCOL.md's bytes, hostile servers, a real daemon, games."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agentd

HERE = Path(__file__).parent
STRICT = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
Run = Callable[..., str]
Build = Callable[..., Path]


def tool(name: str) -> str:
    """Where a program is; skips, naming it, where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="session")
def client(sdk: Path) -> Path:
    return sdk / "c"


@pytest.fixture(scope="session")
def build(client: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """``build(source, *flags)``: the program that strict C99 makes of it; each is built once."""
    folder = tmp_path_factory.mktemp("c")
    made: dict[tuple[Any, ...], Path] = {}

    def compiled(source: Path, *flags: str) -> Path:
        if (source, flags) not in made:
            program = folder / f"{source.stem}{len(made)}"
            words = [tool("gcc"), "-std=c99", *STRICT, "-Wno-unused-function", *flags]
            subprocess.run([*words, "-I", client, source, "-o", program, "-lm"], check=True)
            made[source, flags] = program
        return made[source, flags]

    return compiled


@pytest.fixture(scope="session")
def game(build: Build) -> Path:
    """The game that uses everything, with sanitizers."""
    return build(HERE / "game.c", *SANITIZED)


@pytest.fixture(scope="session")
def catch(build: Build, client: Path) -> Path:
    return build(client / "examples" / "catch.c", "-O2")


# -- the header -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("compiler", "standard"), [("gcc", "c99"), ("g++", "c++11")])
def test_header_is_clean(client: Path, tmp_path: Path, compiler: str, standard: str) -> None:
    language = "c++" if "+" in standard else "c"
    (tmp_path / "one.c").write_text('#define AGENTD_IMPLEMENTATION\n#include "agentd.h"\n')
    (tmp_path / "two.c").write_text(
        '#include "agentd.h"\nint main(void) { agentd_close(NULL); return AGENTD_OK; }\n'
    )
    words = [tool(compiler), "-x", language, f"-std={standard}", "-O2", *STRICT, "-I", str(client)]

    subprocess.run(
        [*words, tmp_path / "one.c", tmp_path / "two.c", "-o", tmp_path / "program"], check=True
    )
    subprocess.run([tmp_path / "program"], check=True)


def test_example_is_built_for_windows(client: Path, tmp_path: Path) -> None:
    source, program = client / "examples" / "catch.c", tmp_path / "program.exe"
    words = [tool("x86_64-w64-mingw32-gcc"), "-std=c99", *STRICT, source, "-o", program]

    subprocess.run([*words, "-lws2_32"], check=True)

    assert program.read_bytes()[:2] == b"MZ"


def test_nothing_of_the_header_is_global(build: Build, game: Path) -> None:
    names = subprocess.run(["nm", game], capture_output=True, text=True, check=True).stdout

    assert not re.search(r" [BbDdCc] agentd", names)


def test_version_and_licence_are_those_of_agentd(client: Path) -> None:
    header = (client / "agentd.h").read_text()
    licence = (client.parents[2] / "LICENSE").read_text()

    assert f'#define AGENTD_VERSION "{agentd.__version__}"' in header
    assert licence.strip() in header


# -- the bytes ------------------------------------------------------------------------------------


def test_every_example_is_read_and_written_again(build: Build, run: Run, examples: Any) -> None:
    vectors = build(HERE / "vectors.c", *SANITIZED)

    assert run(vectors, stdin="\n".join(e.hex for e in examples)).split() == [
        e.hex for e in examples
    ]


def test_client_says_the_examples_byte_for_byte(build: Build, run: Run, examples: Any) -> None:
    said = [line.split() for line in run(build(HERE / "vectors.c", *SANITIZED), "says").split("\n")]
    shown = {e.name: e.hex for e in examples if e.who == "client"}

    assert len(said) == 12
    assert dict(said) == {name: shown[name] for name, _ in said}


def test_client_reads_the_examples(build: Build, run: Run, examples: Any) -> None:
    frames = {e.name: e.hex for e in examples if e.who == "server"}
    wanted = {
        "welcome": "status 1 protocol 1 window 8 max_frame 8388608 max_rows 4096 heartbeat 15 "
        "resumed 0 token a0af level -1 wind -1",
        "welcome-resumed": "status 1 protocol 1 window 8 max_frame 8388608 max_rows 4096 "
        "heartbeat 15 resumed 1 token a0af level -1 wind -1",
        "welcome-newer": "status 1 protocol 2 window 8 max_frame 8388608 max_rows 4096 "
        "heartbeat 15 resumed 0 token a0af level 3 wind -1",
        "act": "status 0 seq 7 version 12 late 0 action 1 -1 2 level -1 wind -1",
        "act-explain": "status 0 seq 1 version 3 late 0 action 2 0 "
        "q 0 q 0.5 q 1 q 0.25 q -0.25 explored 0 level -1 wind -1",
        "act-late": "status 0 seq 9 version 12 late 1 action 1 0 level -1 wind -1",
        "error": "status 2 BAD_SHAPE|obs.board: want 16 bytes (float32[2][2]), got 12 bytes|"
        "obs.board|16 bytes (float32[2][2])|12 bytes|0 level -1 wind -1",
        "error-fatal": "status 5 LIMIT|the server is full|connections|at most 4096||1000 "
        "level -1 wind -1",
        "error-log": "status 1 level -1 wind -1",
        "settings": "status 1 level 3 wind 0.5",
        "ping": "status 1 level -1 wind -1",
    }

    heard = run(
        build(HERE / "vectors.c", *SANITIZED),
        "hears",
        stdin="\n".join(frames[name] for name in wanted),
    )

    assert dict(zip(wanted, heard.split("\n"), strict=True)) == wanted


def test_hostile_servers_do_no_harm(build: Build, run: Run, examples: Any) -> None:
    names = ("act", "act-explain", "act-late", "welcome-newer", "error", "settings", "ping")
    names += ("goodbye", "error-taken", "welcome")
    frames = [e.hex for e in examples if e.name in names for _ in range(1 + 3 * ("act" in e.name))]
    hostile = build(HERE / "hostile.c", *SANITIZED)

    counts = run(hostile, 1500, 1, stdin="\n".join(frames)).split()

    assert int(counts[1]) > 75  # answers that were taken
    assert int(counts[-1]) > 375  # servers that were found out


# -- a real daemon --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["poll"]])
def test_game_of_everything_is_played(run: Run, game: Path, daemon: Any, words: list[str]) -> None:
    played = run(game, daemon.address, 60, *words)

    assert played == "answers 60 bad 0 refused 0 lost 0 reconnects 0 level 3"


def test_nothing_leaks(run: Run, build: Build, daemon: Any) -> None:
    checks = [tool("valgrind"), "-q", "--leak-check=full", "--error-exitcode=9"]

    run(*checks, build(HERE / "game.c", "-g"), daemon.address, 30, "nan")


def test_refused_frame_is_told_and_the_game_goes_on(run: Run, game: Path, daemon: Any) -> None:
    played = run(game, daemon.address, 40, "nan")

    assert played.startswith("NOT_FINITE|obs.place|nan|8 answers 40 bad 0 refused 1 lost 0")


@pytest.mark.parametrize("kind", ["box", "mixed"])
def test_numbers_are_answered_inside_their_bounds(
    run: Run, game: Path, daemon: Any, kind: str
) -> None:
    said = run(game, daemon.address, 40, kind)

    assert said == "answers 40 bad 0 refused 0 lost 0 reconnects 0 level -1"


@pytest.mark.parametrize("level", ["0", "40"])
def test_a_level_is_played(run: Run, game: Path, daemon: Any, level: str) -> None:
    played = run(game, daemon.address, 20, "play", f"level={level}")

    assert played == "answers 20 bad 0 refused 0 lost 0 reconnects 0 level 3"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["play", "level=100.5"], "BAD_HELLO|level|0..100|100.5"),
        (["play", "level=nan"], "BAD_HELLO|level|0..100|nan"),
        (["level=0"], "BAD_HELLO|level|role eval or play|role train"),
    ],
)
def test_a_wrong_level_is_refused_by_name(
    run: Run, game: Path, daemon: Any, words: list[str], told: str
) -> None:
    assert run(game, daemon.address, 20, *words, ends=1).endswith(told)


def test_nobody_there_is_told(run: Run, game: Path) -> None:
    assert "UNREACHABLE" in run(game, "127.0.0.1:1", 5, ends=1)
    assert "want the address of a known host" in run(game, "nowhere.invalid", 5, ends=1)
    assert "want the address of a known host" in run(game, ":1", 5, ends=1)


def test_cut_connection_is_resumed_and_nothing_taken_twice(
    run: Run, game: Path, daemon: Any, cut: Any
) -> None:
    start = daemon.rows("game")
    run(game, daemon.address, 80)
    whole = daemon.rows("game") - start

    played = run(game, cut.address, 80)

    assert played == "answers 80 bad 0 refused 0 lost 0 reconnects 3 level 3"
    assert daemon.rows("game") - start == 2 * whole


def test_killed_daemon_is_waited_for(
    game: Path, tmp_path: Path, daemon: Any, free_daemon: Any
) -> None:
    words = [str(game), free_daemon.address, "1500", "poll"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as playing:
        assert playing.stdout is not None
        until = time.monotonic() + 60
        while free_daemon.rows("game") < 250:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert playing.poll() is None
        free_daemon.end(signal.SIGKILL)
        free_daemon.start()
        said = playing.stdout.read()

    assert re.match(r"answers 1500 bad \d refused 0 lost 0 reconnects [1-9]", said)


def test_every_rule_is_kept(game: Path, check_client: Any) -> None:
    said = check_client([str(game), "{address}", "100000", "poll"])

    assert said["failed"] == 0, said
    assert said["passed"] >= 43


@pytest.mark.long
@pytest.mark.parametrize("word", ["", "box", "mixed"])
def test_every_rule_is_kept_in_other_games(game: Path, check_client: Any, word: str) -> None:
    said = check_client([str(game), "{address}", "100000", word])

    assert said["failed"] == 0, said
    assert said["passed"] >= 40


# -- the games ------------------------------------------------------------------------------------


def test_catch_is_the_catch_of_agentd(catch: Path, plays_catch: Any) -> None:
    plays_catch([str(catch), "{address}", "1000"])


def test_cartpole_is_the_cartpole_of_agentd(
    build: Build, client: Path, plays_cartpole: Any
) -> None:
    program = build(client / "examples" / "cartpole.c", "-O2")

    plays_cartpole([str(program), "{address}", "1000"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rows", "episodes", "judged", "goal"),
    [
        ("catch", 15_000, 200, 100, 0.9),
        pytest.param("cartpole", 50_000, 20, 40, 475, marks=pytest.mark.long),
    ],
)
def test_games_are_learned(
    run: Run,
    build: Build,
    client: Path,
    daemon: Any,
    name: str,
    rows: int,
    episodes: int,
    judged: int,
    goal: float,
) -> None:
    program, mean = build(client / "examples" / f"{name}.c", "-O2"), -np.inf
    for most in range(rows, 2 * rows + 1, rows // 5):
        while daemon.rows(name) < most:
            run(program, daemon.address, episodes)
        said = run(program, daemon.address, judged, "eval").split("\n")
        mean = np.mean([float(line.split()[-1]) for line in said])
        if mean >= goal:
            break
    assert mean >= goal
