"""Steps through time: one number of the cell a work-item."""

from agentd.engine.backend import Step
from agentd.engine.opencl_backend.memory import Dv, MemoryOps


class RecurrentOps(MemoryOps):
    """See ``engine.numpy_backend.recurrent`` for the numbers."""

    def swap(self, x: Dv, y: Dv) -> Step:
        grid, local = self.runtime.items(x.size)
        return self.runtime.bind("recurrent", "swap", grid, local, *x.shape, x, y)

    def lstm_cell(self, z: Dv, c_tm1: Dv, c: Dv, h: Dv) -> Step:
        grid, local = self.runtime.items(c.size)
        return self.runtime.bind("recurrent", "lstm_cell", grid, local, *c.shape, z, c_tm1, c, h)

    def lstm_cell_backward(self, gates: Dv, c_tm1: Dv, c: Dv, dh: Dv, dc: Dv, dz: Dv) -> Step:
        grid, local = self.runtime.items(c.size)
        args = (*c.shape, gates, c_tm1, c, dh, dc, dz)
        return self.runtime.bind("recurrent", "lstm_cell_backward", grid, local, *args)
