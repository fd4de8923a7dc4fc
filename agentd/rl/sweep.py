"""The same run over several seeds, and what they say together."""

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from agentd.errors import UsageError
from agentd.rl.run import RunOutcome
from agentd.rl.scores import Scores

SEEDS_AT_MOST = 1_000
_RANGE = re.compile(r"^(\d{1,18})\.\.(\d{1,18})$")


class SeedRun(Protocol):
    """A run of one seed, here or elsewhere, as a summary wants it."""

    @property
    def greedy(self) -> Scores: ...

    @property
    def record(self) -> dict[str, Any]: ...


def parse_seeds(text: str) -> list[int]:
    """Read ``1..5`` or ``1,4,9``, ranges and numbers mixed, each seed once.

    Raises UsageError naming what is wrong.
    """
    seeds: list[int] = []
    for part in text.split(","):
        if found := _RANGE.match(part.strip()):
            low, high = int(found[1]), int(found[2])
            if not low <= high < low + SEEDS_AT_MOST:
                raise UsageError(f"--seeds: want at most {SEEDS_AT_MOST} rising, got {part!r}")
            seeds += range(low, high + 1)
        elif re.fullmatch(r"\d{1,18}", part.strip()):
            seeds.append(int(part))
        else:
            raise UsageError(f"--seeds: want 1..5 or 1,4,9, got {text!r}")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds: want each seed once, got {text!r}")
    return seeds


def run_sweep(seeds: Iterable[int], run: Callable[[int], RunOutcome]) -> list[RunOutcome]:
    """``run`` each seed in turn; an interrupted run is the last one."""
    outcomes = []
    for seed in seeds:
        outcomes.append(run(seed))
        if outcomes[-1].interrupted:
            break
    return outcomes


def summary(runs: Sequence[SeedRun]) -> dict[str, Any]:
    """The sweep's record: figures over seeds of each seed's greedy mean, and the runs."""
    records = [run.record for run in runs]
    return {
        "seeds": [record["seed"] for record in records],
        **seed_scores(runs).record,
        "env_steps": [record["env_steps"] for record in records],
        "env_steps_per_second": statistics.median(r["env_steps_per_second"] for r in records),
        "solved": sum(bool(record["solved"]) for record in records),
        "interrupted": records[-1]["interrupted"],
        "runs": records,
    }


def seed_scores(runs: Sequence[SeedRun]) -> Scores:
    """One score a seed: the mean of its greedy returns."""
    return Scores(tuple(run.greedy.mean for run in runs))


def sweep_table(runs: Sequence[SeedRun]) -> str:
    """The sweep as lines of text."""
    lines = [f"{'seed':>6} {'greedy':>10} {'std':>8} {'steps':>10} {'steps/s':>8}  solved"]
    for run in runs:
        record, greedy = run.record, run.greedy
        solved = {True: "yes", False: "no", None: "–"}[record["solved"]]
        lines.append(
            f"{record['seed']:>6} {greedy.mean:>10.2f} {greedy.std:>8.2f} "
            f"{record['env_steps']:>10,} {record['env_steps_per_second']:>8,.0f}  {solved}"
        )
    scores = seed_scores(runs)
    lines.append(f"mean {scores.mean:.2f}, {scores.explain()} over {len(runs)} seeds")
    return "\n".join(lines)
