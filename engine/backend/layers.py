"""The ops that layers are made of."""

from collections.abc import Callable
from typing import Protocol

from agentd.engine.backend.array import Activation, Array, Shape, Step


class LayerOps(Protocol):
    """Forward and backward of every kind of layer."""

    def affine(
        self, x: Array, w: Array, b: Array | None, y: Array, act: Activation = "identity"
    ) -> Step:
        """y = act(x @ w + b). x (B, D), w (D, E), b (E,), y (B, E).

        ``act`` is one whose derivative is a function of its output: identity, relu, sigmoid, tanh.
        """

    def matmul_tn(self, x: Array, dy: Array, dw: Array) -> Step:
        """dw = x.T @ dy. x (B, D), dy (B, E), dw (D, E)."""

    def matmul_nt(self, dy: Array, w: Array, dx: Array) -> Step:
        """dx = dy @ w.T. dy (B, E), w (D, E), dx (B, D)."""

    def sum_rows(self, dy: Array, db: Array) -> Step:
        """db = dy.sum(0). dy (B, E), db (E,)."""

    def activation(self, act: Activation, x: Array, y: Array, slope: float = 0.01) -> Step:
        """y = act(x), any shape; y may be x. ``slope`` is leaky_relu's below zero."""

    def activation_backward(
        self, act: Activation, x: Array, y: Array, dy: Array, dx: Array, slope: float = 0.01
    ) -> Step:
        """dx = dy * act'(x); dx may be dy. Only gelu reads x, the others need only y."""

    def dueling(self, z: Array, mask: Array | None, branches: Shape, q: Array) -> Step:
        """q = z[:, :1] + a - mean of a over the branch's legal actions, a = z[:, 1:].

        z (B, 1 + A), mask (B, A) uint8 with 1 = legal, q (B, A); ``branches`` sum to A.
        """

    def dueling_backward(self, dq: Array, mask: Array | None, branches: Shape, dz: Array) -> Step:
        """dz[:, 0] = Σ_a dq; dz[:, 1:] = dq - (legal ? Σ_branch dq / legal actions : 0)."""

    def layer_norm(
        self, x: Array, gain: Array, bias: Array, eps: float, y: Array, norm: Array, scale: Array
    ) -> Step:
        """scale = 1 / sqrt(row variance + eps); norm = (x - row mean) scale; y = gain norm + bias.

        x, y, norm (R, D); gain, bias (D,); scale (R,). The variance is the biased one.
        """

    def layer_norm_backward(
        self,
        dy: Array,
        gain: Array,
        norm: Array,
        scale: Array,
        dgain: Array,
        dbias: Array,
        dx: Array,
    ) -> Step:
        """dgain = Σ_r dy norm; dbias = Σ_r dy; with e = gain dy,
        dx = scale (e - row mean of e - norm * row mean of (e norm)); dx may be dy.
        """

    def batch_norm(
        self,
        x: Array,
        gain: Array,
        bias: Array,
        mean: Array,
        variance: Array,
        momentum: float,
        eps: float,
        y: Array,
        norm: Array,
        scale: Array,
    ) -> Step:
        """As layer_norm, over columns: x, y, norm (R, C); all others (C,), scale written.

        The running ``mean`` and ``variance`` move to the batch's by ``momentum`` in place, the
        variance to the unbiased one (R / (R - 1), where R > 1).
        """

    def batch_norm_backward(
        self,
        dy: Array,
        gain: Array,
        norm: Array,
        scale: Array,
        dgain: Array,
        dbias: Array,
        dx: Array,
    ) -> Step:
        """dgain = Σ_r dy norm; dbias = Σ_r dy;
        dx = gain scale (dy - dbias / R - norm dgain / R); dx may be dy.
        """

    def batch_norm_apply(
        self,
        x: Array,
        gain: Array,
        bias: Array,
        mean: Array,
        variance: Array,
        eps: float,
        y: Array,
    ) -> Step:
        """y = gain (x - mean) / sqrt(variance + eps) + bias. x, y (R, C), the others (C,)."""

    def dropout(
        self, x: Array, rate: float, key: Callable[[], int], y: Array, factor: Array
    ) -> Step:
        """factor[i] = 0 with probability ``rate``, else 1 / (1 - rate); y = factor x.

        Number i of the array, in C order, is dropped where mix(i * 0x9E3779B9 + key()) is below
        rate * 2^32, in 32-bit arithmetic; mix is ``h ^= h >> 16; h *= 0x7FEB352D; h ^= h >> 15;
        h *= 0x846CA68B; h ^= h >> 16`` (Wellons' lowbias32). All arrays of one shape.
        """

    def embedding_bag(self, index: Array, table: Array, y: Array) -> Step:
        """y[b] = Σ_n table[index[b, n]], over indices that are not negative.

        index (B, N) int32 below V, table (V, E), y (B, E).
        """

    def embedding_bag_backward(self, index: Array, dy: Array, dtable: Array) -> Step:
        """dtable = Σ over (b, n) of dy[b] at row index[b, n], 0 elsewhere.

        A large table is written at the rows of this call and of the one before, no others: these
        steps expect that nobody else writes dtable (V, E), which starts as zeros.
        """
