"""Steps through time: one number of the cell a work-item."""

from agentd.engine.backend import Step
from agentd.engine.opencl_backend.memory import Dv, MemoryOps


class RecurrentOps(MemoryOps):
    """See ``engine.numpy_backend.recurrent`` for the numbers."""

    def swap(self, x: Dv, y: Dv) -> Step:
        return self._each("swap", x, x, y)

    def lstm_cell(self, z: Dv, c_tm1: Dv, c: Dv, h: Dv) -> Step:
        return self._each("lstm_cell", c, z, c_tm1, c, h)

    def lstm_cell_backward(self, gates: Dv, c_tm1: Dv, c: Dv, dh: Dv, dc: Dv, dz: Dv) -> Step:
        return self._each("lstm_cell_backward", c, gates, c_tm1, c, dh, dc, dz)

    def gru_cell(self, z: Dv, a: Dv, h_tm1: Dv, h: Dv) -> Step:
        return self._each("gru_cell", h, z, a, h_tm1, h)

    def gru_cell_backward(self, gates: Dv, a: Dv, h_tm1: Dv, dh: Dv, dh_tm1: Dv) -> Step:
        return self._each("gru_cell_backward", dh, gates, a, h_tm1, dh, dh_tm1)

    def _each(self, name: str, like: Dv, *args: Dv) -> Step:
        grid, local = self.runtime.items(like.size)
        return self.runtime.bind("recurrent", name, grid, local, *like.shape, *args)
