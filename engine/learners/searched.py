"""Values of actions that a search finds: a game's rules played ahead over a network's values.

Shapes: B rows of a batch, M positions that are valued at once, D features, A actions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host
from agentd.engine.network import Network, Pass

Leaves = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.floating[Any]]]
"""``leaves(x, legal)``: what each action is worth, (M, A), where x is (M, D) and legal (M, A)."""

_STEP = 256
"""Positions are valued by the multiple of so many: a pass prepares itself for each number anew."""


class LookAhead(NamedTuple):
    """A game's rules, as a learner asks for them.

    ``search(x, leaves)`` returns what each action is worth at the positions that rows x (B, D)
    show, (B, A) float32; illegal ones are worth minus infinity. It is a function of x and of what
    ``leaves`` says, and asks for at most ``most`` positions at once.
    """

    search: Callable[[NDArray[np.float32], Leaves], NDArray[np.float32]]
    most: int


class SearchedValues:
    """Finds what actions are worth at a batch's positions, valuing what is far ahead by a network.

    Noise and dropout are off, so that values depend on weights and rows alone. They lie on the
    backend in ``q`` (B, A), always the same array.
    """

    def __init__(
        self, backend: Backend, network: Network, size: int, look_ahead: LookAhead
    ) -> None:
        """``network`` says one value an action, ``size`` is B."""
        most = -(-look_ahead.most // _STEP) * _STEP
        self.q = backend.zeros((size, *network.output_shape))
        self._backend, self._search = backend, look_ahead.search
        self._pass = Pass(network, backend, most)
        self._x = np.zeros((most, *network.input_shape), np.float32)
        self._legal = np.ones((most, *network.output_shape), np.uint8)
        self._found = np.zeros(self.q.shape, np.float32)

    def find(self, params: Array, x: Array | Host, discount: NDArray[np.floating[Any]]) -> Array:
        """Search at the rows x (B, ...) that count, those whose ``discount`` (B,) is not 0.

        Returns ``q``, with 0 in every other row. ``params`` (n_params,) are the network's.
        """
        rows = x if isinstance(x, np.ndarray) else self._backend.to_host(x)
        counts = np.flatnonzero(discount)
        self._found.fill(0)
        if len(counts):
            seen = rows.reshape(len(rows), -1)[counts].astype(np.float32, copy=False)
            found = self._search(seen, lambda at, legal: self._leaves(params, at, legal))
            self._found[counts] = np.where(found == -np.inf, -1, found)
        self._backend.write(self.q, self._found)
        return self.q

    def _leaves(
        self, params: Array, x: NDArray[np.float32], legal: NDArray[np.bool_]
    ) -> NDArray[np.floating[Any]]:
        """Return a copy of the network's values (M, A)."""
        count = len(x)
        rows = -(-count // _STEP) * _STEP
        self._x[:count], self._legal[:count] = x.reshape(count, *self._x.shape[1:]), legal
        y = self._pass.forward(params, self._x[:rows], self._legal[:rows])
        return self._backend.to_host(y)[:count].copy()
