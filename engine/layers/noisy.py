"""NoisyDense: weights that are drawn anew for every call, with a spread that is learned."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Activation, Array, Shape, Slot
from agentd.engine.layers.init import Draw
from agentd.engine.layers.layer import Count, Layer, LayerSpec, NotNegative, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording
from agentd.engine.rules.exploration import uniforms


class NoisyDense(LayerSpec, Options, frozen=True, tag="noisy_dense"):
    """``units`` outputs, each an affine map whose weights are mu + sigma * noise.

    Fortunato et al. 2017 (arXiv:1706.10295), factorised Gaussian noise, equations 10 and 11: mu
    starts in U(±1/sqrt(fan_in)), sigma at ``sigma`` / sqrt(fan_in). All rows of a call share the
    noise. It is a function of the pass's seed, the number of calls and the layer, so a saved pass
    replays it; a pass without noise takes mu alone.
    """

    units: Count
    sigma: NotNegative = 0.5

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "put `flatten` before it")
        return place_noisy(at, name, shape[0], self.units, self.sigma)


@dataclass(frozen=True, slots=True)
class PlacedNoisyDense:
    """y = act(x @ w + b) with w, b = mu + sigma * left ⊗ right; the bias is the last row.

    x (B, n_in), mu and sigma (n_in + 1, n_out), y (B, n_out).
    """

    mu: Slot
    sigma: Slot
    act: Activation = "identity"

    @property
    def n_in(self) -> int:
        return self.mu.shape[0] - 1

    @property
    def out_shape(self) -> Shape:
        return (self.mu.shape[1],)

    def forward(self, r: Recording, x: Array) -> Array:
        y, weights = r.new(self.out_shape), r.p(self.mu)
        if r.noise is not None and r.replaying:
            r.noise_key()  # this call's weights are there: only the key's place is taken
            weights = r.kept[id(self)][2]
        elif r.noise is not None:
            weights = r.be.empty(self.mu.shape)
            left, right = r.be.empty((self.n_in + 1,)), r.be.empty(self.out_shape)
            r.do(draw_noise(r, left, right))
            r.do(r.be.noisy_weight(r.p(self.mu), r.p(self.sigma), left, right, weights))
            r.kept[id(self)] = (left, right, weights)
        w, b = self._parts(r, weights)
        r.do(r.be.affine(x, w, b, y, self.act))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        left, right, weights = r.kept[id(self)]
        if self.act != "identity":
            r.do(r.be.activation_backward(self.act, y, y, dy, dy))
        dw, db = self._parts(r, r.g(self.mu))
        r.do(r.be.matmul_tn(x, dy, dw))
        r.do(r.be.sum_rows(dy, db))
        r.do(r.be.noisy_weight_backward(r.g(self.mu), left, right, r.g(self.sigma)))
        if not need_dx:
            return None
        dx = r.new((self.n_in,))
        r.do(r.be.matmul_nt(dy, self._parts(r, weights)[0], dx))
        return dx

    def _parts(self, r: Recording, matrix: Array) -> tuple[Array, Array]:
        """Return a matrix's rows of weights (n_in, n_out) and of the bias (n_out,)."""
        bias = r.be.rows(matrix, self.n_in, self.n_in + 1)
        return r.be.rows(matrix, 0, self.n_in), r.be.reshape(bias, self.out_shape)


def place_noisy(at: Layout, name: str, n_in: int, n_out: int, sigma: float) -> PlacedNoisyDense:
    """Return the layer, its slots taken from ``at``."""
    size, bound = (n_in + 1, n_out), 1 / sqrt(n_in)
    mu: Draw = lambda rng, shape: rng.uniform(-bound, bound, shape)  # noqa: E731
    spread: Draw = lambda rng, shape: np.full(shape, sigma * bound)  # noqa: E731
    return PlacedNoisyDense(at.slot(f"{name}.mu", size, mu), at.slot(f"{name}.sigma", size, spread))


def draw_noise(r: Recording, left: Array, right: Array) -> Callable[[], None]:
    """Return a step that draws both factors' noise where the call's key is a new one."""
    be, key, n = r.be, r.noise_key(), left.shape[0] - 1
    last: list[int] = []

    def step() -> None:
        now = key()
        if last == [now]:
            return
        noise = factor_noise(now, n + right.shape[0])
        be.write(left, np.append(noise[:n], 1.0))  # the bias has the right factor alone
        be.write(right, noise[n:])
        last[:] = [now]

    return step


def factor_noise(key: int, n: int) -> NDArray[np.float64]:
    """Return n numbers sign(g) sqrt(|g|), g standard normal by a hash of (key, place)."""
    u = uniforms(key, np.arange(n), 2)
    g = np.sqrt(-2 * np.log1p(-u[:, 0])) * np.cos(2 * pi * u[:, 1])  # Box & Muller 1958
    noise: NDArray[np.float64] = np.sign(g) * np.sqrt(np.abs(g))
    return noise
