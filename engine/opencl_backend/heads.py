"""The dueling head's aggregation."""

from itertools import accumulate

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.errors import ShapeError
from agentd.engine.opencl_backend.memory import Dv, MemoryOps, optional


class HeadOps(MemoryOps):
    """``z`` (B, 1 + A) holds the state value first, then the advantages of all branches."""

    def dueling(self, z: Dv, mask: Dv | None, branches: tuple[int, ...], q: Dv) -> Step:
        return self._dueling("dueling", z, mask, branches, q, q.shape)

    def dueling_backward(self, dq: Dv, mask: Dv | None, branches: tuple[int, ...], dz: Dv) -> Step:
        return self._dueling("dueling_backward", dq, mask, branches, dz, dq.shape)

    def starts(self, branches: tuple[int, ...]) -> Dv:
        """Return each branch's first column and, last, their sum as a device buffer."""
        return self.asarray(np.array([0, *accumulate(branches)], np.int32)).buffer

    def _dueling(
        self,
        name: str,
        x: Dv,
        mask: Dv | None,
        branches: tuple[int, ...],
        y: Dv,
        shape: tuple[int, ...],
    ) -> Step:
        rows = shape[0]
        if shape[1] != sum(branches):
            raise ShapeError("dueling", (rows, sum(branches)), shape)
        args = (rows, len(branches), self.starts(branches), x, *optional(mask, x), y)
        return self.runtime.bind("dueling", name, *self.runtime.items(rows), *args)
