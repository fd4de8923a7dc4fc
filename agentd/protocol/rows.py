"""The rules of R5 over many rows at once: fast when all is well, exact about what is not.

The server joins the frames of one loop turn and asks ``check_rows`` about all of them; only when
that raises does it ask frame by frame to find who erred. Shape letters: N rows, A mask width.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Step
from agentd.protocol.schema import Schema

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
_KINDS = ("first", "mid", "terminated", "truncated")


class StreamStates:
    """Which global stream slots have an episode under way; grows as sessions come."""

    def __init__(self) -> None:
        self.open: NDArray[np.bool_] = np.zeros(64, np.bool_)
        self._scratch: NDArray[np.int64] = np.zeros(64, np.int64)

    def grow(self, slots: int) -> None:
        """Make room for ``slots`` slots; new ones are closed."""
        have = len(self.open)
        if slots > have:
            size = max(slots, 2 * have)
            self.open = np.concatenate([self.open, np.zeros(size - have, np.bool_)])
            self._scratch = np.zeros(size, np.int64)

    def last_of_stream(self, stream: NDArray[np.int64]) -> NDArray[np.bool_]:
        """True where no later row belongs to the same stream, (N,)."""
        index = np.arange(len(stream))
        self._scratch[stream] = index
        last: NDArray[np.bool_] = self._scratch[stream] == index
        return last

    def apply(self, stream: NDArray[np.int64], kind: NDArray[np.uint8]) -> None:
        """Take the effect of rows that passed ``check_rows``, in place."""
        self.open[stream] = kind < TERMINATED  # of equal slots the last one counts


def check_lengths(schema: Schema, step: Step, max_rows: int) -> int:
    """The number of rows of a step whose byte counts all fit. Raises BAD_SHAPE, TOO_MANY_ROWS."""
    n = len(step.kind)
    if n == 0:
        raise _shape(step, "kind", "at least 1 row", "0")
    if n > max_rows:
        want, said = f"at most {max_rows}", "too many rows in one frame"
        raise ProtocolError.unfit(Code.TOO_MANY_ROWS, "kind", want, str(n), seq=step.seq, said=said)
    if len(step.stream) != 4 * n:
        raise _shape(step, "stream", f"{4 * n} bytes (u32[{n}])", f"{len(step.stream)} bytes")
    if len(step.reward) != 4 * n:
        raise _shape(step, "reward", f"{4 * n} bytes (f32[{n}])", f"{len(step.reward)} bytes")
    check_observation(schema, step.seq, step.obs, n)
    if step.mask is not None and not schema.branches:
        want, got = "no mask: all actions are numbers", f"{len(step.mask)} bytes"
        raise ProtocolError.unfit(Code.BAD_MASK, "mask", want, got, seq=step.seq)
    if step.mask is not None and len(step.mask) != n * schema.n_actions:
        want = f"{n * schema.n_actions} bytes (u8[{n}*{schema.n_actions}])"
        raise _shape(step, "mask", want, f"{len(step.mask)} bytes")
    return n


def check_observation(schema: Schema, seq: int, obs: dict[str, memoryview], n: int) -> None:
    """Every tensor of the schema present with n rows, and no other. Raises BAD_SHAPE."""
    for t in schema.tensors:
        data = obs.get(t.name)
        if data is None or len(data) != n * t.nbytes:
            want = f"{n * t.nbytes} bytes ({t.dtype.name}[{n}]{list(t.shape)})"
            got = "nothing" if data is None else f"{len(data)} bytes"
            raise ProtocolError.unfit(Code.BAD_SHAPE, f"obs.{t.name}", want, got, seq=seq)
    if len(obs) != len(schema.tensors):
        extra = sorted(set(obs) - {t.name for t in schema.tensors})[0][:80]
        field, want = f"obs.{extra}", ", ".join(t.name for t in schema.tensors)[:200]
        said = f"{field}: not in the schema"
        raise ProtocolError.unfit(Code.BAD_SHAPE, field, want, extra, seq=seq, said=said)


def check_rows(
    schema: Schema,
    states: StreamStates,
    *,
    stream: NDArray[np.int64],
    local: NDArray[np.uint32],
    streams: NDArray[np.int64] | int,
    kind: NDArray[np.uint8],
    reward: NDArray[np.float32],
    obs: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
) -> None:
    """Raise ProtocolError for the first rule that any row breaks.

    stream   (N,) global slot = the session's base + local id; not looked at where local is bad
    local    (N,) stream id in its session; ``streams`` how many that session has, (N,) or one
             number for all
    kind     (N,); reward (N,); obs (N, row_bytes) raw; mask (N, A) or None
    """
    if len(kind) == 1 and _lone_row_fits(states, stream, local, streams, kind, reward):
        check_finite(schema, obs)
        if mask is not None:
            _check_mask(schema, mask)
        return
    if (local >= streams).any():
        at = int(np.argmax(local >= streams))
        most = int(np.broadcast_to(streams, local.shape)[at]) - 1
        raise _row(Code.UNKNOWN_STREAM, at, "stream", f"0..{most}", str(int(local[at])))
    if (kind > TRUNCATED).any():
        at = int(np.argmax(kind > TRUNCATED))
        raise _row(Code.BAD_KIND, at, "kind", "0..3", str(int(kind[at])))
    _check_order(states, stream, local, kind)
    if not np.isfinite(reward).all():
        bad = ~np.isfinite(reward) & (kind != FIRST)
        if bad.any():
            at = int(np.argmax(bad))
            raise _row(Code.NOT_FINITE, at, "reward", "a finite number", str(float(reward[at])))
    check_finite(schema, obs)
    if mask is not None:
        _check_mask(schema, mask)


def _lone_row_fits(
    states: StreamStates,
    stream: NDArray[np.int64],
    local: NDArray[np.uint32],
    streams: NDArray[np.int64] | int,
    kind: NDArray[np.uint8],
    reward: NDArray[np.float32],
) -> bool:
    """True when the only row breaks no rule about streams, kinds and rewards.

    The same rules as below in Python's own numbers: for one row NumPy's calls cost ten times more.
    """
    one = int(kind[0])
    most = streams if isinstance(streams, int) else int(streams[0])
    known = one <= TRUNCATED and int(local[0]) < most
    return (
        known
        and (one != FIRST) == bool(states.open[stream[0]])
        and (one == FIRST or math.isfinite(reward[0]))
    )


def check_finite(schema: Schema, obs: NDArray[np.uint8]) -> None:
    """No NaN or Inf in any float tensor of raw rows (N, row_bytes). Raises NOT_FINITE."""
    for t in schema.tensors:
        if t.dtype.kind != "f":
            continue
        raw = obs if len(schema.tensors) == 1 else obs[:, t.offset : t.offset + t.nbytes]
        values = np.ascontiguousarray(raw).view(t.dtype)
        if not _all_finite(values):
            row, column = np.argwhere(~np.isfinite(values))[0]
            got = str(float(values[row, column]))
            raise _row(Code.NOT_FINITE, int(row), f"obs.{t.name}", "finite numbers", got)


def _all_finite(values: NDArray[Any]) -> bool:
    flat = values.reshape(-1)
    if values.dtype == np.float32 and len(flat) > 1024:
        # a finite sum of squares tests all at once, four times as fast as a bool a number
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(flat.dot(flat)):
                return True
    return bool(np.isfinite(flat).all())


def _check_order(
    states: StreamStates,
    stream: NDArray[np.int64],
    local: NDArray[np.uint32],
    kind: NDArray[np.uint8],
) -> None:
    last = states.last_of_stream(stream)
    under_way = states.open[stream]
    if not last.all():
        twice = np.zeros(len(states.open), np.bool_)
        twice[stream[~last]] = True
        again = twice[stream] & last  # their earlier row in this frame ended the episode
        _check_twice(states, stream, local, kind, last, again)
        under_way &= ~again
    wrong = (kind != FIRST) != under_way
    if wrong.any():
        at = int(np.argmax(wrong))
        want = "mid | terminated | truncated" if under_way[at] else "first"
        want = f"{want} on stream {int(local[at])}"
        raise _row(Code.BAD_KIND, at, "kind", want, _KINDS[int(kind[at])])


def _check_twice(
    states: StreamStates,
    stream: NDArray[np.int64],
    local: NDArray[np.uint32],
    kind: NDArray[np.uint8],
    last: NDArray[np.bool_],
    again: NDArray[np.bool_],
) -> None:
    """A stream comes twice only as an ended row and, later, a first row; ``again`` marks these."""
    early = np.flatnonzero(~last)
    repeated = ~states.last_of_stream(stream[early])
    wrong = (kind[early] < TERMINATED) | repeated
    late = again & (kind != FIRST)
    if wrong.any() or late.any():
        at = int(early[np.argmax(wrong)]) if wrong.any() else int(np.argmax(late))
        want = "each stream once, or an ended row and then its first row"
        raise _row(Code.DUPLICATE_STREAM, at, "stream", want, f"stream {int(local[at])} again")


def _check_mask(schema: Schema, mask: NDArray[np.uint8]) -> None:
    if mask.max() > 1:
        row, column = np.argwhere(mask > 1)[0]
        got = str(int(mask[row, column]))
        raise _row(Code.BAD_MASK, int(row), "mask", "bytes 0 or 1", got)
    at = 0
    for n in schema.branches:
        none = ~mask[:, at : at + n].any(axis=1)
        if none.any():
            row = int(np.argmax(none))
            raise _row(Code.BAD_MASK, row, "mask", "at least one legal action", "none legal")
        at += n


def _shape(step: Step, field: str, expected: str, got: str) -> ProtocolError:
    return ProtocolError.unfit(Code.BAD_SHAPE, field, expected, got, seq=step.seq)


def _row(code: Code, row: int, field: str, expected: str, got: str) -> ProtocolError:
    return ProtocolError.unfit(code, field, expected, got, row=row)
