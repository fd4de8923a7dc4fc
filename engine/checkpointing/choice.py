"""Which parts of a chain to keep for backward: exact for the bytes kept, bounded in the peak.

A chain is cut into *runs* of forgetful parts between parts that are kept. Each run is computed a
second time at once, so every part is computed at most twice. Walking the chain from its input, all
that matters of the past is how many bytes are kept and what replays will cost: the pairs that no
other pair beats in both (a 0-1 knapsack, Nemhauser & Ullmann 1969). A bound on the peak forbids the
runs that would not fit beside what is kept before them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MOST_PAIRS = 8192
"""Pairs that are carried from part to part; chains whose sizes differ in more ways are thinned."""
_WORK = 1 << 17
"""Runs times pairs of one walk under a bound on the peak; longer chains carry fewer pairs."""
_LEVELS = 600
"""Parts times bounds on the peak that are tried."""
_ANY = 1 << 62
"""A peak that every choice is below."""
_PREFERENCE = 1 << 80
"""What an operation costs that a policy would rather not spend: more than all that it may."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a chain: numbers of memory, and operations.

    keeps      what its backward and the next part's read of its forward's buffers
    output     its output's buffer; 0 where that is another part's
    holds_output  whether ``keeps`` counts the output
    forward    the most of its own buffers that forward needs at once
    incoming   the gradient that its backward starts from
    backward   the most that gradients take while its backward runs
    flops      of its forward
    may_keep, may_replay        what policies allow
    rather_keep, rather_replay  what they prefer
    reads_input  whether its backward reads its input: then a run below is replayed before it
    """

    keeps: int
    output: int
    holds_output: bool
    forward: int
    incoming: int
    backward: int
    flops: int
    may_keep: bool = True
    may_replay: bool = True
    rather_keep: bool = False
    rather_replay: bool = False
    reads_input: bool = True

    @property
    def source(self) -> int:
        """What more to keep where the next part is replayed from it."""
        return 0 if self.holds_output else self.output

    @property
    def whole(self) -> int:
        """All that a replay of it leaves for its backward and the next part."""
        return self.keeps + self.source

    @property
    def cost_kept(self) -> int:
        """What keeping it costs."""
        return _PREFERENCE * max(self.flops, 1) if self.rather_replay else 0

    @property
    def cost_replayed(self) -> int:
        """What computing it a second time costs."""
        return self.flops + (_PREFERENCE * max(self.flops, 1) if self.rather_keep else 0)


class ReplayChoice(NamedTuple):
    """Which parts are replayed, the numbers kept, what it costs, and its peak."""

    replayed: tuple[bool, ...]
    kept: int
    cost: int
    peak: int


class _Run(NamedTuple):
    """Forgetful parts that end before part ``last``, which is kept unless the chain ends there.

    ``room`` is the most they take beside what is kept before them, ``adds`` what they keep.
    """

    last: int
    adds: int
    cost: int
    room: int


class _Pair(NamedTuple):
    """What a way through the chain's beginning keeps, costs, and takes at most.

    ``parts`` are those that are kept: the last one, and in turn those before it.
    """

    kept: int
    cost: int
    peak: int
    parts: tuple[Any, ...]


def choose(
    parts: Sequence[Part], most_kept: int | None, most_peak: int | None
) -> ReplayChoice | None:
    """Return the cheapest choice that keeps and takes no more; None where there is none.

    Of equally cheap ones it is one that keeps least. Where policies make all keep more than
    ``most_kept``, it is the one that keeps least.
    """
    pairs = _walk(parts, most_peak)
    if not pairs:
        return None
    fitting = [pair for pair in pairs if most_kept is None or pair.kept <= most_kept]
    best = min(fitting or pairs[:1], key=lambda pair: (pair.cost, pair.kept))
    return _choice(best, len(parts))


def cheapest_by_kept(parts: Sequence[Part]) -> list[ReplayChoice]:
    """Return some of the choices that none beats in numbers kept and cost."""
    pairs = _walk(parts, None)
    step = max(1, len(pairs) // _levels(parts))
    return [_choice(pair, len(parts)) for pair in pairs[::step]]


def cheapest_by_peak(parts: Sequence[Part]) -> list[ReplayChoice]:
    """Return some choices of falling peak, each the cheapest within its own.

    The first is the cheapest of all, the last has the least peak.
    """
    found: list[ReplayChoice] = []
    first = choose(parts, None, _ANY)
    if first is None:
        return []
    least = _least_peak(parts, first.peak)
    step = (first.peak - least.peak) // _levels(parts)
    bound = first.peak
    while bound >= least.peak:
        chosen = choose(parts, None, bound)
        if chosen is None:
            break
        found.append(chosen)
        bound = max(min(chosen.peak - 1, bound - step), least.peak) if bound > least.peak else -1
    return found


def _levels(parts: Sequence[Part]) -> int:
    return max(6, min(40, _LEVELS // max(len(parts), 1)))


def _choice(pair: "_Pair", count: int) -> ReplayChoice:
    kept, way = set(), pair.parts
    while way:
        last, way = way
        kept.add(last)
    replayed = tuple(i not in kept for i in range(count))
    return ReplayChoice(replayed, pair.kept, pair.cost, pair.peak)


def _least_peak(parts: Sequence[Part], high: int) -> ReplayChoice:
    """Return the cheapest choice of the least peak, by bisection below ``high``."""
    best = choose(parts, None, high)
    assert best is not None
    low = 0
    while low < best.peak:
        middle = (low + best.peak) // 2
        tried = choose(parts, None, middle)
        if tried is None:
            low = middle + 1
        else:
            best = tried
    return best


def _walk(parts: Sequence[Part], most_peak: int | None) -> list[_Pair]:
    """Return the unbeaten pairs at the end of the chain."""
    if most_peak is None:
        return _walk_freely(parts)
    count = len(parts)
    most = max(16, min(MOST_PAIRS, _WORK // count**2))
    at: list[list[_Pair]] = [[] for _ in range(count + 1)]  # by the first part not yet decided
    at[0] = [_Pair(0, 0, 0, ())]
    for start in range(count):
        before = _unbeaten(at[start], most)
        for run in _runs(parts, start) if before else ():
            end = min(run.last + 1, count)
            for pair in before:
                peak = max(pair.peak, pair.kept + run.room)
                if peak <= most_peak:
                    kept = (run.last, pair.parts) if run.last < count else pair.parts
                    at[end].append(_Pair(pair.kept + run.adds, pair.cost + run.cost, peak, kept))
    return _unbeaten(at[count], most)


def _walk_freely(parts: Sequence[Part]) -> list[_Pair]:
    """Return the unbeaten pairs where no peak bounds the runs: part by part, kept or not."""
    kept = [_Pair(0, 0, 0, ())]
    gone: list[_Pair] = []
    source = 0
    for i, part in enumerate(parts):
        anyhow = _unbeaten([*kept, *gone], MOST_PAIRS)
        gone = [_Pair(p.kept + source, p.cost, p.peak, p.parts) for p in kept] + gone
        gone = [p._replace(cost=p.cost + part.cost_replayed) for p in gone if part.may_replay]
        kept = [
            _Pair(p.kept + part.keeps, p.cost + part.cost_kept, p.peak, (i, p.parts))
            for p in anyhow
            if part.may_keep
        ]
        source = part.source
        gone = _unbeaten(gone, MOST_PAIRS)
    return _unbeaten([*kept, *gone], MOST_PAIRS)


def _runs(parts: Sequence[Part], start: int) -> Iterator[_Run]:
    """Yield every run that may begin at part ``start``, the empty one first."""
    source = parts[start - 1].source if start else 0
    adds = cost = whole = 0  # kept for the run; of its replays; that these leave
    forward = replay = backward = 0  # the most that each phase takes
    carried = source  # the input of the part at hand, where nothing keeps it
    for last in range(start, len(parts)):
        part = parts[last]
        now = max(forward, adds + carried + part.forward)
        if part.may_keep:
            beside = part.keeps + part.incoming
            if last > start and not part.reads_input:
                beside = parts[last - 1].incoming
            own = part.keeps + part.backward + (whole if part.reads_input else 0)
            room = max(now, adds + max(own, beside + replay, backward))
            yield _Run(last, adds + part.keeps, cost + part.cost_kept, room)
        if not part.may_replay:
            return
        adds, forward = source, now
        replay = max(replay, whole + part.forward)
        whole += part.whole
        backward = max(backward, whole + part.backward)
        cost += part.cost_replayed
        carried = part.output
    room = max(forward, adds + max(parts[-1].incoming + replay, backward))
    yield _Run(len(parts), adds, cost, room)


def _unbeaten(pairs: list[_Pair], most: int) -> list[_Pair]:
    """Return the pairs that no other beats in bytes and cost, by rising bytes; thinned to most."""
    best: list[_Pair] = []
    for pair in sorted(pairs, key=lambda pair: pair[:3]):
        if not best or pair.cost < best[-1].cost:
            best.append(pair)
    if len(best) > most:
        step = len(best) / most
        best = [best[int(i * step)] for i in range(most - 1)] + [best[-1]]
    return best
