"""Learning from taught rows: observations with a class or with numbers to predict.

Shapes: C slots of the ring, B rows of a batch, D features, K outputs of the network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.backend import Backend, FitStep, Host
from agentd.engine.errors import ShapeError
from agentd.engine.learners.descent import Descent, DescentLearner, quiet
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.learners.supervised_step import bind_supervised_step
from agentd.engine.learners.value_loss import ValueLoss, huber_width
from agentd.engine.learners.whole_step import bind_fit
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import refuse_normalize
from agentd.engine.optim import Optimizer
from agentd.engine.optim.losses import LossArrays, bind_loss
from agentd.engine.optim.spec import Count, Evidence, LossSpec, NotNegative
from agentd.engine.replay.rows import NoValidStart, RowFormat
from agentd.engine.replay.sampling import get_rng_state, sampler_rng, set_rng_state
from agentd.engine.strictyaml import Positive, Record

ClassLoss: TypeAlias = Literal["cross_entropy", "edl_log", "edl_digamma", "edl_squared"]


@dataclass(slots=True)
class TeachRows:
    """A ring's columns of taught rows, each indexed by slot; row i lies in slot ``i % C``.

    obs     (C, row_bytes) uint8, see `RowFormat`
    target  (C, 1) int32 class in [0, K), or (C, K) float32 numbers
    weight  (C,) float32, how much the row counts; 1 is ordinary
    """

    format: RowFormat
    obs: NDArray[np.uint8]
    target: NDArray[Any]
    weight: NDArray[np.float32]

    @property
    def capacity(self) -> int:
        """C, the slots of the ring."""
        return len(self.weight)


class SupervisedConfig(Record, frozen=True, kw_only=True):
    """Learning from ``teach`` rows: class targets or regression targets."""

    target: Literal["class", "value"] = "class"  # int32 class, or float32 per output
    batch: Annotated[int, Meta(ge=1, le=65536)] = 64  # rows per update
    clip_norm: Positive | None = None  # bound on the gradient's norm
    loss: ClassLoss = "cross_entropy"  # of classes; edl_*: answers bring novelty
    evidence: Evidence = "exp"  # edl_*: what makes evidence of an output
    # edl_*: the share of the divergence that holds evidence for wrong classes down
    kl_weight: NotNegative = 1.0
    kl_updates: Count = 10_000  # edl_*: updates until that share is whole; it rises from 0

    def __post_init__(self) -> None:
        if self.target == "value" and self.loss != "cross_entropy":
            raise ValueError(f"supervised.loss ({self.loss}) is for target class")

    @property
    def evidential(self) -> LossSpec | None:
        """The loss where outputs are evidence for classes, its epochs being updates."""
        if self.loss == "cross_entropy":
            return None
        return LossSpec(
            name=self.loss,
            evidence=self.evidence,
            kl_weight=self.kl_weight,
            kl_epochs=self.kl_updates,
        )


class SupervisedLearner(DescentLearner):
    """Fits the network to taught rows, drawn uniformly with replacement.

    ``loss`` is that of a regression; classes have that of ``config``. ``weights`` are the
    first parameters (n_params,); without them the network draws them from ``seed``. Satisfies
    `engine.learners.learner.Learner`, for `TeachRows`.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        optimizer: Optimizer,
        format: RowFormat,
        config: SupervisedConfig,
        seed: int,
        weights: NDArray[np.float32] | None = None,
        *,
        loss: ValueLoss = "huber",
    ) -> None:
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        size, outputs = config.batch, network.output_shape
        if len(outputs) != 1:
            raise ShapeError("supervised network's output", "(K,)", outputs)
        self.config, self._huber = config, huber_width(loss)
        self._backend, self._format = backend, format
        self._descent = Descent(network, backend, optimizer, config.clip_norm, weights)
        self._learn = Pass(network, backend, size, training=True, seed=seed)
        self._rng = sampler_rng(seed)
        refuse_normalize(network)
        is_class = config.target == "class"
        self._label_shape = (size,) if is_class else (size, *outputs)
        self._reader = _TeachReader(format, size, 1 if is_class else outputs[0], is_class)
        self._label = backend.zeros(self._label_shape, "int32" if is_class else "float")
        self._weight = backend.zeros((size,))
        self._evidential, self._pull = config.evidential, backend.zeros((1,))
        self._step = self._bind_whole(network, is_class) or self._bind_ops(is_class)
        self._has_output = False

    @property
    def stats(self) -> dict[str, float]:
        """The last update's figures: the unweighted mean loss, and ``accuracy`` for classes."""
        stats = self._descent.stats()
        stats["loss"] /= self.config.batch
        if self.config.target == "class" and not self._has_output:
            stats["accuracy"] = nan
        elif self.config.target == "class":
            best = self._backend.to_host(self._y).argmax(axis=1)
            stats["accuracy"] = float((best == self._backend.to_host(self._label)).mean())
        return stats

    @quiet
    def update(self, rows: TeachRows, lo: int, hi: int, ahead: int = 1) -> None:
        """Take one gradient step on rows drawn from [lo, hi). Raises NoValidStart when empty."""
        reader, write = self._reader, self._backend.write
        reader.read(rows, lo, hi, self._rng)
        write(self._label, reader.target.reshape(self._label_shape))
        write(self._weight, reader.weight)
        if self._evidential is not None:
            pull = self._evidential.pull(self._descent.updates)
            write(self._pull, np.array([pull], np.float32))
        self._step(reader.x)
        self._has_output = True

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return the parameters, optimizer, sampler and counters."""
        arrays, scalars = self._descent.get_state()
        return arrays, {
            **scalars,
            "sampler": get_rng_state(self._rng),
            "pass": self._learn.get_state(),
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        set_rng_state(self._rng, scalars["sampler"])
        self._learn.set_state(scalars["pass"])

    def _bind_whole(self, network: Network, is_class: bool) -> Callable[[Host], bool] | None:
        """Bind the step as one call where backend, network, loss and optimizer have it."""
        if self._evidential is not None:
            return None
        self._y = self._backend.empty((self.config.batch, *network.output_shape))
        fit = FitStep(
            label=self._label, weight=self._weight, y=self._y, is_class=is_class, huber=self._huber
        )
        return bind_fit(self._backend, network, self._descent, fit)

    def _bind_ops(self, is_class: bool) -> Callable[[Host], bool]:
        backend, learn, size, params = self._backend, self._learn, self.config.batch, self.params
        y = self._y = learn.output(params, size)
        dy, each = learn.output_gradient(params, size), backend.zeros((size,))
        label, weight = self._label, self._weight
        if self._evidential is not None:
            arrays = LossArrays(y=y, target=label, dy=dy, loss=each, weight=weight, pull=self._pull)
            loss = bind_loss(self._evidential, backend, arrays)
        elif is_class:
            loss = backend.softmax_cross_entropy(y, label, None, weight, 0.0, dy, each)
        elif self._huber is not None:
            loss = backend.huber(y, label, weight, self._huber, dy, each)
        else:
            loss = backend.squared_error(y, label, weight, dy, each)
        return bind_supervised_step(backend, learn, self._descent, size, loss, each)


class _TeachReader:
    """Draws rows and gathers them into buffers of its own: x (B, D), target, weight (B,)."""

    def __init__(self, format: RowFormat, size: int, width: int, is_class: bool) -> None:
        self._format = format
        self.x = np.empty((size, format.features), np.float32)
        self.target = np.empty((size, width), np.int32 if is_class else np.float32)
        self.weight = np.empty(size, np.float32)
        self._raw = np.empty((size, format.row_bytes), np.uint8)
        self._unit = np.empty(size)
        self._slot = np.empty(size, np.int64)
        if format.is_float32:
            self._raw = self.x.view(np.uint8)

    def read(self, rows: TeachRows, lo: int, hi: int, rng: np.random.Generator) -> None:
        if hi <= lo:
            raise NoValidStart(f"no rows in [{lo}, {hi})")
        slot = self._slot
        rng.random(out=self._unit)
        self._unit *= hi - lo
        np.copyto(slot, self._unit, casting="unsafe")
        slot += lo
        np.remainder(slot, rows.capacity, out=slot)
        np.take(rows.obs, slot, axis=0, out=self._raw, mode="clip")
        if not self._format.is_float32:
            self._format.decode(self._raw, self.x)
        np.take(rows.target, slot, axis=0, out=self.target, mode="clip")
        np.take(rows.weight, slot, out=self.weight, mode="clip")
