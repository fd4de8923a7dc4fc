"""How far ``chess prepare`` is: a bar where a person watches, else a line now and then."""

import time
from typing import Self

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.text import Text

from agentd.cli.screen.numbers import clock
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal
from agentd.games.chess.data.shards import Manifest

PLAIN_S = 10.0
REDRAW_S = 0.2


class PreparationView(Picture):
    """The picture of a preparation, and the speeds that it measures on the way."""

    def __init__(self, screen: Terminal, manifest: Manifest) -> None:
        super().__init__(screen)
        self._manifest = manifest
        self._size = sum(source.size for source in manifest.sources)
        self._began_s = self._next_s = time.monotonic()
        self._before = manifest.total
        self._first = -1

    def __enter__(self) -> Self:
        if self._manifest.shards and not self._manifest.complete:
            self._terminal.note(f"going on after {len(self._manifest.shards)} shards")
        return super().__enter__()

    def update(self, read: int) -> None:
        """Show that ``read`` bytes of all dumps were read."""
        now = time.monotonic()
        if self._first < 0:
            self._first = read
        if now < self._next_s:
            return
        self._next_s = now + (REDRAW_S if self.is_drawn else PLAIN_S)
        line = self._line(read)
        if self.is_drawn:
            bar = ProgressBar(total=self._size, completed=read, width=min(80, len(line)))
            self.draw(Group(bar, Text(line)))
        elif now > self._began_s + 1:
            self._terminal.note(line)

    def speeds(self) -> dict[str, float]:
        """Seconds of this run, and games and plies that it read a second."""
        seconds = max(1e-9, time.monotonic() - self._began_s)
        total, before = self._manifest.total, self._before
        return {
            "seconds": round(seconds, 3),
            "games_per_second": round((total.games - before.games) / seconds, 1),
            "plies_per_second": round((total.plies - before.plies) / seconds, 1),
        }

    def _line(self, read: int) -> str:
        total, speeds = self._manifest.total, self.speeds()
        share = f"read={read / self._size:.1%} " if self._size >= read > 0 else ""
        done = (read - self._first) / max(1, self._size - self._first)
        left = speeds["seconds"] * (1 - done) / done if 0 < done <= 1 else float("nan")
        return (
            f"{share}games={total.games:,} kept={total.kept:,} "
            f"positions={total.rows:,} games_per_s={speeds['games_per_second']:,.0f} "
            f"left={clock(left)}"
        )
