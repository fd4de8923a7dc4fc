"""Ops that leave most numbers alone: dropout's masks and sums of embedding rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from agentd.engine.backend import Step, in_order
from agentd.engine.opencl_backend.memory import Dv, MemoryOps
from agentd.engine.opencl_backend.tuning import Tuning

_SMALL = 1 << 18  # numbers of a gradient table up to which all of it is cleared


class SparseOps(MemoryOps):
    """Masks come from a hash of position and key: the same on every backend, and replayable."""

    def __init__(
        self, device: str = "opencl", tuning: Tuning | None = None, profile: bool = False
    ) -> None:
        super().__init__(device, tuning, profile)
        self._touched: dict[tuple[int, int], Step] = {}  # gradient tables: how to clear them

    def dropout(self, x: Dv, rate: float, key: Callable[[], int], y: Dv, factor: Dv) -> Step:
        spread = self.runtime.spread(x.size)
        threshold = np.uint32(min(round(rate * 2**32), 2**32 - 1))
        args = (x.size, x, threshold, 1 / (1 - rate), y, factor)
        launch = self.runtime.bind_scalars("dropout", "dropout", *spread, *args, types="u")
        return lambda: launch(key())

    def embedding_bag(self, index: Dv, table: Dv, y: Dv) -> Step:
        bags, each = index.shape
        args = (each, *table.shape, index, table, y)
        return self.runtime.bind("embedding", "embedding_bag", *self.runtime.each_row(bags), *args)

    def embedding_bag_backward(self, index: Dv, dy: Dv, dtable: Dv) -> Step:
        (bags, each), (v, n) = index.shape, dtable.shape
        columns = (-(-n // self.runtime.tuning.width),)
        args = (bags, each, v, n, index, dy, dtable)
        scatter = self.runtime.bind("embedding", "scatter", columns, (1,), *args)
        if dtable.size <= _SMALL:
            return in_order(self.fill(dtable, 0.0), scatter)
        return self._scatter_where_touched(scatter, index, dtable)

    def _scatter_where_touched(self, scatter: Step, index: Dv, dtable: Dv) -> Step:
        """Bind a scatter that clears only what the scatter before it wrote."""
        (bags, each), (v, n) = index.shape, dtable.shape
        kept = self.empty(index.shape, "int32")
        keep = self.copy(index, kept)
        grid, local = self.runtime.each_row(bags)
        clear = self.runtime.bind("embedding", "clear", grid, local, each, v, n, kept, dtable)
        touched, place = self._touched, (dtable.buffer.int_ptr, dtable.first)

        def step() -> None:
            before: Any = touched.pop(place, None)
            if before is not None:
                before()
            scatter()
            keep()
            touched[place] = clear

        return step
