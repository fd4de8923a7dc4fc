"""Learner: what the learner process asks of every algorithm."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

from agentd.engine.backend import Array, Host

Arrays: TypeAlias = dict[str, Host]
"""The arrays of a state, by name."""

Scalars: TypeAlias = dict[str, Any]
"""The rest of a state: JSON values, by name."""

RowsT_contra = TypeVar("RowsT_contra", contravariant=True)


class Learner(Protocol[RowsT_contra]):
    """Changes its parameters by one gradient step a call, from rows of a ring.

    The state holds everything that the next update depends on: the updates after ``set_state`` are
    bit for bit those that would have followed ``get_state``.
    """

    @property
    def params(self) -> Array:
        """The parameters (n_params,) for whoever acts; ``update`` changes them in place."""

    @property
    def updates(self) -> int:
        """Gradient steps taken."""

    @property
    def skipped_in_row(self) -> int:
        """Updates skipped since the last one taken, because something was not finite."""

    @property
    def stats(self) -> dict[str, float]:
        """Figures of the last update: loss, grad_norm, lr, updates, skipped, and the learner's own.

        Reading them may wait for the device.
        """

    def update(self, rows: RowsT_contra, lo: int, hi: int, ahead: int = 1) -> None:
        """Take one gradient step on a batch of the rows [lo, hi) of absolute indices.

        ``ahead`` is the number of updates of this range to come, this one included: a learner may
        read their batches together.
        """

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return a copy of the state."""

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
