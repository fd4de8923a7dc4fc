"""The mean of the weights after the last updates, which plays instead of the newest ones."""

from agentd.engine.backend import Array, Backend, Step

_YOUNG = 10
"""The window is never more than the updates made divided by this: early weights are poor."""


class WeightAverage:
    """An exponential moving average of parameters: mean <- mean + (params - mean) / window.

    Every update moves the weights by the noise of its batch, too; a mean of many weights plays more
    evenly than any of them (Polyak & Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407). The
    window is 1 at first, then the mean is a copy. It doubles as updates are made, never exceeds a
    tenth of them, and stops at ``updates``. ``mean`` (n_params,) stays the same array.
    """

    def __init__(self, backend: Backend, params: Array, updates: int) -> None:
        self._backend, self._params, self._most = backend, params, updates
        self.mean = backend.asarray(backend.to_host(params))
        self._window, self._move = 1, backend.copy(params, self.mean)

    def follow(self, updates: int) -> None:
        """Take in the parameters after update number ``updates``."""
        window = max(1, updates // _YOUNG)
        window = min(self._most, 1 << (window.bit_length() - 1))
        if window != self._window:
            self._window, self._move = window, self._bind(window)
        self._move()

    def _bind(self, window: int) -> Step:
        if window == 1:
            return self._backend.copy(self._params, self.mean)
        return self._backend.blend(self._params, self.mean, 1.0 / window)
