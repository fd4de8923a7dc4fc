"""Terminals of few characters, and terminals that move no cursor."""

import io
import json
import os
import pty

import pytest

from agentd.cli.screen.curve import draw_curve, draw_spark
from agentd.cli.screen.terminal import Terminal


def terminal(encoding: str) -> Terminal:
    return Terminal(
        io.TextIOWrapper(io.BytesIO(), encoding=encoding), io.TextIOWrapper(io.BytesIO(), encoding)
    )


def written(stream) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_everything_can_be_said_in_every_encoding(encoding):
    out = terminal(encoding)
    curve = draw_curve([(0, 1.0), (1, 3.0), (2, 2.0)])
    for line in ("21.5 ± 0.3 – ε", "✓ ♔ ❤ 漢 \udcff", draw_spark([1, 2, 3]), *curve):
        out.say(line)
        out.note(line)
    out.json = True
    out.report({"name": "Grün ♔", "value": 1}, "")

    text = written(out.out)
    last = json.loads(text.splitlines()[-1])
    assert last == {"name": "Grün ♔", "value": 1}
    if encoding == "ascii":
        assert text.startswith("21.5 +- 0.3 - eps\nok ? ? ? ?\n")
        assert "_-#" in text
    assert written(out.err)


@pytest.mark.parametrize("command", [("--help",), ("doctor",), ("config", "init"), ("nonsense",)])
def test_commands_speak_ascii_where_that_is_all(run, command):
    plain = {"PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C"}
    done = run(*command, **plain)
    assert done.returncode in (0, 1, 2)
    assert "UnicodeEncodeError" not in done.stderr + done.stdout
    assert (done.stdout + done.stderr).isascii()


@pytest.mark.parametrize(("term", "live"), [("dumb", False), ("xterm", True)])
def test_a_terminal_that_moves_no_cursor_gets_lines(monkeypatch, term, live):
    monkeypatch.setenv("TERM", term)
    master, slave = pty.openpty()
    try:
        with open(slave, "w", closefd=False) as out:
            assert Terminal(out, out).live is live
    finally:
        os.close(master)
        os.close(slave)
