"""Optimizers over flat vectors, all in place."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from agentd.engine.backend.array import Array, Step

Step3: TypeAlias = Callable[[float, float, float], object]
Step4: TypeAlias = Callable[[float, float, float, float], object]
"""Bound steps whose constants come with each call."""

AdamStep: TypeAlias = Callable[[float, float, float, float, float, float, bool], object]
"""A bound step: b1, b2, rate, eps, decay, shrink, adaptive; see ``OptimizerOps.adam``."""

TINY = 1e-30
"""Moments and traces whose magnitude is smaller are set to 0, before they become subnormal numbers.

A unit that no row activates has gradient 0. Its moments are multiplied by 0.9 at each step, fall
below 1.2e-38 after some hundred steps, and stay there, because the product is rounded back to the
same number. Many processors compute with such subnormal numbers much more slowly (Intel 64 and
IA-32 Architectures Optimization Reference Manual, on flush-to-zero): here three times as slowly for
a whole update. The descent is the same: 1e-30 divided by a usual ε changes no parameter.
"""


class OptimizerOps(Protocol):
    """One op is one descent of the whole vector; the constants of the step are its arguments."""

    def norm(self, g: Array, out: Array) -> Step:
        """out[0] = Euclidean norm of g. out (1,)."""

    def clip_norm(self, g: Array, limit: float, out: Array) -> Step:
        """out[0] = norm of g; then g *= min(1, limit / norm), in place."""

    def clip_value(self, g: Array, limit: float) -> Step:
        """g = clip(g, -limit, limit), in place."""

    def penalty(self, p: Array, g: Array, l1: float, l2: float) -> Step:
        """g += l1 * sign(p) + l2 * p, in place; p and g of one shape."""

    def flush_to_zero(self, x: Array) -> Step:
        """x = 0 where abs(x) < `TINY`, in place; NaN stays."""

    def trace(self, g: Array, z: Array, out: Array) -> Callable[[float], object]:
        """Bind (decay): z = decay z + g, in place, 0 where abs(z) < `TINY`; out[0] = Σ |z|.

        g and z of one shape, out (1,).
        """

    def sgd(self, p: Array, g: Array) -> Callable[[float, float], object]:
        """Bind (lr, decay): p -= lr (g + decay p)."""

    def momentum(self, p: Array, g: Array, m: Array, nesterov: bool) -> Step3:
        """Bind (lr, mu, decay): d = g + decay p; m = mu m + d; p -= lr m.

        With ``nesterov`` p -= lr (d + mu m) instead.
        """

    def rmsprop(self, p: Array, g: Array, v: Array, mean: Array | None) -> Step4:
        """Bind (lr, rho, eps, decay): d = g + decay p; v = rho v + (1 - rho) d²;
        p -= lr d / (sqrt(v) + eps).

        Centered where ``mean`` is given: mean = rho mean + (1 - rho) d; sqrt(v - mean²) instead.
        """

    def adagrad(self, p: Array, g: Array, v: Array) -> Step3:
        """Bind (lr, eps, decay): d = g + decay p; v += d²; p -= lr d / (sqrt(v) + eps)."""

    def adadelta(self, p: Array, g: Array, v: Array, u: Array) -> Step4:
        """Bind (lr, rho, eps, decay): d = g + decay p; v = rho v + (1 - rho) d²;
        e = sqrt(u + eps) / sqrt(v + eps) d; u = rho u + (1 - rho) e²; p -= lr e.
        """

    def adam(self, p: Array, g: Array, m: Array, v: Array) -> AdamStep:
        """Bind (b1, b2, rate, eps, decay, shrink, adaptive): d = g + decay p; m = b1 m + d;
        v = b2 v + d²; p = shrink p - rate m / (sqrt(v) + eps), or - rate m if not ``adaptive``.

        m and v are discounted *sums*: the paper's means times 1/(1-b1) and 1/(1-b2). The caller
        folds these factors and the bias corrections into ``rate`` and ``eps``, which saves two
        passes over memory.
        """
