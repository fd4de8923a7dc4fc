"""Windows over images (B, H, W, C): im2col and its transpose, pools."""

from agentd.engine.backend import Activation, Step, Window
from agentd.engine.errors import ShapeError
from agentd.engine.opencl_backend.dense import EPILOGUE, DenseOps
from agentd.engine.opencl_backend.memory import Dv, optional

_LEAST_RUN = 8
"""Numbers in a row of the kernel from which a CPU gathers windows as fast as it unfolds images."""


class ImageOps(DenseOps):
    """A work-group owns one row of positions, or going back one row of pixels."""

    def gathers(self, window: Window) -> bool:
        return self.runtime.tuning.tiled or window.kernel[1] * window.channels >= _LEAST_RUN

    def conv(
        self, x: Dv, w: Dv, b: Dv | None, window: Window, y: Dv, act: Activation = "identity"
    ) -> Step:
        k, n = w.shape
        m = x.shape[0] * window.out_height * window.out_width
        if y.shape != (m, n) or k != window.taps:
            raise ShapeError("conv", (m, n), y.shape)
        args = (x, w, *optional(b, y), EPILOGUE[act], y)
        return self._gemm(m, n, k, *args, left=0, right=0, window=_sides(window))

    def im2col(self, x: Dv, window: Window, columns: Dv) -> Step:
        return self._slide("columns", "im2col", window, window.out_height, x, columns)

    def col2im(self, columns: Dv, window: Window, x: Dv) -> Step:
        return self._slide("columns", "col2im", window, window.height, columns, x)

    def max_pool(self, x: Dv, window: Window, y: Dv, chosen: Dv) -> Step:
        return self._slide("pool", "max_pool", window, window.out_height, x, y, chosen)

    def max_pool_backward(self, dy: Dv, window: Window, chosen: Dv, dx: Dv) -> Step:
        return self._slide("pool", "max_pool_backward", window, window.height, dy, chosen, dx)

    def avg_pool(self, x: Dv, window: Window, y: Dv) -> Step:
        return self._slide("pool", "avg_pool", window, window.out_height, x, y)

    def avg_pool_backward(self, dy: Dv, window: Window, dx: Dv) -> Step:
        return self._slide("pool", "avg_pool_backward", window, window.height, dy, dx)

    def _slide(self, file: str, name: str, window: Window, lines: int, *arrays: Dv) -> Step:
        """Bind a kernel that takes the window first, on a grid of ``lines`` groups an image."""
        # columns hold B OH OW rows: the batch is whatever the numbers make it
        image = window.height * window.width * window.channels
        position = window.out_height * window.out_width
        per_row = {
            "im2col": image,
            "col2im": position * window.taps,
            "max_pool": image,
            "avg_pool": image,
        }.get(name, position * window.channels)
        lanes = self.runtime.tuning.lanes
        grid = (lanes, lines, arrays[0].size // per_row)
        return self.runtime.bind(file, name, grid, (lanes, 1, 1), *_sides(window), *arrays)


def _sides(window: Window) -> tuple[int, ...]:
    """Return the numbers that kernels over images are told first, see kernels/window.clh."""
    inside = (window.height, window.width, window.channels)
    moves = (*window.kernel, *window.stride, *window.padding)
    return (*inside, *moves, window.out_height, window.out_width)
