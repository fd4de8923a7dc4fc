"""The ops that layers are made of."""

from typing import Protocol

from engine.backend.array import Activation, Array, Shape, Step


class LayerOps(Protocol):
    """Forward and backward of every kind of layer."""

    def affine(
        self, x: Array, w: Array, b: Array | None, y: Array, act: Activation = "identity"
    ) -> Step:
        """y = act(x @ w + b). x (B, D), w (D, E), b (E,), y (B, E).

        ``act`` is one whose derivative is a function of its output: identity, relu, sigmoid, tanh.
        """
        ...

    def matmul_tn(self, x: Array, dy: Array, dw: Array) -> Step:
        """dw = x.T @ dy. x (B, D), dy (B, E), dw (D, E)."""
        ...

    def matmul_nt(self, dy: Array, w: Array, dx: Array) -> Step:
        """dx = dy @ w.T. dy (B, E), w (D, E), dx (B, D)."""
        ...

    def sum_rows(self, dy: Array, db: Array) -> Step:
        """db = dy.sum(0). dy (B, E), db (E,)."""
        ...

    def activation(self, act: Activation, x: Array, y: Array, slope: float = 0.01) -> Step:
        """y = act(x), any shape; y may be x. ``slope`` is leaky_relu's below zero."""
        ...

    def activation_backward(
        self, act: Activation, x: Array, y: Array, dy: Array, dx: Array, slope: float = 0.01
    ) -> Step:
        """dx = dy * act'(x); dx may be dy. Only gelu reads x, the others need only y."""
        ...

    def dueling(self, z: Array, mask: Array | None, branches: Shape, q: Array) -> Step:
        """q = z[:, :1] + a - mean of a over the branch's legal actions, a = z[:, 1:].

        z (B, 1 + A), mask (B, A) uint8 with 1 = legal, q (B, A); ``branches`` sum to A.
        """
        ...

    def dueling_backward(self, dq: Array, mask: Array | None, branches: Shape, dz: Array) -> Step:
        """dz[:, 0] = Σ_a dq; dz[:, 1:] = dq - (legal ? Σ_branch dq / legal actions : 0)."""
        ...
