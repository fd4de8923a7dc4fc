"""From a trained network and rows of its inputs to weights in int8.

The rows run through the network layer by layer. Each matrix is fitted to what the float network
gives there, from what the layers before it give now that they are rounded: so errors do not add up.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Activation, Slot, Step
from agentd.engine.errors import ModelError
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.quantization.products import InputRange, range_of
from agentd.engine.quantization.rounding import Doubles, Fit, Floats, Int8Matrix, round_columns

MOST_ROWS = 8192
"""Rows, or places of images, that one matrix is fitted to."""
_MOST_NUMBERS = 1 << 24  # of the widest layer's input, all rows together
_WIDEST = 4096  # inputs up to which a matrix is fitted: the work grows with their square
_ENOUGH = 2  # rows an input, below which a matrix is rounded to the nearest: it would be overfitted
_SMALL = 0.05
_SEED = 0

See = Callable[[str, Any, Any, Any], None]


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedWeights:
    """A network's weights, int8 where that pays.

    flat (P,) float32 is what is computed with, rounded matrices as their values; ``matrices`` has
    these by their slots' names, (inputs, outputs), a convolution's taps side by side; ``inputs``
    the ranges of what is multiplied with them, where these were asked for. ``rows`` is to how many
    rows the weights were fitted, 0 where they were rounded to the nearest.
    """

    flat: Floats
    matrices: dict[str, Int8Matrix]
    inputs: dict[str, InputRange]
    rows: int

    @property
    def nbytes(self) -> int:
        """Bytes of all weights; what stays float32 takes four a number."""
        rounded = sum(matrix.ints.size for matrix in self.matrices.values())
        return 4 * (self.flat.size - rounded) + sum(m.nbytes for m in self.matrices.values())


def quantize(
    network: Network,
    flat: Floats,
    rows: NDArray[Any] | None = None,
    *,
    ranges: bool = False,
) -> QuantizedWeights:
    """Return the weights flat (P,) with their matrices in int8.

    With calibration rows (n, *input), n >= 1, what rounding does is made good, without any every
    weight is rounded to the nearest. With ``ranges``, which need rows, inputs are rounded too, to
    the range that the rows have there. The first and the last matrix stay float32 where they are
    small beside the others; biases, and what is no matrix, always do.
    """
    if rows is not None and not len(rows):
        raise ModelError("calibration: expected at least one row, got 0")
    if rows is None and ranges:
        raise ModelError("calibration: expected rows to take the inputs' ranges from, got none")
    found = _Rounding(network, flat, ranges)
    fitted = 0
    if rows is None:
        found.nearest()
    else:
        fitted = found.fitted(rows)
    return QuantizedWeights(found.flat, found.matrices, found.inputs, fitted)


class _Rounding:
    def __init__(self, network: Network, flat: Floats, ranges: bool) -> None:
        self.flat = flat.astype(np.float32)
        self.matrices: dict[str, Int8Matrix] = {}
        self.inputs: dict[str, InputRange] = {}
        self._network, self._ranges = network, ranges
        self._sizes: dict[str, int] = {}
        self._widest = 1
        self._calls: Counter[str] = Counter()
        self._wanted: dict[str, Doubles] = {}
        self._spans: dict[str, tuple[float, float]] = {}
        self._run(self._survey, self.flat, self._blank)
        self._kept = _small_ends(self._sizes)

    def nearest(self) -> None:
        """Round every matrix to the nearest."""
        self._run(self._round, self.flat, self._blank)

    def fitted(self, rows: NDArray[Any]) -> int:
        """Fit every matrix to what it gives for the rows, as many as fit; return how many."""
        rows = rows[: max(1, _MOST_NUMBERS // self._widest)]
        self._run(self._note, self.flat, rows)
        self.inputs = {name: range_of(*span) for name, span in self._spans.items()}
        self._run(self._fit, self.flat, rows)
        return len(rows)

    @property
    def _blank(self) -> NDArray[Any]:
        kind = np.float32 if self._network.input_kind == "float" else np.int32
        return np.zeros((1, *self._network.input_shape), kind)

    def _run(self, see: See, flat: Floats, rows: NDArray[Any]) -> None:
        Pass(self._network, _WatchedBackend(see), len(rows)).forward(flat, rows)

    def _survey(self, name: str, x: Any, w: Any, b: Any) -> None:
        self._sizes[name] = w.size
        self._widest = max(self._widest, x.size)

    def _note(self, name: str, x: Any, w: Any, b: Any) -> None:
        """Remember what the float network gives and takes there."""
        self._calls[name] += 1
        if x.dtype.kind != "f":
            return
        if self._ranges and name not in self._kept:
            low, high = self._spans.get(name, (0.0, 0.0))  # recurrent weights come up often
            self._spans[name] = min(low, float(x.min())), max(high, float(x.max()))
        if _ENOUGH * len(w) <= len(x) and len(w) <= _WIDEST:
            self._wanted[name] = _sample(x).astype(np.float64) @ w + (0 if b is None else b)

    def _fit(self, name: str, x: Any, w: Any, b: Any) -> None:
        if name in self.inputs:
            self.inputs[name].round(x)
        if name not in self._wanted or self._calls[name] > 1:
            self._round(name, x, w, b)
            return
        fit = Fit(_sample(x), bias=b is not None)
        solved = fit.solve(w, b, self._wanted.pop(name))
        values: tuple[Any, Any] = solved
        if name not in self._kept:
            self.matrices[name], bias = fit.round(*solved)
            values = self.matrices[name].values, bias
        w[...] = values[0]
        if b is not None:
            b[...] = values[1]

    def _round(self, name: str, x: Any, w: Any, b: Any) -> None:
        if name not in self._kept and name not in self.matrices:
            self.matrices[name] = round_columns(w)
            w[...] = self.matrices[name].values


class _WatchedBackend(NumPyBackend):
    """Shows the input, the weights and the bias of each product before it is computed.

    Whoever sees them may change all three; the input is put right again behind the product.
    """

    def __init__(self, see: See) -> None:
        super().__init__()
        self._see = see
        self._names: dict[int, str] = {}

    def view(self, vector: Any, slot: Slot) -> Any:
        found = super().view(vector, slot)
        self._names[found.ctypes.data] = slot.name
        return found

    def affine(self, x: Any, w: Any, b: Any, y: Any, act: Activation = "identity") -> Step:
        return self._watch(x, w, b, super().affine(x, w, b, y, act))

    def embedding_bag(self, index: Any, table: Any, y: Any) -> Step:
        return self._watch(index, table, None, super().embedding_bag(index, table, y))

    def _watch(self, x: Any, w: Any, b: Any, product: Step) -> Step:
        name, see = self._names[w.ctypes.data], self._see

        def step() -> None:
            before = x.copy()
            see(name, x, w, b)
            product()
            np.copyto(x, before)

        return step


def _small_ends(sizes: dict[str, int]) -> set[str]:
    """Return the names of the first and last matrix that hold a small share of all weights."""
    total, names = sum(sizes.values()), [*sizes]
    return {name for name in (*names[:1], *names[-1:]) if sizes[name] <= _SMALL * total}


def _sample(x: Floats) -> Floats:
    if len(x) <= MOST_ROWS:
        return x
    return x[np.random.default_rng(_SEED).choice(len(x), MOST_ROWS, replace=False)]
