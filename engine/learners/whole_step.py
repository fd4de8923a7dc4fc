"""A learner's update in one call, where backend, network and optimizer have it."""

from collections.abc import Callable

from agentd.engine.backend import Array, Backend, FitStep, Host, QStep
from agentd.engine.learners.descent import Descent
from agentd.engine.network import Network

WholeUpdate = Callable[[Array | Host, bool, float], bool]
"""(observations, masked, tau): update, then move the target network by ``tau``.

observations (2 B, D); ``masked``: whether the mask counts; tau 1 copies, 0 leaves the target.
Returns whether the update was finite and taken.
"""


def bind_q(backend: Backend, network: Network, descent: Descent, q: QStep) -> WholeUpdate | None:
    """Bind an update of Q-learning and of its target network as one call, or return None."""
    layers, on = network.dense_stack, descent.shared
    if layers is None or on is None:
        return None
    x = backend.empty((2 * q.reward.shape[0], layers[0].w.shape[0]))
    launch = backend.q_step(layers, on, x, q)
    if launch is None:
        return None
    bound, write, step_by = launch, backend.write, descent.step_by

    def update(observations: Array | Host, masked: bool, tau: float) -> bool:
        write(x, observations)
        return step_by(lambda constants: bound(masked, tau, constants))

    return update


def bind_fit(
    backend: Backend, network: Network, descent: Descent, fit: FitStep
) -> Callable[[Host], bool] | None:
    """Bind a supervised step as one call, or return None.

    It takes the inputs (B, ...) and returns whether the step was finite and taken.
    """
    layers, on = network.dense_stack, descent.shared
    if layers is None or on is None:
        return None
    x = backend.empty((fit.weight.shape[0], layers[0].w.shape[0]))
    launch = backend.fit_step(layers, on, x, fit)
    if launch is None:
        return None
    bound = launch

    def update(observations: Host) -> bool:
        backend.write(x, observations.reshape(x.shape))
        return descent.step_by(bound)

    return update
