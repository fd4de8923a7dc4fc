"""One head in training: a network, its optimizer and its loss, a step at a time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.chess.model.recipe import ChessRecipe, Head
from agentd.engine.backend import Array, Backend, Host, Step
from agentd.engine.learners.descent import Descent, quiet
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.learners.supervised_step import bind_supervised_step
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import LossName, LossSpec
from agentd.engine.rules.td import HUBER_WIDTH
from agentd.engine.training.objective import Objective

_LOSSES: dict[str, LossName] = {"policy": "softmax_cross_entropy", "value": "binary_cross_entropy"}


class HeadTrainer:
    """Trains one head of a recipe on batches of B positions.

    Targets: the policy's (B,) int32 moves, the value's (B, 1) expected scores, and q's pair of
    moves and (B, 1) scores after them: a temporal difference whose target is known, the same loss
    that Q-learning uses.
    """

    def __init__(
        self,
        network: Network,
        recipe: ChessRecipe,
        head: Head,
        backend: Backend,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """``weights`` (P,) to begin with; None draws them by the recipe's seed."""
        self.network, self.head = network, head
        self._backend, size = backend, recipe.batch
        optimizer = make_optimizer(recipe.rule, backend, network.n_trainable)
        if weights is None:
            weights = network.init(np.random.default_rng(recipe.seed))
        clip = recipe.optimizer.clip_norm
        self._descent = Descent(network, backend, optimizer, clip, weights)
        self._pass = Pass(network, backend, size, training=True, seed=recipe.seed)
        params = self._descent.params
        y, dy = self._pass.output(params, size), self._pass.output_gradient(params, size)
        each: Array | None = None
        if head == "q":
            (self._write, loss), self._per = self._bind_q(y, dy), 1
        else:
            (outputs,), spec = network.output_shape, LossSpec(name=_LOSSES[head])
            bound = Objective(spec, backend, outputs, is_class=head == "policy").bind(y, dy)
            self._write, self._per = partial(backend.write, bound.target), size
            loss, each = bound.run, bound.loss
        self._step = bind_supervised_step(backend, self._pass, self._descent, size, loss, each)

    @property
    def weights(self) -> NDArray[np.float32]:
        """A copy of the parameters (n_params,)."""
        return self._backend.to_host(self._descent.params)

    @property
    def skipped_in_row(self) -> int:
        """Steps skipped since the last one taken, because something was not finite."""
        return self._descent.skipped_in_row

    @quiet
    def step(self, inputs: NDArray[np.float32], target: Any) -> float:
        """Take one step on inputs (B, D); return the mean loss, 0 for a step that was skipped."""
        self._write(target)
        if not self._step(inputs):
            return 0.0
        return float(self._backend.to_host(self._descent.loss)[0]) / self._per

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return parameters, optimizer and counters."""
        arrays, scalars = self._descent.get_state()
        return arrays, {**scalars, "pass": self._pass.get_state()}

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        self._pass.set_state(scalars["pass"])

    def _bind_q(self, y: Array, dy: Array) -> tuple[Callable[[Any], None], Step]:
        """Return what writes q's targets, and the loss, whose mean goes to the descent."""
        backend, size = self._backend, y.shape[0]
        action, target = backend.zeros((size, 1), "int32"), backend.zeros((size,))
        td, loss, width = backend.zeros((size, 1)), self._descent.loss, HUBER_WIDTH

        def write(wanted: Any) -> None:
            moves, scores = wanted
            backend.write(action, moves[:, None])
            backend.write(target, scores[:, 0])

        run = backend.td_loss(y, action, target, None, (y.shape[1],), width, dy, td, loss)
        return write, run
