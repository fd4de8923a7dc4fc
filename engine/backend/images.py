"""The ops of layers that slide a window over images: (B, H, W, C), channels last."""

from typing import Protocol

from agentd.engine.backend.array import Activation, Array, Step, Window


class ImageOps(Protocol):
    """OH and OW are the window's output height and width, K its taps: kernel rows * columns * C."""

    def gathers(self, window: Window) -> bool:
        """Return whether `conv` is the way to go: it needs no memory for the unfolded input.

        Layers then unfold an input only to keep it for backward.
        """

    def conv(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        window: Window,
        y: Array,
        act: Activation = "identity",
    ) -> Step:
        """y = act(windows of x @ w + b): im2col and affine in one.

        x (B, H, W, C), w (K, E), b (E,), y (B OH OW, E); ``act`` as in affine.
        """

    def im2col(self, x: Array, window: Window, columns: Array) -> Step:
        """columns[(b, i, j), (u, v, c)] = x[b, i s - p + u, j s - p + v, c], 0 in the padding.

        x (B, H, W, C), columns (B OH OW, K): a convolution is then one matrix product.
        """

    def col2im(self, columns: Array, window: Window, x: Array) -> Step:
        """x = the sum of what im2col would have copied from each place: its transpose.

        columns (B OH OW, K), x (B, H, W, C).
        """

    def max_pool(self, x: Array, window: Window, y: Array, chosen: Array) -> Step:
        """y = the largest number under the window, NaN if there is one; padding does not count.

        x (B, H, W, C), y (B, OH, OW, C); chosen (B, OH, OW, C) int32: which tap u * KW + v it was,
        the first of equals.
        """

    def max_pool_backward(self, dy: Array, window: Window, chosen: Array, dx: Array) -> Step:
        """dx = dy at the chosen taps, summed, 0 elsewhere; shapes as in max_pool."""

    def avg_pool(self, x: Array, window: Window, y: Array) -> Step:
        """y = the mean of the pixels under the window; padding does not count."""

    def avg_pool_backward(self, dy: Array, window: Window, dx: Array) -> Step:
        """dx = each dy shared out evenly over its window's pixels."""
