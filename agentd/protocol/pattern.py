"""Steps of one layout, known byte for byte, so that many are read at once.

A client's frames differ in their numbers and hardly ever in what stands around them. A ``Pattern``
is what stands around: the literal bytes of one frame that was decoded and accepted, and where its
seq and bins lie. A frame of the same size with the same literals is therefore valid in the same
way, and its numbers lie in the same places: nothing is decoded, and the columns of many such frames
are cut from one array. Anything else takes the general path of `agentd.protocol.codec`.

Shape letters: F frames, n rows of each, L bytes of a frame with its header.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.codec import HEADER, encode
from agentd.protocol.messages import ActReply, Step

MOST_BYTES = 1 << 20
"""A longer frame is not worth it: its numbers cost more than all that surrounds them."""

LONG_BIN = 8192
"""Bytes from which on a bin is copied by itself, not joined with the others first."""

FACTS = ("taken", "by", "elapsed", "success")
"""What a step may say of its rows beside R5, each a bin."""

_SEQ = b"\xa3seq"
_SEQ_BYTES = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}  # after the byte that says so


class Pattern:
    """The layout of a step frame. Equal layouts are one object within one ``Patterns``.

    size          L
    rows          n, as ``kind`` counts them
    stream, kind, reward, mask, obs  where the bins lie in the frame; mask is None without one
    facts         where those of ``FACTS`` lie, by name
    bare          whether there is neither a mask nor a fact
    rewards       the n numbers of ``reward`` of a frame, where it is as long as it should be
    """

    __slots__ = (
        *("_below", "_cut", "_end", "_pieces", "_start", "bare", "facts", "kind", "literals"),
        *("mask", "obs", "reward", "rewards", "rows", "size", "stream"),
    )

    def __init__(self, frame: bytes, bins: dict[str, slice], seq: slice) -> None:
        """Use ``Patterns.of``."""
        self.size = len(frame)
        self.stream, self.kind, self.reward = bins["stream"], bins["kind"], bins["reward"]
        self.mask = bins.get("mask")
        self.facts = {name: bins[name] for name in FACTS if name in bins}
        self.bare = self.mask is None and not self.facts
        self.obs = {name[4:]: at for name, at in bins.items() if name.startswith("obs.")}
        self.rows = self.kind.stop - self.kind.start
        self.rewards = struct.Struct(f"<{self.reward.start}x{self.rows}f").unpack_from
        self._start, self._end = seq.start, seq.stop
        self._below = 1 << 64
        if frame[seq.start - len(_SEQ) : seq.start] == _SEQ:  # the byte is the number itself
            self._below = 1 << 7
        form = _form_without(frame, [seq, *bins.values()])
        self._cut = struct.Struct(form).unpack
        self._pieces = self._cut(frame)
        self.literals = (form, self._pieces)  # what two equal patterns have in common

    def seq_of(self, frame: bytes) -> int:
        """The seq of a frame of this layout; 0 when it is another one (no seq is 0)."""
        if len(frame) != self.size or self._cut(frame) != self._pieces:
            return 0
        seq = int.from_bytes(frame[self._start : self._end])
        return seq if seq < self._below else 0

    def step(self, frame: bytes, seq: int) -> Step:
        """The message that a frame of this layout holds, as views into it."""
        view = memoryview(frame)
        return Step(
            seq=seq,
            stream=view[self.stream],
            kind=view[self.kind],
            reward=view[self.reward],
            obs={name: view[at] for name, at in self.obs.items()},
            mask=None if self.mask is None else view[self.mask],
            **{name: view[at] for name, at in self.facts.items()},
        )

    def column(self, frames: Sequence[bytes], at: slice, dtype: Any) -> NDArray[Any]:
        """One bin of all frames of this layout, in order, as a flat array of ``dtype``."""
        return np.frombuffer(b"".join([frame[at] for frame in frames]), dtype)

    def stack(self, frames: Sequence[bytes], at: slice, out: NDArray[np.uint8]) -> None:
        """Copy one bin of all frames into ``out`` (F * n, bytes of a row), in place."""
        n, size = self.rows, out.shape[1]
        if n * size < LONG_BIN:
            out[:] = self.column(frames, at, np.uint8).reshape(-1, size)
            return
        for row, frame in enumerate(frames):
            part = np.frombuffer(frame, np.uint8, n * size, at.start)
            out[n * row : n * row + n] = part.reshape(n, size)


class Patterns:
    """The layouts that peers have shown, each once; forgets all when there are too many."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._known: dict[tuple[Any, ...], Pattern] = {}

    def of(self, body: memoryview | bytes, step: Step) -> Pattern | None:
        """The layout of an accepted step whose bins are views into ``body``; None without use."""
        if len(body) > MOST_BYTES:
            return None
        bins = {"stream": step.stream, "kind": step.kind, "reward": step.reward}
        bins |= {f"obs.{name}": data for name, data in step.obs.items()}
        more = {name: getattr(step, name) for name in ("mask", *FACTS)}
        bins |= {name: data for name, data in more.items() if data is not None}
        if not all(bins.values()):  # an empty bin lies nowhere
            return None
        start = _address(body) - HEADER.size
        places = {name: _place(data, start) for name, data in bins.items()}
        frame = HEADER.pack(len(body)) + body
        seq = _find_seq(frame, list(places.values()))
        if seq is None:
            return None
        found = Pattern(frame, places, seq)
        if len(self._known) >= self._most:
            self._known.clear()
        return self._known.setdefault(found.literals, found)


