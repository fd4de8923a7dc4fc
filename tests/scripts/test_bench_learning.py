"""The bench of learning keeps what it has measured and goes on from there."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agentd.config import load_preset


@pytest.fixture
def bench(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("bench_learning")


def test_every_task_has_its_preset(bench: ModuleType) -> None:
    for name, task in bench.ALL.items():
        assert load_preset(task.preset).play.steps > 0, name


def test_an_interrupted_bench_goes_on_with_what_is_missing(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def play(task: object, seed: int) -> dict[str, float]:
        if seed == 3 and not ran.count(2) > 1:
            raise KeyboardInterrupt
        ran.append(seed)
        return {"scores": [seed / 10], "steps": 10, "steps_per_second": 5.0}

    monkeypatch.setitem(bench.PLAYERS, "agentd", play)
    place = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        bench.measure(["catch"], 3, "none", place, False)
    assert len(json.loads(place.read_text())) == 2

    ran += [2, 2]
    runs = bench.measure(["catch"], 3, "none", place, False)

    assert ran == [1, 2, 2, 2, 3]
    (row,) = bench.rows(["catch"], 3, runs)
    assert row["scores"] == [0.1, 0.2, 0.3]
    assert (row["mean"], row["met"], row["goal"]) == (0.2, False, 0.99)


def test_other_settings_are_another_run(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.key("catch", "agentd", 1)
    assert before != bench.key("catch", "agentd", 2) != bench.key("catch", "sb3", 2)

    monkeypatch.setitem(bench.ALL, "catch", bench.Task("catch", (bench.Measure(0.99),), episodes=7))

    assert bench.key("catch", "agentd", 1) != before


def test_wins_are_the_share_of_positive_returns(bench: ModuleType) -> None:
    returns = [1.0, -1.0, 0.0, 0.5]

    assert bench.Measure(0.9, wins=True).score(returns) == 0.5
    assert bench.Measure(0.9).score(returns) == 0.125


def test_an_ablation_runs_with_and_without_its_improvement(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def agentd(verb: str, *arguments: str) -> dict[str, object]:
        asked.append(" ".join(arguments))
        value = 0.25 if any("n_step=1" in words for words in asked[-2:]) else 0.75
        return {
            "interrupted": False,
            "returns": [value],
            "env_steps": 2_000,
            "env_steps_per_second": 1.0,
        }

    monkeypatch.setattr(bench, "_agentd", agentd)
    runs = bench.measure(["n-step"], 2, "none", tmp_path / "results.json", False)

    trained = [words for words in asked if "--keep-going" in words]
    assert ["dqn.n_step=1" in words for words in trained] == [False, True, False, True]
    assert bench.key("n-step", "agentd", 1) != bench.key("n-step", "without", 1)
    rows = bench.rows(["n-step"], 2, runs)
    assert [(row["who"], row["scores"]) for row in rows] == [
        ("agentd", [0.75, 0.75]),
        ("without", [0.25, 0.25]),
    ]


def test_bias_is_what_the_first_values_promise_beyond_the_return(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def step(self, obs: Any, reward: Any, kind: Any, stream: Any, mask: Any) -> Any:
            q = np.tile(np.float32([0.0, 2.0, 1.0]), (len(kind), 1))
            ball, paddle = obs["board"][:, :-1].sum(axis=1).argmax(1), obs["board"][:, -1].argmax(1)
            return SimpleNamespace(q=q, actions=1 + np.sign(ball - paddle).astype(np.int32))

    monkeypatch.setattr(
        bench, "Daemon", lambda folder: nullcontext(SimpleNamespace(host="", port=0))
    )
    monkeypatch.setattr(bench, "join", lambda *_, **__: nullcontext(Client()))
    task = bench.Task("catch", (), episodes=20)

    found = bench.bias(tmp_path, task, bench.Measure(game="catch", bias=True), 1)

    assert found == pytest.approx(2.0 - 0.99**8)
