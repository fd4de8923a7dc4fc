"""A supervised run without a screen: what follows it hears every step and epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentd.engine.training import Callback, EpochReport, Trainer
from agentd.runs import Run
from agentd.runs.fit import run_training
from agentd.runs.job import FitJob, Request


class Follower(Callback):
    """Counts what it hears, and ends the run after ``most`` steps."""

    def __init__(self, most: int) -> None:
        self.most, self.steps, self.epochs, self.open = most, 0, 0, False

    def on_step(self, trainer: Trainer) -> None:
        assert self.open
        self.steps += 1
        if self.steps == self.most:
            trainer.stop("by the follower")

    def on_epoch(self, trainer: Trainer, report: EpochReport) -> None:
        self.epochs += 1


def run(folder: Path, most: int) -> tuple[Follower, str, Path]:
    (folder / "m.yaml").write_text("layers: [{dense: 4}, relu]\nbatch: 4\nepochs: 3\n")
    (folder / "d.csv").write_text("x,y,c\n" + "1,2,a\n2,1,b\n" * 8)
    follower = Follower(most)

    @contextmanager
    def watch(job: FitJob, metrics: Path) -> Iterator[Callback]:
        assert metrics.parent == job.path
        follower.open = True
        yield follower
        follower.open = False

    request = Request(
        model=folder / "m.yaml", train=folder / "d.csv", test=None, flags={}, out=folder / "run"
    )
    outcome = run_training(request, watch)
    return follower, outcome.stopped, outcome.run


def test_a_follower_hears_every_step_and_epoch(tmp_path: Path) -> None:
    follower, stopped, _ = run(tmp_path, most=1000)

    assert (follower.steps, follower.epochs, stopped, follower.open) == (12, 3, "", False)


def test_a_follower_may_end_the_run_which_is_saved(tmp_path: Path) -> None:
    follower, stopped, place = run(tmp_path, most=5)

    assert (follower.steps, stopped) == (5, "by the follower")
    assert Run.open(place).load().scalars["steps"] == 5
