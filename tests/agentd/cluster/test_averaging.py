"""Members that train apart and go on from their average; here without Ray, in one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.cluster.averaging import Member, RoundTask, average, average_rounds, plans_of
from agentd.engine.training import Callback
from agentd.errors import MissingInput, UsageError
from agentd.runs import Run
from agentd.runs.fit import FitOutcome, run_training
from agentd.runs.job import FitJob, Request

ADAM, SGD = "{name: adam, lr: 0.01}", "{name: sgd, lr: 0.1}"


class Crew:
    """Members in this process; the one of rank ``dies_in[0]`` is made anew in round ``dies_in[1]``.

    It is given a round first whose result nobody takes, as when it dies before it answers.
    """

    def __init__(self, job: FitJob, members: int, dies_in: tuple[int, int] = (-1, -1)) -> None:
        self.plans = plans_of(job, members)
        self.crew = [Member(plan) for plan in self.plans]
        self.dies_in, self.rounds = dies_in, 0

    @property
    def members(self) -> int:
        return len(self.crew)

    def round(self, task: RoundTask) -> list[Any]:
        rank, at = self.dies_in
        if self.rounds == at:
            self.crew[rank].round(task)
            self.crew[rank] = Member(self.plans[rank])
        self.rounds += 1
        return [member.round(task) for member in self.crew]


@contextmanager
def nobody(job: FitJob, metrics: Path) -> Iterator[Callback]:
    yield Callback()


def fit(
    folder: Path,
    name: str,
    members: int = 0,
    every: int = 1,
    dies_in: tuple[int, int] = (-1, -1),
    **changes: Any,
) -> FitOutcome:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(96, 3))
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{'ab'[int(a * b > c)]}" for a, b, c in x]
    (folder / "d.csv").write_text("\n".join(["p,q,r,class", *rows]) + "\n")
    model = {"layers": "[{dense: 8}, relu, {dropout: 0.1}]", "batch": 8, "epochs": 4} | changes
    (folder / "m.yaml").write_text("".join(f"{key}: {value}\n" for key, value in model.items()))
    request = Request(
        model=folder / "m.yaml",
        train=folder / "d.csv",
        test=folder / "d.csv",
        flags={},
        out=folder / name,
        members=(members, every) if members else None,
    )
    if not members:
        return run_training(request, nobody)
    return run_training(
        request, nobody, lambda job: average_rounds(Crew(job, members, dies_in), every)
    )


def state_of(outcome: FitOutcome) -> tuple[dict[str, Any], dict[str, Any]]:
    found = Run.open(outcome.run).load()
    return found.arrays, found.scalars


def same(one: FitOutcome, two: FitOutcome) -> bool:
    (arrays, scalars), (others, numbers) = state_of(one), state_of(two)
    return (
        arrays.keys() == others.keys()
        and scalars == numbers
        and all(np.array_equal(arrays[name], others[name]) for name in arrays)
    )


@pytest.mark.parametrize("every", [1, 5])
def test_one_member_is_bit_identical_to_training_here(tmp_path: Path, every: int) -> None:
    here = fit(tmp_path, "here", optimizer=ADAM)

    assert same(here, fit(tmp_path, "one", 1, every, optimizer=ADAM))
    assert not same(here, fit(tmp_path, "other", 1, every, optimizer=SGD))


def test_seed_members_and_steps_decide_every_bit_whoever_dies(tmp_path: Path) -> None:
    one = fit(tmp_path, "a", 3, 2, optimizer=ADAM)
    again = fit(tmp_path, "b", 3, 2, optimizer=ADAM, dies_in=(1, 2))
    other = fit(tmp_path, "c", 3, 1, optimizer=ADAM)

    assert same(one, again)
    assert not same(one, other)


def test_two_members_that_average_each_step_are_a_batch_of_twice_the_size(tmp_path: Path) -> None:
    plain = {"layers": "[{dense: 8}, relu]", "optimizer": SGD}
    two = state_of(fit(tmp_path, "two", 2, 1, **plain))[0]["params"]
    twice = state_of(fit(tmp_path, "twice", **plain | {"batch": 16}))[0]["params"]

    np.testing.assert_allclose(two, twice, rtol=0, atol=2e-6)


def test_members_learn_every_row_once_an_epoch_and_the_loss_falls(tmp_path: Path) -> None:
    outcome = fit(tmp_path, "a", 5, 2, optimizer=ADAM, epochs=30)  # 12 batches, 5 do not divide

    assert outcome.last is not None
    assert (outcome.epochs, outcome.steps) == (30, 30 * 3)
    assert outcome.last.train_loss < 0.6


def test_a_run_goes_on_only_with_as_many_members(tmp_path: Path) -> None:
    outcome = fit(tmp_path, "a", 2, 2, optimizer=ADAM)
    request = Request(None, None, None, {"epochs": 5}, out=outcome.run, resume=True)

    with pytest.raises(UsageError, match=r"2 members, averaged every 2 steps.*one trainer"):
        run_training(request, nobody)


def test_a_run_that_went_on_is_one_that_never_stopped(tmp_path: Path) -> None:
    whole = fit(tmp_path, "a", 2, 2, optimizer=ADAM)
    cut = fit(tmp_path, "b", 2, 2, optimizer=ADAM, stop="{max_steps: 8}")
    request = Request(
        None, None, None, {"stop.max_steps": None}, out=cut.run, resume=True, members=(2, 2)
    )
    on = run_training(request, nobody, lambda job: average_rounds(Crew(job, 2), 2))

    assert np.array_equal(state_of(whole)[0]["params"], state_of(on)[0]["params"])


def test_a_member_without_the_data_says_so(tmp_path: Path) -> None:
    outcome = fit(tmp_path, "a", 1)
    found = Run.open(outcome.run).load()
    data = tmp_path / "d.csv"
    data.unlink()
    facts = {**found.facts, "source": str(data)}
    job = FitJob(found.spec, b"", None, None, None, facts, _Nothing(found), outcome.run)  # type: ignore[arg-type]
    (plan,) = plans_of(job, 1)

    with pytest.raises(MissingInput, match=r"node .* has no data .*d\.csv"):
        Member(plan).round(RoundTask(found.arrays, found.scalars, 0, 0, 1))


class _Nothing:
    def __init__(self, found: Any) -> None:
        self.normalizer = found.normalizer


def test_an_average_of_one_is_that_one_and_counters_are_the_first_ones() -> None:
    a = {"w": np.array([1, 2], np.float32), "n": np.array([3], np.int64)}
    b = {"w": np.array([2, 4], np.float32), "n": np.array([5], np.int64)}

    assert average([a])["w"] is a["w"]
    assert average([a, b])["w"].tolist() == [1.5, 3.0]
    assert average([a, b])["w"].dtype == np.float32
    assert average([a, b])["n"].tolist() == [3]
