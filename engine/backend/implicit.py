"""The ops of implicit quantiles: features of fractions, and rows multiplied with them."""

from typing import Protocol

from agentd.engine.backend.array import Array, Step


class ImplicitOps(Protocol):
    """B rows, n fractions a row, C cosines, E features; R = B n, or n where all rows share theirs.

    Row b n + i is row b at its fraction i.
    """

    def cosines(self, tau: Array, out: Array) -> Step:
        """out[r, i] = cos(π i tau[r]), tau[r] the r-th number of an array of any shape.

        Dabney et al. 2018 (arXiv:1806.06923), equation 4. tau (R,), out (R, C).
        """

    def modulate(self, x: Array, phi: Array, y: Array) -> Step:
        """y[b n + i] = x[b] * phi[(b n + i) mod R]. x (B, E), phi (R, E), y (B n, E)."""

    def modulate_backward(
        self, dy: Array, x: Array, phi: Array, dphi: Array, dx: Array | None
    ) -> Step:
        """dphi[b n + i] = dy[b n + i] * x[b]; dx[b] = Σ_i dy[b n + i] * phi[b n + i].

        Only where each row has its own fractions: dy, phi, dphi (B n, E); x, dx (B, E).
        """
