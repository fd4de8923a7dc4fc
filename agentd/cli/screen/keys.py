"""Single keys from the terminal, without a line's end."""

import contextlib
import os
import re
import select
import sys
import termios
import tty
from typing import Any, Self

from agentd.cli.screen.terminal import in_foreground

_NAMES = {"A": "up", "B": "down", "C": "right", "D": "left"}
_KEY = re.compile(r"\x1b[\[O][0-9;]*([A-Za-z~])|(.)", re.DOTALL)
_BEGUN = re.compile(r"\x1b[\[O]?[0-9;]*\Z")  # an arrow whose rest is still to come
_MOST = 1024  # bytes of one look


class Keys:
    """Keys as they are pressed; none where stdin is no terminal of ours.

    The terminal is read and changed only while this process is in its foreground. What a shell
    has changed back meanwhile, after Ctrl-Z and `fg`, is changed again; the end of the block
    restores it.
    """

    def __init__(self) -> None:
        self._before: Any = None  # while the terminal is changed
        self._begun = ""

    def __enter__(self) -> Self:
        self._listens()
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None and in_foreground(sys.stdin):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def _listens(self) -> bool:
        """Whether keys can be read now; makes the terminal give them one by one."""
        if not in_foreground(sys.stdin):
            self._before = None  # the shell has its own settings while it has the terminal
            return False
        with contextlib.suppress(termios.error, OSError, ValueError):
            now = termios.tcgetattr(sys.stdin)
            if now[3] & termios.ICANON:
                self._before = now
                tty.setcbreak(sys.stdin)
        return self._before is not None

    def read(self) -> list[str]:
        """The keys pressed since the last look: characters in small letters, or up, down, ..."""
        if not self._listens():
            return []
        text, part = self._begun, b"-"
        with contextlib.suppress(OSError):  # the terminal went away
            while part and select.select([sys.stdin], [], [], 0)[0]:
                part = os.read(sys.stdin.fileno(), _MOST)
                text += part.decode(errors="ignore")
        begun = _BEGUN.search(text)
        self._begun = begun[0] if begun else ""
        found = _KEY.findall(text.removesuffix(self._begun))
        return [_NAMES.get(arrow, "") if arrow else one.lower() for arrow, one in found]
