"""``agentd chess play`` as a person meets it: command lines, and a game in a pseudo-terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import chess
import chess.pgn
import pytest

from agentd.cli import main

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--color", "red"], 2, "use one of white, black, random"),
        (["--learn"], 2, "it is a daemon that learns"),
        (["--fen", "rubbish"], 2, "--fen: no FEN"),
        (["--load", "no.pgn"], 66, "no game no.pgn"),
        (["--model", "no.model"], 66, "no chess model no.model"),
        (["--connect", "127.0.0.1:1"], 69, "127.0.0.1:1"),
        (["--connect", "::what"], 69, "--connect"),
        (["--save", __file__], 2, "it is there already"),
        (["--save", f"{__file__}/a.pgn"], 74, "nothing can be written there"),
    ],
)
def test_a_wrong_command_line_is_one_line(capsys, arguments, code, text):
    assert main(["chess", "play", *arguments]) == code
    told = capsys.readouterr().err
    assert text in told
    assert told.count("\n") == 1


class Typist:
    """A person at ``agentd chess play`` in a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._fd = ours
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentd", "chess", "play", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""
        self._at = 0

    def wait_for(self, text: str, seconds: float = 100.0) -> str:
        """Read until ``text`` has come; what came since the last wait, without colours."""
        deadline = time.monotonic() + seconds
        while text not in (plain := re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.seen))[self._at :]:
            left = deadline - time.monotonic()
            assert left > 0, f"waited for {text!r}, got {plain[self._at :]!r}"
            if select.select([self._fd], [], [], left)[0]:
                try:
                    data = os.read(self._fd, 65536)
                except OSError:  # Linux: the other end is closed
                    data = b""
                assert data, f"it ended before {text!r}: {plain[self._at :]!r}"
                self.seen += data.decode("utf-8", "replace")
        end = plain.index(text, self._at) + len(text)
        came, self._at = plain[self._at : end], end
        return came

    def interrupt(self, text: str) -> str:
        """Send SIGINT until ``text`` comes: readline misses one that comes before it waits."""
        for _ in range(20):
            os.kill(self.process.pid, signal.SIGINT)
            if select.select([self._fd], [], [], 5.0)[0]:
                break
        return self.wait_for(text)

    def type(self, line: str, answer: str) -> str:
        """Type a line and wait for ``answer``."""
        os.write(self._fd, line.encode() + b"\n")
        return self.wait_for(answer)

    def leave(self) -> int:
        os.write(self._fd, b"quit\n")
        while self.process.poll() is None:
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    os.read(self._fd, 65536)
                except OSError:
                    break
        code = self.process.wait(30)
        os.close(self._fd)
        return code


def test_a_whole_game_in_a_terminal(tmp_path):
    game = tmp_path / "game.pgn"
    fen = "7k/4P3/8/8/8/8/r7/4K3 w - - 0 1"
    typist = Typist(
        *("--model", "material", "--nodes", "10", "--seed", "1"), "--fen", fen, "--save", str(game)
    )
    board = typist.wait_for("1. White> ")
    assert "♔" in board
    assert "\x1b[" in typist.seen  # colours

    assert "or `help`" in board
    typist.type("Qd5\x1b[D\x1b[3~4", "you have no queen")  # arrows edit what is typed
    typist.type("\x1b[A", "you have no queen")  # the last line again
    typist.type("e2e4", "there is no piece on e2")
    typist.type("e8", "to what does the pawn promote")
    typist.wait_for("1. White> ")
    typist.type("e8=Q", "agentd material plays 1...")
    typist.wait_for("2. White> ")
    typist.type("undo", "1. White> ")
    typist.type("e7e8r", "agentd material plays 1...")
    typist.wait_for("2. White> ")
    assert "hint: " in typist.type("hint", "White> ")
    assert "White to move scores" in typist.type("eval", "White> ")
    assert "h  g  f" in typist.type("flip", "White> ")
    typist.type("resign", "0-1  you resign")
    typist.wait_for("> ")
    assert typist.leave() == 0

    with game.open() as file:
        kept = chess.pgn.read_game(file)
    assert kept is not None
    assert kept.headers["Result"] == "0-1"
    assert kept.headers["FEN"] == fen
    first = kept.variations[0].move
    assert first.uci() == "e7e8r"


def test_ctrl_c_leaves_the_game_behind(tmp_path):
    typist = Typist("--model", "material", "--nodes", "2", "--color", "white")
    typist.wait_for("1. White> ")
    typist.type("e4", "2. White> ")

    told = typist.interrupt("the game is kept in ")
    path = Path(typist.wait_for(".pgn").strip())
    assert typist.leave() == 130
    assert "1. e4 " in path.read_text()
    assert told
