"""Activations and their derivatives, most of them functions of the output alone."""

from collections.abc import Callable

import numpy as np
from numpy import (
    absolute,
    add,
    clip,
    exp,
    expm1,
    greater,
    less,
    log1p,
    logical_and,
    maximum,
    minimum,
    multiply,
    negative,
    subtract,
    tanh,
)

from agentd.engine.backend import Activation, Step, nothing
from agentd.engine.numpy_backend.memory import MemoryOps, Nd

EXP_LIMIT = 10.0
"""``exp`` clips its input to ±10, as the evidential losses want it (arXiv:1806.01768)."""

STRIP = 32_768
"""Numbers of a large array that an op with a scratch takes at once."""

_GELU_A = 0.7978845608028654  # sqrt(2 / pi)
_GELU_B = 0.044715


class ActivationOps(MemoryOps):
    """Elementwise maps over arrays of any shape."""

    def activation(self, act: Activation, x: Nd, y: Nd, slope: float = 0.01) -> Step:
        if act == "identity":
            return self.copy(x, y) if x is not y else nothing
        make: dict[str, Callable[[Nd, Nd, float], Step]] = {
            "relu": self._relu,
            "leaky_relu": self._leaky_relu,
            "sigmoid": self._sigmoid,
            "tanh": self._tanh,
            "softplus": self._softplus,
            "gelu": self._gelu,
            "exp": self._exp,
        }
        return make[act](x, y, slope)

    def activation_backward(
        self, act: Activation, x: Nd, y: Nd, dy: Nd, dx: Nd, slope: float = 0.01
    ) -> Step:
        if act == "identity":
            return self.copy(dy, dx) if dy is not dx else nothing
        if act == "gelu":
            return self._gelu_backward(x, dy, dx)
        make: dict[str, Callable[[Nd, Nd, Nd, float], Step]] = {
            "relu": self._relu_backward,
            "leaky_relu": self._leaky_relu_backward,
            "sigmoid": self._sigmoid_backward,
            "tanh": self._tanh_backward,
            "softplus": self._softplus_backward,
            "exp": self._exp_backward,
        }
        return make[act](y, dy, dx, slope)

    def _relu(self, x: Nd, y: Nd, slope: float) -> Step:
        parts = [(*strip, self.zeros_like(strip[0])) for strip in strips_of(x, y)]

        def step() -> None:
            for x_part, y_part, zero in parts:
                maximum(x_part, zero, out=y_part)  # keeps NaN, unlike fmax

        return step

    def _relu_backward(self, y: Nd, dy: Nd, dx: Nd, slope: float) -> Step:
        zero, strips = self.scalar(0), strips_of(y, dy, dx)
        mask = np.empty(strips[0][0].shape, np.bool_)
        parts = [(*strip, mask[: len(strip[0])]) for strip in strips]

        def step() -> None:
            for y_part, dy_part, dx_part, on in parts:
                greater(y_part, zero, on)
                multiply(dy_part, on, dx_part)

        return step

    def _leaky_relu(self, x: Nd, y: Nd, slope: float) -> Step:
        keep = maximum if slope <= 1 else minimum
        scratch, a = self.empty(x.shape), self.scalar(slope)

        def step() -> None:
            multiply(x, a, scratch)
            keep(x, scratch, out=y)

        return step

    def _leaky_relu_backward(self, y: Nd, dy: Nd, dx: Nd, slope: float) -> Step:
        zero = self.scalar(0)
        on, factor = np.empty(y.shape, np.bool_), self.empty(y.shape)
        rise, low = self.scalar(1 - slope), self.scalar(slope)

        def step() -> None:
            greater(y, zero, on)
            multiply(on, rise, factor)
            add(factor, low, factor)
            multiply(dy, factor, dx)

        return step

    def _sigmoid(self, x: Nd, y: Nd, slope: float) -> Step:
        # 1 / (1 + e^-x) = (1 + tanh(x / 2)) / 2, which cannot overflow
        half = self.scalar(0.5)

        def step() -> None:
            multiply(x, half, y)
            tanh(y, y)
            multiply(y, half, y)
            add(y, half, y)

        return step

    def _sigmoid_backward(self, y: Nd, dy: Nd, dx: Nd, slope: float) -> Step:
        one, scratch = self.scalar(1), self.empty(y.shape)

        def step() -> None:  # s (1 - s)
            subtract(one, y, scratch)
            multiply(scratch, y, scratch)
            multiply(dy, scratch, dx)

        return step

    def _tanh(self, x: Nd, y: Nd, slope: float) -> Step:
        return lambda: tanh(x, y)

    def _tanh_backward(self, y: Nd, dy: Nd, dx: Nd, slope: float) -> Step:
        one, scratch = self.scalar(1), self.empty(y.shape)

        def step() -> None:  # 1 - t²
            multiply(y, y, scratch)
            subtract(one, scratch, scratch)
            multiply(dy, scratch, dx)

        return step

    def _softplus(self, x: Nd, y: Nd, slope: float) -> Step:
        zero, scratch = self.zeros_like(x), self.empty(x.shape)

        def step() -> None:  # max(x, 0) + ln(1 + e^-|x|), which cannot overflow
            absolute(x, scratch)
            negative(scratch, scratch)
            exp(scratch, scratch)
            log1p(scratch, scratch)
            maximum(x, zero, out=y)
            add(y, scratch, y)

        return step

    def _softplus_backward(self, y: Nd, dy: Nd, dx: Nd, slope: float) -> Step:
        scratch = self.empty(y.shape)

        def step() -> None:  # sigmoid(x) = 1 - e^-y
            negative(y, scratch)
            expm1(scratch, scratch)
            negative(scratch, scratch)
            multiply(dy, scratch, dx)

        return step

    def _exp(self, x: Nd, y: Nd, slope: float) -> Step:
        low, high = self.scalar(-EXP_LIMIT), self.scalar(EXP_LIMIT)

        def step() -> None:
            clip(x, low, high, y)
            exp(y, y)

        return step

    def _exp_backward(self, y: Nd, dy: Nd, dx: Nd, slope: float) -> Step:
        low, high = exp(self.scalar(-EXP_LIMIT)), exp(self.scalar(EXP_LIMIT))
        above, below = np.empty(y.shape, np.bool_), np.empty(y.shape, np.bool_)

        def step() -> None:  # e^x between the clips, 0 beyond them
            greater(y, low, above)
            less(y, high, below)
            logical_and(above, below, above)
            multiply(dy, y, dx)
            multiply(dx, above, dx)

        return step

    def _gelu(self, x: Nd, y: Nd, slope: float) -> Step:
        inner, scratch = self._gelu_tanh(x)
        one, half = self.scalar(1), self.scalar(0.5)

        def step() -> None:
            inner()
            add(scratch, one, scratch)
            multiply(scratch, half, scratch)
            multiply(x, scratch, y)

        return step

    def _gelu_tanh(self, x: Nd) -> tuple[Step, Nd]:
        """Bind t = tanh(a (x + b x³)); return the step and t (Hendrycks & Gimpel 2016)."""
        scratch = self.empty(x.shape)
        one, a, b = self.scalar(1), self.scalar(_GELU_A), self.scalar(_GELU_B)

        def step() -> None:
            multiply(x, x, scratch)
            multiply(scratch, b, scratch)
            add(scratch, one, scratch)
            multiply(scratch, x, scratch)
            multiply(scratch, a, scratch)
            tanh(scratch, scratch)

        return step, scratch

    def _gelu_backward(self, x: Nd, dy: Nd, dx: Nd) -> Step:
        inner, t = self._gelu_tanh(x)
        slope = self.empty(x.shape)
        one, half, a, b3 = (self.scalar(k) for k in (1, 0.5, _GELU_A, 3 * _GELU_B))

        def step() -> None:  # ½ (1 + t) + ½ x (1 - t²) a (1 + 3 b x²)
            inner()
            multiply(x, x, slope)
            multiply(slope, b3, slope)
            add(slope, one, slope)
            multiply(slope, a, slope)
            multiply(slope, x, slope)
            multiply(dy, half, dx)
            add(t, one, t)
            multiply(slope, t, slope)  # (1 + t) and (1 - t) = 2 - (1 + t)
            subtract(one, t, scratch)
            add(scratch, one, scratch)
            multiply(slope, scratch, slope)
            add(slope, t, slope)
            multiply(dx, slope, dx)

        scratch = self.empty(x.shape)
        return step


def strips_of(*arrays: Nd) -> list[tuple[Nd, ...]]:
    """Cut large arrays of one shape into flat strips: a scratch for one stays in the cache."""
    if arrays[0].size <= STRIP or not all(array.flags.c_contiguous for array in arrays):
        return [arrays]
    flat = [array.reshape(-1) for array in arrays]
    return [tuple(a[i : i + STRIP] for a in flat) for i in range(0, flat[0].size, STRIP)]
