"""Float matrices as int8 with a scale for each column: to the nearest, or with errors made good.

Shapes: n rows of calibration, K inputs, N outputs. Sums are float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
STEPS = 127
"""Steps of an int8 weight on either side of 0."""
_BLOCK = 128
_DAMPING = 1e-5
"""How much a change of the weights costs beside what it mends, as a share of the inputs' mean
square: what keeps weights sane that the calibration rows hardly move."""


@dataclass(frozen=True, slots=True, eq=False)
class Int8Matrix:
    """ints (K, N) int8 in -127..127, scale (N,) float32: the weights are ``ints * scale``."""

    ints: NDArray[np.int8]
    scale: Floats

    @property
    def values(self) -> Floats:
        """The weights (K, N) float32."""
        return self.ints * self.scale

    @property
    def nbytes(self) -> int:
        """Bytes of the ints and the scales."""
        return self.ints.nbytes + self.scale.nbytes


def round_columns(w: Floats) -> Int8Matrix:
    """Round w (K, N) to the nearest: each column's largest number is 127 times its scale."""
    scale = column_scales(w)
    return Int8Matrix(_nearest(w, scale), scale)


def column_scales(w: NDArray[np.floating]) -> Floats:
    """Return the scale (N,) of each column; 1 for a column of zeros."""
    largest = np.abs(w).max(axis=0, initial=0)
    return np.where(largest > 0, largest / STEPS, 1).astype(np.float32)


class Fit:
    """The least squares of one layer: x (n, K) as rounded layers before it give, y (n, N) wanted.

    Minimised is |x w + b - y|² / n + damping |w - w0|² for given weights w0; with ``bias`` the
    layer has a bias, which costs nothing to change. Rounding goes input by input, and what the
    rounding of one input does to the outputs is made good by the weights of the inputs that are
    still to be rounded, the bias last: Frantar et al. 2022, arXiv:2210.17323, equations 2 and 3,
    after Hassibi & Stork 1993.
    """

    def __init__(self, x: Floats, bias: bool) -> None:
        ones = [np.ones((len(x), 1))] if bias else []
        self._x: Doubles = np.concatenate([x.astype(np.float64), *ones], axis=1)
        self._k = x.shape[1]
        self._h = self._x.T @ self._x / len(x)
        damping = _DAMPING * max(float(np.trace(self._h[: self._k, : self._k])) / self._k, 1e-12)
        self._h[np.diag_indices(self._k)] += damping
        if bias:
            self._h[-1, -1] += 1e-9 * damping

    def solve(self, w: Floats, b: Floats | None, y: Doubles) -> tuple[Doubles, Doubles | None]:
        """Return the weights (K, N) and the bias (N,) that fit best."""
        whole = w.astype(np.float64) if b is None else np.vstack([w, b]).astype(np.float64)
        whole += np.linalg.solve(self._h, self._x.T @ (y - self._x @ whole) / len(y))
        return whole[: self._k], None if b is None else whole[-1]

    def round(self, w: Doubles, b: Doubles | None) -> tuple[Int8Matrix, Floats | None]:
        """Round weights, the strongest input first; return them and the bias that goes with it."""
        scale = column_scales(w)
        order = np.argsort(-np.diag(self._h)[: self._k], kind="stable")
        whole = w[order] if b is None else np.vstack([w[order], b])
        order = np.append(order, np.arange(self._k, len(whole)))
        inverse = np.linalg.inv(self._h[np.ix_(order, order)])
        upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
        ints, wrong = np.empty(w.shape, np.int8), np.empty((_BLOCK, w.shape[1]))
        for begun in range(0, self._k, _BLOCK):
            end = min(begun + _BLOCK, self._k)
            for i in range(begun, end):  # within the block at once, beyond it all together
                ints[order[i]] = _nearest(whole[i], scale)
                error = (whole[i] - ints[order[i]] * scale.astype(np.float64)) / upper[i, i]
                whole[i + 1 : end] -= np.outer(upper[i, i + 1 : end], error)
                wrong[i - begun] = error
            whole[end:] -= upper[begun:end, end:].T @ wrong[: end - begun]
        return Int8Matrix(ints, scale), None if b is None else whole[-1].astype(np.float32)


def _nearest(w: NDArray[np.floating], scale: Floats) -> NDArray[np.int8]:
    ints: NDArray[np.int8] = np.clip(np.rint(w / scale), -STEPS, STEPS).astype(np.int8)
    return ints
