"""Gradient descent: guarded, resumable optimizer steps of a network's parameters."""

from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import AdamConstants, Array, Backend, DescentArrays, Host
from agentd.engine.errors import ShapeError
from agentd.engine.learners.average import WeightAverage
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.network import Network
from agentd.engine.optim import Optimizer

ONLINE = "online"
"""The name in a state of the parameters that updates move, where others are played."""

quiet = np.errstate(over="ignore", invalid="ignore")
"""Decorator: let NumPy not warn of numbers that are not finite, since `Descent` handles them."""


class Descent:
    """Parameters, their gradient, and guarded optimizer steps.

    ``params`` and ``gradient`` (n_params,) stay the same arrays, so that ops may be bound to them.
    The loss op writes its mean or sum to ``loss`` (1,). A step whose loss or gradient norm is not
    finite is skipped: parameters and optimizer state stay as they were. ``played`` are the
    parameters for whoever acts: the mean of the last ``average`` updates' where one is asked for.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        optimizer: Optimizer,
        clip_norm: float | None,
        weights: NDArray[np.float32],
        average: int | None = None,
    ) -> None:
        if weights.shape != (network.n_params,):
            raise ShapeError("weights", (network.n_params,), weights.shape)
        self.params = backend.asarray(weights)
        self.gradient = backend.zeros((network.n_params,))
        self.updates = 0
        self.skipped = 0
        self.skipped_in_row = 0
        self.measured = False  # whether a step has written loss and norm
        self._backend, self._optimizer, self._clip_norm = backend, optimizer, clip_norm
        self._elsewhere = optimizer.share()
        self._average = None if average is None else WeightAverage(backend, self.params, average)
        self.played = self.params if self._average is None else self._average.mean
        trainable = backend.rows(self.gradient, 0, network.n_trainable)
        self._figures = backend.zeros((2,))
        self.loss = backend.rows(self._figures, 0, 1)
        norm = backend.rows(self._figures, 1, 2)
        if clip_norm is None:
            self._measure = backend.norm(trainable, norm)
        else:
            self._measure = backend.clip_norm(trainable, clip_norm, norm)

    @property
    def shared(self) -> DescentArrays | None:
        """The arrays of a step in one call; None where the optimizer does not take part in one."""
        rule = self._elsewhere
        if rule is None:
            return None
        return DescentArrays(
            params=self.params,
            gradient=self.gradient,
            m=rule.m,
            v=rule.v,
            figures=self._figures,
            clip_norm=self._clip_norm,
        )

    def step(self) -> bool:
        """Take an optimizer step along ``gradient``; return whether it was finite and taken."""
        self._measure()
        if not self._is_finite():
            return False
        self._optimizer.step(self.params, self.gradient)
        self._take_in()
        return True

    def step_by(self, whole: Callable[[AdamConstants], object]) -> bool:
        """Run a step in one call over ``shared``; return whether it was finite and taken."""
        assert self._elsewhere is not None, "nothing was shared"
        whole(self._elsewhere.constants())
        if not self._is_finite():
            return False
        self._elsewhere.taken()
        self._take_in()
        return True

    def stats(self) -> dict[str, float]:
        """Return the last step's loss and gradient norm (before clipping), rate and counters.

        Loss and norm are NaN before the first step.
        """
        loss, norm = self._read() if self.measured else (nan, nan)
        return {
            "loss": loss,
            "grad_norm": norm,
            "lr": self._optimizer.lr,
            "updates": float(self.updates),
            "skipped": float(self.skipped),
        }

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return parameters, optimizer state and counters.

        ``params`` are those that are played. Where they are a mean, `ONLINE` are the newest.
        """
        moments, numbers = self._optimizer.get_state()
        arrays = {f"optimizer.{name}": array for name, array in moments.items()}
        arrays["params"] = self._backend.to_host(self.played)
        if self._average is not None:
            arrays[ONLINE] = self._backend.to_host(self.params)
        counters = {
            "updates": self.updates,
            "skipped": self.skipped,
            "skipped_in_row": self.skipped_in_row,
        }
        return arrays, {**counters, "optimizer": numbers}

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue from ``get_state``'s result; ignore arrays of other names."""
        mark = "optimizer."
        moments = {k.removeprefix(mark): v for k, v in arrays.items() if k.startswith(mark)}
        self._optimizer.set_state(moments, scalars["optimizer"])
        self._backend.write(self.params, arrays.get(ONLINE, arrays["params"]))
        if self._average is not None:
            self._backend.write(self.played, arrays["params"])
        self.updates = int(scalars["updates"])
        self.skipped = int(scalars["skipped"])
        self.skipped_in_row = int(scalars["skipped_in_row"])

    def _take_in(self) -> None:
        if self._average is not None:
            self._average.follow(self.updates)

    def _is_finite(self) -> bool:
        """Return whether loss and norm are finite; count the step as taken or skipped."""
        loss, norm = self._read()
        self.measured = True
        if not (isfinite(loss) and isfinite(norm)):
            self.skipped += 1
            self.skipped_in_row += 1
            return False
        self.updates += 1
        self.skipped_in_row = 0
        return True

    def _read(self) -> tuple[float, float]:
        loss, norm = self._backend.to_host(self._figures).tolist()
        return loss, norm


class DescentLearner:
    """The part of a `Learner` whose parameters a `Descent` moves."""

    _descent: Descent

    @property
    def params(self) -> Array:
        """The parameters (n_params,) for whoever acts: the newest, or a mean of many updates'."""
        return self._descent.played

    @property
    def updates(self) -> int:
        """Gradient steps taken."""
        return self._descent.updates

    @property
    def skipped_in_row(self) -> int:
        """Updates skipped since the last one taken."""
        return self._descent.skipped_in_row
