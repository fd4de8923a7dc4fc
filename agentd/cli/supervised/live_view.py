"""The live view of supervised training: curves, progress, time left; plain lines without a tty."""

import time
from pathlib import Path
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.keys import Keys
from agentd.cli.screen.numbers import clock, number
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal
from agentd.engine.training import Callback, EpochReport, Trainer
from agentd.runs import read_metrics
from agentd.runs.job import FitJob

REDRAW_S = 0.2
PLAIN_S = 10.0
POINTS = 400

Curve = list[tuple[float, float]]


class FittingView(Picture, Callback):
    """Shows a run as it trains, and ends it at the key q.

    ``metrics`` is the run's file: a resumed run shows its past.
    """

    def __init__(self, screen: Terminal, job: FitJob, metrics: Path, keys: Keys) -> None:
        super().__init__(screen)
        self._title = str(job.path)
        self._epochs = job.spec.epochs
        self._steps = -(-len(job.train) // job.spec.batch)
        self._metrics = metrics
        self._keys = keys
        self._curves: dict[str, Curve] = {}
        self._running: dict[str, Curve] = {"loss": [], "accuracy": []}
        self._next_s = self._listen_s = 0.0
        self._began: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        for record in read_metrics(self._metrics):
            self._remember(record)
        return super().__enter__()

    def on_step(self, trainer: Trainer) -> None:
        """Show where the epoch is, a few times a second."""
        now = time.monotonic()
        if now >= self._next_s:
            self._update(trainer, now)
        if now >= self._listen_s:
            self._listen_s = now + REDRAW_S
            if "q" in self._keys.read():
                trainer.stop("by `q`; --resume goes on")

    def _update(self, trainer: Trainer, now: float) -> None:
        if self._began is None:
            self._began = now, trainer.steps
        self._next_s = now + (REDRAW_S if self.is_drawn else PLAIN_S)
        at = trainer.epoch + trainer.position / self._steps
        values = {"loss": trainer.tally.loss}
        if trainer.is_class:
            values["accuracy"] = trainer.tally.accuracy
        for kind, value in values.items():
            curve = self._running[kind]
            curve.append((at, value))
            if len(curve) > POINTS:
                curve[:] = curve[::2]
        if self.is_drawn:
            self.draw(self._render(trainer, self.width))
        elif now > self._began[0]:
            self._terminal.note(self._plain(trainer))

    def on_epoch(self, trainer: Trainer, report: EpochReport) -> None:
        """Show an epoch's figures."""
        record = report.record()
        self._remember(record)
        if not self.is_drawn:
            names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
            parts = [f"{name}={record[name]:.4f}" for name in names if name in record]
            text = f"epoch={report.epoch}/{self._epochs} " + " ".join(parts)
            self._terminal.note(f"{text} seconds={report.seconds:.2f}")

    def _remember(self, record: dict[str, Any]) -> None:
        for key, value in record.items():
            if key.endswith(("_loss", "_accuracy")):
                self._curves.setdefault(key, []).append((float(record["epoch"]), float(value)))

    def _left(self, trainer: Trainer) -> tuple[float, float]:
        """(seconds left, steps a second); NaN before there is a speed."""
        assert self._began is not None
        gone, done = time.monotonic() - self._began[0], trainer.steps - self._began[1]
        if not done or gone <= 0:
            return float("nan"), float("nan")
        position = trainer.epoch * self._steps + trainer.position
        speed = done / gone
        return max(0.0, self._epochs * self._steps - position) / speed, speed

    def _plain(self, trainer: Trainer) -> str:
        left, speed = self._left(trainer)
        tally = trainer.tally
        accuracy = f" accuracy={number(tally.accuracy, '.4f')}" if trainer.is_class else ""
        return (
            f"epoch={trainer.epoch + 1}/{self._epochs} step={trainer.position}/{self._steps} "
            f"loss={number(tally.loss, '.4f')}{accuracy} steps_per_s={number(speed, '.0f')} "
            f"left={clock(left)}"
        )

    def _render(self, trainer: Trainer, width: int) -> RenderableType:
        left, speed = self._left(trainer)
        columns = Table.grid(padding=(0, 1), expand=True)
        half = (width - 6) // 2
        kinds = ("loss", "accuracy") if trainer.is_class else ("loss",)
        cells = [self._plots(kind, half if len(kinds) > 1 else width - 6) for kind in kinds]
        columns.add_row(*cells)
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right")
        done = trainer.epoch * self._steps + trainer.position
        where = f"epoch {min(trainer.epoch + 1, self._epochs)}/{self._epochs}"
        bar.add_row(
            ProgressBar(total=self._epochs * self._steps, completed=done),
            Text(f"{where}  {number(speed, ',.0f')} steps/s  {clock(left)} left  q saves and ends"),
        )
        return Panel(Group(columns, bar), title=self._title, width=width, title_align="left")

    def _plots(self, kind: str, width: int) -> RenderableType:
        parts: list[RenderableType] = []
        for side, style in (("train", "cyan"), ("validation", "green")):
            curve = self._curves.get(f"{side}_{kind}", [])
            if len(curve) < 2 and side == "train":
                curve = self._running[kind]
            last = f" {curve[-1][1]:.4f}" if curve else ""
            if side == "train" or curve:
                lines = draw_curve(curve, width=width, height=5, x_label="epochs")
                parts.append(Text(f"{side} {kind}{last}", style="bold"))
                parts.append(Text("\n".join(lines), style=style))
        return Group(*parts)
