"""Trainer: fits a network to data, epoch by epoch, resumable at any step.

net = Network(Dense(8), Tanh(), Dense(1), input_shape=(2,))
trainer = Trainer(net, loss="squared_error", optimizer="adam", batch=4)
trainer.fit(Dataset.from_arrays(x, y), epochs=200)
trainer.predict(x)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import isfinite, prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Backend, Host
from agentd.engine.checkpointing import MemorySpec, PolicyFunction
from agentd.engine.data import Batches, DataError, Dataset, Minibatch, Normalizer, no_normalizer
from agentd.engine.errors import EngineError, ModelError, ShapeError
from agentd.engine.learners.descent import Descent
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.learners.supervised_step import bind_supervised_step
from agentd.engine.learners.whole_step import bind_fit
from agentd.engine.network import Network, Pass
from agentd.engine.network.network import refuse_memory
from agentd.engine.network.normalize import refuse_normalize
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import LossSpec, OptimizerSpec
from agentd.engine.training.evaluator import BatchEvaluator
from agentd.engine.training.objective import Bound, Objective
from agentd.engine.training.reports import EpochReport, EpochSums, EvaluationReport
from agentd.engine.training.spec import StopSpec

MAX_SKIPPED = 10
Rounds: TypeAlias = Callable[["Trainer", int, StopSpec, Sequence["Callback"]], bool]
"""Takes the rest of an epoch of so many batches in the trainer's place.

