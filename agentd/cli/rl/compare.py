"""``agentd rl compare``: the learning curves of several runs, in the terminal and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.png import save_figure, want_matplotlib
from agentd.rl.scores import Scores, bootstrap, iqm
from agentd.rl.trace import Trace, read_runs

GRID = 100  # points at which the curves of several seeds are brought together


@dataclass(frozen=True)
class Group:
    """The traces of one RUN: one agent, or the seeds of a sweep."""

    name: str
    traces: list[Trace]

    @property
    def scores(self) -> Scores:
        """One score a seed, or of a single agent its episodes."""
        if len(self.traces) == 1:
            return self.traces[0].final
        return Scores(tuple(trace.final.mean for trace in self.traces))

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (G,) and the seeds' training returns (G, seeds) there; NaN outside a seed's run."""
        curves = [np.array(trace.curve, np.float64).reshape(-1, 2) for trace in self.traces]
        curves = [curve for curve in curves if len(curve) > 1]
        if not curves:
            return np.empty(0), np.empty((0, 0))
        x = np.linspace(min(c[0, 0] for c in curves), max(c[-1, 0] for c in curves), GRID)
        rows = [np.interp(x, c[:, 0], c[:, 1], left=np.nan) for c in curves]
        # A seed that stopped early because it was solved stays where it stopped.
        return x, np.stack(rows, axis=1)


def compare(
    out: JsonScreen,
    runs: Annotated[
        list[Path],
        typer.Argument(help="A data directory, or agents/NAME in it. Those of rl train are seeds."),
    ],
    png: Annotated[
        Path | None, typer.Option(help="Draw the curves into this file.", show_default=False)
    ] = None,
) -> None:
    """Compare agents, of ``rl train`` or of a daemon: learning curves and greedy returns.

    Several agents that ``rl train`` left under one RUN are seeds of one thing: their curve is the
    interquartile mean. A seed that stopped because it was solved counts with its last return from
    there on. The agents of a daemon, which may run, stand each for itself; of one that was never
    evaluated (`rl eval`, or a client in the role ``eval``) the newest episodes count.
    """
    if png is not None:
        want_matplotlib()
    found = [(run, group) for run in runs for group in groups_of(run)]
    groups = [group for _, group in found]
    if len({group.name for group in groups}) < len(groups):
        groups = [Group(_place(run, group), group.traces) for run, group in found]
    if png is not None:
        draw_png(groups, png)
    text = "\n".join([*draw_groups(groups), "", table(groups)])
    out.report({"runs": [_record(group) for group in groups]}, text)


def groups_of(run: Path) -> list[Group]:
    """The seeds of a sweep as one group, the agents of a daemon as one each."""
    traces = read_runs(run)
    if len(traces) == 1 or all(trace.of_run for trace in traces):
        return [Group(_name(run), traces)]
    return [Group(trace.name, [trace]) for trace in traces]


def draw_groups(groups: Sequence[Group]) -> list[str]:
    """The groups' curves one under the other, all with the same axes."""
    middles = [(group, *_middle(group)) for group in groups]
    values = np.concatenate([y for _, _, y in middles] or [np.empty(0)])
    values = values[np.isfinite(values)]
    span = (float(values.min()), float(values.max())) if len(values) else None
    end = max((x[-1] for _, x, _ in middles if len(x)), default=0.0)
    lines = []
    for group, x, y in middles:
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        if points and points[-1][0] < end:
            points.append((end, points[-1][1]))
        lines.append(f"{group.name} ({_seeds(group)})")
        lines += draw_curve(points, height=6, x_label="environment steps", y_range=span)
    return lines


def table(groups: Sequence[Group]) -> str:
    """Final greedy returns, one line a group."""
    width = max(len(group.name) for group in groups)
    lines = [
        f"{'run':<{width}} {'seeds':>5} {'mean':>9} {'median':>9} {'IQM':>9} "
        f"{'95 % of the IQM':>20} {'steps':>11}"
    ]
    for group in groups:
        scores = group.scores
        low, high = scores.interval
        steps = sum(trace.steps for trace in group.traces) / len(group.traces)
        lines.append(
            f"{group.name:<{width}} {len(group.traces):>5} {scores.mean:>9.2f} "
            f"{scores.median:>9.2f} {scores.iqm:>9.2f} {f'[{low:.2f}, {high:.2f}]':>20} "
            f"{steps:>11,.0f}"
        )
        lines += [
            f"  {trace.name} was never evaluated: its newest {len(trace.final.values)} training "
            "episodes, exploration included"
            for trace in group.traces
            if not trace.evaluated
        ]
    return "\n".join(lines)


def draw_png(groups: Sequence[Group], path: Path) -> None:
    """Draw the groups' curves, with the 95 % interval of several seeds, into ``path``.

    Raises StorageError when it cannot be written, UsageError for a suffix that is no picture's.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for index, group in enumerate(groups):
        x, y = _middle(group)
        color = f"C{index % 10}"
        axes.plot(x, y, color=color, label=f"{group.name} ({_seeds(group)})")
        if len(group.traces) > 1 and len(x):
            bounds = np.array([bootstrap(row[np.isfinite(row)], 400) for row in group.curve()[1]])
            axes.fill_between(x, bounds[:, 0], bounds[:, 1], color=color, alpha=0.2, linewidth=0)
        for trace in group.traces:
            if trace.greedy:
                at, mean = zip(*trace.greedy, strict=True)
                axes.plot(at, mean, ".", color=color, alpha=0.5)
    axes.set(xlabel="environment steps", ylabel="return (lines: training, dots: greedy)")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def _middle(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Steps and the interquartile mean of the seeds that had a return by then."""
    x, rows = group.curve()
    middle = [float(iqm(row[None, np.isfinite(row)])[0]) for row in rows]
    return x, np.array(middle)


def _record(group: Group) -> dict[str, Any]:
    return {
        "run": group.name,
        "agents": [trace.name for trace in group.traces],
        "env_steps": [trace.steps for trace in group.traces],
        "evaluated": [trace.evaluated for trace in group.traces],
        **group.scores.record,
    }


def _name(run: Path) -> str:
    return run.resolve().name


def _place(run: Path, group: Group) -> str:
    """The name of a group where another has the same."""
    alone = len(group.traces) == 1 and group.traces[0].name == group.name != _name(run)
    return f"{run}/{group.name}" if alone else str(run)


def _seeds(group: Group) -> str:
    return "1 agent" if len(group.traces) == 1 else f"{len(group.traces)} seeds"
