"""How far the reading of a table is: a bar where a person watches, else a line now and then."""

import time
from pathlib import Path

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal

PLAIN_S = 5.0
REDRAW_S = 0.2


class ReadingView(Picture):
    """The picture of the reading of ``path``, which may be read several times over."""

    def __init__(self, screen: Terminal, path: Path) -> None:
        super().__init__(screen)
        self._name = path.name
        self._size = path.stat().st_size if path.is_file() else 0
        self._next_s = time.monotonic() + REDRAW_S
        self._times, self._before = 1, 0

    def update(self, read: int, rows: int) -> None:
        """Show that ``read`` bytes and ``rows`` rows were read this time."""
        self._times += rows < self._before
        self._before = rows
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + (REDRAW_S if self.is_drawn else PLAIN_S)
        share = f"read={min(1.0, read / self._size):.1%} " if self._size else ""
        line = f"{self._name}: {share}rows={rows:,} reading={self._times}"
        if self.is_drawn:
            bar = ProgressBar(total=self._size or None, completed=read, width=min(80, len(line)))
            self.draw(Group(bar, Text(line)))
        else:
            self._terminal.note(line)
