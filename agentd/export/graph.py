"""What a policy computes, apart from any format: inputs by name, layers one after another.

A stage reads what the stage before it left. ``Keep`` lays a copy aside and ``Plus`` adds the newest
copy: so a residual block is a chain too. Shapes leave the batch out; images are (H, W, C).
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Activation, Window
from agentd.engine.quantization import InputRange, Int8Matrix

Shape: TypeAlias = tuple[int, ...]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Weights (K, N) float32 by name.

    ``small`` are the same ones in int8, where they are so, and ``inputs`` the range to which what
    is multiplied with them is rounded, where that is.
    """

    name: str
    values: Floats
    small: Int8Matrix | None = None
    inputs: InputRange | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """Numbers (N,) by name."""

    name: str
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """y = act(x @ w + b)."""

    w: Matrix
    b: Vector | None
    act: Activation = "identity"


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """y = act(windows of x @ w + b); w (KH KW C, E), a tap's channels side by side."""

    w: Matrix
    b: Vector | None
    window: Window
    act: Activation = "identity"


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """y = b + the sum of the rows of w that the input names; an index below 0 names none."""

    w: Matrix
    b: Vector | None


@dataclass(frozen=True, slots=True)
class Pooling:
    """The largest number under a window, or the mean of those that are not padding."""

    window: Window
    largest: bool


@dataclass(frozen=True, slots=True)
class Activate:
    """An elementwise map; ``slope`` is that of leaky_relu."""

    act: Activation
    slope: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Rescale:
    """y = (x - shift) * scale + bias, cut to ±limit; number i takes entry i modulo their length."""

    shift: Vector
    scale: Vector
    bias: Vector
    limit: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Standardize:
    """Each row to mean 0 and variance 1 over its last dimension, then gain and bias."""

    gain: Vector
    bias: Vector
    eps: float


@dataclass(frozen=True, slots=True)
class Merge:
    """Value first, then advantages; Q = V + A - the branch's mean of A, for each of the atoms."""

    branches: Shape
    atoms: int


@dataclass(frozen=True, slots=True)
class Expect:
    """The mean of each action's distribution: of logits over evenly spaced returns, or quantiles.

    ``low`` and ``high`` are None for quantiles. Number z of action a lies at ``z A + a``.
    """

    atoms: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Keep:
    """Lay a copy aside."""


@dataclass(frozen=True, slots=True)
class Plus:
    """Add the newest copy that was laid aside."""


@dataclass(frozen=True, slots=True)
class View:
    """The same numbers as another shape."""


Op: TypeAlias = (
    Affine
    | Convolution
    | Lookup
    | Pooling
    | Activate
    | Rescale
    | Standardize
    | Merge
    | Expect
    | Keep
    | Plus
    | View
)


@dataclass(frozen=True, slots=True, eq=False)
class PolicyStage:
    """An operation and the shapes that it takes and gives."""

    op: Op
    takes: Shape
    gives: Shape


@dataclass(frozen=True, slots=True)
class TensorInput:
    """One tensor of an observation row: ``size`` numbers of ``dtype`` from number ``at`` on."""

    name: str
    dtype: str
    shape: Shape
    at: int

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class PolicyGraph:
    """From the last rows of a game to the best legal action of each branch.

    name          what the file calls it: letters, digits, _
    tensors       of one row, sorted by name
    stack         K, how many rows one input is made of, oldest first; before an episode's first row
                  that row stands
    last_actions  L, how many actions played before the row are part of the input
    branches      actions of each branch; empty where the outputs themselves are the answer
    numbers       what the actions stand for where they are bins: of one branch a row of H numbers
                  an action, of several a row for each of them, of its length
    facts         JSON values that every file carries
    answer        what the outputs are called: q for values of actions
    """

    name: str
    tensors: tuple[TensorInput, ...]
    stages: tuple[PolicyStage, ...]
    branches: Shape = ()
    stack: int = 1
    last_actions: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    answer: str = "q"
    numbers: tuple[tuple[float, ...], ...] = ()

    @property
    def row(self) -> int:
        """Numbers of one row, D."""
        return sum(t.size for t in self.tensors)

    @property
    def input_shape(self) -> Shape:
        """What the first stage takes."""
        return self.stages[0].takes

    @property
    def heads(self) -> int:
        """Numbers of an action, H; 0 where actions are no bins."""
        if not self.numbers:
            return 0
        return len(self.numbers[0]) if len(self.branches) == 1 else len(self.numbers)

    @property
    def outputs(self) -> int:
        """Numbers of the last stage."""
        return prod(self.stages[-1].gives)

    @property
    def places(self) -> int:
        """Pixels beside which a row's channels lie; 1 where a row is no image."""
        return prod(self.input_shape[:-1])

    @property
    def matrices(self) -> list[Matrix]:
        """The matrices of all layers, in order."""
        kinds = (Affine, Convolution, Lookup)
        return [stage.op.w for stage in self.stages if isinstance(stage.op, kinds)]

    @property
    def weight_bytes(self) -> int:
        """Bytes of all numbers that the layers hold."""
        total = 0
        for stage in self.stages:
            for part in ("w", "b", "shift", "scale", "bias", "gain"):
                held = getattr(stage.op, part, None)
                if isinstance(held, Vector):
                    total += held.values.nbytes
                elif isinstance(held, Matrix):
                    total += (held.values if held.small is None else held.small).nbytes
        return total
