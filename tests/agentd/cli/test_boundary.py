"""The boundary: every error ends in one line, a hint and its exit code."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentd.auth import TokenFileError
from agentd.cli.boundary import EXITS, describe, exit_code_of, first_cause, run
from agentd.cli.screen.terminal import Terminal
from agentd.client.errors import Unreachable
from agentd.engine.data import DataError
from agentd.engine.strictyaml import ConfigError
from agentd.errors import (
    AgentdError,
    ExitCode,
    JobFailed,
    Locked,
    MissingInput,
    StorageError,
    Unavailable,
    UsageError,
)
from agentd.protocol.errors import Code, ProtocolError

CODES = [
    (JobFailed("x"), 1),
    (UsageError("x"), 2),
    (DataError("x"), 65),
    (MissingInput("x"), 66),
    (FileNotFoundError(2, "no such file", "x"), 66),
    (Unavailable("x"), 69),
    (ConnectionRefusedError("x"), 69),
    (TimeoutError("x"), 69),
    (Unreachable("x"), 69),
    (AgentdError("x"), 70),
    (ZeroDivisionError("x"), 70),
    (Locked("x"), 73),
    (StorageError("x"), 74),
    (OSError(28, "no space left on device"), 74),
    (ProtocolError(Code.BAD_FRAME, "x"), 76),
    (ProtocolError(Code.UNAUTHORIZED, "x"), 77),
    (ProtocolError(Code.FORBIDDEN, "x"), 77),
    (ProtocolError(Code.UNKNOWN_CHECKPOINT, "x"), 66),
    (ProtocolError(Code.INTERNAL, "x"), 70),
    (ConfigError("x"), 78),
    (TokenFileError("x"), 78),
]


def terminal(verbose: int = 0) -> Terminal:
    made = Terminal(io.StringIO(), io.StringIO())
    made.verbosity = verbose
    return made


def raising(error: BaseException) -> object:
    def app(**_: object) -> int:
        raise error

    return app


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_each_error_has_its_exit_code_and_one_line(error: Exception, code: int) -> None:
    out = terminal()

    assert run(raising(error), [], out) == code
    told = out.err.getvalue()  # type: ignore[attr-defined]
    assert told.startswith("agentd: ")
    assert told.count("\n") == 1


def test_every_code_of_the_table_is_reached() -> None:
    assert {exit_code_of(error) for error, _ in CODES} >= set(EXITS.values())


def test_every_exit_code_is_documented_once() -> None:
    assert sorted(ExitCode) == [0, 1, 2, 65, 66, 69, 70, 73, 74, 76, 77, 78, 130]


def test_a_hint_follows_and_newlines_go() -> None:
    assert describe(UsageError("one\ntwo", hint="do this")) == "agentd: one two; do this"


def test_a_system_error_names_its_file_first(tmp_path: Path) -> None:
    missing = tmp_path / "no.yaml"
    with pytest.raises(FileNotFoundError) as caught:
        missing.read_bytes()
    assert describe(caught.value) == f"agentd: {missing}: no such file or directory"


def test_where_nothing_listens_the_command_that_would_is_named() -> None:
    refused = Unreachable("127.0.0.1:7331: [Errno 111] Connection refused")

    assert describe(refused).endswith("nothing listens there: `agentd serve` starts a daemon")
    assert "agentd serve" not in describe(Unreachable("127.0.0.1:7331: timed out"))


def test_a_hint_is_not_said_twice() -> None:
    assert describe(ConfigError("no such key", hint="did you mean `a`?")).count("did you") == 1


def test_a_traceback_only_with_v() -> None:
    quiet, loud = terminal(), terminal(1)

    run(raising(ValueError("x")), [], quiet)
    run(raising(ValueError("x")), [], loud)

    assert "Traceback" not in quiet.err.getvalue()  # type: ignore[attr-defined]
    assert "Traceback" in loud.err.getvalue()  # type: ignore[attr-defined]
    assert "run again with -v" in quiet.err.getvalue()  # type: ignore[attr-defined]


def test_of_a_group_the_telling_one_counts() -> None:
    group = ExceptionGroup("g", [ValueError("x"), ExceptionGroup("h", [Locked("held")])])

    assert str(first_cause(group)) == "held"
    assert run(raising(group), [], terminal()) == 73


def test_interrupts_end_with_130() -> None:
    assert run(raising(KeyboardInterrupt()), [], terminal()) == 130


def test_a_reader_that_left_is_no_crash() -> None:
    assert run(raising(BrokenPipeError()), [], terminal()) == 1


@pytest.mark.parametrize("words", ["--help", "--version", "serve --help", "config init --help"])
def test_output_that_nobody_reads_is_no_traceback(words: str) -> None:
    """What ``agentd --help | head -1`` does: the pipe is closed before all is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "agentd", *words.split()]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "")


def test_usage_errors_come_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from agentd.cli import main

    assert main(["serve", "--port", "many"]) == 2
    assert main(["sevre"]) == 2
    assert main(["rl", "train"]) == 2
    assert main(["config", "show", str(tmp_path / "none.yaml")]) == 66
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 4
    assert "see agentd serve --help" in err[0]
    assert "Did you mean 'serve'?" in err[1]
    assert "--preset" in err[2]
