"""What ``rl train`` leaves beside an agent, and ``rl compare`` reads: the returns of its runs.

``agents/<name>/metrics/returns.jsonl`` holds one JSON object a line: ``steps`` with ``return`` (the
mean of the last training episodes, exploration included; left out where the agent plays itself,
whose returns sum to nothing), with ``greedy`` (the mean of a greedy
evaluation), or with ``final`` (every return of the evaluation that ended a run).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentd.errors import MissingInput
from agentd.rl.scores import Scores
from agentd.runs import MetricsLog, read_metrics

PLACE = Path("metrics") / "returns.jsonl"
POINTS = 400  # of the training curve of one run, at most

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Trace:
    """The returns of one agent; steps count from the beginning of its first run."""

    name: str
    curve: Points  # (environment steps, mean return in training, else greedy), ascending
    greedy: Points  # (environment steps, mean greedy return), ascending
    final: Scores  # of the last run's last evaluation
    steps: int


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
    log.append({"steps": before + steps, "final": list(final.values)})


def read_trace(agent: Path) -> Trace:
    """Read what was written for the folder ``agent``. Raises MissingInput when nothing was."""
    lines = read_metrics(agent / PLACE)
    finals = [line for line in lines if isinstance(line.get("final"), list)]
    if not finals:
        hint = "`agentd rl train --data-dir D` writes it when it ends"
        raise MissingInput(f"no returns of a run in {agent / PLACE}", hint=hint)
    return Trace(
        name=agent.name,
        curve=_points(lines, "return") or _points(lines, "greedy"),
        greedy=_points(lines, "greedy"),
        final=Scores(tuple(float(value) for value in finals[-1]["final"])),
        steps=_last_step(lines),
    )


def read_runs(run: Path) -> list[Trace]:
    """The traces of ``run``: one agent's folder, or a data directory with the seeds of a sweep.

    Raises MissingInput when it is neither.
    """
    if (run / PLACE).is_file():
        return [read_trace(run)]
    found = sorted(place.parents[1] for place in run.glob(f"agents/[!.]*/{PLACE}"))
    if not found:
        hint = "name a --data-dir of `agentd rl train`, or a folder agents/<name> in it"
        raise MissingInput(f"no returns of runs in {run}", hint=hint)
    return [read_trace(agent) for agent in found]


def _points(lines: list[dict[str, Any]], key: str) -> Points:
    found = [(float(line["steps"]), float(line[key])) for line in lines if key in line]
    return sorted(found, key=lambda point: point[0])


def _last_step(lines: list[dict[str, Any]]) -> int:
    return max((int(line["steps"]) for line in lines if "steps" in line), default=0)
