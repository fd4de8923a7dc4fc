"""How agents did, as ``rl compare`` reads it: runs of ``rl train``, and whatever clients played.

``agents/<name>/metrics/returns.jsonl`` is what ``rl train`` and ``rl eval`` leave there, one JSON
object a line. Each holds ``steps`` and one of these: ``return``, the mean of the last training
episodes, exploration included (left out where the agent plays itself, whose returns sum to
nothing); ``greedy``, the mean of a greedy evaluation; ``final``, every return of the evaluation
that ended a run; ``evaluated``, every return of an evaluation by itself. The last two also hold
``time``, seconds since 1970.

What other clients played later is in ``progress.jsonl`` beside it (`agentd.store.progress`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from agentd.errors import MissingInput
from agentd.rl.scores import Scores
from agentd.runs import MetricsLog, read_metrics
from agentd.store import PROGRESS, ProgressPoint, read_progress

PLACE = Path("metrics") / "returns.jsonl"
POINTS = 400  # of the training curve of one run, at most
NEWEST = 100  # episodes, at most, that stand for an agent that no run has evaluated
FEW = 20  # evaluation episodes of other weights that are better than too few

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Trace:
    """The returns of one agent; steps count from the beginning of its first run."""

    name: str
    curve: Points  # (environment steps, mean return in training, else greedy), ascending
    greedy: Points  # (environment steps, mean greedy return), ascending
    final: Scores  # of its last evaluation, or where it had none of its newest episodes
    steps: int
    evaluated: bool = True  # False where ``final`` is of training episodes, exploration included
    of_run: bool = True  # of `rl train`; False where only other clients have played


def append_trace(
    agent: Path, curve: Sequence[tuple[float, float]], greedy: Points, final: Scores, steps: int
) -> None:
    """Add a run to the file of the folder ``agent``. Raises StorageError."""
    place = agent / PLACE
    before = _last_step(read_metrics(place))
    place.parent.mkdir(parents=True, exist_ok=True)
    log = MetricsLog(place)
    every = max(1, len(curve) // POINTS)
    for at, value in [*curve[::every], *curve[-1:]]:
        log.append({"steps": before + int(at), "return": value})
    for at, value in greedy:
        log.append({"steps": before + int(at), "greedy": value})
    log.append({"steps": before + steps, "final": list(final.values), "time": time.time()})


def append_evaluation(agent: Path, found: Scores, steps: int) -> None:
    """Add an evaluation by itself to the file of the folder ``agent``. Raises StorageError."""
    place = agent / PLACE
    place.parent.mkdir(parents=True, exist_ok=True)
    record = {"steps": steps, "evaluated": list(found.values), "time": time.time()}
    MetricsLog(place).append(record)


def read_trace(agent: Path) -> Trace:
    """Read what is known of the agent in the folder ``agent``. Raises MissingInput for nothing."""
    lines = read_metrics(agent / PLACE)
    runs, evaluations = _lists(lines, "final"), _lists(lines, "evaluated")
    trained = runs[-1].get("time", 0.0) if runs else 0.0
    later = [point for point in read_progress(agent) if point.time > trained]
    final, evaluated = _final(runs + evaluations, later)
    if not final.values and not runs:
        hint = "it has them once an episode has ended, or `agentd rl train --data-dir D` has"
        raise MissingInput(f"no returns of a run in {agent / PLACE}", hint=hint)
    training, greedy = _points(lines, "return"), _points(lines, "greedy")
    if training or not greedy:
        training += [(float(p.steps), _recent(p)) for p in later if p.train is not None]
    greedy += [(float(p.steps), p.eval.mean) for p in later if p.eval is not None]
    greedy += [
        (float(line["steps"]), Scores(tuple(line["evaluated"])).mean) for line in evaluations
    ]
    greedy.sort(key=itemgetter(0))
    return Trace(
        name=agent.name,
        curve=training or greedy,
        greedy=greedy,
        final=final,
        steps=max([_last_step(lines), *(point.steps for point in later)]),
        evaluated=evaluated,
        of_run=bool(runs),
    )


def _final(told: list[dict[str, Any]], later: Sequence[ProgressPoint]) -> tuple[Scores, bool]:
    """The returns that tell how well an agent plays, and whether an evaluation gave them.

    ``told`` are lines with the returns of evaluations; newer ones of ``later`` come before them.
    """
    newest = max(told, key=lambda line: float(line.get("time", 0.0))) if told else {}
    since = newest.get("time", 0.0)
    returns: list[float] = []
    steps = None
    for point in reversed(later):
        if point.eval is None or point.time <= since:
            continue
        if len(returns) >= NEWEST or (len(returns) >= FEW and point.steps != steps):
            break
        returns += point.eval.sample
        steps = point.steps
    if returns:
        return Scores(tuple(returns[:NEWEST])), True
    if told:
        values = newest.get("final", newest.get("evaluated", ()))
        return Scores(tuple(float(value) for value in values)), True
    for point in reversed(later):
        returns += point.train.sample if point.train is not None else ()
    return Scores(tuple(returns[:NEWEST])), False


def _lists(lines: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The lines whose ``key`` is a list."""
    return [line for line in lines if isinstance(line.get(key), list)]


def _recent(point: ProgressPoint) -> float:
    """The mean return of the last 100 training episodes."""
    assert point.train is not None
    return point.figures.get("return_mean", point.train.mean)


def read_runs(run: Path) -> list[Trace]:
    """The traces of ``run``: one agent's folder, or a data directory: a daemon's, a sweep's.

    Raises MissingInput when it is neither.
    """
    places = (PLACE, PROGRESS)
    if any((run / place).is_file() for place in places):
        return [read_trace(run)]
    found = {file.parents[1] for place in places for file in run.glob(f"agents/[!.]*/{place}")}
    if not found:
        hint = "name the data directory of a daemon or of rl train, or a folder agents/<name> in it"
        raise MissingInput(f"no returns of runs in {run}", hint=hint)
    traces = []
    for agent in sorted(found):
        try:
            traces.append(read_trace(agent))
        except MissingInput:
            if len(found) == 1:
                raise
    return traces


def _points(lines: list[dict[str, Any]], key: str) -> Points:
    found = [(float(line["steps"]), float(line[key])) for line in lines if key in line]
    return sorted(found, key=lambda point: point[0])


def _last_step(lines: list[dict[str, Any]]) -> int:
    return max((int(line["steps"]) for line in lines if "steps" in line), default=0)
