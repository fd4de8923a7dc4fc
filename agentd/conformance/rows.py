"""The rows of one frame held against R3, R5 and R14–R18, rule by rule.

Letters: N rows of a frame, A mask bytes of a row, H numbers of an action.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.conformance.findings import Findings
from agentd.conformance.shape import GameShape, looks_swapped
from agentd.protocol import messages as m
from agentd.protocol.actions import Bounds
from agentd.protocol.facts import MAX_ELAPSED, SCRIPT
from agentd.protocol.rows import FIRST, TERMINATED, TRUNCATED

NEVER, OPEN, ENDED = 0, 1, 2
"""What a stream has in its session: no episode yet, one under way, only ended ones."""
KINDS = ("first", "mid", "terminated", "truncated")


class StreamBook:
    """The streams of one session: their state, and the mask of the last row of each."""

    def __init__(self) -> None:
        self.state: dict[int, int] = {}
        self.mask: dict[int, NDArray[np.uint8] | None] = {}

    def copy(self) -> StreamBook:
        """The same once more."""
        other = StreamBook()
        other.state, other.mask = dict(self.state), dict(self.mask)
        return other


class FrameCheck:
    """One look at one ``step``; afterwards the book stands where the frame has left it.

    rows    N
    kind    (N,); empty where nothing fits
    mask    (N, A), None where the frame has none that could be used
    """

    def __init__(
        self, shape: GameShape, book: StreamBook, step: m.Step, findings: Findings, anew: str
    ) -> None:
        """``anew`` is the rule that a wrong first row breaks."""
        self._shape, self._book, self._step, self._findings = shape, book, step, findings
        self._anew = anew
        self.kind: NDArray[np.uint8] = np.frombuffer(step.kind, np.uint8)
        self.mask: NDArray[np.uint8] | None = None
        self.rows = len(self.kind)
        if not self._sizes_fit():
            self.rows = 0
            return
        self.stream = np.frombuffer(step.stream, "<u4")
        self._check_bytes()
        self._check_numbers()
        self._check_mask()
        self._check_facts()
        self._check_streams()

    @property
    def only_mid(self) -> bool:
        """Whether no row begins or ends an episode."""
        return self.rows > 0 and bool((self.kind == 1).all())

    # -- R3 ------------------------------------------------------------------------------------

    def _sizes_fit(self) -> bool:
        step, n = self._step, self.rows
        sizes = {"stream": 4, "reward": 4, "mask": self._shape.width, "by": 1, "success": 1}
        sizes |= {"elapsed": 4, "taken": 4 * len(self._shape.heads)}
        parts = {f"obs.{t.name}": (step.obs.get(t.name), t.nbytes) for t in self._shape.tensors}
        parts |= {name: (getattr(step, name), size) for name, size in sizes.items()}
        fits = self._note("R3 tensor sizes", n > 0, "at least 1 row", "0 rows: kind is empty")
        for name, (data, size) in parts.items():
            if data is None and not name.startswith("obs."):
                continue
            got = "no such key" if data is None else f"{len(data)} bytes"
            right = data is not None and len(data) == n * size
            fits &= self._note(
                "R3 tensor sizes", right, f"{name}: {n * size} bytes for {n} rows", got
            )
        extra = set(step.obs) - {t.name for t in self._shape.tensors}
        known = ", ".join(t.name for t in self._shape.tensors)
        return fits & self._note(
            "R3 tensor sizes", not extra, f"obs: {known}", f"also {sorted(extra)}"
        )

    def _check_bytes(self) -> None:
        step = self._step
        parts: list[tuple[str, Any, Any]] = [("reward", step.reward, np.dtype("<f4"))]
        parts += [(f"obs.{t.name}", step.obs[t.name], t.dtype) for t in self._shape.tensors]
        if step.elapsed is not None:
            parts.append(("elapsed", step.elapsed, np.dtype("<f4")))
        if step.taken is not None:
            parts.append(("taken", step.taken, np.dtype(self._shape.action_dtype)))
        for name, data, dtype in parts:
            swapped = looks_swapped(data, dtype)
            if swapped is not None:
                some = np.frombuffer(data, dtype)
                got = f"{some[some != 0][0]}, which is {some[some != 0][0].byteswap()} reversed"
                self._note(
                    "R3 little-endian", not swapped, f"{name}: little-endian {dtype.name}", got
                )
        most, turned = self._shape.streams, self.stream.byteswap()
        if (self.stream >= most).any() and (turned < most).all():
            got = f"{self.stream.max()}, which is {turned[self.stream.argmax()]} reversed"
            self._note("R3 little-endian", False, f"stream: below {most}", got)

    # -- R5 ------------------------------------------------------------------------------------

    def _check_numbers(self) -> None:
        if self._findings.is_broken("R3 little-endian"):
            return
        step = self._step
        rewards = np.frombuffer(step.reward, "<f4")
        wrong = ~np.isfinite(rewards) & (self.kind != FIRST)
        got = f"row {np.argmax(wrong)}: {rewards[np.argmax(wrong)]}"
        self._note("R5 finite numbers", not wrong.any(), "reward: finite numbers", got)
        for t in self._shape.tensors:
            if t.dtype.kind == "f":
                numbers = np.frombuffer(step.obs[t.name], t.dtype).reshape(self.rows, -1)
                wrong = ~np.isfinite(numbers).all(axis=1)
                got = f"NaN or infinity in row {np.argmax(wrong)}"
                wish = f"obs.{t.name}: finite numbers"
                self._note("R5 finite numbers", not wrong.any(), wish, got)

    def _check_mask(self) -> None:
        if self._step.mask is None or not self._shape.width:
            return
        mask = np.frombuffer(self._step.mask, np.uint8).reshape(self.rows, -1)
        fits = self._note("R5 masks", mask.max() <= 1, "bytes 0 and 1", f"a byte {mask.max()}")
        at = 0
        for size in self._shape.branches:
            none = ~mask[:, at : at + size].any(axis=1)
            got = f"row {np.argmax(none)} ({self._kind(int(np.argmax(none)))}) has none"
            fits &= self._note("R5 masks", not none.any(), "a legal action in every branch", got)
            at += size
        if fits:
            self.mask = mask

    def _check_streams(self) -> None:
        ids = self.stream.tolist()
        if not self._findings.is_broken("R3 little-endian"):
            most, top = self._shape.streams, max(ids)
            self._note("R5 stream ids", top < most, f"below {most}, as hello says", f"{top}")
        seen: dict[int, list[int]] = {}
        for row, (stream, kind) in enumerate(zip(ids, self.kind.tolist(), strict=True)):
            before = seen.setdefault(stream, [])
            if len(before) > 1 or (before and before[0] < TERMINATED):
                got = f"stream {stream} again in row {row}, {self._kind(row)}"
                wish = "each stream once in a frame, or an ended row and its first row"
                self._note("R5 stream ids", False, wish, got)
            before.append(kind)
            if stream < self._shape.streams:
                self._check_kind(row, stream, kind)
                self._book.mask[stream] = None if self.mask is None else self.mask[row]

    def _check_kind(self, row: int, stream: int, kind: int) -> None:
        state = self._book.state.get(stream, NEVER)
        wish, got = f"first on stream {stream}", f"{self._kind(row)} in row {row}"
        if kind > TRUNCATED:
            self._note("R5 kinds", False, "0..3", str(kind))
        elif state == NEVER:
            self._note(self._anew, kind == FIRST, wish, got)
        elif state == ENDED:
            self._note("R5 after an end", kind == FIRST, f"{wish}, whose episode has ended", got)
        else:
            wish = f"mid, terminated or truncated on stream {stream}, whose episode is under way"
            self._note("R5 kinds", kind != FIRST, wish, got)
        self._book.state[stream] = ENDED if kind in (TERMINATED, TRUNCATED) else OPEN

    # -- R15, R16, R18 -------------------------------------------------------------------------

    def _check_facts(self) -> None:
        step, later = self._step, self.kind != FIRST
        if step.elapsed is not None and not self._findings.is_broken("R3 little-endian"):
            took = np.frombuffer(step.elapsed, "<f4")
            wrong = ~((took > 0) & (took <= MAX_ELAPSED)) & later
            got = f"row {np.argmax(wrong)}: {took[np.argmax(wrong)]:g}"
            wish = f"above 0 and at most {MAX_ELAPSED:g}"
            self._note("R18 elapsed", not wrong.any(), wish, got)
        if step.success is not None:
            won = (np.frombuffer(step.success, np.uint8) != 0) & (self.kind < TERMINATED)
            got = f"not 0 in row {np.argmax(won)}, {self._kind(int(np.argmax(won)))}"
            self._note("R16 success", not won.any(), "0 but on ended rows", got)
        if step.by is not None:
            there = step.taken is not None
            self._note("R15 taken", there, "taken beside by", "by alone")
            by = int((np.frombuffer(step.by, np.uint8) * later).max())
            self._note("R15 taken", by <= SCRIPT, "by: 0, 1 or 2", f"{by}")
        if step.taken is not None:
            taken = np.frombuffer(step.taken, self._shape.action_dtype).reshape(self.rows, -1)
            for row in np.flatnonzero(later).tolist():
                self._check_taken(row, taken[row])

    def _check_taken(self, row: int, action: NDArray[Any]) -> None:
        mask, at = self._book.mask.get(int(self.stream[row])), 0
        for head, number in zip(self._shape.heads, action.tolist(), strict=True):
            if isinstance(head, Bounds):
                wish = f"a number in {head.low:g}..{head.high:g}"
                self._note("R15 taken", head.low <= number <= head.high, wish, f"{number:g}")
                continue
            inside = 0 <= number < head and number == int(number)
            self._note("R15 taken", inside, f"a whole number in 0..{head - 1}", f"{number:g}")
            if inside and mask is not None:
                wish = "an action that the mask of the stream's last row allows"
                legal = bool(mask[at + int(number)])
                self._note("R15 taken", legal, wish, f"{number:g} in row {row}, which it forbids")
            at += head

    def _note(self, key: str, right: bool, expected: str, got: str) -> bool:
        where = f"{got} (seq {self._step.seq})"
        return self._findings.check(key, bool(right), expected, where)

    def _kind(self, row: int) -> str:
        kind = int(self.kind[row])
        return KINDS[kind] if kind <= TRUNCATED else str(kind)