Moves its state, ``position`` and ``steps`` on, and calls ``on_step``; False when it was stopped
before the epoch's end.
"""


class Diverged(EngineError):
    """Raised when loss or gradient were not finite several steps in a row."""


class Callback:
    """Listens to a training run; override what you need. ``trainer.stop(why)`` ends the run."""

    def on_start(self, trainer: Trainer) -> None:
        """Called once before the first step of a call of ``fit``."""

    def on_step(self, trainer: Trainer) -> None:
        """Called after every step; ``trainer.tally`` holds the epoch so far."""

    def on_epoch(self, trainer: Trainer, report: EpochReport) -> None:
        """Called after every epoch and its validation."""

    def on_end(self, trainer: Trainer) -> None:
        """Called once when ``fit`` returns, also after a stop."""


class Trainer:
    """A network, its optimizer and its loss; ``fit`` trains, ``evaluate`` and ``predict`` use it.

    loss, optimizer  a record, or just its name; no loss: the one that fits `is_class`
    batch            B, rows of a step
    seed             of first weights, shuffling and dropout
    is_class         whether targets are classes, for a loss that takes both
    normalizer       of the inputs, part of the model
    weights          first parameters (n_params,); drawn from ``seed`` without
    clock            seconds, for the reports
    memory, policy   what a step keeps for backward, as `Pass` has them; steps in one call, which
                     keep nothing, are then taken op by op

    Raises ModelError or ShapeError where the loss does not fit the network.
    """

    def __init__(
        self,
        network: Network,
        *,
        loss: LossSpec | str | None = None,
        optimizer: OptimizerSpec | str = "adam",
        batch: int = 32,
        seed: int = 0,
        is_class: bool = True,
        normalizer: Normalizer | None = None,
        backend: Backend | None = None,
        weights: NDArray[np.float32] | None = None,
        clock: Callable[[], float] | None = None,
        memory: MemorySpec | None = None,
        policy: PolicyFunction | None = None,
    ) -> None:
        self.network, self.batch, self.seed = network, batch, seed
        self.is_class = is_class
        self.normalizer = normalizer or no_normalizer()
        self.epoch, self.position, self.steps = 0, 0, 0
        self.tally = EpochSums()
        self.stopped = ""
        self._backend = backend or NumPyBackend()
        self._clock = clock
        loss = LossSpec(name=loss) if isinstance(loss, str) else loss  # type: ignore[arg-type]
        rule = OptimizerSpec(name=optimizer) if isinstance(optimizer, str) else optimizer  # type: ignore[arg-type]
        self._optimizer = make_optimizer(rule, self._backend, network.n_trainable)
        if len(network.output_shape) != 1:
            raise ModelError(f"the network gives {network.output_shape}: expected a row of outputs")
        refuse_normalize(network)
        refuse_memory(network, "training from data")
        (outputs,) = network.output_shape
        self._objective = Objective(loss, self._backend, outputs, is_class)
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        self._descent = Descent(network, self._backend, self._optimizer, None, weights)
        self._learn = Pass(
            *(network, self._backend, batch),
            training=True,
            seed=seed,
            memory=memory,
            policy=policy,
        )
        self._features = prod(network.input_shape)
        self._bound: dict[int, _BoundStep] = {}
        self._bind(batch)  # a loss that does not fit is refused here, not at the first step
        self._best: tuple[float, float] | None = None
        self._since_best = 0

    @property
    def weights(self) -> NDArray[np.float32]:
        """A copy of the parameters (n_params,)."""
        return self._backend.to_host(self._descent.params)

    @property
    def lr(self) -> float:
        """The rate of the next step."""
        return self._optimizer.lr

    # -- training ----------------------------------------------------------------------------

    def fit(
        self,
        data: Dataset,
        *,
        epochs: int,
        validation: Dataset | None = None,
        stop: StopSpec | None = None,
        callbacks: Sequence[Callback] = (),
        ahead: int = 2,
        rounds: Rounds | None = None,
    ) -> list[EpochReport]:
        """Train until ``epochs`` epochs are done in all; return the reports of those done here.

        Goes on where ``set_state`` or an earlier stop left off. ``rounds`` takes the steps, where
        it is given. Raises Diverged.
        """
        self.stopped = ""
        self._check(data)
        batches = Batches(
            data, self.batch, self.normalizer, seed=self.seed, ahead=ahead, clock=self._clock
        )
        stop = stop or StopSpec()
        reports = []
        for callback in callbacks:
            callback.on_start(self)
        limit = stop.max_steps or sys.maxsize
        while self.epoch < epochs and self.steps < limit and not self.stopped:
            waited, began = batches.waited_s, self._now()
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # `Descent` looks
                if rounds is None:
                    whole = self._run_epoch(batches, stop, callbacks)
                else:
                    whole = rounds(self, batches.count, stop, callbacks)
            if not whole:
                break
            seconds, waited = self._now() - began, batches.waited_s - waited
            report = self._close_epoch(validation, seconds, waited)
            self._consider(report, stop)
            reports.append(report)
            for callback in callbacks:
                callback.on_epoch(self, report)
        for callback in callbacks:
            callback.on_end(self)
        return reports

    def step(self, batch: Minibatch) -> float:
        """Take one optimizer step on a batch; return its mean loss (NaN when it was skipped).

        Inputs must be normalised already. Raises ShapeError for a batch of another shape, Diverged.
        """
        rows = len(batch.inputs)
        bound = self._bind(rows)
        if batch.inputs.size != rows * self._features:
            shape = (rows, *self.network.input_shape)
            raise ShapeError("batch inputs", shape, batch.inputs.shape)
        self._objective.write(bound.loss, batch.targets)
        taken = bound.take(batch.inputs)
        self.steps += 1
        if not taken:
            if self._descent.skipped_in_row >= MAX_SKIPPED:
                raise Diverged(
                    f"{MAX_SKIPPED} steps in a row were not finite, at step {self.steps}"
                )
            return float("nan")
        total = float(self._backend.to_host(self._descent.loss)[0])
        self.tally.rows += rows
        self.tally.loss_sum += total
        if batch.targets.ndim == 1:
            predicted = self._backend.to_host(bound.loss.y).argmax(1)
            self.tally.correct += int(np.count_nonzero(predicted == batch.targets))
        return total / rows

    def stop(self, why: str) -> None:
        """End ``fit`` after the step or epoch that is under way."""
        self.stopped = why

    @property
    def is_best(self) -> bool:
        """Whether the last epoch was better than all before it."""
        return self._best is not None and self._since_best == 0

    # -- using -------------------------------------------------------------------------------

    def evaluate(self, data: Dataset) -> EvaluationReport:
        """Return the mean loss and, for classes, accuracy and confusion matrix on ``data``.

        Raises DataError where the data is not of the network's sizes.
        """
        self._check(data)
        return self._evaluator.evaluate(self._descent.params, data)

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the network's outputs (N, K) for raw inputs (N, ...)."""
        flat = np.asarray(inputs).reshape(len(inputs), -1)
        if flat.shape[1] != prod(self.network.input_shape):
            raise ShapeError("inputs", ("N", *self.network.input_shape), np.shape(inputs))
        data = Dataset(flat, np.zeros((len(flat), 1), np.float32), (flat.shape[1],))
        found = [y for _, y in self._evaluator.outputs(self._descent.params, data)]
        return np.concatenate(found)

    # -- state -------------------------------------------------------------------------------

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return everything that the next step depends on, but for the data itself."""
        arrays, scalars = self._descent.get_state()
        return arrays, {
            **scalars,
            "pass": self._learn.get_state(),
            "epoch": self.epoch,
            "position": self.position,
            "steps": self.steps,
            "tally": [self.tally.rows, self.tally.loss_sum, self.tally.correct],
            "best": None if self._best is None else list(self._best),
            "since_best": self._since_best,
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        self._learn.set_state(scalars["pass"])
        self.epoch, self.position = int(scalars["epoch"]), int(scalars["position"])
        self.steps = int(scalars["steps"])
        self.tally = EpochSums(*scalars["tally"])
        best = scalars["best"]
        self._best = None if best is None else (float(best[0]), float(best[1]))
        self._since_best = int(scalars["since_best"])

    # -- inside ------------------------------------------------------------------------------

    def _run_epoch(self, batches: Batches, stop: StopSpec, callbacks: Sequence[Callback]) -> bool:
        """Take the epoch's remaining steps; False when it was stopped before its end."""
        rest = batches.epoch(self.epoch, self.position)
        self._objective.anneal(self.epoch)
        try:
            for batch in rest:
                self.step(batch)
                self.position += 1
                for callback in callbacks:
                    callback.on_step(self)
                if stop.max_steps is not None and self.steps >= stop.max_steps:
                    self.stop(f"{self.steps} steps are done")
                if self.stopped and self.position < batches.count:
                    return False
        finally:
            if isinstance(rest, Iterator) and hasattr(rest, "close"):
                rest.close()
        return True

    def _close_epoch(
        self, validation: Dataset | None, seconds: float, waited: float
    ) -> EpochReport:
        found = None if validation is None else self.evaluate(validation)
        tally, self.tally = self.tally, EpochSums()
        self.epoch, self.position = self.epoch + 1, 0
        accuracy = tally.accuracy if self.is_class else None
        return EpochReport(
            self.epoch, self.steps, tally.loss, accuracy, found, self.lr, seconds, waited
        )

    def _consider(self, report: EpochReport, stop: StopSpec) -> None:
        """Compare the epoch with the best so far; stop when it is good enough or none gets better.

        Classes are compared by accuracy, then loss; numbers by loss.
        """
        loss, accuracy = report.judged
        self._optimizer.observe(loss)
        now = (-(accuracy or 0.0), loss)
        best = self._best
        better = best is None or now[0] < best[0]
        better = better or (
            best is not None and now[0] == best[0] and now[1] < best[1] - stop.min_delta
        )
        better = better and isfinite(loss)
        self._since_best = 0 if better else self._since_best + 1
        self._best = now if better else best
        if stop.target_loss is not None and loss <= stop.target_loss:
            self.stop(f"the loss reached {loss:.4g}")
        elif stop.target_accuracy is not None and (accuracy or 0.0) >= stop.target_accuracy:
            self.stop(f"the accuracy reached {accuracy:.4f}")
        elif stop.patience is not None and self._since_best >= stop.patience:
            self.stop(f"no better result in {stop.patience} epochs")

    def _bind(self, rows: int) -> _BoundStep:
        known = self._bound.get(rows)
        if known is None:
            learn, params = self._learn, self._descent.params
            y, dy = learn.output(params, rows), learn.output_gradient(params, rows)
            bound = self._objective.bind(y, dy)
            take = self._bind_whole(bound) or bind_supervised_step(
                self._backend, learn, self._descent, rows, bound.run, bound.loss
            )
            known = self._bound[rows] = _BoundStep(bound, take)
        return known

    def _bind_whole(self, bound: Bound) -> Callable[[Host], bool] | None:
        """Bind the step in one call where backend, network, loss and optimizer have it."""
        fit = self._objective.fit_step(bound)
        if fit is None or self._learn.memory is not None:
            return None
        return bind_fit(self._backend, self.network, self._descent, fit)

    @cached_property
    def _evaluator(self) -> BatchEvaluator:
        return BatchEvaluator(self.network, self._backend, self._objective, self.normalizer)

    def _check(self, data: Dataset) -> None:
        """Refuse data of other sizes than the network's."""
        inputs, (outputs,) = prod(self.network.input_shape), self.network.output_shape
        fits = data.classes <= outputs if data.classes else data.outputs == outputs
        if data.features != inputs or not fits:
            raise DataError(
                "data of another size than the network",
                file=data.file,
                expected=f"{inputs} inputs and {outputs} outputs",
                got=f"{data.features} and {data.outputs}",
            )

    def _now(self) -> float:
        return self._clock() if self._clock else 0.0


class _BoundStep(NamedTuple):
    """One batch size's loss, and what takes the step from inputs."""

    loss: Bound
    take: Callable[[Host], bool]
