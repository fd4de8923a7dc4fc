"""A picture that is redrawn in place while a person watches: the base of the live views."""

from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live

from agentd.cli.screen.terminal import Terminal

WIDEST = 100


class Picture:
    """Redraws a part of ``terminal`` and removes it at the end, where a person watches."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._live: Live | None = None
        self._drawn_at: tuple[int, int] | None = None  # of the terminal when it was drawn last

    def __enter__(self) -> Self:
        if self._terminal.live:
            console = Console(file=self._terminal.out)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*error)

    @property
    def is_drawn(self) -> bool:
        """Whether a person watches, so that ``draw`` shows something."""
        return self._live is not None

    @property
    def width(self) -> int:
        """Columns to draw in, ``WIDEST`` at most."""
        return WIDEST if self._live is None else min(self._live.console.width, WIDEST)

    def draw(self, what: RenderableType) -> None:
        """Show ``what`` in place of what was there."""
        if self._live is None:
            return
        size = (self._live.console.width, self._live.console.height)
        if self._drawn_at not in (None, size):
            # The terminal has broken the old lines anew, so nobody knows how many they are.
            self._live.console.clear()
        self._drawn_at = size
        self._live.update(what, refresh=True)
