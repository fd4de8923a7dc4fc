"""Targets of actions that a search finds: a game's rules played ahead over a network's values.

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


class SearchedTargets:
    """Finds what each action of a batch's positions is worth, valuing what is far by a network.

    Noise and dropout are off, so that targets depend on weights and rows alone.
    """

    def __init__(
        self, backend: Backend, network: Network, size: int, look_ahead: LookAhead
    ) -> None:
        """``network`` says one value an action, ``size`` is B."""
        most = -(-look_ahead.most // _STEP) * _STEP
        self._backend, self._search, self._size = backend, look_ahead.search, size
        self._pass = Pass(network, backend, most)
        self._x = np.zeros((most, *network.input_shape), np.float32)
        self._legal = np.ones((most, *network.output_shape), np.uint8)

    def find(self, params: Array, x: Array | Host) -> NDArray[np.float32]:
        """Return what the search finds at the rows x (B, ...), (B, A); see `LookAhead`.

        ``params`` (n_params,) are the network's.
        """
        rows = x if isinstance(x, np.ndarray) else self._backend.to_host(x)
        seen = rows.reshape(self._size, -1).astype(np.float32, copy=False)
        return self._search(seen, lambda at, legal: self._leaves(params, at, legal))

    def _leaves(
        self, params: Array, x: NDArray[np.float32], legal: NDArray[np.bool_]
    ) -> NDArray[np.floating[Any]]:
        """Return a copy of the network's values (M, A)."""
        count = len(x)
        rows = -(-count // _STEP) * _STEP
        self._x[:count], self._legal[:count] = x.reshape(count, *self._x.shape[1:]), legal
        y = self._pass.forward(params, self._x[:rows], self._legal[:rows])
        return self._backend.to_host(y)[:count].copy()
