"""The bench of demonstrations keeps what it has measured; its scripts are teachers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agentd.config import agent_config_from_wire


@pytest.fixture
def bench(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("bench_demonstrations")


def spec_of(bench: ModuleType, task: str, who: str, seed: int = 1, fps: float = 60) -> Any:
    return {"task": task, "who": who, "seed": seed, "fps": fps, "episodes": 5, "set": {}}


def test_every_run_is_of_a_configuration_that_is_one(bench: ModuleType) -> None:
    for task in bench.TASKS:
        for who in bench.WHO:
            config = agent_config_from_wire(bench.agent_of(spec_of(bench, task, who)))
            assert (config.demonstrations.share > 0) == (who != "rows")
    fast = agent_config_from_wire(bench.agent_of(spec_of(bench, "mountaincar", "shown", fps=0)))
    assert fast.pace.mode == "paced"


def test_an_interrupted_bench_goes_on_with_what_is_missing(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [spec_of(bench, "mountaincar", "shown", seed) for seed in (1, 2)]
    ran: list[int] = []

    def pretend(command: list[str], **_: Any) -> Any:
        ran.append(json.loads(command[-1])["seed"])
        found = {"scores": [-150.0, -100.0 - 20 * len(ran)], "teacher": [-119.0]}
        return SimpleNamespace(stdout=json.dumps(found) + "\n")

    monkeypatch.setattr(bench.subprocess, "run", pretend)
    path = tmp_path / "results.json"
    bench.measure(specs[:1], path, 1)
    rows = bench.table(specs, bench.measure(specs, path, 1))

    assert ran == [1, 2]
    assert [row["rows"] for row in rows] == [10_000, 20_000]
    assert rows[1]["reached"] == 0
    assert (rows[1]["teacher"], rows[1]["seeds"]) == (-119.0, 2)


def test_the_script_climbs_the_hill(bench: ModuleType) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("MountainCar-v0")
    obs, _ = env.reset(seed=0)
    steps, climbed = 0, False
    while not climbed and steps < 140:
        obs, _, climbed, _, _ = env.step(bench.push_on(np.asarray(obs)))
        steps += 1
    assert climbed


@pytest.mark.slow
def test_an_agent_is_shown_and_looked_at_as_often_as_asked(
    bench: ModuleType, specs_of: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gymnasium")
    words = ("--tasks", "mountaincar", "--who", "shown", "--seeds", "1")
    (spec,) = specs_of(bench, *words, "--fps", "0", "--episodes", "1")
    task = replace(bench.TASKS["mountaincar"], shown=1, marks=(300, 600), goals=(None, None))
    monkeypatch.setitem(bench.TASKS, "mountaincar", task)

    found = bench.run(spec)

    assert len(found["scores"]) == 2
    assert all(-200 <= score < 0 for score in found["scores"])
    assert found["shown_rows"] >= -found["teacher"][0] > 60
    assert found["updates"] > 0
