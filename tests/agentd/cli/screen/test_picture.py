"""Pictures that are redrawn in place, in a terminal that a person may change or leave."""

import contextlib
import io
import os
import pty
import subprocess
import sys

import pytest

from agentd.children import child_environment
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_that_changed_its_size_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    out = Tty()
    clear = "\x1b[2J\x1b[H"
    with Picture(Terminal(out, io.StringIO())) as picture:
        for width, cleared in (("100", 0), ("100", 0), ("60", 1), ("60", 1), ("80", 2)):
            monkeypatch.setenv("COLUMNS", width)
            picture.draw("x" * picture.width)
            assert out.getvalue().count(clear) == cleared
    assert "x" * 60 in out.getvalue()


SHELL = """
import os, signal, sys
from agentd.cli.screen.keys import Keys
from agentd.cli.screen.terminal import Terminal, in_foreground

job = os.fork()
if not job:
    if sys.argv[1] == "background":
        os.setpgid(0, 0)
    with Keys() as keys:
        seen = in_foreground(sys.stdin), Terminal().live, keys.read()
    print(*seen, flush=True)
    os._exit(0)
_, status = os.waitpid(job, os.WUNTRACED)
print("stopped" if os.WIFSTOPPED(status) else "ended", flush=True)
"""


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("foreground", ["True True []", "ended"]),
        ("background", ["False False []", "ended"]),
    ],
)
def test_a_terminal_is_touched_only_in_its_foreground(where: str, said: list[str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, termios; {TAKE}\n{SHELL}", where],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=child_environment(),
    ) as shell:
        os.close(theirs)
        heard = b""
        with contextlib.suppress(OSError):  # the end, as Linux tells it
            while part := os.read(ours, 1000):
                heard += part
        os.close(ours)
        shell.wait(20)

    assert heard.decode().split("\r\n")[:-1] == said


TAKE = "fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
