"""A game in the real engine, Godot 3 without a window, that speaks Godot RL Agents' wire."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "godot3"
ENGINE = shutil.which("godot3-server")
LEARNER = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 32}, "relu"]},
    "dqn": {"batch": 32, "n_step": 1, "target": {"every": 50}},
    "exploration": {"start": 1.0, "end": 0.02, "steps": 600},
    "pace": {"mode": "paced", "learn_start": 200, "train_every": 16, "updates": 8},
}


async def run_game(folder: Path, port: int, *words: str) -> tuple[int, str]:
    """Exit code and output of the game; Godot writes beside its project, so it runs on a copy."""
    project = folder / "project"
    shutil.copytree(PROJECT, project, dirs_exist_ok=True)
    engine = await asyncio.create_subprocess_exec(
        str(ENGINE),
        *("--path", str(project), "-s", "corridor.gd", f"--port={port}", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
        },
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await engine.communicate()
    finally:
        if engine.returncode is None:
            engine.kill()
    return engine.returncode or 0, output.decode()


@pytest.mark.skipif(ENGINE is None, reason="needs godot3-server (apt)")
@pytest.mark.parametrize("dialect", ["0.3", "0.7"])
async def test_two_agents_play_ten_episodes_in_the_engine(arena, tmp_path, dialect: str) -> None:
    house = await arena()

    code, output = await run_game(tmp_path, house.port, f"--dialect={dialect}", "--episodes=10")

    assert code == 0, output
    assert "ERROR" not in output, output
    played = re.search(r"episodes (\d+) wins", output)
    assert played, output
    assert int(played[1]) >= 20
    await house.until(lambda: house.stats()["sessions"] == 0)
    returns = house.server.registry.loaded["shared_policy"].returns
    # the last steps were said as the game left: they may come or not
    assert returns.episodes["train"] >= 18
    assert house.stats()["refused_frames"] == 0


@pytest.mark.skipif(ENGINE is None, reason="needs godot3-server (apt)")
async def test_the_engine_ends_when_the_daemon_does(arena, tmp_path) -> None:
    house = await arena()
    game = asyncio.ensure_future(run_game(tmp_path, house.port, "--episodes=100000"))
    await house.until(lambda: house.server.registry.loaded != {})
    await house.until(lambda: house.stats()["rows"] > 20)

    house.server.stop()

    code, output = await game
    assert (code, "closed by the trainer" in output) == (3, True), output


@pytest.mark.long
@pytest.mark.skipif(ENGINE is None, reason="needs godot3-server (apt)")
async def test_a_game_in_the_engine_is_learned(arena, tmp_path) -> None:
    house = await arena(agent=LEARNER)

    await run_game(tmp_path, house.port, "--episodes=10")
    early = house.stats()["return_mean"]
    code, output = await run_game(tmp_path, house.port, "--episodes=150")

    assert code == 0, output
    assert house.stats()["success_rate"] > 0.9
    assert house.stats()["return_mean"] > max(0.75, early + 0.2)