def encode_acts(seqs: Sequence[int], action: bytes, version: int) -> list[bytes]:
    """The ``act`` frames of F steps of n rows each, bare of ``q``, as ``codec.encode`` makes them.

    seqs (F,); ``action`` is i32[F * n * branches]. Most of a frame is that of the one before.
    """
    out, size, bits = [], len(action) // len(seqs), 0
    for start, seq in zip(range(0, len(action), size), seqs, strict=True):
        if seq.bit_length() != bits:
            bits = seq.bit_length()
            before, width, between, after = _around(bits, size, version)
        part = action[start : start + size]
        out.append(b"".join((before, seq.to_bytes(width), between, part, after)))
    return out


@lru_cache(maxsize=1024)
def _around(bits: int, size: int, version: int) -> tuple[bytes, int, bytes, bytes]:
    """What stands before a seq of so many bits, its width, what stands beside the action."""
    act = ActReply(seq=1 << (bits - 1), action=bytes(size), version=version)  # type: ignore[arg-type]
    data = encode(act)
    width = next(width for width in (1, 2, 4, 8) if bits <= 8 * width)
    at = data.index(_SEQ) + len(_SEQ) + (bits > 7)
    end = data.index(b"\xa7version")
    return data[:at], width, data[at + width : end - size], data[end:]


def _address(view: memoryview | bytes) -> int:
    place: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return place


def _place(data: memoryview, start: int) -> slice:
    at = _address(data) - start
    return slice(at, at + len(data))


def _literals(frame: bytes, gaps: list[slice]) -> list[tuple[int, bytes]]:
    """What lies between the gaps, with its place; the first piece may be long, none is empty."""
    pieces, at = [], 0
    for gap in [*sorted(gaps, key=lambda gap: gap.start), slice(len(frame), len(frame))]:
        if gap.start > at:
            pieces.append((at, frame[at : gap.start]))
        at = gap.stop
    return pieces


def _form_without(frame: bytes, gaps: list[slice]) -> str:
    """The form, for `struct`, of a frame whose literal bytes count and whose gaps do not."""
    form, at = "", 0
    for start, literal in _literals(frame, gaps):
        form += f"{start - at}x{len(literal)}s"
        at = start + len(literal)
    return f"{form}{len(frame) - at}x"


def _find_seq(frame: bytes, bins: list[slice]) -> slice | None:
    """Where the number after the key ``seq`` lies; None when that is not plain to see."""
    found = []
    for at, literal in _literals(frame, bins):
        where = literal.find(_SEQ)
        if where >= 0:
            found.append(at + where + len(_SEQ))
            if literal.find(_SEQ, where + 1) >= 0:
                return None
    if len(found) != 1:
        return None
    (at,) = found
    if frame[at] < 1 << 7:
        return slice(at, at + 1)
    width = _SEQ_BYTES.get(frame[at])
    return None if width is None else slice(at + 1, at + 1 + width)
