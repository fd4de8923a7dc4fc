"""Whose mistake it was: what a person's environment raises is told as theirs, in one line."""

import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from agentd.errors import AgentdError, JobFailed

_OURS = str(Path(__file__).resolve().parent.parent)
_INSTALLED = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} | {_OURS}
)


@contextmanager
def blamed(name: str, *plain: type[Exception]) -> Iterator[None]:
    """Turn what the environment ``name`` raises in the block into a JobFailed.

    Its text names the exception, the file and the line; of ``plain`` exceptions, which say all that
    is to be said, only their own.
    """
    try:
        yield
    except AgentdError:
        raise
    except plain as error:
        raise JobFailed(f"{name}: {one_line(error)}") from error
    except (Exception, SystemExit) as error:
        raise JobFailed(f"{name} failed: {explain(error)}") from error


def explain(error: BaseException) -> str:
    """``error`` in one line: its type, its text, and where in a person's own code it came up."""
    error = _root(error)
    text = one_line(error)
    kind = type(error).__name__
    return f"{kind}: {text} ({place(error)})" if text else f"{kind} ({place(error)})"


def _root(error: BaseException) -> BaseException:
    """The error that a package raised another from, where that came up in a person's own code."""
    cause = error.__cause__
    if (
        cause is not None
        and not in_own_code(error.__traceback__)
        and in_own_code(cause.__traceback__)
    ):
        return cause
    return error


def one_line(error: BaseException) -> str:
    """The text of ``error`` in one line."""
    return " ".join(str(error).split())


def place(error: BaseException) -> str:
    """``file:line`` of the innermost frame of a person's own code, else of the innermost one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    own = in_own_code(error.__traceback__)
    frames = own or traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"


def in_own_code(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames that are neither ours, nor Python's, nor those of an installed package."""
    return [
        frame
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith(("<", *_INSTALLED, sys.prefix))
    ]
