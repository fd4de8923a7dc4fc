"""What a game says of its rows beside R5: what was played, how long it took, who won (R15–R18).

Shape letters: N rows of a batch, A mask width.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.actions import Bounds, Head
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Step
from agentd.protocol.rows import FIRST
from agentd.protocol.schema import Schema

AGENT, PERSON, SCRIPT = 0, 1, 2
"""Who chose an action, as ``by`` says it."""

MAX_ELAPSED = 100_000.0
"""Nominal steps that one row may have taken: 28 minutes at 60 a second."""

MAX_DT_MS = 3_600_000.0
MAX_NUMBERS = 32
"""Numbers of one `log`, and of one `settings`."""

SILENT = 255
"""In ``success`` of a batch: the row's frame did not say."""

_NAME = re.compile(r"[a-z0-9_./-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class FactColumns:
    """What some frames of a batch say of their rows; None for what none of them says.

    given    (N,) bool: the row's frame says what was played, and the row is not ``first``
    taken    (N, branches) int32: the action that led to the row, (N, heads) float32 where some
             are numbers; undefined where not given
    by       (N,) uint8: who chose it; undefined where not given
    elapsed  (N,) float32: nominal steps that led to the row; 1 where nothing was said
    success  (N,) uint8: not 0 where an episode that ends here was won; ``SILENT`` elsewhere
    """

    given: NDArray[np.bool_] | None
    taken: NDArray[Any] | None
    by: NDArray[np.uint8] | None
    elapsed: NDArray[np.float32] | None
    success: NDArray[np.uint8] | None


def check_fact_lengths(schema: Schema, step: Step, n: int) -> None:
    """Raise BAD_SHAPE for a bin that is not of n rows, and BAD_TAKEN for `by` without `taken`."""
    width = schema.action_width
    for name, data, size, form in (
        ("taken", step.taken, 4 * width, "f32" if schema.heads else "i32"),
        ("by", step.by, 1, "u8"),
        ("elapsed", step.elapsed, 4, "f32"),
        ("success", step.success, 1, "u8"),
    ):
        if data is not None and len(data) != n * size:
            rows = f"{n}*{width}" if name == "taken" and width > 1 else str(n)
            want, got = f"{n * size} bytes ({form}[{rows}])", f"{len(data)} bytes"
            raise ProtocolError.unfit(Code.BAD_SHAPE, name, want, got, seq=step.seq)
    if step.by is not None and step.taken is None:
        want, got = "`taken` beside it", "none"
        raise ProtocolError.unfit(Code.BAD_TAKEN, "by", want, got, seq=step.seq)


def check_facts(
    schema: Schema,
    facts: FactColumns,
    kind: NDArray[np.uint8],
    stream: NDArray[np.int64],
    legal: NDArray[np.uint8] | None,
) -> None:
    """Raise ProtocolError BAD_TAKEN or BAD_ELAPSED for the first row that says what cannot be.

    kind, stream (N,), the stream a global slot; ``legal`` (slots, ceil(A / 8)) has the bits of the
    mask that each stream's last row had, None while no row had one.
    """
    if facts.elapsed is not None:
        late = ~((facts.elapsed > 0) & (facts.elapsed <= MAX_ELAPSED)) & (kind != FIRST)
        if late.any():
            at = int(np.argmax(late))
            got, want = f"{float(facts.elapsed[at]):g}", f"more than 0 and at most {MAX_ELAPSED:g}"
            raise ProtocolError.unfit(Code.BAD_ELAPSED, "elapsed", want, got, row=at)
    if facts.given is None or not facts.given.any():
        return
    assert facts.taken is not None
    assert facts.by is not None
    wrong = (facts.by > SCRIPT) & facts.given
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ProtocolError.unfit(Code.BAD_TAKEN, "by", "0, 1 or 2", str(facts.by[at]), row=at)
    heads = schema.heads or schema.branches
    outside = _outside(heads, facts.taken) & facts.given[:, np.newaxis]
    if outside.any():
        at, branch = (int(place) for place in np.argwhere(outside)[0])
        head = heads[branch]
        want = f"a number in {head}" if isinstance(head, Bounds) else f"an action in 0..{head - 1}"
        got = str(facts.taken[at, branch])
        raise ProtocolError.unfit(Code.BAD_TAKEN, "taken", want, got, row=at)
    if legal is not None:
        chosen, numbered = facts.taken, [isinstance(head, int) for head in heads]
        chosen = np.where(facts.given[:, np.newaxis], chosen, 0)[:, numbered].astype(np.int32)
        _check_legal(schema, chosen, np.flatnonzero(facts.given), stream, legal)


def _outside(heads: Sequence[Head], taken: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where an action (N, heads) is none: outside its bounds, or not a whole number."""
    low = np.array([head.low if isinstance(head, Bounds) else 0 for head in heads], taken.dtype)
    high = [head.high if isinstance(head, Bounds) else head - 1 for head in heads]
    inside = (taken >= low) & (taken <= np.array(high, taken.dtype))
    whole = [isinstance(head, int) for head in heads]
    outside: NDArray[np.bool_] = ~inside | (whole & (taken != np.floor(taken)))
    return outside


def _check_legal(
    schema: Schema,
    taken: NDArray[np.int32],
    rows: NDArray[np.int64],
    stream: NDArray[np.int64],
    legal: NDArray[np.uint8],
) -> None:
    place = taken[rows] + np.cumsum([0, *schema.branches[:-1]])
    bits = legal[stream[rows, np.newaxis], place >> 3] >> (7 - (place & 7)) & 1
    if not bits.all():
        at, branch = (int(found) for found in np.argwhere(bits == 0)[0])
        want = "an action that the mask of the stream's last row allows"
        got = str(taken[rows[at], branch])
        raise ProtocolError.unfit(Code.BAD_TAKEN, "taken", want, got, row=int(rows[at]))


def check_numbers(values: Mapping[str, float], code: Code) -> None:
    """Raise ProtocolError ``code`` unless these are a few finite numbers under plain names."""
    if len(values) > MAX_NUMBERS:
        raise ProtocolError.unfit(code, "values", f"at most {MAX_NUMBERS} names", str(len(values)))
    for name, value in values.items():
        if not _NAME.match(name):
            want = _NAME.pattern.removesuffix(r"\Z")
            raise ProtocolError.unfit(code, "values", f"names {want}", repr(name)[:80])
        if not math.isfinite(value):
            raise ProtocolError.unfit(code, f"values.{name}", "a finite number", str(value))
