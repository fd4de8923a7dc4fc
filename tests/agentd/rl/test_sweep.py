"""Seeds as people write them, and the summary of a sweep."""

import pytest

from agentd.errors import UsageError
from agentd.rl.history import History
from agentd.rl.run import RunOutcome
from agentd.rl.scores import Scores
from agentd.rl.sweep import parse_seeds, run_sweep, summary, sweep_table


def outcome(seed: int, returns: tuple[float, ...], *, interrupted: bool = False) -> RunOutcome:
    return RunOutcome(
        greedy=Scores(returns),
        env_steps=1000 * seed,
        elapsed_s=2.0,
        seed=seed,
        solved=returns[0] > 2,
        interrupted=interrupted,
        history=History(1000),
    )


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1..5", [1, 2, 3, 4, 5]), ("7", [7]), ("1,4,9", [1, 4, 9]), ("0..1, 8", [0, 1, 8])],
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "5..1", "1..", "1,1", "1..3,2", "-1", "0..100000"])
def test_what_is_no_list_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds: want"):
        parse_seeds(text)


def test_a_summary_counts_each_seed_once() -> None:
    outcomes = [outcome(1, (1.0, 3.0)), outcome(2, (5.0,)), outcome(3, (9.0,))]

    record = summary(outcomes)

    assert record["seeds"] == [1, 2, 3]
    assert record["greedy_mean"] == pytest.approx(16 / 3, abs=1e-4)
    assert record["greedy_median"] == 5.0
    assert (record["solved"], record["env_steps"]) == (2, [1000, 2000, 3000])
    assert len(sweep_table(outcomes).splitlines()) == 5


def test_an_interrupted_run_ends_the_sweep() -> None:
    ran = run_sweep([1, 2, 3], lambda seed: outcome(seed, (1.0,), interrupted=seed == 2))

    assert [one.seed for one in ran] == [1, 2]
