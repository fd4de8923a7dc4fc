"""A learner's whole update in one call, where backend, network and optimizer allow it."""

from collections.abc import Callable
from typing import Any

from agentd.engine.backend import Array, Backend, FitStep, QStep
from agentd.engine.learners.descent import Descent
from agentd.engine.network import Network


class WholeQ:
    """Forward, target, loss, backward and descent of Q-learning, and the target's step: one call.

    ``td`` (B, N) are the last update's errors.
    """

    def __init__(self, backend: Backend, descent: Descent, q: QStep, launch: Any) -> None:
        self.td = q.td
        self._x, self._write, self._descent, self._launch = q.x, backend.write, descent, launch

    @classmethod
    def bind(
        cls,
        backend: Backend,
        network: Network,
        descent: Descent,
        target: Array,
        double: bool,
        huber: float | None,
        **given: Any,
    ) -> "WholeQ | None":
        """Return the update, or None where there is none; ``given`` is the rest of QStep."""
        layers, on = network.dense_stack, descent.shared
        if layers is None or on is None:
            return None
        x = backend.empty((2 * given["reward"].shape[0], layers[0].w.shape[0]))
        q = QStep(x=x, target=target, double=double, huber=huber, **given)
        launch = backend.q_step(layers, on, q)
        return None if launch is None else cls(backend, descent, q, launch)

    def run(self, observations: Any, masked: bool, tau: float) -> bool:
        """Update from observations (2B, D); return whether it was finite and taken.

        ``tau`` is the target network's step after it: 1 copies, 0 leaves it.
        """
        self._write(self._x, observations)
        launch = self._launch
        return self._descent.step_by(lambda constants: launch(masked, tau, constants))


def bind_fit(
    backend: Backend, network: Network, descent: Descent, **given: Any
) -> Callable[[Any], bool] | None:
    """Return a supervised update in one call, or None; ``given`` are FitStep's fields but for x.

    It takes the observations (B, D) and returns whether the step was finite and taken.
    """
    layers, on = network.dense_stack, descent.shared
    if layers is None or on is None:
        return None
    x = backend.empty((given["weight"].shape[0], layers[0].w.shape[0]))
    launch = backend.fit_step(layers, on, FitStep(x=x, **given))
    if launch is None:
        return None
    bound = launch

    def run(observations: Any) -> bool:
        backend.write(x, observations)
        return descent.step_by(bound)

    return run
