"""Windows over images (B, H, W, C): im2col and its transpose, pools."""

from typing import Any

from engine.backend import Step, Window
from engine.opencl_backend.memory import Dv, MemoryOps


class ImageOps(MemoryOps):
    """A work-group owns one row of positions, or going back one row of pixels."""

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
        sides: tuple[Any, ...] = (window.height, window.width, window.channels)
        sides += (*window.kernel, *window.stride, *window.padding)
        sides += (window.out_height, window.out_width)
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
        return self.runtime.bind(file, name, grid, (lanes, 1, 1), *sides, *arrays)
