"""``agentd calibrate``, and what doubt is worth as a picture."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.png import save_figure
from agentd.errors import UsageError
from agentd.runs.calibrate import calibrate
from agentd.runs.doubt import Doubt

KEPT = tuple(np.linspace(0.02, 1, 50).tolist())


def calibrate_run(
    screen: JsonScreen,
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled rows that it did not learn from, not those held out."),
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(help="The share of rows in which a set of classes holds the right one."),
    ] = 0.9,
    part: Annotated[str, typer.Option(help="train or test, where the data has both.")] = "test",
    best: Annotated[bool, typer.Option("--best", help="The best epoch, not the last.")] = False,
) -> None:
    """Find a temperature and sets of classes on held-out rows; saved with the model."""
    if part not in ("train", "test"):
        raise UsageError(f"--part {part}: want train or test")
    found = calibrate(run, data, coverage=coverage, part=part, best=best)
    screen.report(found.record(), found.text())


def draw_doubt(doubt: Doubt, width: int = 64) -> list[str]:
    """Accuracy against the share of rows kept, as lines of text."""
    points = [(100 * share, 100 * accuracy) for share, accuracy in doubt.kept(KEPT)]
    lines = draw_curve(points, width=width, height=8, x_label=f"% of rows kept, least {doubt.word}")
    return ["accuracy in %", *lines]


def draw_doubt_png(doubt: Doubt, path: Path) -> None:
    """Draw the same, and how doubt is spread over right, wrong and foreign rows, into ``path``.

    Raises StorageError, UsageError.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    share, accuracy = np.array(doubt.kept(KEPT)).T
    left.plot(100 * share, 100 * accuracy)
    left.set(xlabel=f"% of rows kept, least {doubt.word} first", ylabel="accuracy in %")
    left.grid(alpha=0.3)
    sides = {"right": doubt.answers.doubt[doubt.right], "wrong": doubt.answers.doubt[~doubt.right]}
    if doubt.foreign is not None:
        sides["foreign"] = doubt.foreign.doubt
    edges = np.linspace(0, 1, 41)
    for name, values in sides.items():
        if len(values):
            shares = np.full(len(values), 100 / len(values))
            right.hist(values, edges, weights=shares, alpha=0.5, label=f"{name} ({len(values):,})")
    right.set(xlabel=doubt.word, ylabel="% of these rows", yscale="log")
    right.legend()
    save_figure(figure, path)
