"""Normalisation: a shift and a scale of each input, found on training data, kept with the model."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data.dataset import Dataset

Normalize: TypeAlias = Literal["auto", "none", "range", "standard"]
_CHUNK = 8192
_WIDE = 1e37


@dataclass(frozen=True)
class Normalizer:
    """y = (x - shift) * scale. shift, scale (D,) or (1,) float32; `identity` changes nothing."""

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def identity(self) -> bool:
        return not self.shift.any() and bool((self.scale == 1).all())

    def apply(self, x: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write the normalised ``x`` (n, D) into ``out`` (n, D), in place."""
        if not self.shift.any():
            np.multiply(x, self.scale, out=out, casting="unsafe", dtype=np.float32)
            return
        wide = np.abs(self.shift).max() > _WIDE  # x - shift may be no float32
        kind = np.float64 if wide else np.float32
        far = np.subtract(x, self.shift, None if wide else out, casting="unsafe", dtype=kind)
        np.multiply(far, self.scale, out=out, casting="unsafe")


def no_normalizer() -> Normalizer:
    """Return the one that changes nothing."""
    return Normalizer(np.zeros(1, np.float32), np.ones(1, np.float32))


def find_normalizer(data: Dataset, how: Normalize) -> Normalizer:
    """Return the normaliser of ``data``'s rows.

    "standard" gives each input mean 0 and deviation 1, "range" the smallest 0 and the largest 1;
    inputs that never change become 0. "auto" divides bytes by 255 and leaves other numbers alone.
    """
    if how == "auto" and data.inputs.dtype == np.uint8:
        return Normalizer(np.zeros(1, np.float32), np.full(1, 1 / 255, np.float32))
    if how in ("none", "auto"):
        return no_normalizer()
    low, high, mean, deviation = _moments(data)
    shift, width = (low, high - low) if how == "range" else (mean, deviation)
    tiny = 1e-6 * np.maximum(np.abs(low), np.abs(high)) + 1e-30
    scale = np.where(width > tiny, 1 / np.where(width > tiny, width, 1), 1)
    return Normalizer(shift.astype(np.float32), scale.astype(np.float32))


def _moments(data: Dataset) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return smallest, largest, mean and standard deviation of each input, (D,) float64.

    Summed is x minus the first row, so that large numbers that differ little keep their digits.
    """
    index = data.index
    origin = data.inputs[0 if index is None else index[0]].astype(np.float64)
    low, high = origin.copy(), origin.copy()
    total, squares = np.zeros_like(origin), np.zeros_like(origin)
    for start in range(0, len(data), _CHUNK):
        at = slice(start, start + _CHUNK)
        x = data.inputs[at if index is None else index[at]].astype(np.float64)
        np.minimum(low, x.min(0), out=low)
        np.maximum(high, x.max(0), out=high)
        x -= origin
        total += x.sum(0)
        squares += np.einsum("nd,nd->d", x, x)
    mean = total / len(data)
    deviation = np.sqrt(np.maximum(squares / len(data) - mean**2, 0))
    return low, high, origin + mean, deviation
