"""Run ``agentd demo`` in a pseudo-terminal, and write its last screen as an SVG.

It takes up to three minutes of wall-clock time, on a machine that has nothing else to do.

python scripts/demo_picture.py docs/images/demo.svg
"""

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 94, 40
ERASED = re.compile(r"(?:\r|\x1b\[1A|\x1b\[2K)*\x1b\[1A\x1b\[2K(?:\r|\x1b\[1A|\x1b\[2K)*")
"""What rich writes between two pictures, to erase the first of them."""


def record(command: list[str]) -> str:
    """Return all that ``command`` writes to a terminal. Raises CalledProcessError."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    written = bytearray()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as run:
        os.close(theirs)
        while part := _read(ours):
            written += part
    os.close(ours)
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command)
    return written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux reports EIO when the last writer has gone
        return b""


def last_screen(written: str) -> str:
    """Return the first line, the last picture, and the lines that sum the run up."""
    head = written.split("\n")[0]
    *pictures, end = ERASED.split(written)
    last = next(picture for picture in reversed(pictures) if "╭" in picture)
    summary = end.split("\n\n", 1)[1]  # after the curve, which the picture shows already
    return "\n".join((head, last[last.index("╭") :].rstrip("\n"), summary.rstrip("\n")))


def main() -> None:
    """Record the demo, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("svg", type=Path)
    svg = parser.parse_args().svg

    screen = last_screen(record([sys.executable, "-P", "-m", "agentd", "demo"]))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ scripts/demo"))
    console.print(Text.from_ansi(screen))
    svg.write_text(console.export_svg(title="agentd"))


if __name__ == "__main__":
    main()
