"""What a relay and the shared learner say to each other: calls with plain values.

A call names its method and its agent; arguments and answers are dicts of numbers, strings, bytes,
None, and lists and dicts of these, so that any transport carries them and nothing is unpickled.
Arrays travel as bytes, little-endian, in C order; what they are follows from the agent's schema.

    join        who the replica is, what it learns → number, serial, taken; or wait; or want
    push        a run of rows                      → taken: how many rows of this ring are there
    weights     the version that is known          → others, once there are any; how it does
    ask         save, load, freeze                 → how it does
    checkpoint  its name                           → its files
    give        a checkpoint's name and its files  → {}
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.errors import AgentdError, ExitCode
from agentd.memory.shared_ring import RowRun

Values = dict[str, Any]


class LearnerAway(AgentdError):
    """The shared learner does not answer: it is started again, or cannot be reached."""

    exit_code = ExitCode.UNAVAILABLE


class CallRefused(AgentdError):
    """The shared learner answered no; ``code`` is the exit code that says why."""

    def __init__(self, message: str, code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = ExitCode(code)


class NotJoined(CallRefused):
    """The shared learner was started again and does not know the replica: it has to join anew."""

    def __init__(self, message: str = "join first", hint: str | None = None) -> None:
        super().__init__(message, ExitCode.PROTOCOL, hint)


class Call(Protocol):
    """A way to the shared learner. Each thread has its own."""

    def __call__(
        self, method: str, agent: str, arguments: Values, within_s: float = 30.0
    ) -> Values:
        """Return the answer. Raises LearnerAway, CallRefused, NotJoined."""


def answer_of(fault: AgentdError) -> Values:
    """What is answered in place of a result where there is none."""
    kind = "join" if isinstance(fault, NotJoined) else int(fault.exit_code)
    return {"refused": kind, "message": fault.message, "hint": fault.hint}


def result_of(answer: Values) -> Values:
    """Return an answer that is a result. Raises CallRefused, NotJoined."""
    if "refused" not in answer:
        return answer
    message, hint = str(answer["message"]), answer.get("hint")
    if answer["refused"] == "join":
        raise NotJoined(message, hint)
    raise CallRefused(message, int(answer["refused"]), hint)


def pack_run(run: RowRun) -> Values:
    """A run of rows as values."""
    columns = {name: column.tobytes() for name, column in run.columns.items()}
    more = {name: getattr(run, name).tobytes() for name in ("before", "action", "explored")}
    return {"lo": run.lo, "columns": columns, **more}


def unpack_run(values: Values, columns: Mapping[str, NDArray[Any]]) -> RowRun:
    """Return the run that ``pack_run`` packed, of rows like those of a ring's ``columns``.

    Raises CallRefused where the bytes are not those of such rows.
    """
    try:
        before = np.frombuffer(values["before"], np.int64)
        found = {
            name: _rows(values["columns"][name], columns[name], len(before))
            for name in values["columns"]
        }
        played = np.frombuffer(values["action"], np.int32)
        action = played.reshape(-1, *columns["action"].shape[1:]) if "action" in columns else played
        explored = np.frombuffer(values["explored"], np.uint8)
        return RowRun(int(values["lo"]), found, before, action, explored)
    except (KeyError, ValueError, TypeError) as fault:
        raise CallRefused(f"rows of another agent: {fault!r}", ExitCode.PROTOCOL) from None


def _rows(data: bytes, like: NDArray[Any], n: int) -> NDArray[Any]:
    return np.frombuffer(data, like.dtype).reshape(n, *like.shape[1:])
