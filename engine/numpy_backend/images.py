"""Windows over images (B, H, W, C): im2col and its transpose, pools."""

from collections.abc import Iterator

import numpy as np
from numpy import add, copyto, equal, greater, maximum, multiply
from numpy.lib.stride_tricks import as_strided

from agentd.engine.backend import Activation, Step, Window, in_order
from agentd.engine.numpy_backend.dense import DenseOps
from agentd.engine.numpy_backend.memory import Nd


class ImageOps(DenseOps):
    """Copies go by whole kernel rows, which lie together in memory; pools go tap by tap."""

    def gathers(self, window: Window) -> bool:
        return False

    def conv(
        self, x: Nd, w: Nd, b: Nd | None, window: Window, y: Nd, act: Activation = "identity"
    ) -> Step:
        columns = self.empty((len(y), window.taps))
        return in_order(self.im2col(x, window, columns), self.affine(columns, w, b, y, act))

    def im2col(self, x: Nd, window: Window, columns: Nd) -> Step:
        padded, pad = self._padded(x, window, 0.0)
        (kh, kw), (sh, sw), c = window.kernel, window.stride, window.channels
        batch, down, across, item = padded.strides
        shape = (len(x), window.out_height, window.out_width, kh, kw * c)
        rows = as_strided(padded, shape, (batch, sh * down, sw * across, down, item))
        grid = columns.reshape(shape)
        if pad is None:
            return lambda: copyto(grid, rows)
        border = pad

        def step() -> None:
            border()
            copyto(grid, rows)

        return step

    def col2im(self, columns: Nd, window: Window, x: Nd) -> Step:
        padded = self._frame(x, window)
        inside = _inside(padded, window)
        grid = columns.reshape(
            len(x), window.out_height, window.out_width, *window.kernel, window.channels
        )
        pairs = [(place, grid[:, :, :, u, v]) for (u, v), place in _taps(padded, window)]

        def step() -> None:
            padded.fill(0)
            for place, part in pairs:
                add(place, part, place)
            if padded is not x:
                copyto(x, inside)

        return step

    def max_pool(self, x: Nd, window: Window, y: Nd, chosen: Nd) -> Step:
        padded, pad = self._padded(x, window, -np.inf)
        (_, first), *rest = [
            (u * window.kernel[1] + v, part) for (u, v), part in _taps(padded, window)
        ]
        better = np.empty(y.shape, np.bool_)

        def step() -> None:
            if pad is not None:
                pad()
            copyto(y, first)
            chosen.fill(0)
            for tap, part in rest:
                greater(part, y, better)
                copyto(chosen, tap, where=better)
                maximum(y, part, out=y)

        return step

    def max_pool_backward(self, dy: Nd, window: Window, chosen: Nd, dx: Nd) -> Step:
        padded = self._frame(dx, window)
        inside = _inside(padded, window)
        pairs = [(u * window.kernel[1] + v, place) for (u, v), place in _taps(padded, window)]
        here, part = np.empty(dy.shape, np.bool_), self.empty(dy.shape)

        def step() -> None:
            padded.fill(0)
            for tap, place in pairs:
                equal(chosen, tap, here)
                multiply(dy, here, part)
                add(place, part, place)
            if padded is not dx:
                copyto(dx, inside)

        return step

    def avg_pool(self, x: Nd, window: Window, y: Nd) -> Step:
        share = self._share(window)
        if _is_global(window):
            flat, reduce = x.reshape(len(x), -1, window.channels), add.reduce
            mean = y.reshape(len(x), window.channels)

            def whole() -> None:
                reduce(flat, 1, None, mean)
                multiply(y, share, y)

            return whole
        padded, pad = self._padded(x, window, 0.0)
        first, *rest = [part for _, part in _taps(padded, window)]

        def step() -> None:
            if pad is not None:
                pad()
            copyto(y, first)
            for part in rest:
                add(y, part, y)
            multiply(y, share, y)

        return step

    def avg_pool_backward(self, dy: Nd, window: Window, dx: Nd) -> Step:
        share, shared = self._share(window), self.empty(dy.shape)
        if _is_global(window):

            def whole() -> None:
                multiply(dy, share, shared)
                copyto(dx, shared)

            return whole
        padded = self._frame(dx, window)
        inside = _inside(padded, window)
        places = [place for _, place in _taps(padded, window)]

        def step() -> None:
            multiply(dy, share, shared)
            padded.fill(0)
            for place in places:
                add(place, shared, place)
            if padded is not dx:
                copyto(dx, inside)

        return step

    def _frame(self, x: Nd, window: Window) -> Nd:
        """Return x itself, or without need of x's numbers memory with room for the padding."""
        ph, pw = window.padding
        if not ph and not pw:
            return x
        return self.zeros((len(x), x.shape[1] + 2 * ph, x.shape[2] + 2 * pw, x.shape[3]))

    def _padded(self, x: Nd, window: Window, border: float) -> tuple[Nd, Step | None]:
        """Return x within a border, and the step that brings x there if it is a copy."""
        padded = self._frame(x, window)
        if padded is x:
            return x, None
        padded.fill(border)
        inside = _inside(padded, window)
        return padded, lambda: copyto(inside, x)

    def _share(self, window: Window) -> Nd:
        """Return 1 / (pixels under the window) for each position, (OH, OW, 1)."""
        ones = np.ones((1, window.height, window.width, 1), self.dtype)
        one = Window(window.height, window.width, 1, window.kernel, window.stride, window.padding)
        padded, pad = self._padded(ones, one, 0.0)
        if pad is not None:
            pad()
        count = sum(part for _, part in _taps(padded, one))
        return self.asarray(1 / count[0])


def _taps(padded: Nd, window: Window) -> Iterator[tuple[tuple[int, int], Nd]]:
    """Yield ((u, v), what lies under tap (u, v) at every position), each (B, OH, OW, C)."""
    (kh, kw), (sh, sw) = window.kernel, window.stride
    down, across = sh * (window.out_height - 1) + 1, sw * (window.out_width - 1) + 1
    for u in range(kh):
        for v in range(kw):
            yield (u, v), padded[:, u : u + down : sh, v : v + across : sw]


def _inside(padded: Nd, window: Window) -> Nd:
    ph, pw = window.padding
    return padded[:, ph : ph + window.height, pw : pw + window.width]


def _is_global(window: Window) -> bool:
    return window.kernel == (window.height, window.width) and window.padding == (0, 0)
