"""Seeds of ``rl train`` on a Ray cluster, and the live table of them."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from agentd.cli.cluster.options import RayFlags
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal
from agentd.cluster.seeds import SeedOutcome, SeedTask, outcomes_in_order, run_seeds
from agentd.errors import JobFailed
from agentd.interrupts import Interrupts

PLAIN_EVERY_S = 10.0


class SeedsView(Picture):
    """A line for each seed: redrawn while a person watches, else told now and then."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self._next_s = time.monotonic() + PLAIN_EVERY_S
        self._said: dict[int, str] = {}

    def show(self, lines: dict[int, str]) -> None:
        """Show the newest line of each seed."""
        if self.is_drawn:
            table = Table.grid(padding=(0, 2))
            for seed, line in lines.items():
                table.add_row(f"seed {seed}", line)
            self.draw(table)
        elif time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PLAIN_EVERY_S
            for seed, line in lines.items():
                if self._said.get(seed) != line:
                    self._terminal.note(f"seed {seed} {line}")
            self._said = dict(lines)


def train_seeds(
    out: Terminal, flags: RayFlags, tasks: Sequence[SeedTask], data_dir: Path, clients: int
) -> list[SeedOutcome]:
    """Train the seeds on a cluster; the outcomes of those that ended, in the order of ``tasks``.

    Ctrl-C cancels what runs; what has ended is in ``data_dir``. Raises JobFailed where that is
    nothing.
    """
    interrupts = Interrupts()
    found: list[SeedOutcome] = []
    with flags.connect(out) as cluster, interrupts.trapped(), SeedsView(out) as view:
        for outcome in run_seeds(
            cluster,
            tasks,
            data_dir,
            cpus=1 + clients,
            show=view.show,
            stopped=lambda: interrupts.seen,
        ):
            found.append(outcome)
            out.note(f"seed {outcome.seed}: greedy return {outcome.greedy}")
    if not found:
        raise JobFailed("interrupted before any seed had ended")
    return outcomes_in_order([task.seed for task in tasks], found)
