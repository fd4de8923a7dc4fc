"""Which of an agent's global stream slots are free."""

from __future__ import annotations


class StreamSlots:
    """Gives blocks of consecutive slots to sessions; what is given back is joined and reused.

    ``end`` is one more than the highest slot that is in use.
    """

    def __init__(self) -> None:
        self.end = 0
        self._free: list[tuple[int, int]] = []  # (base, size) of gaps below ``end``, in order

    def take(self, size: int) -> int:
        """Take the smallest gap that fits, or slots at the end; return the first slot."""
        fitting = [gap for gap in self._free if gap[1] >= size]
        if not fitting:
            base, self.end = self.end, self.end + size
            return base
        base, width = gap = min(fitting, key=lambda gap: gap[1])
        self._free.remove(gap)
        if width > size:
            self._insert(base + size, width - size)
        return base

    def take_at(self, base: int, size: int) -> None:
        """Take the slots from ``base`` on, as they were before a restart."""
        if base >= self.end:
            if base > self.end:
                self._insert(self.end, base - self.end)
            self.end = base + size
            return
        for gap, width in self._free:
            if gap <= base and base + size <= gap + width:
                self._free.remove((gap, width))
                if base > gap:
                    self._insert(gap, base - gap)
                if gap + width > base + size:
                    self._insert(base + size, gap + width - base - size)
                return
        raise ValueError(f"slots {base}..{base + size - 1} are in use")

    def give_back(self, base: int, size: int) -> None:
        """Free a block that was taken."""
        self._insert(base, size)
        last, width = self._free[-1]
        if last + width == self.end:
            self._free.pop()
            self.end = last

    def _insert(self, base: int, size: int) -> None:
        """Add a gap, joined with its neighbours."""
        before = [gap for gap in self._free if gap[0] < base]
        after = [gap for gap in self._free if gap[0] > base]
        if before and sum(before[-1]) == base:
            start, width = before.pop()
            base, size = start, width + size
        if after and base + size == after[0][0]:
            size += after.pop(0)[1]
        self._free = [*before, (base, size), *after]
