"""No whole steps: in NumPy a step in one call would be the same calls."""

from agentd.engine.backend import Array, DenseStack, DescentArrays, FitStep, QStep


class WholeOps:
    """Binding gives None, so that learners take the ops one by one."""

    def q_step(self, layers: DenseStack, on: DescentArrays, x: Array, q: QStep) -> None:
        return None

    def fit_step(self, layers: DenseStack, on: DescentArrays, x: Array, fit: FitStep) -> None:
        return None
