"""A run without a screen: its seeds, its figures, what its watcher is told."""

from pathlib import Path

from agentd.config import load_preset
from agentd.rl.history import History
from agentd.rl.run import TrainingPlan, derive_seed, known, run_plan
from agentd.rl.trace import read_runs


class Record:
    """A watcher that keeps what it is given."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.told: list[str] = []

    def update(self, history: History) -> None:
        self.steps.append(history.readings[-1].env_steps)

    def tell(self, line: str) -> None:
        self.told.append(line)


def test_a_watcher_is_told_of_every_reading_and_evaluation(tmp_path: Path) -> None:
    preset = load_preset("catch", {"play.steps": 600, "play.solved": None})
    watcher = Record()

    outcome = run_plan(TrainingPlan(preset, "catch", tmp_path, seed=1), watcher)

    assert watcher.steps == sorted(watcher.steps)
    assert len(watcher.steps) == len(outcome.history.readings) > 1
    assert watcher.told[-1] == f"greedy {outcome.greedy} at {outcome.env_steps} steps"
    assert outcome.env_steps >= 600
    assert outcome.solved is None


def test_an_agent_that_plays_itself_is_measured_on_the_way(tmp_path: Path) -> None:
    flags = {"play.steps": 1600, "play.streams": 4, "play.episodes": 2}
    watcher = Record()

    outcome = run_plan(TrainingPlan(load_preset("duel", flags), "duel", tmp_path, 1), watcher)

    history = outcome.history
    assert len(history.greedy) >= 2
    assert history.curve == history.greedy
    assert history.readings[-1].greedy_mean == history.readings[-1].greedy_mean, "it is known"
    assert [line.split()[0] for line in watcher.told[1:]] == ["greedy"] * len(history.greedy)
    (trace,) = read_runs(tmp_path)
    assert trace.curve == trace.greedy == history.greedy
    assert watcher.told[0].startswith("duel: observation sky float32[56]; actions 7; masks none")


def test_seeds_from_different_paths_differ() -> None:
    seeds = {derive_seed(a, b, c) for a in range(4) for b in range(4) for c in range(4)}

    assert len(seeds) == 64
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)


def test_unknown_statistics_are_nan() -> None:
    assert known({"loss": 1}, "loss") == 1.0
    assert known({"loss": None}, "loss") != known({"loss": None}, "loss")
