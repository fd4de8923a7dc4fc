"""One head in training: a network, its optimizer and its loss, a step at a time."""

from collections.abc import Mapping
from math import isnan
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
from agentd.engine.optim.losses import LossArrays, bind_loss
from agentd.engine.optim.spec import LossSpec
from agentd.engine.rules.td import HUBER_WIDTH


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
        self._y = self._pass.output(params, size)
        self._dy = self._pass.output_gradient(params, size)
        self._action = backend.zeros((size, 1), "int32")
        self._label = backend.zeros((size,), "int32")
        self._target = backend.zeros((size, 1))
        self._per = 1 if head == "q" else size
        self._take = bind_supervised_step(
            backend, self._pass, self._descent, size, *self._bind(size)
        )

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
        write = self._backend.write
        if self.head == "q":
            write(self._action, target[0][:, None])
            write(self._target, target[1])
        elif self.head == "policy":
            write(self._label, target)
        else:
            write(self._target, target)
        if not self._take(inputs):
            return 0.0
        loss = float(self._backend.to_host(self._descent.loss)[0])
        return 0.0 if isnan(loss) else loss / self._per

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return parameters, optimizer and counters."""
        arrays, scalars = self._descent.get_state()
        return arrays, {**scalars, "pass": self._pass.get_state()}

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        self._pass.set_state(scalars["pass"])

    def _bind(self, size: int) -> tuple[Step, Array | None]:
        """Bind the head's loss; return it and its rows' losses (B,), None for q's mean alone."""
        backend, y, dy = self._backend, self._y, self._dy
        if self.head == "q":
            td = backend.zeros((size, 1))
            target = backend.reshape(self._target, (size,))
            mean = backend.td_loss(
                y,
                self._action,
                target,
                None,
                (y.shape[1],),
                HUBER_WIDTH,
                dy,
                td,
                self._descent.loss,
            )
            return mean, None
        loss = backend.zeros((size,))
        name, wanted = _LOSSES[self.head]
        arrays = LossArrays(y=y, target=getattr(self, wanted), dy=dy, loss=loss)
        return bind_loss(LossSpec(name=name), backend, arrays), loss  # type: ignore[arg-type]


_LOSSES: dict[str, tuple[str, str]] = {
    "policy": ("softmax_cross_entropy", "_label"),
    "value": ("binary_cross_entropy", "_target"),
}
