"""Single keys of a terminal: what they are called, and that the terminal is given back."""

import os
import select
import sys
import termios
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agentd.cli.screen.keys import Keys


class Line(NamedTuple):
    """A pseudo-terminal whose far end is this process's stdin."""

    ours: int
    theirs: int

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())
        assert select.select([self.theirs], [], [], 10)[0]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield Line(ours, theirs)
    os.close(ours)


def is_cooked(line: Line) -> bool:
    mode = termios.tcgetattr(line.theirs)[3]
    return bool(mode & termios.ICANON and mode & termios.ECHO)


def test_keys_come_one_by_one_and_arrows_by_name(line: Line) -> None:
    with Keys() as keys:
        assert keys.read() == []
        line.type("Qa \x1b[A\x1bOB\x1b[1;5C\x1b[D")

        assert keys.read() == ["q", "a", " ", "up", "down", "right", "left"]
        assert keys.read() == []


def test_an_arrow_that_comes_in_two_parts_is_no_letter(line: Line) -> None:
    with Keys() as keys:
        line.type("p\x1b[")
        assert keys.read() == ["p"]
        line.type("A")

        assert keys.read() == ["up"]


def test_the_terminal_is_given_back_also_when_the_block_fails(line: Line) -> None:
    assert is_cooked(line)
    seen = []

    def fail() -> None:
        with Keys():
            seen.append(is_cooked(line))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert [*seen, is_cooked(line)] == [False, True]


def test_a_terminal_that_a_shell_has_changed_back_is_changed_again(line: Line) -> None:
    before = termios.tcgetattr(line.theirs)
    with Keys() as keys:
        termios.tcsetattr(line.theirs, termios.TCSANOW, before)  # as after Ctrl-Z and fg
        keys.read()
        assert not is_cooked(line)

    assert is_cooked(line)
